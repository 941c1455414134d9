// Builds the npm package with the endpoint's program for the machine that this runs on: pkg/endpoint/*.tgz.
//
//   node pkg/scripts/endpoint.mjs [--binary PATH]
//
// `--binary` packs a program that is there already (the tests do so with a debug build); otherwise cargo builds it for
// release. Prints what users download, and on Linux the glibc that it needs.

import { execFileSync } from "node:child_process";
import { chmodSync, copyFileSync, cpSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { PLATFORMS, packageFor, version } from "../bin/endpoint.mjs";

const root = fileURLToPath(new URL("../..", import.meta.url));
const out = join(root, "pkg/endpoint");
const { platform, arch } = process;
const name = packageFor({ platform, arch, isMusl: false });

const given = process.argv.indexOf("--binary");
const binary = given === -1 ? build() : process.argv[given + 1];
const own = execFileSync(binary, ["--version"], { encoding: "utf8" }).trim();
if (own !== `onetrip ${version}`) {
  console.error(`endpoint: ${binary} says it is ${own}, but pkg/package.json has version ${version}`);
  process.exit(1);
}

const folder = join(out, "package");
rmSync(out, { recursive: true, force: true });
mkdirSync(join(folder, "bin"), { recursive: true });
const program = join(folder, "bin/onetrip");
copyFileSync(binary, program);
execFileSync("strip", [program]);
chmodSync(program, 0o755);
for (const licence of ["LICENSE-MIT", "LICENSE-APACHE"]) cpSync(join(root, licence), join(folder, licence));
writeFileSync(
  join(folder, "package.json"),
  `${JSON.stringify(
    {
      name,
      version,
      description: `The endpoint of onetrip (PostgreSQL over HTTP in one round trip) for ${platform}-${arch}.`,
      license: "MIT OR Apache-2.0",
      os: [platform],
      cpu: [arch],
      ...(platform === "linux" ? { libc: ["glibc"] } : {}),
      preferUnplugged: true,
      files: ["bin", "LICENSE-MIT", "LICENSE-APACHE"],
    },
    null,
    2,
  )}\n`,
);
writeFileSync(
  join(folder, "README.md"),
  `# ${name}

The program \`onetrip\` (\`onetrip dev\`, \`onetrip serve\`, \`onetrip check-config\`) for ${platform}-${arch}.

\`npx onetrip dev\` of the package \`onetrip\` fetches this one by itself and keeps it in the cache directory. To have it in a
lock file instead, install the same version beside it: \`npm install --save-dev ${name}\`.

There are packages for ${PLATFORMS.join(", ")}.

MIT OR Apache-2.0
`,
);
const [packed] = JSON.parse(
  execFileSync("npm", ["pack", folder, "--json", "--ignore-scripts", "--loglevel=error", "--pack-destination", out], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
  }),
);
console.log(`pkg/endpoint/${packed.filename}: ${packed.size} bytes, the program ${statSync(program).size}${glibc()}`);

function build() {
  execFileSync("cargo", ["build", "--release", "--package", "onetrip-gateway", "--bin", "onetrip"], {
    cwd: root,
    stdio: ["ignore", "inherit", "inherit"],
  });
  return join(process.env.CARGO_TARGET_DIR ?? join(root, "target"), "release/onetrip");
}

/** The newest version of glibc that a symbol of the program asks for. */
function glibc() {
  if (platform !== "linux") return "";
  const names = readFileSync(program, "latin1").match(/GLIBC_2\.\d+/g) ?? [];
  const newest = Math.max(...names.map((symbol) => Number(symbol.split(".")[1])));
  return `, needs glibc 2.${newest}`;
}
