// Values of every built-in type by both `connect`s: over Neon's protocol they are what they are over onetrip's own.

import assert from "node:assert/strict";
import { VALUES } from "./values.mjs";

const MAPPINGS = [
  {},
  { int8: "bigint", numeric: "number", timestamps: "string", json: "text" },
  { int8: "number", arrayRows: true },
];

/** Compares `sql` over onetrip's protocol with `neonSql`: `{passed, failed, skipped}`. */
export async function compareProfiles(sql, neonSql) {
  const report = { passed: [], failed: [], skipped: [] };
  for (const [type, literals] of Object.entries(VALUES)) {
    const text = `select $1::text::${type} as v, array[$1::text::${type}, null] as a, array[array[$1::text::${type}]] as m,
      '{}'::${type}[] as e, null::${type} as n, null::${type}[] as na`;
    try {
      for (const literal of literals) {
        for (const mapping of MAPPINGS) {
          const [expected, found] = await Promise.all(
            [sql, neonSql].map((one) =>
              one.query(text, [literal], { ...mapping, fullResults: true }).catch((error) => ({
                name: error.name,
                message: error.message,
                ...error,
                requestId: undefined,
              })),
            ),
          );
          assert.deepStrictEqual(found, expected);
        }
      }
      report.passed.push(type);
    } catch (error) {
      report.failed.push({ name: type, reason: error.message.slice(0, 1500) });
    }
  }
  return report;
}
