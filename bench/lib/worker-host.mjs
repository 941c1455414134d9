// Serves the program under measurement from workerd. The inputs are bindings, so that no clock and no disk is needed.

import { app } from "./app.mjs";

let handle;

export default {
  async fetch(request, env) {
    handle ??= app((name) => env[name]);
    try {
      return new Response(await handle(request.url));
    } catch (error) {
      return new Response(String(error?.stack ?? error), { status: 500 });
    }
  },
};
