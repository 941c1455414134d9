// Programs against Neon's HTTP client, for two clients that must be alike: each gets the module, a connection string and,
// to answer itself, `answers`.

import { PARAMETERS, VALUES } from "./values.mjs";

/** Programs by what they are about. */
export const PROGRAMS = {
  "a template with and without options": async ({ neon }, url) => {
    const all = [];
    for (const arrayMode of [undefined, false, true]) {
      for (const fullResults of [undefined, false, true]) {
        all.push(await neon(url, { arrayMode, fullResults })`select ${1}::int4 as a, 2 as b, 3 as a, null as n`);
        all.push(await neon(url).query("select $1::int4 as a, 2 as a", [1], { arrayMode, fullResults }));
        all.push(
          await neon(url, { arrayMode: true, fullResults: true }).query("select 1", [], { arrayMode, fullResults }),
        );
      }
    }
    return all;
  },
  "statements without rows": async ({ neon }, url) => {
    const sql = neon(url, { fullResults: true });
    const all = [];
    for (const text of [
      "",
      "create temp table alike (a int)",
      "select",
      "select from generate_series(1, 2)",
      "values (1), (2)",
      "set search_path to public",
      "explain select 1",
      "do $$ begin end $$",
    ])
      all.push(await sql.query(text));
    return all;
  },
  "names that objects have themselves": async ({ neon }, url) =>
    neon(url)`select 1 as "__proto__", 2 as "constructor", 3 as "toString", 4 as "", 5 as "0"`,
  "queries in queries": async ({ neon }, url) => {
    const sql = neon(url);
    const value = sql`${"a"} || ${sql`${"b"}::text`}`;
    const raw = sql.query("'raw'");
    return sql`select ${value} as ${sql.unsafe("name")}, ${raw} as raw, ${Buffer.from("b")} as bytes, ${5}::int8 as five`;
  },
  "a query with parameters of its own in a query": async ({ neon }, url) => {
    const sql = neon(url);
    return sql`select ${sql.query("$1::int", [1])}`;
  },
  "a call that is no template": async ({ neon }, url) => neon(url)("select 1"),
  "a promise that is awaited twice is two requests": async ({ neon }, url) => {
    const query = neon(url)`select 1 as one`;
    return [await query, await query, await query.then((rows) => rows.length), await query.finally(() => {})];
  },
  "what a query shows of itself": async ({ neon, NeonQueryPromise, SqlTemplate, UnsafeRawSql }, url) => {
    const sql = neon(url);
    const query = sql`select ${1}, ${sql.unsafe("2")}`;
    const listed = sql.query("select $1", [1], { arrayMode: true });
    return [
      query instanceof NeonQueryPromise,
      query.queryData instanceof SqlTemplate,
      sql.unsafe("x") instanceof UnsafeRawSql,
      query.queryData.toParameterizedQuery(),
      query.opts,
      listed.queryData,
      listed.opts,
      Object.keys(query),
      Object.keys(query.queryData),
      Object.keys(sql.unsafe("x")),
      await query.execute(query.queryData, query.opts),
    ];
  },
  "errors of PostgreSQL": async ({ neon }, url) => {
    const sql = neon(url);
    const all = [];
    for (const text of [
      "selec",
      "select * from no_such_table",
      "select 1/0",
      "select 'x'::int4",
      "select $1::int4 + $2::int4",
      "do $$ begin raise exception 'boom' using detail = 'd', hint = 'h', errcode = 'P0099', column = 'c', table = 't', schema = 's', constraint = 'k', datatype = 'y'; end $$",
      "select '{'::json",
      "commit and chain",
      "begin",
    ])
      all.push(await sql.query(text, []).catch((error) => described(error)));
    return all;
  },
  "errors of the endpoint": async ({ neon }, url) => {
    const wrong = (change) => {
      const other = new URL(url);
      change(other);
      return neon(other.href)`select 1`.catch((error) => described(error));
    };
    return [
      await wrong((other) => (other.username = "nobody-of-this-name")),
      await wrong((other) => (other.pathname = "/no_such_database")),
    ];
  },
  transactions: async ({ neon }, url) => {
    const sql = neon(url);
    const all = [];
    for (const [given, options] of [
      [[sql`select ${1}::int4 as n`, sql.query("select 2 as n", [], { arrayMode: true })], undefined],
      [[sql`select 1 as n`], { arrayMode: true, fullResults: true }],
      [[sql.query("select 1 as n", [], { fullResults: false })], { fullResults: true }],
      [
        (tx) => [tx`show transaction_isolation`, tx.query("show transaction_read_only")],
        { isolationLevel: "Serializable", readOnly: true, deferrable: true },
      ],
      [[sql`show transaction_isolation`], { isolationLevel: "RepeatableRead", readOnly: false, deferrable: false }],
      [[sql`create table never (a int)`], { readOnly: true }],
      [[sql`select 1`, sql`select 1/0`], {}],
      [[], {}],
      ["select 1", {}],
      [[1], {}],
      [[Promise.resolve(1)], {}],
    ])
      all.push(await sql.transaction(given, options).catch((error) => described(error)));
    const strict = neon(url, { isolationLevel: "Serializable", readOnly: true, arrayMode: true });
    all.push(await strict.transaction([strict`show transaction_isolation`, strict`show transaction_read_only`]));
    all.push(await strict.transaction([strict`show transaction_isolation`], { isolationLevel: "ReadCommitted" }));
    return all;
  },
  "connection parameters": async ({ neon }, url, { answers }) => {
    const { username, password, host } = new URL(url);
    answers(() => Response.json({ fields: [], rows: [], command: "SELECT", rowCount: 0 }));
    const all = [];
    for (const [first, second] of [
      [url, { user: "someone" }],
      [url, { username: async () => "some one", password: () => "p@ss/word" }],
      [url, { host: "other.example:99", database: "an other" }],
      [url, { hostname: "other.example", port: 1234 }],
      [url, { hostname: "other.example", port: "80" }],
      [url, { connectionString: "postgres://a:b@c.example/d?sslmode=require" }],
      [{ connectionString: async () => url }],
      [{ user: "u", password: "p", host: "h.example", database: "d" }],
      [{ user: "u", host: "h.example" }],
      [url, { user: "a", username: "b" }],
      [url, { host: "a", hostname: "b" }],
      [url, { password: 5 }],
      [url, { port: {} }],
      [{ connectionString: 5 }],
      ["https://a:b@c.example/d"],
      ["postgresql://host.example/d"],
      ["postgresql://u:p@host.example"],
      [`postgresql://u:p@host.example/d?application_name=mine&options=-c%20a%3Db%20c`],
      [`postgresql://u:p%25%40%2F@host.example:5432/d?sslmode=require&channel_binding=require`],
      [undefined],
      [null],
    ])
      all.push(await Promise.resolve(neon(first, second)`select 1`).catch((error) => described(error)));
    all.push(await neon(url).query("select 1", [], { password: () => "own", database: "own" }));
    all.push(await neon(url).transaction([], { user: "of the transaction" }));
    return [username, password, host, all];
  },
  tokens: async ({ neon }, url, { answers }) => {
    answers(() => Response.json({ fields: [], rows: [], command: "SELECT", rowCount: 0 }));
    const all = [];
    for (const authToken of ["text", () => "function", async () => "promise", () => "", undefined, 5])
      all.push(await neon(url, { authToken })`select 1`);
    for (const authToken of [
      () => {
        throw new Error("no token");
      },
      async () => {
        throw "no error";
      },
    ])
      all.push(await Promise.resolve(neon(url, { authToken })`select 1`).catch((error) => described(error)));
    all.push(await neon(url, { authToken: "first" }).query("select 1", [], { authToken: "second" }));
    all.push(await neon(url, { authToken: "first" }).transaction([], { authToken: "passed over" }));
    return all;
  },
  "the endpoint": async ({ neon, neonConfig }, url, { answers }) => {
    answers(() => Response.json({ fields: [], rows: [], command: "SELECT", rowCount: 0 }));
    const all = [neonConfig.fetchConnectionCache, neonConfig.poolQueryViaFetch, neonConfig.pipelineConnect];
    const { fetchEndpoint } = neonConfig;
    neonConfig.fetchEndpoint = undefined;
    for (const text of [
      "postgresql://u:p@ep-cool-name-123.us-east-2.aws.neon.tech/d",
      "postgresql://u:p@ep-cool-name-123-pooler.us-east-2.aws.neon.tech:5432/d",
      "postgresql://u:p@localhost/d",
      "postgresql://u:p@[::1]:5432/d",
    ]) {
      await neon(text)`select 1`;
      await neon(text, { authToken: "token" })`select 1`;
    }
    neonConfig.fetchEndpoint = (...given) => {
      all.push(given);
      return "http://given.example/sql";
    };
    await neon(url)`select 1`;
    await neon("postgresql://u:p@h.example:81/d", { authToken: "token" })`select 1`;
    neonConfig.fetchEndpoint = fetchEndpoint;
    return all;
  },
  "fetch options": async ({ neon }, url, { answers }) => {
    answers(() => Response.json({ fields: [], rows: [], results: [] }));
    const sql = neon(url, { fetchOptions: { priority: "low", cache: "no-store" } });
    await sql`select 1`;
    await sql.query("select 1", [], { fetchOptions: { priority: "high", headers: { only: "these" } } });
    await sql.transaction([sql`select 1`], { fetchOptions: { priority: "high" } });
  },
  "answers that are none": async ({ neon }, url, { answers }) => {
    const all = [];
    for (const answer of [
      () => new Response("gateway", { status: 502 }),
      () => new Response("", { status: 500 }),
      () => Response.json({ message: "gone", code: "57P01" }, { status: 503 }),
      () => Response.json({ message: "m", code: "", severity: null, extra: 1 }, { status: 400 }),
      () => new Response("no JSON", { status: 400 }),
      () => new Response("no JSON"),
      () => {
        throw new TypeError("fetch failed");
      },
      () => {
        throw "a text";
      },
      () => Response.json({ fields: [], rows: [] }),
    ]) {
      answers(answer);
      all.push(await Promise.resolve(neon(url)`select 1`).catch((error) => described(error)));
      all.push(
        await neon(url)
          .transaction([])
          .catch((error) => described(error)),
      );
    }
    return all;
  },
  "parsers of one's own": async ({ neon, types }, url) => {
    const seen = [];
    const own = {
      getTypeParser: (...given) => {
        seen.push(given);
        return (text) => `own ${text}`;
      },
    };
    const sql = neon(url, { types: own });
    const all = [
      await sql`select 1 as a`,
      await sql.query("select 1 as a, now() - now() as b, null as c", [], { types: own }),
      await sql.transaction([sql.query("select 2 as a", [], { types: own }), sql`select 3 as a`]),
    ];
    const before = types.getTypeParser(23);
    types.setTypeParser(23, (text) => `set ${text}`);
    all.push(await neon(url)`select 1 as a`);
    types.setTypeParser(23, "text", before);
    types.setTypeParser(424242, "binary", () => "binary");
    all.push(await neon(url)`select 1 as a`, types.getTypeParser(424242, "binary")(""), types.getTypeParser(424242)(5));
    all.push(types.builtins, types.getTypeParser(20, "text")("7"), types.getTypeParser(1016)("{7}"));
    all.push(types.arrayParser.create('{a,"b,c",NULL,{x}}', (text) => `<${text}>`).parse());
    return [seen, all];
  },
  "settings of node-postgres": async ({ neon, defaults }, url) => {
    const all = [];
    defaults.parseInt8 = true;
    all.push(await neon(url)`select 7::int8 as a, '{7,NULL}'::int8[] as b`);
    defaults.parseInt8 = false;
    all.push(await neon(url)`select 7::int8 as a, '{7}'::int8[] as b`);
    defaults.parseInputDatesAsUTC = true;
    all.push(await neon(url)`select ${new Date(0)}::text as a, ${new Date(Date.UTC(-1, 0))}::text as b`);
    defaults.parseInputDatesAsUTC = false;
    return all;
  },
  "names of fields": async ({ errorFields }) => errorFields,
  "an interval as a parameter": async ({ neon }, url) => {
    const [{ i, j }] = await neon(url)`select '1 mon -2 days 03:04:05.6'::interval as i, '0'::interval as j`;
    return neon(url)`select ${i}::text as a, ${j}::text as b, ${[i]}::text as c`;
  },
};

for (const [type, literals] of Object.entries(VALUES)) {
  PROGRAMS[`values of ${type}`] = async ({ neon }, url) => {
    const all = [];
    for (const zone of ["UTC", "Asia/Kathmandu", "America/New_York"]) {
      const sql = neon(`${url}?timezone=${zone}`);
      for (const literal of literals) {
        const text = `select $1::text::${type} as v, array[$1::text::${type}, null] as a, array[array[$1::text::${type}]] as m,
          '{}'::${type}[] as e, null::${type} as n, null::${type}[] as na`;
        all.push(await sql.query(text, [literal]).catch((error) => described(error)));
      }
      if (!/time|date|interval|range/.test(type)) break;
    }
    const [first] = literals;
    all.push(
      await neon(url, { arrayMode: true, fullResults: true })
        .query(`select x[0:1] as b from (select array_fill($1::text::${type}, array[2], array[0]) as x) as t`, [first])
        .catch((error) => described(error)),
    );
    return all;
  };
}

for (const [index, value] of PARAMETERS.entries()) {
  const name = value === null || value === undefined ? String(value) : `${value.constructor.name} ${index}`;
  PROGRAMS[`a parameter: ${name}`] = async ({ neon }, url) => {
    const sql = neon(url);
    return [
      await sql`select ${value}::text as a`,
      await sql.query("select $1::text as a", [value]),
      await sql.query("select $1::text as a", [[value].filter((one) => !ArrayBuffer.isView(one))]),
    ];
  };
}

/** What a program can tell from an error. */
export function described(error) {
  if (!(error instanceof Error)) return { thrown: error };
  const { sourceError, ...own } = Object.fromEntries(Object.entries(error));
  return {
    name: error.name,
    class: error.constructor.name,
    // The endpoint counts its prepared statements.
    message: error.message.replace(/"onetrip_\w+"/, "a name"),
    own,
    sourceError: sourceError === undefined ? undefined : described(sourceError),
  };
}
