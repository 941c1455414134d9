// An endpoint of the tests' own on a loopback port: an HTTP server whose answers the test writes.

import { createServer } from "node:http";

export const BLOCKS = "application/vnd.onetrip.blocks";
export const FRAMES = "application/vnd.onetrip.pgwire";

/**
 * Starts one; `answer(request)` gets `{body, headers, url, number}` and returns `{status, headers, body}`, or a function
 * that takes the raw response. Ends with the test `t`.
 */
export async function endpoint(t, answer) {
  const requests = [];
  const server = createServer((incoming, outgoing) => {
    const chunks = [];
    incoming.on("data", (chunk) => chunks.push(chunk));
    incoming.on("end", async () => {
      const request = {
        body: JSON.parse(Buffer.concat(chunks)),
        headers: incoming.headers,
        url: incoming.url,
        number: requests.length + 1,
      };
      requests.push(request);
      const answered = await answer(request);
      if (typeof answered === "function") return answered(outgoing);
      const { status = 200, headers = { "content-type": BLOCKS }, body = "" } = answered;
      outgoing.writeHead(status, headers).end(body);
    });
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address();
  return { url: `http://role:hunter2@127.0.0.1:${port}/app`, requests, port };
}

/** A problem as PROTOCOL.md section 4 has it. */
export function problem(status, members, headers = {}) {
  return {
    status,
    headers: { "content-type": "application/problem+json", "onetrip-request-id": "r1", ...headers },
    body: JSON.stringify({ type: "about:blank", title: "Problem", status, ...members }),
  };
}
