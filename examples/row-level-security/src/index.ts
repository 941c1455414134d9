// Notes of users, kept apart by PostgreSQL: the user's token goes through to it, and row-level security does the rest.

import { connect, EndpointError } from "onetrip";

interface Env {
  /** Where the endpoint is and which database; `https://authenticated@endpoint.example/database` is enough. */
  readonly ONETRIP_URL: string;
}

interface Note {
  id: string;
  body: string;
}

export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    const authorization = request.headers.get("authorization") ?? "";
    if (!authorization.startsWith("Bearer ")) return Response.json({ error: "a token is missing" }, { status: 401 });
    // The token stands in for the password, so this Worker can do nothing that its user may not.
    const sql = connect(env.ONETRIP_URL, { role: "authenticated", password: "", headers: { authorization } });
    try {
      if (request.method === "POST") await sql`insert into notes (body) values (${await request.text()})`;
      return Response.json(await sql<Note>`select id, body from notes order by id`);
    } catch (error) {
      if (!(error instanceof EndpointError) || error.status !== 401) throw error;
      return Response.json({ error: "the token is not good" }, { status: 401 });
    }
  },
};
