#!/usr/bin/env node
// `npx onetrip dev`: becomes the endpoint's program for this machine, which is fetched the first time.
// Arguments, standard streams, signals and the exit status are the program's.

import { spawn } from "node:child_process";
import { constants } from "node:os";
import { LauncherError, fetchEndpoint, findEndpoint, version } from "./endpoint.mjs";

const COMMANDS = ["dev", "serve", "check-config"];

const HELP = `PostgreSQL over HTTP in one round trip

Usage: onetrip <COMMAND>

Commands:
  dev           Run a PostgreSQL and an endpoint for development, with no configuration, until Ctrl-C
  serve         Run an endpoint in front of a PostgreSQL of yours, until SIGTERM or SIGINT
  check-config  Say what \`onetrip serve\` would make of a configuration

The endpoint's program is not here yet. The first command fetches it (5 MB, by npm) and keeps it in the cache directory;
then \`onetrip COMMAND --help\` has the rest.
`;

const args = process.argv.slice(2);
const asked = args[0];
try {
  if (args.length === 1 && (asked === "--version" || asked === "-V")) {
    console.log(`onetrip ${version}`);
  } else {
    const found = findEndpoint();
    const forHelp = asked === undefined || ["--help", "-h", "help"].includes(asked);
    if (found === undefined && forHelp) {
      process.stdout.write(HELP);
      process.exitCode = asked === undefined ? 2 : 0;
    } else if (found === undefined && !COMMANDS.includes(asked)) {
      console.error(`onetrip: there is no command "${asked}". \`onetrip --help\` says which there are.`);
      process.exitCode = 2;
    } else {
      become(found ?? (await fetchEndpoint((line) => console.error(`onetrip: ${line}`))));
    }
  }
} catch (error) {
  if (!(error instanceof LauncherError)) throw error;
  console.error(`onetrip: ${error.message}`);
  process.exitCode = error.exitCode;
}

/** Runs the program in our place. */
function become(program) {
  // With our number it ends when we are killed without a chance to tell it.
  const env = { ...process.env, ONETRIP_LAUNCHER: String(process.pid) };
  const child = spawn(program, args, { stdio: "inherit", env });
  // Whoever signals this process means the program. What a terminal has sent to both, it takes once.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
  // npm runs us by a shell, which alone gets a signal that npm passes on; it ends without a word to us.
  const parent = process.ppid;
  const orphaned = () => process.ppid !== parent && child.kill("SIGTERM");
  if (process.env.npm_command) setInterval(orphaned, 500).unref();
  child.on("error", (error) => {
    console.error(`onetrip: ${program} cannot be run: ${error.message}. Remove it to have it fetched again.`);
    process.exit(1);
  });
  child.on("exit", (code, signal) => process.exit(code ?? 128 + (constants.signals[signal] ?? 0)));
}
