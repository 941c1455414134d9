// A real workerd on a free loopback port, with one Worker.

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";

const COMPATIBILITY_DATE = "2026-04-01";

/**
 * Serves `modules` (`{name: bytes or text}`, the first is the main one; `.wasm` becomes a module) with text bindings and
 * hands its URL to `use`; ends it afterwards. `flags` are compatibility flags.
 */
export async function withWorkerd(modules, bindings, use, flags = []) {
  const folder = mkdtempSync(join(tmpdir(), "onetrip-workerd-"));
  const lists = Object.entries(modules).map(([name, content], index) => {
    writeFileSync(join(folder, `module${index}`), content);
    return `(name = ${JSON.stringify(name)}, ${name.endsWith(".wasm") ? "wasm" : "esModule"} = embed "module${index}")`;
  });
  const texts = Object.entries(bindings).map(
    ([name, text]) => `(name = ${JSON.stringify(name)}, text = ${JSON.stringify(text)})`,
  );
  writeFileSync(
    join(folder, "config.capnp"),
    `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = (compatibilityDate = "${COMPATIBILITY_DATE}", compatibilityFlags = ${JSON.stringify(flags)}, modules = [${lists.join(", ")}], bindings = [${texts.join(", ")}])),
    (name = "internet", network = (allow = ["public", "private"], tlsOptions = (trustBrowserCas = true))),
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")],
);
`,
  );
  const require = createRequire(import.meta.url);
  const { default: binary } = require("workerd");
  const workerd = spawn(binary, ["serve", "--control-fd=3", join(folder, "config.capnp")], {
    stdio: ["ignore", "inherit", "inherit", "pipe"],
  });
  try {
    const port = await new Promise((resolve, reject) => {
      workerd.once("error", reject);
      workerd.once("exit", (code) => reject(new Error(`workerd ended with ${code} before it listened`)));
      workerd.stdio[3].on("data", (lines) => {
        const found = /"event":"listen".*"port":(\d+)/.exec(String(lines));
        if (found) resolve(found[1]);
      });
    });
    return await use(`http://127.0.0.1:${port}`);
  } finally {
    workerd.removeAllListeners("exit");
    workerd.kill();
    rmSync(folder, { recursive: true });
  }
}
