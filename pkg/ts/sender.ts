// From queries to their results: composed, sent, given out in the form that each wants, failed where they are awaited.

import { UsageError } from "./errors.js";
import type { Options } from "./options.js";
import { Failure, type Protocol, type Result } from "./protocol.js";
import { partsOf, statementOf, type LazyQuery, type Sender } from "./query.js";
import { request, type Connection, type Work } from "./request.js";
import type { Answer } from "./response.js";
import { full, rows } from "./results.js";
import { SharedRequests } from "./share.js";
import { atCaller } from "./stack.js";
import type { TransactionMode } from "./types.js";

/** What the queries of a connection are sent by. */
export class ConnectionSender implements Sender {
  #shared: SharedRequests | undefined;

  constructor(readonly connection: Connection) {}

  one(query: LazyQuery<unknown>): Promise<unknown> {
    return this.#send(ONE, query, partsOf(query).wanted.options);
  }

  transaction(
    queries: readonly LazyQuery<unknown>[],
    options: Options,
    mode: TransactionMode | undefined,
  ): Promise<unknown[]> {
    const work: Work<readonly LazyQuery<unknown>[], Answer, unknown[]> = {
      groups() {
        return [{ statements: queries.map(statementOf), mode }];
      },
      take([result]) {
        const answers = taken(result);
        return queries.map((query, index) => partsOf(query).wanted.form(answers[index]));
      },
    };
    return this.#send(work, queries, options);
  }

  response(query: LazyQuery<unknown>): Promise<Response> {
    const { options, form, arrayRows } = partsOf(query).wanted;
    const protocol = this.connection.protocol.json?.(form === full, arrayRows);
    const work: Work<LazyQuery<unknown>, Response, Response> = {
      groups() {
        if (form !== rows && form !== full) throw new UsageError("response() gives rows or, with full(), the result.");
        if (protocol === undefined) throw new UsageError("response() needs an onetrip endpoint.");
        return ONE.groups(query);
      },
      take([result]) {
        return taken(result)[0];
      },
    };
    return request({ ...this.connection, protocol: protocol as Protocol<Response> }, work, query, options);
  }

  #send<Subject, Value>(work: Work<Subject, Answer, Value>, subject: Subject, options: Options): Promise<Value> {
    return options.shareRequests && this.connection.protocol.manyGroups
      ? this.#share(work, subject, options)
      : request(this.connection, work, subject, options);
  }

  // A function that is async by itself: the code that awaits a query is what the stack of its error should show.
  async #share<Subject, Value>(work: Work<Subject, Answer, Value>, subject: Subject, options: Options): Promise<Value> {
    try {
      const results = await (this.#shared ??= new SharedRequests(this.connection)).add(
        work.groups(subject)[0],
        options,
      );
      return work.take(results, subject);
    } catch (error) {
      throw await atCaller(error);
    }
  }
}

/** A query by itself. */
export const ONE: Work<LazyQuery<unknown>, Answer, unknown> = {
  groups: (query) => [{ statements: [statementOf(query)], mode: undefined }],
  take: (results, query) => partsOf(query).wanted.form(taken(results[0])[0]),
};

/** The answers of a group, or the error that there is instead. */
function taken<Taken>(result: Result<Taken>): readonly Taken[] {
  if (result instanceof Failure) throw result.error;
  return result;
}
