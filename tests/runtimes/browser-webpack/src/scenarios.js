// What the tests ask in a page that webpack has built.

import * as onetrip from "onetrip";
import { connect } from "onetrip/slim";
import { runPage } from "../../shared/page.mjs";

const wasm = new URL("onetrip/onetrip.wasm", import.meta.url);
await runPage(onetrip, connect, async () => (await fetch(wasm)).arrayBuffer());
