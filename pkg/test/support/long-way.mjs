// For `node --import`: has the entries for Node, Deno and Bun send queries as all others do, so that the tests try both ways.
// A test file that this does not reach fails.

import { register } from "node:module";

const general = new URL("../../dist/sender.js", import.meta.url);
const direct = `globalThis.isLongWay = true; export { ConnectionSender as DirectSender } from ${JSON.stringify(general.href)};`;
const hooks = `
export async function resolve(specifier, context, next) {
  return specifier === "./direct.js"
    ? { url: ${JSON.stringify(`data:text/javascript,${encodeURIComponent(direct)}`)}, shortCircuit: true }
    : next(specifier, context);
}`;
register(`data:text/javascript,${encodeURIComponent(hooks)}`);

// In the processes of the test files, not in the one that starts them.
if (process.env.NODE_TEST_CONTEXT !== undefined) {
  process.on("exit", () => {
    if (globalThis.isLongWay) return;
    console.error("queries were sent directly: what imports direct.js?");
    process.exitCode = 1;
  });
}
