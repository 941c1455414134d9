// What the tests ask in a page that esbuild has built, with `--loader:.wasm=file`.

import * as onetrip from "onetrip";
import * as neon from "onetrip/neon";
import { connect } from "onetrip/slim";
import * as sqlstate from "onetrip/sqlstate";
import wasm from "onetrip/onetrip.wasm";
import { runPage } from "../../shared/page.mjs";

await runPage(onetrip, connect, async () => (await fetch(new URL(wasm, import.meta.url))).arrayBuffer(), {
  neon,
  sqlstate,
});
