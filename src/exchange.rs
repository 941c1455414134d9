//! One call: send, wait, read, and as the policy allows, once more.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use onetrip_wire::representation::FRAMES;

use crate::answer::{Answer, Expected};
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
            let attempt = self.attempt(settings, pipeline, call);
            let mut error = match within(attempt, clock, left_ms).await {
                Some(Ok(arriving)) => return Ok(arriving),
                Some(Err(error)) => error,
                None => timed_out(deadline_ms),
            };
            // What an earlier attempt may have done is not undone by how this one failed.
            if open && error.outcome() == Outcome::NotExecuted {
                error = error.outcome_is(Outcome::Unknown);
            }
            open |= error.outcome() == Outcome::Unknown;
            error = error.attempts_are(number);
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
        call.answered(response.header("server-timing"));
        let mut arriving = Box::new(Arriving {
            endpoint: self.clone(),
            answer: Answer::new(pipeline.expected, config.response_limit_bytes, settings.types.clone()),
            response,
            refusal: Vec::new(),
            timeout_ms: settings.timeout_ms,
            received_bytes: 0,
            call: None,
        });
        // With no bytes there is the head, which alone says what is no answer.
        let mut chunk = Ok(Some(Bytes::new()));
        loop {
            let is_ready = arriving.step(chunk);
            call.received(std::mem::take(&mut arriving.received_bytes));
            match is_ready {
                Ok(true) => return Ok(arriving),
                Ok(false) => chunk = arriving.response.body.chunk().await,
                Err(error) => return Err(arriving.named(error)),
            }
        }
    }
}

/// An answer of which more may come.
pub(crate) struct Arriving {
    endpoint: Arc<Endpoint>,
    answer: Answer,
    response: Response,
    // What has arrived of a refusal's body.
    refusal: Vec<u8>,
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

    /// Takes in what follows on the request: whether that is as much of the answer as is waited for.
    fn step(&mut self, chunk: Result<Option<Bytes>, Failure>) -> Result<bool, Error> {
        if self.response.status != 200 {
            if let Ok(Some(chunk)) = chunk {
                self.refusal.extend_from_slice(&chunk);
                if self.refusal.len() < PROBLEM_LIMIT_BYTES {
                    return Ok(false);
                }
            }
            // What has arrived says enough, or the status has to.
            return Err(problem::refusal(&self.response, &self.refusal, self.endpoint.config.database()));
        }
        if matches!(&chunk, Ok(Some(head_alone)) if head_alone.is_empty()) {
            let content_type = self.response.header("content-type");
            if !problem::media_type(content_type).eq_ignore_ascii_case(FRAMES) {
                // It is not in the format that was asked for.
                return Err(problem::foreign(200, content_type));
            }
            return Ok(false);
        }
        let is_over = !self.take(chunk)?;
        if self.answer.is_stream() {
            if let Some(error) = self.answer.failure() {
                return Err(error);
            }
            if self.answer.has_begun() {
                return Ok(true);
            }
        }
        if is_over {
            self.answer.finish()?;
        }
        Ok(is_over)
    }

    /// What the command gives at the end of a stream.
    fn end(&mut self) -> Result<u64, Error> {
        if let Err(error) = self.answer.finish() {
            return Err(self.fail(error));
        }
        if let Some(mut call) = self.call.take() {
            call.end(self.endpoint.now_ms(), None);
        }
        Ok(self.answer.take_results().pop().map_or(0, |result| result.row_count()))
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
        Err(self.answer.failure().unwrap_or(error))
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
    let mut text = format!("{error}");
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// The future's output, or `None` when `limit_ms` are over before; the future is then dropped.
async fn within<T>(future: impl Future<Output = T>, clock: &dyn Clock, limit_ms: Option<u64>) -> Option<T> {
    let mut future = pin!(future);
    let mut sleep = limit_ms.map(|limit_ms| clock.sleep(limit_ms));
    poll_fn(|context| match (future.as_mut().poll(context), &mut sleep) {
        (Poll::Ready(output), _) => Poll::Ready(Some(output)),
        (Poll::Pending, Some(sleep)) => sleep.as_mut().poll(context).map(|()| None),
        (Poll::Pending, None) => Poll::Pending,
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
