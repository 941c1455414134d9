// What the tests ask in this runtime, of the package as it was loaded.

import { createServer } from "node:http";
import { runAll, runCatalogue } from "../shared/scenarios.mjs";

/** Serves the scenarios on a free loopback port. */
export function serve(onetrip, ways) {
  const url = process.env.ONETRIP_URL;
  const server = createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const answer =
      request.url === "/catalogue"
        ? await runCatalogue(onetrip.connect(url))
        : await runAll(onetrip, url, JSON.parse(Buffer.concat(chunks)), ways);
    response.end(JSON.stringify(answer));
  });
  server.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`));
}
