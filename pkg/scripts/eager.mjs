// Tells V8 which functions a first query runs, so that it compiles them when it reads the module. Otherwise it reads each
// of them twice, to skip it and to compile it, and a cold Worker does little else (docs/bench/cold.md).
//
// V8 compiles at once what stands in parentheses, `(function () {…})`, and bundlers keep such parentheses for its sake. So
// functions that are declared become constants, and methods are assigned to their prototype. Which ones is found by asking:
// a query is run over an answer from here, and V8 says what was called.

import { readFileSync, writeFileSync } from "node:fs";
import { Session } from "node:inspector/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import ts from "typescript";
import * as encode from "../test/support/encode.mjs";

/** Rewrites the files of `dist` that take part in a first query. No line of them moves, so that source maps stay true. */
export async function compileEagerly(dist) {
  let changed = 0;
  for (const [file, ranges] of await calledFirst(dist)) {
    const path = join(dist, file);
    const text = readFileSync(path, "utf8");
    const made = rewritten(text, ranges);
    if (made !== text) changed++;
    writeFileSync(path, made);
  }
  // The way of a query leads through more of them; if not, V8 has told of something else.
  if (changed < 10) throw new Error(`a first query was found to call functions of ${changed} files only`);
}

/** Where in each file the functions are that a first query calls. */
async function calledFirst(dist) {
  const session = new Session();
  session.connect();
  await session.post("Profiler.enable");
  await session.post("Profiler.startPreciseCoverage", { callCount: true, detailed: false });
  await firstQuery(dist);
  const { result } = await session.post("Profiler.takePreciseCoverage");
  session.disconnect();
  const folder = `${pathToFileURL(dist).href}/`;
  return result
    .filter(({ url }) => url.startsWith(folder))
    .map(({ url, functions }) => [
      url.slice(folder.length),
      functions.map(({ ranges: [range] }) => range).filter(({ count }) => count > 0),
    ]);
}

/** What most queries do: few parameters, and columns of the most frequent types. */
async function firstQuery(dist) {
  const { connect } = await import(pathToFileURL(join(dist, "slim.js")).href);
  const numbers = [0, 1];
  const answer = encode.response(2, [
    { name: "id", oid: 23, kind: "int32", values: numbers },
    { name: "account_id", oid: 20, kind: "text", values: numbers.map(String) },
    { name: "name", oid: 25, kind: "text", values: ["Ada", "Zoë"] },
    { name: "active", oid: 16, kind: "bool", values: [true, null] },
    { name: "score", oid: 701, kind: "float64", values: [0.5, null] },
    { name: "created_at", oid: 1184, kind: "timestamp", values: [0, null] },
    {
      name: "settings",
      oid: 3802,
      kind: "objects",
      members: { theme: { kind: "text", values: ["dark", "light"] }, level: { kind: "int32", values: numbers } },
    },
  ]);
  const headers = { "content-type": "application/vnd.onetrip.blocks" };
  const url = "https://role:password@endpoint.example/database";
  const sql = connect({ url, strings: "utf16", fetch: async () => new Response(answer, { headers }) });
  await sql.query("select * from users where id > $1 and name <> $2", [1, "nobody"]);
  await sql`select * from users where id > ${1} and name <> ${"nobody"}`;
}

/** Whether a method takes less to compile than to be assigned. */
const isShort = (node) => ts.isMethodDeclaration(node) && node.end - node.getStart() < 150;

/** What users hold keeps its methods as they are: nothing of it is to be seen that was not. */
const HELD_BY_USERS = ["LazyQuery", "SqlFragment", "TypedValue"];

function rewritten(text, ranges) {
  const source = ts.createSourceFile("file.js", text, ts.ScriptTarget.Latest, true);
  const functions = [];
  (function visit(node) {
    if (ts.isFunctionLike(node) && node.body !== undefined) functions.push(node);
    ts.forEachChild(node, visit);
  })(source);
  /** `[from, to, text]` */
  const edits = [];
  for (const { startOffset, endOffset } of ranges) {
    // For V8 a method begins at its name; of functions that end together each is in the one before.
    const node = functions.findLast((one) => one.end === endOffset && one.getStart() <= startOffset);
    if (node !== undefined && !isShort(node)) edits.push(...editsOf(node));
  }
  let written = "";
  let at = 0;
  for (const [from, to, inserted] of edits.sort((a, b) => a[0] - b[0])) {
    written += text.slice(at, from) + inserted;
    at = to;
  }
  return written + text.slice(at);
}

/** The edits that make one function a function in parentheses; none if it cannot be one. */
function editsOf(node) {
  const start = node.getStart();
  const around = (before, after, name) => [
    [start, name?.end ?? start, before],
    [node.end, node.end, after],
  ];
  if (ts.isArrowFunction(node) || ts.isFunctionExpression(node)) return around("(", ")");
  const modifiers = ts.getModifiers(node)?.map(({ kind }) => kind) ?? [];
  const keyword = modifiers.includes(ts.SyntaxKind.AsyncKeyword) ? "async function" : "function";
  const { name, parent } = node;
  if (ts.isFunctionDeclaration(node)) {
    const exported = modifiers.includes(ts.SyntaxKind.ExportKeyword) ? "export " : "";
    return around(`${exported}const ${name.text} = (${keyword} `, ");", name);
  }
  if (!ts.isMethodDeclaration(node)) return [];
  if (!ts.isClassLike(parent)) return around(`${name.text}: (${keyword} `, ")", name);
  if (HELD_BY_USERS.includes(parent.name.text)) return [];
  const owner = modifiers.includes(ts.SyntaxKind.StaticKeyword) ? "this" : "this.prototype";
  const edits = around(`static { ${owner}.${name.text.replace("#", "eager_")} = (${keyword} `, "); }", name);
  // What is assigned has no private name.
  if (ts.isPrivateIdentifier(name))
    (function visit(one) {
      if (one !== name && ts.isPrivateIdentifier(one) && one.text === name.text)
        edits.push([one.getStart(), one.getStart() + 1, "eager_"]);
      ts.forEachChild(one, visit);
    })(parent);
  return edits;
}
