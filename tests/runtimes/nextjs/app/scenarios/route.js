// What the tests ask in this runtime.

import * as onetrip from "onetrip";
import { runAll } from "./scenarios.mjs";

export const runtime = "edge";
export const dynamic = "force-dynamic";

export async function POST(request) {
  return Response.json(await runAll(onetrip, process.env.ONETRIP_URL, await request.json()));
}
