//! One call: send, wait, read, and as the policy allows, once more.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use onetrip_wire::representation::FRAMES;

use crate::answer::{Answer, Expected};
use crate::policy::{Attempt, Decision, Repeat};
use crate::transport::{Clock, Failure, Request, Response, Sent, Transport};
use crate::{Config, Error, Kind, StatementResult, problem};

/// The most of a refusal's body that is read, in bytes.
const PROBLEM_LIMIT_BYTES: usize = 16 << 10;

/// What is sent.
pub(crate) struct Pipeline {
    pub(crate) frames: Bytes,
    pub(crate) expected: Expected,
}

/// What differs from call to call.
#[derive(Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) timeout: Option<Duration>,
    pub(crate) repeat: Repeat,
}

/// Where calls go to, and how.
pub(crate) struct Endpoint {
    transport: Box<dyn Transport>,
    config: Config,
    url: Arc<str>,
    headers: Arc<[(&'static str, String)]>,
}

impl Endpoint {
    pub(crate) fn new(config: Config, transport: impl Transport) -> Endpoint {
        let headers = [
            ("authorization", config.authorization()),
            ("content-type", FRAMES.to_owned()),
            ("accept", FRAMES.to_owned()),
        ];
        let (url, headers) = (config.pipeline_url().into(), Arc::from(headers));
        Endpoint { transport: Box::new(transport), config, url, headers }
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// One call: as many attempts as the policy allows.
    pub(crate) async fn run(
        &self,
        settings: Settings,
        pipeline: Pipeline,
    ) -> Result<Vec<StatementResult>, Error> {
        let clock = self.transport.clock();
        let start_ms = clock.now_ms();
        let deadline_ms =
            settings.timeout.map(|timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX));
        let mut number = 0;
        loop {
            number += 1;
            let elapsed_ms = clock.now_ms().saturating_sub(start_ms);
            let left_ms = deadline_ms.map(|deadline_ms| deadline_ms.saturating_sub(elapsed_ms));
            let error = match within(self.attempt(&pipeline), clock, left_ms).await {
                Some(Ok(results)) => return Ok(results),
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

    async fn attempt(&self, pipeline: &Pipeline) -> Result<Vec<StatementResult>, Error> {
        let config = &self.config;
        let (url, headers) = (self.url.clone(), self.headers.clone());
        let request = Request { url, headers, body: pipeline.frames.clone() };
        let sent = self.transport.send(request).await;
        let mut response = sent.map_err(|failure| no_answer(config, failure))?;
        let request_id = response.header("onetrip-request-id").map(str::to_owned);
        let read = match response.status {
            200 => answer(config, pipeline.expected, &mut response).await,
            _ => Err(refused(config, &mut response).await),
        };
        read.map_err(|error| error.request_id_is(request_id))
    }
}

async fn answer(
    config: &Config,
    expected: Expected,
    response: &mut Response,
) -> Result<Vec<StatementResult>, Error> {
    let content_type = response.header("content-type").unwrap_or_default();
    if !content_type.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(FRAMES) {
        return Err(problem::foreign(200, content_type));
    }
    let mut answer = Answer::new(expected, config.response_limit_bytes);
    loop {
        let chunk = match response.body.chunk().await {
            Ok(Some(chunk)) => chunk,
            Ok(None) => return answer.finish(),
            Err(failure) => return Err(answer.failure().unwrap_or_else(|| broken_off(failure))),
        };
        if let Err(error) = answer.push(chunk) {
            return Err(answer.failure().unwrap_or(error));
        }
    }
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
