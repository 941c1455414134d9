// The peer's HTTP path and nothing else.

import { neon } from "@neondatabase/serverless";

export default { fetch: async (request, env) => Response.json(await neon(env.DATABASE_URL)`select ${1}`) };
