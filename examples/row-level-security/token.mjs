// What an identity provider does, for this example: `node token.mjs ada` prints a token of Ada's, good for an hour.
// The key is made by the first call and kept in keys.json, where `onetrip dev --jwks` finds it.

import { createHmac, randomBytes } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";

const base64url = (value) => Buffer.from(value).toString("base64url");

if (!existsSync("keys.json")) {
  const key = { kty: "oct", kid: "example", alg: "HS256", k: base64url(randomBytes(32)) };
  writeFileSync("keys.json", JSON.stringify({ keys: [key] }), { mode: 0o600 });
}
const [key] = JSON.parse(readFileSync("keys.json", "utf8")).keys;

const user = process.argv[2];
if (user !== undefined) {
  const header = { alg: key.alg, kid: key.kid, typ: "JWT" };
  const claims = { sub: user, exp: Math.floor(Date.now() / 1000) + 3600 };
  const signed = `${base64url(JSON.stringify(header))}.${base64url(JSON.stringify(claims))}`;
  console.log(`${signed}.${createHmac("sha256", Buffer.from(key.k, "base64url")).update(signed).digest("base64url")}`);
}
