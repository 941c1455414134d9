// What the tests ask in this runtime.

import * as onetrip from "onetrip";
import { runAll } from "../shared/scenarios.mjs";

export default {
  async fetch(request: Request): Promise<Response> {
    if (request.method === "GET") return Response.json(import.meta.resolve("onetrip").split("/").pop());
    return Response.json(await runAll(onetrip, Deno.env.get("ONETRIP_URL")!, await request.json()));
  },
};
