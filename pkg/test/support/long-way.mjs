// For `node --import`: has the entries for Node, Deno and Bun send queries as all others do, so that the tests try both ways.

import { register } from "node:module";

const general = new URL("../../dist/sender.js", import.meta.url);
const direct = `export { ConnectionSender as DirectSender } from ${JSON.stringify(general.href)};`;
const hooks = `
export async function resolve(specifier, context, next) {
  return specifier === "./direct.js"
    ? { url: ${JSON.stringify(`data:text/javascript,${encodeURIComponent(direct)}`)}, shortCircuit: true }
    : next(specifier, context);
}`;
register(`data:text/javascript,${encodeURIComponent(hooks)}`);
