// A Worker that serves a program under measurement. The inputs are bindings, so that no clock and no disk is needed.

import { app } from "./app.mjs";

export function worker(counted) {
  let handle;
  return {
    async fetch(request, env) {
      handle ??= app((name) => env[name], counted);
      try {
        return new Response(await handle(request.url));
      } catch (error) {
        return new Response(String(error?.stack ?? error), { status: 500 });
      }
    },
  };
}
