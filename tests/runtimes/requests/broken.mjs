// Endpoints whose connections end badly, and what a query has to be told of each.

import { once } from "node:events";
import { createServer } from "node:net";

/** Headers of an answer of 1,000 bytes, and the first of them. */
const HALF = [
  "HTTP/1.1 200 OK",
  "content-type: application/vnd.onetrip.blocks",
  "content-length: 1000",
  "access-control-allow-origin: *",
  "",
  "2",
].join("\r\n");

/** What a browser asks for before it sends a request from another origin. */
const PREFLIGHT = [
  "HTTP/1.1 204 No Content",
  "access-control-allow-origin: *",
  "access-control-allow-methods: POST",
  "access-control-allow-headers: authorization, content-type",
  "connection: close",
  "",
  "",
].join("\r\n");

/** What becomes of a connection once its first bytes have come: a request, but for `noTls`, which is asked for a session. */
const ENDS = {
  closed: (socket) => socket.end(),
  reset: (socket) => socket.resetAndDestroy(),
  cut: (socket) => socket.write(HALF, () => socket.end()),
  noTls: (socket) => socket.end(),
};

/**
 * Hands `use` the URLs of such endpoints by name, and of a port where nobody listens: `refused`. Also a function that says what
 * is wrong with what runNetwork found there, if the runtime tells of those in `told` that no connection came about.
 */
export async function withBroken(use) {
  const servers = [];
  const sockets = new Set();
  const counts = {};
  const urls = {};
  const listen = async (name, server) => {
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    urls[name] = `http${name === "noTls" ? "s" : ""}://role:hunter2@127.0.0.1:${server.address().port}/app`;
  };
  try {
    for (const [name, end] of Object.entries(ENDS)) {
      counts[name] = 0;
      const server = createServer((socket) => {
        socket.on("error", () => {});
        sockets.add(socket);
        socket.once("data", (bytes) => {
          if (bytes.toString("latin1").startsWith("OPTIONS ")) return socket.end(PREFLIGHT);
          counts[name]++;
          end(socket);
        });
      });
      servers.push(server);
      await listen(name, server);
    }
    const gone = createServer();
    await listen("refused", gone);
    gone.close();
    await once(gone, "close");

    const problems = (found, told) => {
      const list = Object.keys(urls).flatMap((name) => {
        const notSent = told.includes(name);
        const expected = {
          isNetworkError: true,
          isUnreachableError: notSent,
          kind: notSent ? "unreachable" : "network",
          outcome: notSent ? "notExecuted" : "unknown",
          saysWhere: true,
          hasCause: true,
          showsPassword: false,
        };
        return Object.entries(expected)
          .filter(([member, value]) => found[name]?.[member] !== value)
          .map(([member]) => `${name}: ${member} is ${found[name]?.[member]}: ${found[name]?.message}`);
      });
      // What may have been executed must not be sent again; a handshake may.
      for (const [name, count] of Object.entries(counts)) {
        if (count !== 1 && (name !== "noTls" || count < 1)) list.push(`${name}: ${count} requests came`);
        counts[name] = 0;
      }
      return list;
    };
    return await use(urls, problems);
  } finally {
    for (const socket of sockets) socket.destroy();
    for (const server of servers) server.close();
  }
}
