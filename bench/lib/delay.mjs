// A proxy that adds latency to TCP as a distant server has it.

import net from "node:net";

/**
 * Listens on a port of its own and passes everything on to `port`, half a round trip later. A proxy on one machine cannot
 * delay the handshake of TCP itself, so the first bytes of a connection wait a round trip more: that is how long a
 * client's connect would have taken.
 */
export async function delayed(port, roundTripMs) {
  const oneWay = roundTripMs / 2;
  const forward = (from, to, first) => {
    let wait = first;
    let due = 0;
    from.on("data", (chunk) => {
      due = Math.max(due, performance.now() + oneWay + wait);
      wait = 0;
      setTimeout(() => to.write(chunk), due - performance.now());
    });
    from.on("end", () => setTimeout(() => to.end(), Math.max(oneWay, due - performance.now())));
    from.on("error", () => to.destroy());
    from.on("close", () => to.destroy());
  };
  const server = net.createServer((client) => {
    const upstream = net.connect(port, "127.0.0.1");
    client.setNoDelay();
    upstream.setNoDelay();
    forward(client, upstream, roundTripMs);
    forward(upstream, client, 0);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server;
}
