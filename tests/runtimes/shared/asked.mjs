// What a runner may ask of a runtime. No imports but of the checks: the runners bundle it into Workers.

import { runRequests } from "../requests/checks.mjs";
import { runNetwork } from "../requests/network.mjs";
import { runAll, runNeon } from "./scenarios.mjs";

/**
 * Runs what is asked for, in project.mjs's words, with the entries of the package as they were imported there.
 *
 * @param what `neon`, `requests`, `network`, or anything else for the scenarios and mistakes
 * @param input what goes with it: of `network` the broken URLs by name, of others the prefix and the scenarios
 */
export function runAsked(what, { onetrip, neon, sqlstate }, url, input) {
  switch (what) {
    case "neon":
      return runNeon(neon, url, input);
    case "requests":
      return runRequests(onetrip.connect, url, onetrip, sqlstate, input.prefix);
    case "network":
      return runNetwork(onetrip.connect, input, onetrip);
    default:
      return runAll(onetrip, url, input);
  }
}
