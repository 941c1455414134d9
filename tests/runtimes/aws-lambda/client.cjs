// aws-lambda-ric talks to Lambda's Runtime API by an addon in C++, which is compiled when it is installed. This is the same
// client without a compiler: three requests of https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html

const Module = require("node:module");

const api = `http://${process.env.AWS_LAMBDA_RUNTIME_API}/2018-06-01/runtime/invocation`;
let sent = Promise.resolve();

async function post(path, body, headers = {}) {
  await fetch(`${api}/${path}`, { method: "POST", body, headers });
}

Module._extensions[".node"] = (module, path) => {
  if (!path.endsWith("rapid-client.node")) throw new Error(`no addon is expected but the client: ${path}`);
  module.exports = {
    initializeClient: () => {},
    async next() {
      await sent;
      const response = await fetch(`${api}/next`);
      return { bodyJson: await response.text(), headers: Object.fromEntries(response.headers) };
    },
    done: (id, body) => (sent = post(`${id}/response`, body)),
    error: (id, body) => (sent = post(`${id}/error`, body)),
  };
};
const resolve = Module._resolveFilename;
Module._resolveFilename = (name, ...rest) =>
  name === "./rapid-client.node" ? "/rapid-client.node" : resolve(name, ...rest);
