// Tells V8 which functions a first query runs, so that it compiles them when it reads the module. Otherwise it reads each
// of them twice, to skip it and to compile it, and a cold Worker does little else (docs/bench/cold.md).
//
// V8 compiles at once what stands in parentheses, `(function () {…})`, and bundlers keep such parentheses for its sake. So
// functions that are declared become constants, and methods are assigned to their prototype. Which ones is found by asking:
// a query is run over an answer from here, and V8 says what was called.
//
// Functions of these files lose their names on the way, which a constant gives to what is assigned to it, but not to
// `(0, …)` or `Object && …`: bundlers for Workers keep names by a call for each, when the module is evaluated or, of functions
// within functions, whenever one is made. Stacks have most of them still, for V8 finds them where they are assigned, and the
// classes that users see keep theirs by a getter, which bundlers leave alone.

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

/** What most queries do: few parameters, and columns of the most frequent types. Node also has a way for a row alone. */
async function firstQuery(dist) {
  const headers = { "content-type": "application/vnd.onetrip.blocks" };
  const url = "https://role:password@endpoint.example/database";
  for (const [entry, options, rows] of [
    ["slim.js", { strings: "utf16" }, 2],
    ["node.js", {}, 1],
  ]) {
    const { connect } = await import(pathToFileURL(join(dist, entry)).href);
    const sql = connect({ url, ...options, fetch: async () => new Response(answerOf(rows), { headers }) });
    await sql.query("select * from users where id > $1 and name <> $2", [1, "nobody"]);
    await sql`select * from users where id > ${1} and name <> ${"nobody"}`;
  }
}

function answerOf(rows) {
  const some = (...values) => values.slice(0, rows);
  const columns = [
    { name: "id", oid: 23, kind: "int32", values: some(0, 1) },
    { name: "account_id", oid: 20, kind: "text", values: some("0", "1") },
    { name: "name", oid: 25, kind: "text", values: some("Zoë", "Ada") },
    { name: "active", oid: 16, kind: "bool", values: some(true, null) },
    { name: "score", oid: 701, kind: "float64", values: some(0.5, null) },
    { name: "created_at", oid: 1184, kind: "timestamp", values: some(0, null) },
    {
      name: "settings",
      oid: 3802,
      kind: "objects",
      members: { theme: { kind: "text", values: some("dark", "light") }, level: { kind: "int32", values: some(0, 1) } },
    },
  ];
  return encode.response(rows, rows === 1 ? columns.slice(0, -1) : columns);
}

/** Whether a method takes less to compile than to be assigned. */
const isShort = (node) => ts.isMethodDeclaration(node) && node.end - node.getStart() < 150;

/** What users hold keeps its methods as they are: nothing of it is to be seen that was not. */
const HELD_BY_USERS = ["LazyQuery", "SqlFragment", "TypedValue"];

function rewritten(text, ranges) {
  const source = ts.createSourceFile("file.js", text, ts.ScriptTarget.Latest, true);
  const functions = [];
  const classes = [];
  (function visit(node) {
    if (ts.isFunctionLike(node) && node.body !== undefined) functions.push(node);
    if (ts.isClassDeclaration(node)) classes.push(node);
    ts.forEachChild(node, visit);
  })(source);
  const called = new Set();
  for (const { startOffset, endOffset } of ranges) {
    // For V8 a method begins at its name; of functions that end together each is in the one before.
    const node = functions.findLast((one) => one.end === endOffset && one.getStart() <= startOffset);
    if (node !== undefined && !isShort(node)) called.add(node);
  }
  /** `[from, to, text]` */
  const edits = [
    ...functions.flatMap((node) => editsOf(node, called.has(node))),
    ...classes.flatMap((node) => [...editsOfClass(node), ...editsOfPrivates(node, called)]),
  ];
  let written = "";
  let at = 0;
  for (const [from, to, inserted] of edits.sort((a, b) => a[0] - b[0] || a[1] - b[1])) {
    written += text.slice(at, from) + inserted;
    at = to;
  }
  return written + text.slice(at);
}

const has = (node, kind) => ts.getModifiers(node)?.some((modifier) => modifier.kind === kind) ?? false;

/** Whether a function without a name gets one where it stands. */
const isNamed = ({ parent, name }) =>
  name === undefined &&
  (ts.isVariableDeclaration(parent) ||
    ts.isPropertyAssignment(parent) ||
    (ts.isBinaryExpression(parent) && parent.operatorToken.kind === ts.SyntaxKind.EqualsToken));

/** The edits that put `before` in front of a node, or in the place of its beginning up to its name, and `after` behind it. */
const around = (node, before, after, name) => [
  [node.getStart(), name?.end ?? node.getStart(), before],
  [node.end, node.end, after],
];

/** The beginning of a declaration as a constant. */
const constant = (node) => `${has(node, ts.SyntaxKind.ExportKeyword) ? "export " : ""}const ${node.name.text} = `;

/** Whether the `this` of what is around is meant in there. */
const hasThis = (node) =>
  node.kind === ts.SyntaxKind.ThisKeyword ||
  (!ts.isFunctionExpression(node) && (ts.forEachChild(node, (child) => hasThis(child) || undefined) ?? false));

/** The edits that take the name off one function, and put it into parentheses if it is called first. */
function editsOf(node, isCalled) {
  const { name, parent } = node;
  const isAsync = has(node, ts.SyntaxKind.AsyncKeyword);
  const keyword = isAsync ? "async function" : "function";
  if (ts.isFunctionDeclaration(node)) {
    if (!ts.isSourceFile(parent) || node.asteriskToken) return [];
    if (isCalled) return around(node, `${constant(node)}(0, (${keyword} `, "));", name);
    // Not in parentheses: V8 would parse it as a whole, for there it could be a parameter's default.
    return around(node, `${constant(node)}Object && ${keyword} `, ";", name);
  }
  if (ts.isArrowFunction(node) || ts.isFunctionExpression(node)) {
    if (isCalled) return isNamed(node) ? around(node, "(0, (", "))") : around(node, "(", ")");
    const isConstant = ts.isVariableDeclaration(parent) && ts.isSourceFile(parent.parent.parent.parent);
    const isAssigned = ts.isBinaryExpression(parent) && isNamed(node);
    if (!(isConstant || isAssigned) || isAsync || !ts.isArrowFunction(node) || hasThis(node.body)) return [];
    const arrow = node.equalsGreaterThanToken;
    const [before, after] = ts.isBlock(node.body) ? ["", ""] : ["{ return ", "; }"];
    return [...around(node, `Object && ${keyword} `, after), [arrow.getStart(), arrow.end, before]];
  }
  if (!isCalled || !ts.isMethodDeclaration(node)) return [];
  if (!ts.isClassLike(parent)) return around(node, `${name.text}: (0, (${keyword} `, "))", name);
  if (HELD_BY_USERS.includes(parent.name.text)) return [];
  const owner = has(node, ts.SyntaxKind.StaticKeyword) ? "this" : "this.prototype";
  return around(node, `static { ${owner}.${name.text.replace("#", "eager_")} = (${keyword} `, "); }", name);
}

/**
 * Private names become names that are shortened (build.mjs), and fields are assigned by the constructor: a cold Worker takes 1 to 3 %
 * less for it, and what is assigned to a prototype has no private name anyway. Users hold none of these classes.
 */
function editsOfPrivates(node, called) {
  if (!ts.isSourceFile(node.parent) || HELD_BY_USERS.includes(node.name.text) || node.heritageClauses) return [];
  const edits = [];
  const fields = node.members.filter(
    (member) => ts.isPropertyDeclaration(member) && !has(member, ts.SyntaxKind.StaticKeyword),
  );
  (function visit(one) {
    // The names of these methods and fields are rewritten with them.
    const isWritten = (called.has(one.parent) || fields.includes(one.parent)) && one.parent.name === one;
    if (ts.isPrivateIdentifier(one) && !isWritten) edits.push([one.getStart(), one.getStart() + 1, "eager_"]);
    ts.forEachChild(one, visit);
  })(node);
  if (fields.length === 0) return edits;
  const constructor = node.members.find(ts.isConstructorDeclaration);
  const assigned = constructor?.body.statements.map((statement) => statement.getText()) ?? [];
  let initial = "";
  for (const field of fields) {
    const { name, initializer } = field;
    const key = name.text.replace("#", "eager_");
    // Moved as it stands.
    if (/#|=>|function/.test(initializer?.getText())) throw new Error(`a field has to be simpler: ${field.getText()}`);
    // All of them from the beginning and in one order: V8 tells objects apart by that.
    if (initializer || !assigned.some((text) => text.startsWith(`this.${name.text} = `)))
      initial += ` this.${key} = ${initializer?.getText() ?? "undefined"};`;
    edits.push([field.getStart(), field.end, ""]);
  }
  const place = constructor ? constructor.body.getStart() + 1 : node.members.pos;
  edits.push([place, place, constructor || initial === "" ? initial : ` constructor() {${initial} }`]);
  return edits;
}

/** The same of a class. Those that users see keep their names by a getter, which bundlers leave alone and hardly anybody calls. */
function editsOfClass(node) {
  const name = node.name.text;
  if (!ts.isSourceFile(node.parent)) return [];
  const isSeen = HELD_BY_USERS.includes(name) || name.endsWith("Error");
  if (!isSeen) return around(node, `${constant(node)}(0, class `, ");", node.name);
  return [[node.members.pos, node.members.pos, ` static get name() { return "${name}"; }`]];
}
