// What requests do in PostgreSQL, through the public API, in whatever runtime this is: transactions, shared requests,
// cancelled ones. No imports: the runners bundle it into Workers.

/**
 * Runs the checks against the endpoint at `url` and gives the names of those that failed, with the reason.
 *
 * @param sqlstate the constants of `onetrip/sqlstate`
 * @param prefix begins the names of tables, new for each run
 */
export async function runRequests(connect, url, { NetworkError, SqlError }, sqlstate, prefix) {
  let requests = 0;
  const counting = (target, init) => {
    requests++;
    return fetch(target, init);
  };
  const sql = connect(url, { fetch: counting });
  const table = sql.identifier(`${prefix}_marks`);
  const failed = [];
  const check = async (name, run) => {
    try {
      await run();
    } catch (error) {
      failed.push(`${name}: ${error.message}`);
    }
  };
  const same = (what, found, expected) => {
    if (JSON.stringify(found) !== JSON.stringify(expected))
      throw new Error(`${what} is ${JSON.stringify(found)}, not ${JSON.stringify(expected)}`);
  };

  await sql`create table ${table} (id int4 primary key)`;

  await check("the stack of an error shows who awaits the query", async () => {
    // Bun's engine does not know it.
    if (typeof Bun !== "undefined") return;
    async function awaitingHere(query) {
      await query();
    }
    const sharing = sql.with({ shareRequests: true });
    const queries = [
      sql`selec`,
      sql`select ${undefined}`,
      sql`selec`.full(),
      sharing`selec`,
      sharing`select ${undefined}`,
    ];
    for (const query of [...queries.map((one) => () => one), () => sql.transaction([sql`selec`])]) {
      const { stack } = await awaitingHere(query).catch((error) => error);
      if (!String(stack).split("\n")[1]?.includes("awaitingHere")) throw new Error(`it is ${stack}`);
    }
  });

  const textOfEveryLength = async (options) => {
    const lengths = [0, 1, 2, 250, 251, 252, 253, 254, 1000, 65_534, 65_535, 65_536, 200_001];
    const texts = lengths.flatMap((length) => ["a".repeat(length), "é".repeat(length / 2)]);
    const all = await sql.query(
      "select t from unnest($1::text[]) with ordinality u(t, n) order by n",
      [texts],
      options,
    );
    for (const [index, text] of texts.entries()) {
      const [row] = await sql.query("select $1::text as t", [text], options);
      if (all[index]?.t !== text || row?.t !== text) throw new Error(`${text.length} of ${text[0]} differ`);
    }
  };
  await check("text of every length comes whole, alone and among others", () => textOfEveryLength({}));
  await check("text of every length is decoded in WebAssembly", () => textOfEveryLength({ decode: "local" }));

  await check("a transaction has the mode that it is given, and its own results", async () => {
    const show = () => sql`select current_setting('transaction_isolation') as level,
      current_setting('transaction_read_only') as read_only, current_setting('transaction_deferrable') as deferrable`;
    for (const level of ["read uncommitted", "read committed", "repeatable read", "serializable"]) {
      const [first, second] = await sql.transaction([show(), sql`select 2 as two`], {
        isolationLevel: level,
        readOnly: true,
        deferrable: true,
      });
      same("the mode", first, [{ level, read_only: "on", deferrable: "on" }]);
      same("the second result", second, [{ two: 2 }]);
    }
    await sql.transaction([sql`insert into ${table} values (1)`], { isolationLevel: "serializable" });
    same("what was committed", await sql`select id from ${table}`, [{ id: 1 }]);
    const error = await sql
      .transaction([sql`select 1`, sql`insert into ${table} values (2)`], { readOnly: true })
      .catch((caught) => caught);
    same("the error", [error.code, error.statement, error.outcome], ["25006", 1, "notExecuted"]);
    const [again] = await sql`select current_setting('transaction_isolation') as level`;
    same("the level afterwards", again.level, "read committed");
  });

  await check("queries of one tick are one request, and each has its own result or error", async () => {
    const shared = sql.with({ shareRequests: true });
    requests = 0;
    const results = await Promise.allSettled([
      ...Array.from({ length: 20 }, (_, index) => shared`select ${index}::int4 as n`),
      shared`insert into ${table} values (1)`,
      shared.transaction([shared`insert into ${table} values (10)`, shared`select 1 / 0`]),
      shared.transaction([shared`insert into ${table} values (11)`], { isolationLevel: "serializable" }),
      shared.query("select $1::int8 as big", ["9007199254740993"], { int8: "bigint" }),
      shared`insert into ${table} values (12)`,
    ]);
    same("the number of requests", requests, 1);
    for (let index = 0; index < 20; index++) same("a result", results[index].value, [{ n: index }]);
    const codes = results.slice(20).map(({ reason }) => reason?.code);
    same("the errors", codes, ["23505", "22012", undefined, undefined, undefined]);
    if (results[23].value[0].big !== 9007199254740993n) throw new Error("the bigint is another");
    same("what is left", await sql`select id from ${table} order by id`, [{ id: 1 }, { id: 11 }, { id: 12 }]);
  });

  await check("a mistake that the endpoint refuses is not the others'", async () => {
    const shared = sql.with({ shareRequests: true });
    const [good, bad] = await Promise.allSettled([shared`select 1 as one`, shared`select ${"\0"}::text`]);
    same("the good one", good.value, [{ one: 1 }]);
    same("the bad one", bad.reason?.code, "malformed_request");
  });

  const isRunning = async (mark) =>
    (
      await sql`select count(*)::int4 as n from pg_stat_activity where state = 'active' and query like ${`%${mark}%`} and pid <> pg_backend_pid()`
    )[0].n > 0;
  const until = async (wanted, mark) => {
    for (let tries = 0; tries < 200; tries++) {
      if ((await isRunning(mark)) === wanted) return;
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
    throw new Error(`after 5 seconds the statement ${wanted ? "does not run" : "still runs"}`);
  };

  await check("an abort cancels the statement in PostgreSQL", async () => {
    const mark = `${prefix}_aborted`;
    const controller = new AbortController();
    const text = `select pg_sleep(60), '${mark}'`;
    const query = sql.query(text, [], { signal: controller.signal }).then(
      () => new Error("it succeeded"),
      (error) => error,
    );
    await until(true, mark);
    const reason = new Error("the user left");
    controller.abort(reason);
    if ((await query) !== reason) throw new Error("the reason is another");
    await until(false, mark);
  });

  await check("timeoutMs cancels the statement in PostgreSQL", async () => {
    const mark = `${prefix}_late`;
    const error = await sql.query(`select pg_sleep(60), '${mark}'`, [], { timeoutMs: 300 }).catch((caught) => caught);
    if (!(error instanceof NetworkError && error.timedOut && error.outcome === "unknown")) throw error;
    await until(false, mark);
  });

  await check(
    "the endpoint cancels at the deadline by itself, where the runtime does not close the request",
    async () => {
      const mark = `${prefix}_deaf`;
      // A fetch that does not pass the signal on: only Onetrip-Deadline tells the endpoint.
      const deaf = connect(url, { fetch: (target, { signal: _, ...init }) => fetch(target, init), timeoutMs: 400 });
      const error = await deaf.query(`select pg_sleep(60), '${mark}'`).catch((caught) => caught);
      if (!(error instanceof NetworkError && error.timedOut && error.cause?.code === "deadline_exceeded")) throw error;
      await until(false, mark);
    },
  );

  await check("an error of a CALL that commits on its own leaves the outcome open", async () => {
    const error = await sql`do $$ begin raise exception 'enough'; end $$`.catch((caught) => caught);
    if (!(error instanceof SqlError)) throw error;
    same("the outcome", [error.code, error.outcome], ["P0001", "unknown"]);
  });

  await check("response() hands on JSON that the endpoint wrote, small and streamed", async () => {
    const json = async (query) => {
      const response = await query.response();
      same("status and type", [response.status, response.headers.get("content-type")], [200, "application/json"]);
      return response.json();
    };
    const select = () => sql`select n, 'é"' || n as t, n::int8 as big, null as nothing, jsonb_build_object('a', n) as j
      from generate_series(1, ${2}::int4) n`;
    same("the rows", await json(select()), [
      { n: 1, t: 'é"1', big: "1", nothing: null, j: { a: 1 } },
      { n: 2, t: 'é"2', big: "2", nothing: null, j: { a: 2 } },
    ]);
    same("arrays", await json(sql`select 1, 2`.arrays()), [[1, 2]]);
    same("no rows", await json(sql`select 1 where false`), []);
    const full = await json(sql`select 1 as one`.full());
    same("the full result", full, {
      fields: [{ name: "one", type_oid: 23 }],
      rows: [{ one: 1 }],
      command: "SELECT",
      row_count: 1,
    });
    const many = await json(sql`select n, repeat('x', 100) as t from generate_series(1, 50000) n`);
    same("the last of many", [many.length, many[49_999].n], [50_000, 50_000]);
  });

  await check("response() rejects as the query does, and a late error leaves no valid JSON", async () => {
    const failing = [
      () => sql`select 1 / ${0}::int4`,
      () => sql`selec`.full(),
      () => sql`select 1 / (n - 1) from generate_series(0, 5) n`,
      () => sql`select 1 / (n - 1) from generate_series(0, 5) n`.full(),
      () => sql`insert into ${table} values (1)`,
    ];
    const codes = [];
    for (const query of failing) {
      const error = await query()
        .response()
        .catch((caught) => caught);
      codes.push([error instanceof SqlError, error.code, error.statement, typeof error.requestId, error.outcome]);
    }
    const code = (text) => [true, text, 0, "string", "notExecuted"];
    same("the errors", codes, ["22012", "42601", "22012", "22012", "23505"].map(code));
    const late = () => sql`select repeat('x', 1000), 1 / (n - 1000) from generate_series(1, 2000) n`;
    const text = await (await late().response()).text();
    const isJson = (body) => {
      try {
        JSON.parse(body);
        return true;
      } catch {
        return false;
      }
    };
    same("whether it is JSON", isJson(text), false);
    same("the last line", JSON.parse(text.trim().split("\n").pop()).error.code, "22012");
    same("the member of a full result", (await (await late().full().response()).json()).error.code, "22012");
    const wrong = new URL(url);
    wrong.password = "wrong";
    const refused = await connect(wrong)`select 1`.response().catch((caught) => caught);
    same("a wrong password", [refused.kind, refused.code], ["refused", "invalid_credentials"]);
  });

  await check("the SQLSTATE constants are PostgreSQL's", async () => {
    // PL/pgSQL knows the conditions that are errors by the same names, with a few exceptions.
    const shared = sql.with({ shareRequests: true });
    const entries = Object.entries(sqlstate);
    const raised = await Promise.all(
      entries.map(([name]) => {
        const condition = name.toLowerCase();
        return shared.query(`do $$ begin raise exception using errcode = '${condition}'; end $$`).then(
          () => "00000",
          (error) => error.code,
        );
      }),
    );
    const unknown = [];
    for (const [index, [name, code]] of entries.entries()) {
      if (raised[index] === "42704" && name !== "UNDEFINED_OBJECT") unknown.push(name);
      else if (raised[index] !== code) throw new Error(`${name} is ${raised[index]}, not ${code}`);
    }
    // No errors, or the second meaning of a name.
    const expected = /^(SUCCESSFUL_COMPLETION|WARNING.*|NO_.*|EXTERNAL_ROUTINE_.*)$/;
    same(
      "names that PL/pgSQL does not know",
      unknown.filter((name) => !expected.test(name)),
      [],
    );
    if (entries.length - unknown.length < 220)
      throw new Error(`PL/pgSQL knows only ${entries.length - unknown.length}`);
  });

  await sql`drop table ${table}`;
  return failed;
}
