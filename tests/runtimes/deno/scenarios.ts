// What the tests ask in this runtime.

import * as onetrip from "onetrip";
import * as neon from "onetrip/neon";
import * as sqlstate from "onetrip/sqlstate";
import { runRequests } from "../requests/checks.mjs";
import { runNetwork } from "../requests/network.mjs";
import { runAll, runNeon } from "../shared/scenarios.mjs";

export default {
  async fetch(request: Request): Promise<Response> {
    if (request.method === "GET") return Response.json(import.meta.resolve("onetrip").split("/").pop());
    const [url, input] = [Deno.env.get("ONETRIP_URL")!, await request.json()];
    return Response.json(
      await (request.url.endsWith("/neon")
        ? runNeon(neon, url, input)
        : request.url.endsWith("/requests")
          ? runRequests(onetrip.connect, url, onetrip, sqlstate, input.prefix)
          : request.url.endsWith("/network")
            ? runNetwork(onetrip.connect, input, onetrip)
            : runAll(onetrip, url, input)),
    );
  },
};
