// What the tests ask in this runtime. Connections of the module live as long as the isolate and serve all its requests,
// one after another and at once.

import { env } from "cloudflare:workers";
import * as onetrip from "onetrip";
import { connect } from "onetrip/slim";
import module from "onetrip/onetrip.wasm";
import { runAll } from "../../shared/scenarios.mjs";

const { ONETRIP_URL: url } = env as { ONETRIP_URL: string };
const sql = onetrip.connect(url);
const local = onetrip.connect(url, { decode: "local" });
const slim = {
  ...onetrip,
  connect: (to: string | URL, options: object) => connect({ url: to, wasm: module, ...options }),
};

export default {
  async fetch(request: Request): Promise<Response> {
    const { pathname, searchParams } = new URL(request.url);
    if (pathname === "/slim") return Response.json(await runAll(slim, url, await request.json()));
    if (request.method === "POST") return Response.json(await runAll(onetrip, url, await request.json()));
    // Two requests of the same tick and one behind them, by connections that other requests use as well.
    const number = Number(searchParams.get("number"));
    const of = searchParams.has("local") ? local : sql;
    const pause = Number(searchParams.get("pause"));
    const [first, second] = await Promise.all([
      of`select ${number}::int4 as number from pg_sleep(${pause})`,
      of`select ${number}::int4 + 1 as number`,
    ]);
    const third = await of`select ${number}::int4 + 2 as number`;
    return Response.json([first, second, third].map((rows) => rows[0]?.["number"]));
  },
};
