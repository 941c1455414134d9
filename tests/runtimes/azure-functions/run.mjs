// The package in Azure Functions, programming model v4. The platform's worker hands @azure/functions a core API, to which
// the model and the functions are registered; here this file is that worker: requests go through the package's own model,
// from the host's form of a request to its form of an answer.
//
//   ONETRIP_TEST_URL=http://role:password@127.0.0.1:PORT/database node tests/runtimes/azure-functions/run.mjs

import Module from "node:module";
import { Checks, openProject } from "../shared/project.mjs";

const { url, require } = await openProject(import.meta.url);
process.env.ONETRIP_URL = url;

let model;
const functions = new Map();
const core = {
  log: () => {},
  setProgrammingModel: (given) => (model = given),
  registerFunction: (metadata, callback) => functions.set(metadata.name, { metadata, callback }),
  registerHook: () => {},
  hostVersion: "4.1000.0",
};
const load = Module._load;
Module._load = (name, ...rest) => (name === "@azure/functions-core" ? core : load(name, ...rest));
require("./src/functions/items.js");
require("./src/functions/scenarios.js");

const checks = new Checks(`Azure Functions (@azure/functions ${model.version})`);
await checks.example((path) => invoke("items", "GET", path));
await checks.scenarios((path, body) => invoke("scenarios", "POST", path, body));
checks.end();

/** One invocation, as the worker goes through it. */
async function invoke(name, method, path, body) {
  const { metadata, callback } = functions.get(name);
  const http = { method, url: `http://functions.example/api${path}`, headers: {}, query: {}, params: {} };
  http.nullableHeaders = { "content-type": { value: "application/json" } };
  if (body !== undefined) http.body = { string: body };
  const [trigger] = Object.entries(metadata.bindings).find(([, { type }]) => type === "httpTrigger");
  const invocationId = `${name}-1`;
  const invocation = model.getInvocationModel({
    invocationId,
    metadata,
    request: { invocationId, inputData: [{ name: trigger, data: { http } }] },
    log: () => {},
  });
  const { context, inputs } = await invocation.getArguments();
  const result = await invocation.invokeFunction(context, inputs, callback);
  const { returnValue } = await invocation.getResponse(context, result);
  const { statusCode, body: answer } = returnValue.http;
  const text = answer.string ?? new TextDecoder().decode(answer.bytes);
  if (Number(statusCode) !== 200) throw new Error(`${name} answered ${statusCode}: ${text}`);
  return JSON.parse(text);
}
