// What the tests ask in this runtime.

import * as onetrip from "onetrip";
import { runAll } from "../shared/scenarios.mjs";

export async function handler(event) {
  const input = JSON.parse(event.body);
  return { statusCode: 200, body: JSON.stringify(await runAll(onetrip, process.env.ONETRIP_URL, input)) };
}
