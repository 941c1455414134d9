// A proxy that adds latency to TCP as a distant server has it, and counts the round trips.

import net from "node:net";

/**
 * Listens on a port of its own and passes everything on to `port`, at least half a round trip later. A proxy on one
 * machine cannot delay the handshake of TCP itself, so the first bytes of a connection wait a round trip more: that is how
 * long a client's connect would have taken. The server that it gives has `roundTrips`: one for each handshake, one for each
 * time that a client speaks after it has heard something.
 */
export async function delayed(port, roundTripMs) {
  const oneWay = roundTripMs / 2;
  const forward = (from, to, first, heard) => {
    const queue = [];
    let wait = first;
    // Timers may be early by a part of a millisecond: the clock decides what is due.
    const pass = () => {
      while (queue.length > 0 && queue[0].due <= performance.now()) queue.shift().work();
      if (queue.length > 0) setTimeout(pass, Math.ceil(queue[0].due - performance.now()));
    };
    const later = (work) => {
      const due = Math.max(queue.at(-1)?.due ?? 0, performance.now() + oneWay + wait);
      wait = 0;
      queue.push({ due, work });
      if (queue.length === 1) pass();
    };
    from.on("data", (chunk) => {
      heard();
      later(() => to.write(chunk));
    });
    from.on("end", () => later(() => to.end()));
    from.on("error", () => to.destroy());
  };
  const server = net.createServer({ allowHalfOpen: true }, (client) => {
    const upstream = net.connect({ port, host: "127.0.0.1", allowHalfOpen: true });
    client.setNoDelay();
    upstream.setNoDelay();
    server.roundTrips++;
    let isAnswered = true;
    forward(client, upstream, roundTripMs, () => {
      if (isAnswered) server.roundTrips++;
      isAnswered = false;
    });
    forward(upstream, client, 0, () => (isAnswered = true));
  });
  server.roundTrips = 0;
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server;
}
