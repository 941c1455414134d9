//! One call: send, wait, read, and as the policy allows, once more.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use onetrip_wire::representation::FRAMES;

use crate::answer::{Answer, Expected, Shape};
use crate::catalogue::Known;
use crate::metrics::{Call, Counters};
use crate::policy::{Attempt, Decision, Repeat};
use crate::transport::{Clock, Failure, Head, Request, Response, Sent, Transport};
use crate::{Column, Config, Error, Kind, Outcome, Row, StatementResult, problem};

/// The most of a refusal's body that is read, in bytes.
const PROBLEM_LIMIT_BYTES: usize = 16 << 10;

/// What is sent.
pub(crate) struct Pipeline {
    pub(crate) frames: Bytes,
    pub(crate) expected: Expected,
}

/// What differs from client to client of one endpoint.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) timeout_ms: Option<u64>,
    pub(crate) repeat: Repeat,
    /// The types that are known beside the built-in ones.
    pub(crate) types: Arc<Vec<Known>>,
}

/// Where calls go to, and how.
pub(crate) struct Endpoint {
    transport: Box<dyn Transport>,
    config: Config,
    head: Arc<Head>,
    counters: Counters,
}

impl Endpoint {
    pub(crate) fn new(config: Config, transport: impl Transport) -> Endpoint {
        let headers = vec![
            ("authorization", config.authorization()),
            ("content-type", FRAMES.to_owned()),
            ("accept", FRAMES.to_owned()),
        ];
        let head = Arc::new(Head { url: config.pipeline_url(), headers });
        Endpoint { transport: Box::new(transport), config, head, counters: Counters::default() }
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// One call whose results are wanted as a whole.
    pub(crate) async fn run(
        self: &Arc<Self>,
        settings: &Settings,
        pipeline: Pipeline,
    ) -> Result<Vec<StatementResult>, Error> {
        let mut call = self.begin(&pipeline);
        let arrived = self.attempts(settings, &pipeline, &mut call).await;
        let results = arrived.map(|mut arrived| arrived.answer.take_results());
        call.rows(results.iter().flatten().map(|result| result.rows().len()).sum());
        call.end(self.now_ms(), results.as_ref().err());
        results
    }

    /// One call whose rows are wanted as they arrive: until its columns are known, or PostgreSQL's refusal.
    pub(crate) async fn open(
        self: &Arc<Self>,
        settings: &Settings,
        pipeline: Pipeline,
    ) -> Result<Box<Arriving>, Error> {
        let mut call = self.begin(&pipeline);
        match self.attempts(settings, &pipeline, &mut call).await {
            Ok(mut arriving) => {
                call.rows(arriving.answer.rows_at_hand());
                arriving.call = Some(call);
                Ok(arriving)
            }
            Err(error) => {
                call.end(self.now_ms(), Some(&error));
                Err(error)
            }
        }
    }

    fn begin(self: &Arc<Self>, pipeline: &Pipeline) -> Call {
        Call::begin(self.clone(), pipeline, self.now_ms())
    }

    fn now_ms(&self) -> u64 {
        self.transport.clock().now_ms()
    }

    /// As many attempts as the policy allows.
    async fn attempts(
        self: &Arc<Self>,
        settings: &Settings,
        pipeline: &Pipeline,
        call: &mut Call,
    ) -> Result<Box<Arriving>, Error> {
        let clock = self.transport.clock();
        let start_ms = clock.now_ms();
        let deadline_ms = settings.timeout_ms;
        let mut number = 0;
        let mut open = false;
        loop {
            number += 1;
            let elapsed_ms = clock.now_ms().saturating_sub(start_ms);
            let left_ms = deadline_ms.map(|deadline_ms| deadline_ms.saturating_sub(elapsed_ms));
            let error = match within(self.attempt(settings, pipeline, call), clock, left_ms).await {
                Some(Ok(arriving)) => return Ok(arriving),
                Some(Err(error)) => error.attempts_are(number),
                None => return Err(timed_out(deadline_ms).attempts_are(number)),
            };
            // What an earlier attempt may have done is not undone by how this one failed.
            let error = match error.outcome() {
                Outcome::NotExecuted if open => error.outcome_is(Outcome::Unknown),
                outcome => {
                    open |= outcome == Outcome::Unknown;
                    error
                }
            };
            let elapsed_ms = clock.now_ms().saturating_sub(start_ms);
            let (outcome, repeat) = (error.retry(), settings.repeat);
            let attempt = Attempt { number, elapsed_ms, deadline_ms, outcome, repeat };
            match self.config.policy.decide(&attempt, clock.random()) {
                Decision::Fail => return Err(error),
                Decision::RetryAfter(wait_ms) => clock.sleep(wait_ms.into()).await,
            }
        }
    }

    async fn attempt(
        self: &Arc<Self>,
        settings: &Settings,
        pipeline: &Pipeline,
        call: &mut Call,
    ) -> Result<Box<Arriving>, Error> {
        let config = &self.config;
        let request = Request { head: self.head.clone(), body: pipeline.frames.clone() };
        call.sent(request.body.len());
        let sent = self.transport.send(request).await;
        let response = sent.map_err(|failure| no_answer(config, failure))?;
        call.answered(response.header("server-timing").unwrap_or_default());
        let mut arriving = Box::new(Arriving {
            endpoint: self.clone(),
            answer: Answer::new(pipeline.expected, config.response_limit_bytes, settings.types.clone()),
            response,
            timeout_ms: settings.timeout_ms,
            received_bytes: 0,
            call: None,
        });
        let is_refused = arriving.response.status != 200;
        if !is_refused {
            arriving.check_type()?;
        }
        let mut refusal = Vec::new();
        let is_stream = matches!(pipeline.expected.shape, Shape::Stream);
        loop {
            let chunk = arriving.response.body.chunk().await;
            if is_refused {
                if let Ok(Some(chunk)) = chunk {
                    refusal.extend_from_slice(&chunk);
                    if refusal.len() < PROBLEM_LIMIT_BYTES {
                        continue;
                    }
                }
                // What has arrived says enough, or the status has to.
                return Err(arriving.refused(&refusal));
            }
            let more = arriving.take(chunk);
            call.received(std::mem::take(&mut arriving.received_bytes));
            let is_over = !more?;
            if is_stream && let Some(error) = arriving.answer.failure() {
                return Err(arriving.named(error));
            }
            if is_stream && arriving.answer.has_begun() {
                return Ok(arriving);
            }
            if is_over {
                arriving.finish()?;
                return Ok(arriving);
            }
        }
    }
}

/// An answer of which more may come.
pub(crate) struct Arriving {
    endpoint: Arc<Endpoint>,
    answer: Answer,
    response: Response,
    timeout_ms: Option<u64>,
    // Received and not counted yet.
    received_bytes: usize,
    call: Option<Call>,
}

impl Arriving {
    /// The columns of the rows.
    pub(crate) fn columns(&self) -> Arc<Vec<Column>> {
        self.answer.columns().cloned().unwrap_or_default()
    }

    /// The rows that have arrived and were not taken.
    pub(crate) fn take_rows(&mut self) -> Vec<Row> {
        self.answer.take_rows()
    }

    /// Waits for more rows, as long as a call may take; `None` when there are no more, with the number that the command
    /// gives.
    pub(crate) async fn more(mut self: Box<Self>) -> Result<(Box<Self>, Vec<Row>), Result<u64, Error>> {
        loop {
            let (endpoint, timeout_ms) = (self.endpoint.clone(), self.timeout_ms);
            let clock = endpoint.transport.clock();
            let read =
                within(self.response.body.chunk(), clock, timeout_ms).await.map(|chunk| self.take(chunk));
            let rows = self.answer.take_rows();
            if let Some(call) = &mut self.call {
                call.received(std::mem::take(&mut self.received_bytes));
            }
            let more = match read {
                None => return Err(Err(self.fail(timed_out(timeout_ms)))),
                Some(Err(error)) => return Err(Err(self.fail(error))),
                Some(Ok(more)) => more,
            };
            if !rows.is_empty() {
                if let Some(call) = &mut self.call {
                    call.rows(rows.len());
                }
                return Ok((self, rows));
            }
            if !more {
                return Err(self.end());
            }
        }
    }

    /// Refuses what is not in the format that was asked for.
    fn check_type(&self) -> Result<(), Error> {
        let content_type = self.response.header("content-type").unwrap_or_default();
        if problem::media_type(content_type).eq_ignore_ascii_case(FRAMES) {
            return Ok(());
        }
        Err(self.named(problem::foreign(200, content_type)))
    }

    /// The endpoint's refusal, whose body this is.
    fn refused(&self, body: &[u8]) -> Error {
        let error = problem::refusal(&self.response, body);
        self.named(match error.refusal() {
            Some("unknown_database") => error.about_database(self.endpoint.config.database()),
            _ => error,
        })
    }

    /// What the command gives at the end of a stream.
    fn end(&mut self) -> Result<u64, Error> {
        let count =
            self.finish().map(|()| self.answer.take_results().pop().map_or(0, |result| result.row_count()));
        if let Some(mut call) = self.call.take() {
            call.end(self.endpoint.now_ms(), count.as_ref().err());
        }
        count
    }

    fn finish(&mut self) -> Result<(), Error> {
        let finished = self.answer.finish();
        finished.map_err(|error| self.named(error))
    }

    fn fail(&mut self, error: Error) -> Error {
        let error = self.named(error);
        if let Some(mut call) = self.call.take() {
            call.end(self.endpoint.now_ms(), Some(&error));
        }
        error
    }

    fn named(&self, error: Error) -> Error {
        error.request_id_is(self.response.header("onetrip-request-id"))
    }

    /// Takes in the next chunk: whether there was one. What PostgreSQL has said stands whatever becomes of the rest.
    fn take(&mut self, chunk: Result<Option<Bytes>, Failure>) -> Result<bool, Error> {
        let error = match chunk {
            Ok(None) => return Ok(false),
            Ok(Some(chunk)) => {
                self.received_bytes += chunk.len();
                match self.answer.push(chunk) {
                    Ok(()) => return Ok(true),
                    Err(error) => error,
                }
            }
            Err(failure) => broken_off(failure),
        };
        let error = self.answer.failure().unwrap_or(error);
        Err(self.named(error))
    }
}

pub(crate) fn milliseconds(timeout: Duration) -> u64 {
    timeout.as_secs().min(u64::MAX / 2_000) * 1_000 + u64::from(timeout.subsec_millis())
}

fn no_answer(config: &Config, failure: Failure) -> Error {
    let origin = config.origin();
    let reason = chain(failure.source.as_ref());
    let error = match failure.sent {
        Sent::No => Error::new(
            Kind::Unreachable,
            format!("cannot reach the endpoint {origin}: {reason}. Is it running, and is the URL right?"),
        ),
        Sent::Perhaps => Error::new(
            Kind::Lost,
            format!(
                "no answer from the endpoint {origin}: {reason}. Either the connection broke, or it cannot be reached: \
                 is the URL right?"
            ),
        ),
    };
    error.source(failure.source)
}

fn broken_off(failure: Failure) -> Error {
    let reason = chain(failure.source.as_ref());
    let message = format!("the connection broke in the middle of the answer: {reason}");
    Error::new(Kind::Lost, message).source(failure.source)
}

fn timed_out(deadline_ms: Option<u64>) -> Error {
    let timeout_ms = deadline_ms.unwrap_or_default();
    let message = format!("no complete answer within {timeout_ms} ms, so the request was aborted");
    Error::new(Kind::Timeout, message)
}

/// An error with its sources, as one line.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

/// The future's output, or `None` when `limit_ms` are over before; the future is then dropped.
async fn within<T>(future: impl Future<Output = T>, clock: &dyn Clock, limit_ms: Option<u64>) -> Option<T> {
    let Some(limit_ms) = limit_ms else { return Some(future.await) };
    let mut future = pin!(future);
    let mut sleep = clock.sleep(limit_ms);
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => sleep.as_mut().poll(context).map(|()| None),
    })
    .await
}

#[cfg(all(test, not(target_arch = "wasm32")))]
#[allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "in tests a panic is the point; clippy.toml covers only test functions"
)]
mod tests;
