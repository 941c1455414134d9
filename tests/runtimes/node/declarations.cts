// As declarations.mts, by require: compiled under each way to resolve modules, with Node's types alone: no DOM.

import { readFile } from "node:fs/promises";
import { connect, SqlError, type Query, type Sql } from "onetrip";
import { connect as connectSlim } from "onetrip/slim";

const sql: Sql = connect("https://role:password@endpoint.example/shop");
const query: Query<{ id: number }[]> = sql<{ id: number }>`select id from items`;
const slim = connectSlim({ url: "https://role:password@endpoint.example/shop", wasm: () => readFile("onetrip.wasm") });
const code: string | undefined = new Error() instanceof SqlError ? "" : undefined;
export const all = [query, slim, code];
