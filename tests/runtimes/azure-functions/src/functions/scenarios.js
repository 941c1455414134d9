// What the tests ask in this runtime.

const { app } = require("@azure/functions");
const onetrip = require("onetrip");

app.http("scenarios", {
  methods: ["POST"],
  handler: async (request) => {
    const { runAll } = await import("../../../shared/scenarios.mjs");
    return { jsonBody: await runAll(onetrip, process.env.ONETRIP_URL, await request.json()) };
  },
});
