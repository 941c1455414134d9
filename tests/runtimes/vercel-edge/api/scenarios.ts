// What the tests ask in this runtime.

import * as onetrip from "onetrip";
import { connect } from "onetrip/slim";
import module from "onetrip/onetrip.wasm?module";
import * as neon from "onetrip/neon";
import * as sqlstate from "onetrip/sqlstate";
import { runAsked } from "../../shared/asked.mjs";

export const config = { runtime: "edge" };

const slim = {
  ...onetrip,
  connect: (url: string | URL, options: object) => connect({ url, wasm: module, ...options }),
};

export default async function handler(request: Request): Promise<Response> {
  const what = request.url.split("?")[1];
  const entries = { onetrip: what === "slim" ? slim : onetrip, neon, sqlstate };
  return Response.json(await runAsked(what, entries, process.env.ONETRIP_URL!, await request.json()));
}
