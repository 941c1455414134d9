// From queries to their results: composed, sent, given out in the form that each wants, failed where they are awaited.

import { OnetripError, UsageError } from "./errors.js";
import type { Options } from "./options.js";
import { Failure, type Result } from "./protocol.js";
import { compose, partsOf, type LazyQuery, type Sender } from "./query.js";
import { request, type Connection } from "./request.js";
import { full, rows } from "./results.js";
import { SharedRequests } from "./share.js";
import type { Group, Statement } from "./statement.js";
import type { TransactionMode } from "./types.js";

/** What the queries of a connection are sent by. */
export function senderOf(connection: Connection): Sender {
  let shared: SharedRequests | undefined;

  // A function that is async by itself: the code that awaits a query is what the stack of its error should show.
  async function one(query: LazyQuery<unknown>): Promise<unknown> {
    try {
      const { options, form } = partsOf(query).wanted;
      const [result] = await send({ statements: [statementOf(query)], mode: undefined }, options);
      if (result instanceof Failure) throw result.error;
      return form(result[0]);
    } catch (error) {
      throw atCaller(error);
    }
  }

  async function transaction(
    queries: readonly LazyQuery<unknown>[],
    options: Options,
    mode: TransactionMode | undefined,
  ): Promise<unknown[]> {
    try {
      const [result] = await send({ statements: queries.map(statementOf), mode }, options);
      if (result instanceof Failure) throw result.error;
      return queries.map((query, index) => partsOf(query).wanted.form(result[index]));
    } catch (error) {
      throw atCaller(error);
    }
  }

  async function response(query: LazyQuery<unknown>): Promise<Response> {
    try {
      const { options, form, arrayRows } = partsOf(query).wanted;
      if (form !== rows && form !== full)
        throw new UsageError("response() gives rows, or with full() the result, and no other form.");
      const protocol = connection.protocol.json?.(form === full, arrayRows);
      if (protocol === undefined) throw new UsageError("response() needs an onetrip endpoint.");
      const group = { statements: [statementOf(query)], mode: undefined };
      const [result] = await request({ ...connection, protocol }, [group], options);
      if (result instanceof Failure) throw result.error;
      return result[0];
    } catch (error) {
      throw atCaller(error);
    }
  }

  function send(group: Group, options: Options): Promise<readonly Result[]> {
    return options.shareRequests && connection.protocol.manyGroups
      ? (shared ??= new SharedRequests(connection)).add(group, options)
      : request(connection, [group], options);
  }

  return { one, transaction, response };
}

function statementOf(query: LazyQuery<unknown>): Statement {
  const parts = partsOf(query);
  const { options: mapping, arrayRows, form } = parts.wanted;
  const { text, params, types } = compose(parts);
  return { text, params, types, mapping, arrayRows, commandTag: form === full };
}

/**
 * The error with the stack of the code that awaits the query. Engines keep track of it (async stack traces), so that it
 * costs nothing to queries that succeed; the first two frames are this function and the one that it is called by.
 */
function atCaller(error: unknown): unknown {
  const [, , ...frames] = String(new Error().stack)
    .split("\n")
    .filter((line) => /^\s+at (?!process\.processTicks)|@/.test(line));
  if (error instanceof OnetripError && frames.length > 0)
    error.stack = [`${error.name}: ${error.message}`, ...frames].join("\n");
  return error;
}
