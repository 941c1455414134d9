// What a query is told when the network fails, through the public API, in whatever runtime this is. No imports: the
// runners bundle it into Workers.

/**
 * Queries each of `urls`, where connections end in the way that its name says (broken.mjs), and gives what was thrown.
 *
 * @param urls the URL to connect to, by name
 */
export async function runNetwork(connect, urls, { NetworkError, UnreachableError }) {
  const found = {};
  for (const [name, url] of Object.entries(urls)) {
    const error = await connect(url)`insert into t values (1)`.catch((caught) => caught);
    const shown = [error.message, error.stack, JSON.stringify(error), String(error.cause)].join("\n");
    found[name] = {
      isNetworkError: error instanceof NetworkError,
      isUnreachableError: error instanceof UnreachableError,
      kind: error.kind,
      outcome: error.outcome,
      saysWhere: error.message?.includes(new URL(url).host),
      hasCause: error.cause !== undefined,
      showsPassword: shown.includes(new URL(url).password),
      message: error.message,
    };
  }
  return found;
}
