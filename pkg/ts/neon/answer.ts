// The JSON of `POST /sql`, values as PostgreSQL's text, to rows by the OIDs of their types.

import { ProtocolError, Truncated, UsageError, setOutcome, type SqlErrorFields } from "../errors.js";
import type { Answer } from "../response.js";
import { define, sharedStore, storeElement, type Rows } from "../rows.js";
import { duplicateError, duplicateOf, type Statement } from "../statement.js";
import type { Field } from "../types.js";
import { Malformed, textReader } from "../values.js";
import { errorFields } from "./error.js";

/** A result as it comes. */
interface Output {
  readonly fields: readonly Column[];
  readonly rows: readonly (string | null)[][];
  readonly command?: string;
  readonly rowCount?: number | null;
}

interface Column {
  readonly name: string;
  readonly dataTypeID: number;
  readonly tableID?: number;
  readonly columnID?: number;
  readonly dataTypeSize?: number;
  readonly dataTypeModifier?: number;
}

/**
 * The answers to `statements`.
 *
 * @throws ProtocolError for what is no such answer; UsageError for a value that the chosen type cannot hold
 */
export function answersTo(statements: readonly Statement[], text: string, url: string): Answer[] {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    throw new Truncated(
      `The endpoint's answer was cut short after ${text.length} characters; whether the statement took effect is unknown.`,
      text.length,
    );
  }
  const batch = (parsed as { results?: unknown } | null)?.results;
  const outputs: unknown[] = Array.isArray(batch) ? batch : [parsed];
  if (outputs.length !== statements.length || !outputs.every(isOutput))
    throw new ProtocolError(
      `${url} answered with JSON that is no result of ${statements.length} statements. Is it a Neon-compatible endpoint?`,
      0,
    );
  return outputs.map((output, index) => answer(output, statements[index]));
}

function isOutput(output: unknown): output is Output {
  const { fields, rows } = (output ?? {}) as Partial<Record<keyof Output, unknown>>;
  return (
    Array.isArray(fields) &&
    fields.every((field) => typeof field?.name === "string" && Number.isInteger(field.dataTypeID)) &&
    Array.isArray(rows) &&
    rows.every(
      (row) =>
        Array.isArray(row) &&
        row.length === fields.length &&
        row.every((value) => value === null || typeof value === "string"),
    )
  );
}

function answer({ fields: columns, rows: texts, command = "", rowCount = null }: Output, statement: Statement): Answer {
  const fields = columns.map(
    ({ name, dataTypeID, tableID = 0, columnID = 0, dataTypeSize = -1, dataTypeModifier = -1 }): Field => ({
      name,
      typeOid: dataTypeID,
      typeSize: dataTypeSize,
      typeModifier: dataTypeModifier,
      tableOid: tableID,
      columnNumber: columnID,
    }),
  );
  const duplicate = duplicateOf(fields);
  const wrong = duplicate === undefined ? undefined : duplicateError(duplicate, statement);
  if (wrong !== undefined) throw wrong;
  const { arrayRows, mapping } = statement;
  const template: Record<string, null> = Object.fromEntries(fields.map(({ name }) => [name, null]));
  const rows = texts.map(() => (arrayRows ? [] : { ...template })) as Rows;
  const values: unknown[] = new Array<unknown>(texts.length);
  fields.forEach((field, column) => {
    const read = textReader(field, mapping);
    for (let row = 0; row < texts.length; row++) {
      const text = texts[row][column];
      values[row] = text === null || read === undefined ? text : readable(read, text);
    }
    if (arrayRows) storeElement(rows, 0, values, column as unknown as string, 0);
    else (field.name === "__proto__" ? define : sharedStore())(rows, 0, values, field.name, 0);
  });
  return { rows, fields, tag: rowCount === null ? command : `${command} ${rowCount}` };
}

function readable(read: (text: string) => unknown, text: string): unknown {
  try {
    return read(text);
  } catch (error) {
    if (error instanceof Malformed) throw new ProtocolError(`The endpoint's answer is corrupt: ${error.message}.`, 0);
    if (error instanceof UsageError) setOutcome(error, "executed");
    throw error;
  }
}

/** PostgreSQL's error, from the members of a refusal. */
export function errorFieldsOf(refusal: Readonly<Record<string, unknown>>): SqlErrorFields {
  const fields: Record<string, string | number> = {
    severity: "ERROR",
    code: "XX000",
    message: "PostgreSQL gave no message",
  };
  for (const name of ["message", ...errorFields]) {
    const value = refusal[name];
    if (value === null || value === undefined || value === "") continue;
    fields[name] =
      name === "position" || name === "internalPosition" || name === "line" ? Number(value) : String(value);
  }
  return fields as unknown as SqlErrorFields;
}
