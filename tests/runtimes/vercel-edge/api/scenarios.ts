// What the tests ask in this runtime.

import * as onetrip from "onetrip";
import { connect } from "onetrip/slim";
import module from "onetrip/onetrip.wasm?module";
import { runAll } from "../../shared/scenarios.mjs";

export const config = { runtime: "edge" };

const slim = {
  ...onetrip,
  connect: (url: string | URL, options: object) => connect({ url, wasm: module, ...options }),
};

export default async function handler(request: Request): Promise<Response> {
  const which = request.url.endsWith("?slim") ? slim : onetrip;
  return Response.json(await runAll(which, process.env.ONETRIP_URL!, await request.json()));
}
