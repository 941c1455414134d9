// What the tests ask in this runtime.

const functions = require("@google-cloud/functions-framework");
const onetrip = require("onetrip");

functions.http("scenarios", async (request, response) => {
  const { runAll } = await import("../shared/scenarios.mjs");
  response.json(await runAll(onetrip, process.env.ONETRIP_URL, request.body));
});
