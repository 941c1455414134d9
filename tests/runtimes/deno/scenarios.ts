// What the tests ask in this runtime.

import * as onetrip from "onetrip";
import * as neon from "onetrip/neon";
import * as sqlstate from "onetrip/sqlstate";
import { runAsked } from "../shared/asked.mjs";

export default {
  async fetch(request: Request): Promise<Response> {
    if (request.method === "GET") return Response.json(import.meta.resolve("onetrip").split("/").pop());
    const what = request.url.split("/").pop();
    const entries = { onetrip, neon, sqlstate };
    return Response.json(await runAsked(what, entries, Deno.env.get("ONETRIP_URL")!, await request.json()));
  },
};
