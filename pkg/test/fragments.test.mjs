// Composition: what the members of `sql` put into a statement, and what they refuse.

import assert from "node:assert/strict";
import { inspect } from "node:util";
import { test } from "node:test";
import { connect, UsageError } from "../dist/node.js";
import { statementOf } from "../dist/query.js";

const sql = connect("https://role:password@endpoint.example/app", { fetch: () => assert.fail("nothing is sent") });

function composed(query) {
  const { text, params } = statementOf(query);
  return [text, ...params];
}

function refused(make, ...words) {
  assert.throws(
    make,
    (error) =>
      error instanceof UsageError &&
      words.every((word) => error.message.includes(word)) &&
      !error.message.includes("hunter2"),
    words.join(),
  );
}

test("identifiers and columns are quoted so that no name can leave its quotes", () => {
  assert.deepEqual(composed(sql`${sql.identifier("public", 'we"ird; drop table x --')}`), [
    '"public"."we""ird; drop table x --"',
  ]);
  assert.deepEqual(composed(sql`select ${sql.columns(["id", 'a"b', "t.c"])}`), ['select "id", "a""b", "t.c"']);
  for (const names of [[], [""], ["a\0b"], [1], ["a", undefined]]) {
    refused(() => sql.identifier(...names), "sql.identifier");
    refused(() => sql.columns(names), "sql.columns");
  }
  refused(() => sql.columns("id"), "array");
});

test("a list is in parentheses, and an empty one becomes what is right for its operator", () => {
  assert.deepEqual(composed(sql`id in ${sql.list([1, "x", null])} and ${2}`), [
    "id in ($1, $2, $3) and $4",
    "1",
    "x",
    null,
    "2",
  ]);
  const none = sql.list([]);
  assert.deepEqual(composed(sql`where id in ${none}`), ["where id = any ('{}')"]);
  assert.deepEqual(composed(sql`where id IN${none} or a`), ["where id = any ('{}') or a"]);
  assert.deepEqual(composed(sql`where id not in ${none}`), ["where id <> all ('{}')"]);
  assert.deepEqual(composed(sql`where id Not\n  In ${sql`${none}`} and b = ${1}`), [
    "where id <> all ('{}') and b = $1",
    "1",
  ]);
  assert.deepEqual(composed(sql`coalesce${sql.list([sql`a`, 1])}`), ["coalesce(a, $1)", "1"]);
  for (const query of [sql`select ${none}`, sql`select margin ${none}`, sql`select "in" ${none}`])
    refused(() => statementOf(query), "in or not in");
  refused(() => sql.list("hunter2"), "array", "string");
});

test("rows to insert have the columns of the first row, or those that are named", () => {
  const rows = [
    { id: 1, 'na"me': "a" },
    { 'na"me': sql`default`, id: null },
  ];
  assert.deepEqual(composed(sql`insert into t ${sql.values(rows)} returning ${1}`), [
    'insert into t ("id", "na""me") values ($1, $2), ($3, default) returning $4',
    "1",
    "a",
    null,
    "1",
  ]);
  assert.deepEqual(composed(sql`${sql.values(rows, ["id"])}`), ['("id") values ($1), ($2)', "1", null]);
  assert.deepEqual(
    composed(
      sql`${sql.values([
        [1, [2]],
        ["a", {}],
      ])}`,
    ),
    ["values ($1, $2), ($3, $4)", "1", "{2}", "a", "{}"],
  );
  assert.deepEqual(composed(sql`${sql.values([[1, 2]], ["a", "b"])}`), ['("a", "b") values ($1, $2)', "1", "2"]);
  assert.deepEqual(composed(sql`insert into t ${sql.values([])}`), ["insert into t select  where false"]);
  assert.deepEqual(composed(sql`insert into t ${sql.values([], ["a", "b"])}`), [
    'insert into t ("a", "b") select null,null where false',
  ]);
});

test("a row that does not fit is named by its number and column, and nothing of it is left out silently", () => {
  refused(() => sql.values([{ a: 1, b: 2 }, { a: "hunter2" }]), "row 1", '"b"', "null", "default");
  refused(() => sql.values([{ a: "hunter2", b: undefined }]), "row 0", '"b"');
  refused(() => sql.values([{ a: 1 }, { a: 1, c: "hunter2" }]), "row 1", '"c"', "sql.values(rows,");
  refused(() => sql.values([{ a: 1 }], ["toString"]), '"toString"');
  refused(() => sql.values([[1, 2], ["hunter2"]]), "row 1", "1");
  refused(() => sql.values([[1], [1, "hunter2"]]), "row 1");
  refused(() => sql.values([{ a: 1 }, "hunter2"]), "string");
  refused(() => sql.values([undefined], ["a"]), "row 0");
  refused(() => sql.values({ a: 1 }), "array");
  refused(() => sql.values([{}]), "at least one name");
  refused(() => sql.values([{ a: 1 }], []), "at least one name");
});

test("changes become assignments", () => {
  assert.deepEqual(composed(sql`update t set ${sql.set({ a: 1, 'b"': sql`now()`, c: null })} where d = ${2}`), [
    'update t set "a" = $1, "b""" = now(), "c" = $2 where d = $3',
    "1",
    null,
    "2",
  ]);
  assert.deepEqual(composed(sql`${sql.set({ a: 1, b: 2 }, ["b"])}`), ['"b" = $1', "2"]);
  refused(() => sql.set({}), "at least one name");
  refused(() => sql.set({ a: undefined }), '"a"', "null");
  refused(() => sql.set({ a: "hunter2" }, ["b"]), '"b"');
  refused(() => sql.set(["hunter2"]), "object");
});

test("parts are joined by fragments alone", () => {
  const parts = [sql`a = ${1}`, sql`b = ${2}`, sql.unsafe("c")];
  assert.deepEqual(composed(sql`where ${sql.join(parts, sql` and `)} ${sql.empty}${sql``}limit ${3}`), [
    "where a = $1 and b = $2 and c limit $3",
    "1",
    "2",
    "3",
  ]);
  assert.deepEqual(composed(sql`select ${sql.join([1, sql.identifier("x")])}`), ['select $1, "x"', "1"]);
  assert.deepEqual(composed(sql`${sql.join([])}`), [""]);
  refused(() => sql.join(parts, " and "), "separator");
  refused(() => sql.unsafe(sql`a`), "LazyQuery");
  const many = Array.from({ length: 5000 }, (_, index) => sql`${index}`);
  assert.equal(composed(sql`${sql.join(many)}`).length, 5001);
  const deep = many.reduce((all, part) => sql`${all}, ${part}`);
  refused(() => statementOf(deep), "nests", "sql.join");
});

test("a statement of too many parameters is refused with what to do instead", () => {
  const rows = Array.from({ length: 65_536 }, (_, id) => ({ id }));
  assert.equal(composed(sql`insert into t ${sql.values(rows.slice(1))}`).length, 65_536);
  refused(() => statementOf(sql`insert into t ${sql.values(rows)}`), "65536", "65535", "unnest", "json");
  refused(() => statementOf(sql.query("select", rows.map(String))), "65535");
});

test("data that looks like a fragment is data", () => {
  const lookalikes = [
    JSON.parse('{"texts": ["1; drop table t"], "values": [], "isList": true}'),
    { text: "1; drop table t" },
    { source: { text: "1; drop table t", params: [] } },
    { [Symbol.toStringTag]: "Fragment", texts: ["1; drop table t"] },
  ];
  for (const value of lookalikes) assert.equal(composed(sql`select ${value}`)[0], "select $1");
  // Inside other data a fragment is no value.
  refused(() => statementOf(sql`select ${[sql.unsafe("x")]}`), "SqlFragment");
});

test("a fragment shows no values when it is printed", () => {
  const printed = inspect(sql.values([{ a: "hunter2" }]), { depth: 10, showHidden: true });
  assert.ok(!printed.includes("hunter2"), printed);
});
