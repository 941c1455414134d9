// What the tests ask in this runtime.

import * as onetrip from "onetrip";
import { connect } from "onetrip/slim";
import module from "onetrip/onetrip.wasm?module";
import * as neon from "onetrip/neon";
import * as sqlstate from "onetrip/sqlstate";
import { runRequests } from "../../requests/checks.mjs";
import { runNetwork } from "../../requests/network.mjs";
import { runAll, runNeon } from "../../shared/scenarios.mjs";

export const config = { runtime: "edge" };

const slim = {
  ...onetrip,
  connect: (url: string | URL, options: object) => connect({ url, wasm: module, ...options }),
};

export default async function handler(request: Request): Promise<Response> {
  const [url, input] = [process.env.ONETRIP_URL!, await request.json()];
  if (request.url.endsWith("?neon")) return Response.json(await runNeon(neon, url, input));
  if (request.url.endsWith("?requests"))
    return Response.json(await runRequests(onetrip.connect, url, onetrip, sqlstate, input.prefix));
  if (request.url.endsWith("?network")) return Response.json(await runNetwork(onetrip.connect, input, onetrip));
  return Response.json(await runAll(request.url.endsWith("?slim") ? slim : onetrip, url, input));
}
