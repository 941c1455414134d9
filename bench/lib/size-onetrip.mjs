// onetrip's HTTP path and nothing else.

import { connect } from "#onetrip";

export default { fetch: async (request, env) => Response.json(await connect({ url: env.DATABASE_URL })`select ${1}`) };
