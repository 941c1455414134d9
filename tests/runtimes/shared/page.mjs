// What a bundled page does in the tests: the scenarios by both entries, and a look at the example beside it.

import { runAsked } from "./asked.mjs";
import { runAll } from "./scenarios.mjs";

/**
 * Runs it all and sends what was found to the server of the page. `wasm` is the module as this bundler hands it over,
 * `others` the package's other entries, where the page has them.
 */
export async function runPage(onetrip, connectSlim, wasm, others) {
  const found = {};
  try {
    const { url, input, broken } = await (await fetch("/input")).json();
    const connect = (to, options) => connectSlim({ url: to, wasm, ...options });
    found.example = await example();
    found.default = await runAll(onetrip, url, input);
    found.slim = await runAll({ ...onetrip, connect }, url, { ...input, prefix: `${input.prefix}s` });
    if (others !== undefined) {
      const inputs = { neon: input, requests: { prefix: `${input.prefix}r` }, network: broken };
      for (const [what, given] of Object.entries(inputs))
        found[what] = await runAsked(what, { onetrip, ...others }, url, given);
    }
  } catch (error) {
    found.error = String(error.stack);
  }
  await fetch("/found", { method: "POST", body: JSON.stringify(found) });
}

/** The text of the example's page, when it is there. */
async function example() {
  const frame = document.createElement("iframe");
  frame.src = "/index.html";
  document.body.append(frame);
  for (let attempt = 0; attempt < 200; attempt++) {
    const text = frame.contentDocument?.querySelector("li") && frame.contentDocument.body.innerText.trim();
    if (text) return text.split("\n");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return [];
}
