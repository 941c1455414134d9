// What the tests ask in this runtime, and the example, on a free loopback port.

import * as onetrip from "onetrip";
import * as neon from "onetrip/neon";
import * as sqlstate from "onetrip/sqlstate";
import { runRequests } from "../requests/checks.mjs";
import { runNetwork } from "../requests/network.mjs";
import { runAll, runNeon } from "../shared/scenarios.mjs";
import example from "./main.ts";

const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  idleTimeout: 0,
  async fetch(request) {
    const url = process.env.ONETRIP_URL!;
    if (request.method === "POST") {
      const input = (await request.json()) as Record<string, string>;
      return Response.json(
        await (request.url.endsWith("/neon")
          ? runNeon(neon, url, input)
          : request.url.endsWith("/requests")
            ? runRequests(onetrip.connect, url, onetrip, sqlstate, input.prefix)
            : request.url.endsWith("/network")
              ? runNetwork(onetrip.connect, input, onetrip)
              : runAll(onetrip, url, input)),
      );
    }
    if (request.url.endsWith("/entry")) return Response.json(import.meta.resolve("onetrip").split("/").pop());
    return example.fetch();
  },
});
console.log(`http://127.0.0.1:${server.port}`);
