// What the tests ask in a page that Vite has built.

import * as onetrip from "onetrip";
import { connect } from "onetrip/slim";
import wasm from "onetrip/onetrip.wasm?url";
import { runPage } from "../../shared/page.mjs";

await runPage(onetrip, connect, async () => (await fetch(wasm)).arrayBuffer());
