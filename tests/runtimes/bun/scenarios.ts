// What the tests ask in this runtime, and the example, on a free loopback port.

import * as onetrip from "onetrip";
import * as neon from "onetrip/neon";
import * as sqlstate from "onetrip/sqlstate";
import { runAsked } from "../shared/asked.mjs";
import example from "./main.ts";

const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  idleTimeout: 0,
  async fetch(request) {
    if (request.method === "POST") {
      const what = request.url.split("/").pop();
      const entries = { onetrip, neon, sqlstate };
      return Response.json(await runAsked(what, entries, process.env.ONETRIP_URL!, await request.json()));
    }
    if (request.url.endsWith("/entry")) return Response.json(import.meta.resolve("onetrip").split("/").pop());
    return example.fetch();
  },
});
console.log(`http://127.0.0.1:${server.port}`);
