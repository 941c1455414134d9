// The clients of PostgreSQL's own protocol, whole, over a socket in memory: what they cost includes their queues of
// queries and Node's streams, without which nobody can use them.

import pg from "pg";
import postgres from "postgres";
import { MemorySocket } from "./memory-socket.mjs";

const statement = "select * from rows where id > $1";
const login = { user: "bench", password: "bench", database: "bench", host: "bench.example", port: 5432 };

export const tcpClients = {
  pg: {
    format: "frames",
    open: async (bytes) => {
      const client = new pg.Client({ ...login, ssl: false, stream: () => new MemorySocket(bytes) });
      await client.connect();
      const query = { text: statement, values: [0] };
      return async () => (await client.query(query)).rows;
    },
  },
  postgres: {
    format: "frames",
    open: (bytes) => {
      const options = { ...login, ssl: false, max: 1, fetch_types: false, connect_timeout: 0, max_lifetime: null };
      const sql = postgres({ ...options, socket: () => new MemorySocket(bytes) });
      // Prepared: the second time and later only Bind, Execute and Sync are sent, and no description comes back.
      return () => sql.unsafe(statement, [0], { prepare: true });
    },
  },
};
