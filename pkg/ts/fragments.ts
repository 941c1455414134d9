// What a query is composed of besides its own text: names, lists, rows and other parts of a statement.
//
// Text of a statement comes from templates, from names in double quotes, and from sql.unsafe. Everything else is a value,
// and a value is sent as a parameter.

import { UsageError } from "./errors.js";
import { TypedValue, nameOf } from "./parameters.js";
import type { Fragment } from "./types.js";

/** Texts with a value between each two. */
export interface Template {
  readonly texts: readonly string[];
  readonly values: readonly unknown[];
}

/** What a fragment is made of. */
export let templateOf: (fragment: SqlFragment) => Template;

/** A part of a statement. No data can be one by accident: it is told by its class. */
export class SqlFragment implements Fragment {
  // Private, so that a console does not show the values.
  readonly #template: Template;

  static {
    templateOf = (fragment) => fragment.#template;
  }

  constructor(
    texts: readonly string[],
    values: readonly unknown[] = [],
    /** Whether it is a list in parentheses, which PostgreSQL does not know without elements. */
    readonly isList = false,
  ) {
    this.#template = { texts, values };
  }

  get [Symbol.toStringTag](): "Fragment" {
    return "Fragment";
  }
}

/** The members of `sql` that make fragments. */
export const fragments = {
  /** Nothing. */
  empty: new SqlFragment([""]),

  identifier(...names: readonly unknown[]): SqlFragment {
    return new SqlFragment([quoted("sql.identifier", names, ".")]);
  },

  columns(names: unknown): SqlFragment {
    return new SqlFragment([quoted("sql.columns", names)]);
  },

  list(values: unknown): SqlFragment {
    const elements = array("sql.list", values);
    return new SqlFragment(around("(", elements, ")"), elements, true);
  },

  join(parts: unknown, separator: unknown = new SqlFragment([", "])): SqlFragment {
    if (typeof separator !== "object")
      throw new UsageError("sql.join: the separator must be a fragment, like sql` and `.");
    const values = array("sql.join", parts).flatMap((part, index) => (index === 0 ? [part] : [separator, part]));
    return new SqlFragment(around("", values, "", ""), values);
  },

  values(rows: unknown, columns?: unknown): SqlFragment {
    const all = array("sql.values", rows);
    const names = columns ?? (all.length > 0 && !Array.isArray(all[0]) ? keysOf("sql.values", all[0]) : undefined);
    const head = names === undefined ? "" : `(${quoted("sql.values", names)}) `;
    const keys = (names ?? [...((all[0] ?? []) as unknown[]).keys()]) as readonly (string | number)[];
    // An insert of this inserts nothing.
    if (all.length === 0) return new SqlFragment([`${head}select ${keys.map(() => "null").join()} where false`]);
    const texts: string[] = [];
    const values: unknown[] = [];
    all.forEach((row, index) => {
      const isArray = Array.isArray(row);
      // Nothing of a row is left out unless the columns were named.
      const extra = isArray
        ? row.length > keys.length && keys.length
        : columns === undefined && keysOf("sql.values", row).find((key) => !keys.includes(key as string));
      if (extra !== false && extra !== undefined)
        throw new UsageError(
          `sql.values: row ${index} has a column ${JSON.stringify(extra)} that row 0 has not; name the columns: sql.values(rows, ["…"]).`,
        );
      keys.forEach((key, column) => {
        texts.push(column > 0 ? ", " : index > 0 ? "), (" : `${head}values (`);
        values.push(valueOf("sql.values", ` of row ${index}`, row, isArray ? column : key));
      });
    });
    return new SqlFragment([...texts, ")"], values);
  },

  set(changes: unknown, columns?: unknown): SqlFragment {
    const keys = array("sql.set", columns ?? keysOf("sql.set", changes)) as readonly string[];
    quoted("sql.set", keys);
    return new SqlFragment(
      [...keys.map((key, index) => `${index > 0 ? ", " : ""}${quoted("sql.set", [key])} = `), ""],
      keys.map((key) => valueOf("sql.set", "", changes, key)),
    );
  },

  typed(value: unknown, type: unknown): TypedValue {
    if (typeof type === "number" && type > 0 && type <= 0xffff_ffff && Number.isInteger(type))
      return new TypedValue(value, type, "");
    if (typeof type !== "string") throw new UsageError("sql.typed needs a type's OID or name as its second argument.");
    const [name] = type.split("[", 1);
    return new TypedValue(
      value,
      type,
      `::${quoted("sql.typed", name.split("."), ".")}${"[]".repeat(Number(name !== type))}`,
    );
  },

  unsafe(text: unknown): SqlFragment {
    if (typeof text !== "string") throw new UsageError(`sql.unsafe needs text of a statement, not ${nameOf(text)}.`);
    return new SqlFragment([text]);
  },
};

/** The texts around `values`. */
function around(before: string, values: readonly unknown[], after: string, between = ", "): string[] {
  return values.length === 0 ? [before + after] : [before, ...values.slice(1).map(() => between), after];
}

function array(what: string, value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value;
  throw new UsageError(`${what} needs an array, not ${nameOf(value)}.`);
}

function keysOf(what: string, object: unknown): readonly unknown[] {
  if (typeof object === "object" && object !== null && !Array.isArray(object)) return Object.keys(object);
  throw new UsageError(`${what} needs objects of columns and values, not ${nameOf(object)}.`);
}

function valueOf(what: string, place: string, row: unknown, key: string | number): unknown {
  const own = Object(row) as Record<string, unknown>;
  const value = Object.hasOwn(own, key) ? own[key] : undefined;
  if (value !== undefined) return value;
  throw new UsageError(
    `${what}: the column ${JSON.stringify(key)}${place} has no value. For NULL write null, for its default sql\`default\`.`,
  );
}

/** Names in double quotes. */
function quoted(what: string, names: unknown, separator = ", "): string {
  if (array(what, names).length === 0) throw new UsageError(`${what} needs at least one name.`);
  return (names as readonly unknown[])
    .map((name) => {
      if (typeof name !== "string" || name === "" || name.includes("\0"))
        throw new UsageError(`${what}: a name must be a string that is not empty and holds no NUL character.`);
      return `"${name.replaceAll('"', '""')}"`;
    })
    .join(separator);
}
