// Serves the program under measurement from workerd, where V8 tells only its output of collections.

import { worker } from "./serve-worker.mjs";

export default worker(async (work) => {
  globalThis.gc();
  await work();
  globalThis.gc();
  return "";
});
