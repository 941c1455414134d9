// Runs the scenarios of tests/scenarios through the public API of the npm package, in whatever runtime this is.
// No imports: the runners bundle it into Workers.

/**
 * All that a runtime is asked: the scenarios by each way to decode, and the mistakes. `onetrip` is the package as it was
 * imported there.
 *
 * @returns {Promise<{reports: Record<string, object>, mistakes: string[]}>}
 */
export async function runAll(onetrip, url, { files, prefix }, ways = ["endpoint", "local"]) {
  const reports = {};
  for (const decode of ways)
    reports[decode === "local" ? "decoded in WebAssembly" : "scenarios"] = await runScenarios(
      onetrip.connect(url, decode === "local" ? { decode } : {}),
      files,
      `${prefix}${decode[0]}`,
    );
  return { reports, mistakes: await runMistakes(onetrip.connect, url, onetrip) };
}

/** Scenarios that differ in Neon's protocol, and how. */
export const NEON_LEFT = {
  a_transaction_left_open_is_an_error_and_is_rolled_back:
    "in this protocol it is an error like those of PostgreSQL, with SQLSTATE 25000",
};

/** The same endpoint by Neon's protocol: all scenarios by `connect` of onetrip/neon, and what its `neon()` does. */
export async function runNeon({ connect, neon, neonConfig, NeonDbError }, url, { files, prefix }) {
  const { username, password, host, pathname } = new URL(url);
  const [text, endpoint] = [`postgresql://${username}:${password}@${host}${pathname}`, `http://${host}/sql`];
  const reports = {
    "over Neon's protocol": await runScenarios(connect(text, { endpoint }), files, `${prefix}n`, NEON_LEFT),
  };
  Object.assign(neonConfig, { fetchEndpoint: endpoint, disableWarningInBrowsers: true });
  const sql = neon(text);
  const mistakes = [];
  const check = async (what, run, expected) => {
    const found = JSON.stringify(await run().catch((error) => String(error)));
    if (found !== JSON.stringify(expected)) mistakes.push(`neon(), ${what}: ${found}`);
  };
  await check("a query", () => sql`select ${"Zoë"} as name, ${41}::int4 + 1 as n`, [{ name: "Zoë", n: 42 }]);
  await check("a transaction", () => sql.transaction([sql`select 1 as a`, sql`select 2 as b`]), [
    [{ a: 1 }],
    [{ b: 2 }],
  ]);
  const marker = `select pg_sleep(30) as ${prefix}`;
  const running = `select count(*)::int4 as n from pg_stat_activity where state = 'active' and query = '${marker}'`;
  const controller = new AbortController();
  const aborted = sql.query(marker, [], { fetchOptions: { signal: controller.signal } }).catch((error) => error);
  await check("a query that is to be aborted begins", () => until(sql, running, 1), true);
  controller.abort();
  if (!((await aborted) instanceof Error)) mistakes.push("neon(), an abort: the query has an answer");
  await check("an abort cancels in PostgreSQL", () => until(sql, running, 0), true);
  const failed = await sql`select 1 / 0`.catch((error) => error);
  if (!(failed instanceof NeonDbError && failed.code === "22012")) mistakes.push(`neon(), a mistake: ${failed}`);
  return { reports, mistakes };
}

/** Whether the statement counts so many within ten seconds. */
async function until(sql, statement, count) {
  for (let attempt = 0; attempt < 200; attempt++) {
    const [{ n }] = await sql.query(statement);
    if (n === count) return true;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return false;
}

/**
 * Runs all scenarios with `sql`, which must have the default options.
 *
 * @param files the parsed *.json files of tests/scenarios
 * @param prefix begins the names of tables; `[a-z][a-z0-9]*`, at most 16 characters, new for each run
 * @param left scenarios that this endpoint cannot do, with the reason: `{name: reason}`
 * @returns {Promise<{passed: string[], failed: {name: string, reason: string}[], skipped: {name: string, reason: string}[]}>}
 */
export async function runScenarios(sql, files, prefix, left = {}) {
  const report = { passed: [], failed: [], skipped: [] };
  let number = 0;
  for (const { name, steps, cleanup = [], skip } of files.flatMap(({ scenarios }) => scenarios)) {
    const id = `${prefix}${number++}`;
    const reason = skip?.javascript ?? left[name];
    if (reason) {
      report.skipped.push({ name, reason });
      continue;
    }
    const problems = [];
    try {
      for (const [index, step] of steps.entries()) {
        await runStep(sql, step, id).catch((error) => {
          throw new Error(`step ${index}: ${error.message}`);
        });
      }
    } catch (error) {
      problems.push(error.message);
    }
    for (const text of cleanup)
      await sql.query(fill(text, id)).catch((error) => problems.push(`cleanup: ${error.message}`));
    if (problems.length === 0) report.passed.push(name);
    else report.failed.push({ name, reason: problems.join("; ") });
  }
  return report;
}

const fill = (text, id) => text.replaceAll("{id}", id);

async function runStep(sql, step, id) {
  const statements = step.batch ?? [step];
  const full = { arrayRows: true, fullResults: true };
  const queries = statements.map(({ sql: text, params = [] }) =>
    sql.query(fill(text, id), params.map(parameter), full),
  );
  let results;
  try {
    results = step.batch ? await sql.transaction(queries) : [await queries[0]];
  } catch (error) {
    if (step.expect?.error === undefined) throw error;
    return compareError(error, step.expect.error, id);
  }
  if (step.expect?.error !== undefined)
    throw new Error(`it succeeded, but ${JSON.stringify(step.expect.error)} was expected`);
  for (const [index, { expect = {} }] of statements.entries()) {
    if (step.batch === undefined || expect.error === undefined) compareResult(results[index], expect, id);
  }
  // The same statement by object rows: what only reads may run twice.
  if (step.batch === undefined && /^select/i.test(step.sql) && !/setval|nextval|set_config/i.test(step.sql))
    await compareObjects(sql, step, results[0], id);
}

/** Objects hold what arrays hold, the last of columns of one name where that is asked for. */
async function compareObjects(sql, step, { rows, fields }, id) {
  if (/random|clock_timestamp|now\(\)/i.test(step.sql)) return;
  const objects = await sql.query(fill(step.sql, id), (step.params ?? []).map(parameter), {
    duplicateColumns: "last",
  });
  same("the number of objects", objects.length, rows.length);
  for (const [index, row] of rows.entries()) {
    for (const [column, { name }] of fields.entries()) {
      if (fields.some((field, later) => later > column && field.name === name)) continue;
      const found = Object.getOwnPropertyDescriptor(objects[index], name)?.value;
      if (!alike(found, row[column])) throw new Error(`row ${index} as an object has another value in ${name}`);
    }
  }
}

/** A tagged value as the JavaScript value that a user would pass. */
function parameter(value) {
  if (value === null) return null;
  const [[tag, payload]] = Object.entries(value);
  if (tag === "json") return JSON.stringify(payload);
  if (payload === null) return null;
  if (tag.endsWith("[]")) return payload.map((element) => parameter({ [tag.slice(0, -2)]: element }));
  switch (tag) {
    case "int8":
      return BigInt(payload);
    case "float4":
    case "float8":
      return Number(payload);
    case "bytea":
      return fromHex(payload);
    case "timestamp":
      return new Date(`${payload}Z`);
    case "timestamptz":
      return new Date(payload);
    default:
      return payload;
  }
}

function compareResult({ rows, fields, rowCount }, expect, id) {
  if (expect.columns !== undefined)
    same(
      "columns",
      fields.map(({ name, typeOid }) => [name, typeOid]),
      expect.columns.map(({ name, type_oid }) => [name, type_oid]),
    );
  if (expect.row_count !== undefined) same("row_count", rowCount, expect.row_count);
  if (expect.rows !== undefined) {
    same("the number of rows", rows.length, expect.rows.length);
    for (const [index, row] of expect.rows.entries()) compareRow(`row ${index}`, rows[index], row, id);
  }
  if (expect.first !== undefined) compareRow("the first row", rows[0], expect.first, id);
  if (expect.last !== undefined) compareRow("the last row", rows.at(-1), expect.last, id);
}

function compareRow(name, found, expected, id) {
  same(`${name}: the number of values`, found?.length, expected.length);
  for (const [column, value] of expected.entries()) {
    const wanted = value === null ? null : jsValue(value, id);
    if (!alike(found[column], wanted))
      throw new Error(`${name}, column ${column} is ${show(found[column])}, not ${show(wanted)}`);
  }
}

/** A tagged value as the default mapping gives it. */
function jsValue(value, id) {
  const [[tag, payload]] = Object.entries(value);
  if (tag === "json") return payload;
  if (payload === null) return null;
  if (tag.endsWith("[]"))
    return payload.map((element) => (element === null ? null : jsValue({ [tag.slice(0, -2)]: element }, id)));
  switch (tag) {
    case "bool":
    case "int2":
    case "int4":
    case "oid":
      return payload;
    case "float4":
    case "float8":
      return Number(payload);
    case "bytea":
      return fromHex(payload);
    case "timestamp":
      return new Date(`${payload}Z`);
    case "timestamptz":
      return new Date(payload);
    default:
      return typeof payload === "string" ? fill(payload, id) : payload;
  }
}

const ERROR_FIELDS = {
  code: "code",
  severity: "severity",
  message: "message",
  detail: "detail",
  hint: "hint",
  position: "position",
  schema: "schema",
  table: "table",
  column: "column",
  data_type: "dataType",
  constraint: "constraint",
  statement: "statement",
};

function compareError(error, expected, id) {
  if (expected.kind === "transaction_left_open") {
    if (error.kind !== "usage" || !error.message.includes("left a transaction open"))
      throw new Error(`not "left open": ${error.message}`);
    return;
  }
  if (error.kind !== "sql") throw new Error(`not an SQL error: ${error.message}`);
  for (const [name, value] of Object.entries(expected)) {
    if (name !== "kind") same(name, error[ERROR_FIELDS[name]], typeof value === "string" ? fill(value, id) : value);
  }
}

function same(what, found, expected) {
  if (!alike(found, expected)) throw new Error(`${what}: ${show(found)}, not ${show(expected)}`);
}

function alike(a, b) {
  if (Object.is(a, b) || (a === 0 && b === 0)) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (a instanceof Date || b instanceof Date)
    return a instanceof Date && b instanceof Date && a.getTime() === b.getTime();
  if (Array.isArray(a) !== Array.isArray(b) || a instanceof Uint8Array !== b instanceof Uint8Array) return false;
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => Object.hasOwn(b, key) && alike(a[key], b[key]));
}

function show(value) {
  const text = JSON.stringify(value, (_, inner) => (typeof inner === "bigint" ? `${inner}n` : inner)) ?? String(value);
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}

function fromHex(text) {
  return Uint8Array.from({ length: text.length / 2 }, (_, index) =>
    Number.parseInt(text.slice(2 * index, 2 * index + 2), 16),
  );
}

/** Every array type that this PostgreSQL has built in is read as an array; returns what is not. */
export async function runCatalogue(sql) {
  const types =
    await sql.query(`select format_type(e.oid, null) as name from pg_type e join pg_type a on a.oid = e.typarray
    where e.oid < 10000 and e.typtype in ('b', 'r', 'm') and e.typinput::oid <> 0 order by e.oid`);
  const problems = types.length < 70 ? [`only ${types.length} types were found`] : [];
  for (const decode of ["endpoint", "local"]) {
    const columns = types.map(
      ({ name }, index) =>
        `null::${name} as n${index}, '{}'::${name}[] as e${index}, array[null]::${name}[] as a${index}`,
    );
    const [row] = await sql.query(`select ${columns.join(", ")}`, [], { decode });
    for (const [index, { name }] of types.entries()) {
      const found = [row[`n${index}`], row[`e${index}`], row[`a${index}`]];
      if (!alike(found, [null, [], [null]])) problems.push(`${name}, ${decode}: ${show(found)}`);
    }
  }
  return problems;
}

/**
 * The mistakes that a user makes against a real endpoint: each a clear error without credentials, and the next query works.
 *
 * @param profile whose: 1 is onetrip's own, 2 that of Neon-compatible endpoints, which has fewer statuses
 */
export async function runMistakes(connect, url, { EndpointError, SqlError, OnetripError }, profile = 1) {
  const failed = [];
  const password = decodeURIComponent(new URL(url).password);
  const sql = connect(url);
  const status = (own) => (profile === 1 ? own : 400);
  const mistake = async (name, run, check) => {
    let error;
    try {
      await run();
    } catch (caught) {
      error = caught;
    }
    if (!(error instanceof OnetripError))
      failed.push(`${name}: ${error === undefined ? "no error" : `not an error of onetrip's: ${error.message}`}`);
    else if (check(error) !== true) failed.push(`${name}: ${error.name} ${error.code ?? ""}: ${error.message}`);
    else if (`${error.stack}${JSON.stringify(error)}${error.cause?.stack ?? ""}`.includes(password))
      failed.push(`${name}: the error holds the password`);
    const [row] = await sql`select 1 as one`;
    if (row?.one !== 1) failed.push(`${name}: the next query does not work`);
  };
  const changed = (change) => {
    const other = new URL(url);
    change(other);
    return connect(other);
  };
  await mistake(
    "a wrong password",
    () => changed((other) => (other.password = "wrong"))`select 1`,
    (error) => error instanceof EndpointError && error.status === status(401) && error.code === "invalid_credentials",
  );
  await mistake(
    "an unknown role",
    () => changed((other) => (other.username = "nobody-of-this-name"))`select 1`,
    (error) => error instanceof EndpointError && error.status === status(401),
  );
  await mistake(
    "an unknown database",
    () => changed((other) => (other.pathname = "/no-such-database"))`select 1`,
    (error) => error instanceof EndpointError && error.status === status(404) && error.code === "unknown_database",
  );
  await mistake(
    "a syntax error",
    () => sql`selec ${1}`,
    (error) => error instanceof SqlError && error.code === "42601" && error.position === 1,
  );
  await mistake(
    "a parameter of the wrong type",
    () => sql`select ${"twelve"}::int4`,
    (error) => error instanceof SqlError && error.code === "22P02" && error.statement === 0,
  );
  await mistake(
    "too few parameters",
    () => sql.query("select $1::int4 + $2::int4", [1]),
    (error) => error instanceof SqlError && error.code === "08P01",
  );
  await mistake(
    "an undefined parameter",
    () => sql`select ${undefined}`,
    (error) => error.kind === "usage",
  );
  await mistake(
    "a wrong URL",
    async () => connect(`${profile === 1 ? "postgresql" : "https"}://role:password@db.example/app`),
    (error) => error.kind === "usage",
  );
  await mistake(
    "a body over the limit",
    () => sql`select length(${"x".repeat(20_000_000)})`,
    (error) => error instanceof EndpointError && error.status === 413 && error.code === "request_too_large",
  );
  await mistake(
    "an int8 that no number holds",
    () => sql.query("select 9007199254740993::int8 as big", [], { int8: "number" }),
    (error) => error.kind === "usage" && error.message.includes('"big"'),
  );
  await mistake(
    "a transaction left open",
    () => sql.transaction([sql`begin`, sql`select 1`]),
    (error) => error.message.includes("left a transaction open"),
  );
  return failed;
}
