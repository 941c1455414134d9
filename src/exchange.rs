//! One call: send, wait, read, and as the policy allows, once more.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use onetrip_wire::representation::FRAMES;
use postgres_types::Type;

use crate::answer::{Answer, Expected, Shape};
use crate::metrics::{Call, Counters, Operation};
use crate::policy::{Attempt, Decision, Repeat};
use crate::transport::{Body, Clock, Failure, Request, Response, Sent, Transport};
use crate::{Column, Config, Error, Kind, Row, StatementResult, problem};

/// The most of a refusal's body that is read, in bytes.
const PROBLEM_LIMIT_BYTES: usize = 16 << 10;

/// What is sent.
pub(crate) struct Pipeline {
    pub(crate) frames: Bytes,
    pub(crate) expected: Expected,
    /// The first word of its first statement, for spans.
    pub(crate) operation: Operation,
}

/// What differs from client to client of one endpoint.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) timeout: Option<Duration>,
    pub(crate) repeat: Repeat,
    /// The types that are known beside the built-in ones.
    pub(crate) types: Arc<[Type]>,
}

/// Where calls go to, and how.
pub(crate) struct Endpoint {
    transport: Box<dyn Transport>,
    config: Config,
    url: Arc<str>,
    headers: Arc<[(&'static str, String)]>,
    counters: Arc<Counters>,
}

/// What an attempt gave.
enum Answered {
    Whole(Vec<StatementResult>),
    Begun(Box<Arriving>),
}

impl Endpoint {
    pub(crate) fn new(config: Config, transport: impl Transport) -> Endpoint {
        let headers = [
            ("authorization", config.authorization()),
            ("content-type", FRAMES.to_owned()),
            ("accept", FRAMES.to_owned()),
        ];
        let (url, headers) = (config.pipeline_url().into(), Arc::from(headers));
        Endpoint { transport: Box::new(transport), config, url, headers, counters: Arc::default() }
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
        let answered = self.attempts(settings, &pipeline, &mut call).await;
        let results = answered.map(|answered| match answered {
            Answered::Whole(results) => results,
            Answered::Begun(_) => Vec::new(),
        });
        call.rows(results.iter().flatten().map(|result| result.rows().len()).sum());
        call.end(self.now_ms(), results.as_ref().map(drop));
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
            Ok(Answered::Begun(mut arriving)) => {
                call.rows(arriving.answer.rows_at_hand());
                arriving.call = Some(call);
                Ok(arriving)
            }
            Ok(Answered::Whole(_)) => {
                Err(Error::new(Kind::Protocol, "the endpoint's answer ended before it began"))
            }
            Err(error) => {
                call.end(self.now_ms(), Err(&error));
                Err(error)
            }
        }
    }

    fn begin(&self, pipeline: &Pipeline) -> Call {
        let statements = match pipeline.expected.shape {
            Shape::Batch(count) | Shape::Transaction(count) => count,
            Shape::Statement | Shape::Stream | Shape::Script => 1,
        };
        Call::begin(self.counters.clone(), &self.config, pipeline.operation, statements, self.now_ms())
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
    ) -> Result<Answered, Error> {
        let clock = self.transport.clock();
        let start_ms = clock.now_ms();
        let deadline_ms = settings.timeout.map(milliseconds);
        let mut number = 0;
        loop {
            number += 1;
            let elapsed_ms = clock.now_ms().saturating_sub(start_ms);
            let left_ms = deadline_ms.map(|deadline_ms| deadline_ms.saturating_sub(elapsed_ms));
            let error = match within(self.attempt(settings, pipeline, call), clock, left_ms).await {
                Some(Ok(answered)) => return Ok(answered),
                Some(Err(error)) => error.attempts_are(number),
                None => return Err(timed_out(deadline_ms).attempts_are(number)),
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
    ) -> Result<Answered, Error> {
        let config = &self.config;
        let (url, headers) = (self.url.clone(), self.headers.clone());
        let request = Request { url, headers, body: pipeline.frames.clone() };
        call.sent(request.body.len());
        let sent = self.transport.send(request).await;
        let mut response = sent.map_err(|failure| no_answer(config, failure))?;
        call.answered(response.header("server-timing").unwrap_or_default());
        let request_id = response.header("onetrip-request-id").map(str::to_owned);
        if response.status != 200 {
            return Err(refused(config, &mut response).await.request_id_is(request_id));
        }
        let content_type = response.header("content-type").unwrap_or_default();
        if !content_type.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(FRAMES) {
            return Err(problem::foreign(200, content_type).request_id_is(request_id));
        }
        let mut arriving = Arriving {
            endpoint: self.clone(),
            answer: Answer::new(pipeline.expected, config.response_limit_bytes, settings.types.clone()),
            body: response.body,
            timeout_ms: settings.timeout.map(milliseconds),
            request_id,
            call: None,
        };
        let is_stream = matches!(pipeline.expected.shape, Shape::Stream);
        loop {
            let (more, received) = arriving.read().await;
            call.received(received);
            if let Err(error) = more {
                return Err(arriving.named(error));
            }
            if let Some(error) = arriving.answer.failure().filter(|_| is_stream) {
                return Err(arriving.named(error));
            }
            if is_stream && arriving.answer.has_begun() {
                return Ok(Answered::Begun(Box::new(arriving)));
            }
            if more.is_ok_and(|more| !more) {
                let Arriving { answer, request_id, .. } = arriving;
                return answer.finish().map(Answered::Whole).map_err(|error| error.request_id_is(request_id));
            }
        }
    }
}

/// An answer of which more may come.
pub(crate) struct Arriving {
    endpoint: Arc<Endpoint>,
    answer: Answer,
    body: Box<dyn Body>,
    timeout_ms: Option<u64>,
    request_id: Option<String>,
    call: Option<Call>,
}

impl Arriving {
    /// The columns of the rows.
    pub(crate) fn columns(&self) -> Arc<[Column]> {
        self.answer.columns().cloned().unwrap_or_else(|| Arc::from([]))
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
            let read = within(self.read(), clock, timeout_ms).await;
            let Some((more, received)) = read else { return Err(Err(self.fail(timed_out(timeout_ms)))) };
            if let Some(call) = &mut self.call {
                call.received(received);
            }
            let rows = self.answer.take_rows();
            match more {
                Err(error) => return Err(Err(self.fail(error))),
                Ok(_) if !rows.is_empty() => {
                    if let Some(call) = &mut self.call {
                        call.rows(rows.len());
                    }
                    return Ok((self, rows));
                }
                Ok(true) => {}
                Ok(false) => return Err(self.finish()),
            }
        }
    }

    fn finish(self: Box<Self>) -> Result<u64, Error> {
        let Arriving { endpoint, answer, request_id, call, .. } = *self;
        let finished = answer.finish().map_err(|error| error.request_id_is(request_id));
        let count = finished.map(|mut results| results.pop().map_or(0, |result| result.row_count()));
        if let Some(call) = call {
            call.end(endpoint.now_ms(), count.as_ref().map(drop));
        }
        count
    }

    fn fail(&mut self, error: Error) -> Error {
        let error = self.named(error);
        if let Some(call) = self.call.take() {
            call.end(self.endpoint.now_ms(), Err(&error));
        }
        error
    }

    fn named(&self, error: Error) -> Error {
        error.request_id_is(self.request_id.clone())
    }

    /// Takes in the next chunk: whether there was one, and its length. What PostgreSQL has said stands whatever becomes of
    /// the rest.
    async fn read(&mut self) -> (Result<bool, Error>, usize) {
        let (read, received) = match self.body.chunk().await {
            Ok(None) => return (Ok(false), 0),
            Ok(Some(chunk)) => {
                let received = chunk.len();
                (self.answer.push(chunk).map(|()| true), received)
            }
            Err(failure) => (Err(broken_off(failure)), 0),
        };
        (read.map_err(|error| self.answer.failure().unwrap_or(error)), received)
    }
}

fn milliseconds(timeout: Duration) -> u64 {
    u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX)
}

async fn refused(config: &Config, response: &mut Response) -> Error {
    let mut body = Vec::new();
    while body.len() < PROBLEM_LIMIT_BYTES {
        match response.body.chunk().await {
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            // What has arrived says enough, or the status has to.
            Ok(None) | Err(_) => break,
        }
    }
    let error = problem::refusal(response, &body);
    match error.refusal() {
        Some("unknown_database") => error.about_database(config.database()),
        _ => error,
    }
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
                "no answer from the endpoint {origin}: {reason}. Either it cannot be reached or the connection broke, \
                 so whether the statements ran is unknown; if the URL is right, look before you send them again"
            ),
        ),
    };
    error.source(failure.source)
}

fn broken_off(failure: Failure) -> Error {
    let reason = chain(failure.source.as_ref());
    let message = format!(
        "the connection broke in the middle of the answer: {reason}. What the request did is unknown, so look before \
         you send it again"
    );
    Error::new(Kind::Lost, message).source(failure.source)
}

fn timed_out(deadline_ms: Option<u64>) -> Error {
    let timeout_ms = deadline_ms.unwrap_or_default();
    let message = format!(
        "no complete answer within {timeout_ms} ms; the request was aborted, and whether the statements ran is unknown"
    );
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
