// A Worker that does nothing: what every Worker costs.

import bytes from "input";

export default {
  fetch: () => new Response(String(bytes.byteLength > 0)),
};
