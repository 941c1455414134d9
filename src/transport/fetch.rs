//! JavaScript's global `fetch`: Workers, browsers, Node, Deno, Bun.

use bytes::Bytes;
use js_sys::{Function, Object, Promise, Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue, prelude::wasm_bindgen};
use wasm_bindgen_futures::JsFuture;

use super::local::Local;
use super::{Body, BoxFuture, Clock, Failure, RESPONSE_HEADERS, Request, Response, Sent, Transport};

#[wasm_bindgen]
extern "C" {
    // Not web-sys's: those belong to a window or a worker scope, and this is whatever the runtime has.
    #[wasm_bindgen(js_name = fetch, catch)]
    fn global_fetch(url: &str, options: &Object) -> Result<Promise, JsValue>;

    #[wasm_bindgen(js_name = setTimeout)]
    fn set_timeout(callback: &Function, milliseconds: f64) -> JsValue;

    #[wasm_bindgen(js_name = clearTimeout)]
    fn clear_timeout(timer: &JsValue);

    // Of these, too, web-sys has more than is of use here. What has a `fetch` has an AbortController, which does not throw.
    type AbortController;

    #[wasm_bindgen(constructor)]
    fn new() -> AbortController;

    #[wasm_bindgen(method)]
    fn abort(this: &AbortController);

    // What `fetch` gave: where something took its place, it need not be a Response.
    type Answered;

    #[wasm_bindgen(method, getter, catch)]
    fn status(this: &Answered) -> Result<u16, JsValue>;

    type Headers;

    #[wasm_bindgen(method, catch)]
    fn get(this: &Headers, name: &str) -> Result<Option<String>, JsValue>;

    type ReadableStream;

    #[wasm_bindgen(method, js_name = getReader)]
    fn reader(this: &ReadableStream) -> Reader;

    type Reader;

    #[wasm_bindgen(method)]
    fn read(this: &Reader) -> Promise;
}

/// The transport of JavaScript runtimes: the global `fetch`, with its body as a stream.
///
/// # Examples
/// ```
/// # #[cfg(all(feature = "fetch", target_arch = "wasm32"))] {
/// use onetrip::{Client, Config, transport::Fetch};
/// # fn example(config: Config) {
/// let client = Client::with_transport(config, Fetch::new());
/// # }
/// # }
/// ```
///
/// A dropped request is aborted. `fetch` does not tell a connection that never came about from one that broke, so every
/// failure is [`Sent::Perhaps`].
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Fetch;

impl Fetch {
    /// The global `fetch`.
    pub fn new() -> Fetch {
        Fetch
    }
}

impl Transport for Fetch {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, Failure>> {
        send(request, global_fetch)
    }

    fn clock(&self) -> &dyn Clock {
        &SystemClock
    }
}

/// Sends a request by a function that has `fetch`'s way.
pub(super) fn send<'a>(
    request: Request,
    call: impl FnOnce(&str, &Object) -> Result<Promise, JsValue> + 'a,
) -> BoxFuture<'a, Result<Response, Failure>> {
    Box::pin(Local::new(async move {
        let before = |error| Failure::new(Sent::No, thrown(&error));
        let controller = AbortController::new();
        let headers = Object::new();
        for (name, value) in request.headers() {
            set(&headers, name, value.into());
        }
        let options = Object::new();
        set(&options, "method", "POST".into());
        set(&options, "headers", headers.into());
        set(&options, "body", bytes(request.body()));
        set(&options, "signal", get(&controller, "signal"));
        set(&options, "redirect", "manual".into());
        let abort = AbortOnDrop(Some(controller));

        let lost = |error| Failure::new(Sent::Perhaps, thrown(&error));
        let promise = call(request.url(), &options).map_err(before)?;
        let response = JsFuture::from(promise).await.map_err(lost)?;
        let received: Headers = get(&response, "headers").unchecked_into();
        let mut headers = Vec::new();
        for name in RESPONSE_HEADERS {
            if let Ok(Some(value)) = received.get(name) {
                headers.push((name, value));
            }
        }
        // An answer without a body has null there.
        let body = Some(get(&response, "body")).filter(|body| !body.is_null_or_undefined());
        let reader = body.map(|body| body.unchecked_into::<ReadableStream>().reader());
        let status = response.unchecked_into::<Answered>().status().unwrap_or_default();
        Ok(Response { status, headers, body: Box::new(Local::new(Arriving { reader, abort })) })
    }))
}

/// An array of JavaScript's own with these bytes.
fn bytes(bytes: &[u8]) -> JsValue {
    let array = Uint8Array::new_with_length(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    array.copy_from(bytes);
    array.into()
}

/// Sets a member of an object of our own. Each setter of web-sys would be another import; and inlined this would be written
/// out for each member.
#[inline(never)]
fn set(object: &Object, name: &str, value: JsValue) {
    // It fails only for what is no object, or is frozen.
    let _ = Reflect::set(object, &name.into(), &value);
}

/// A member, `undefined` where there is none. Not inlined, as [`set`].
#[inline(never)]
fn get(object: &JsValue, name: &str) -> JsValue {
    Reflect::get(object, &name.into()).unwrap_or_default()
}

struct Arriving {
    // `None` for an answer without a body.
    reader: Option<Reader>,
    abort: AbortOnDrop,
}

impl Body for Local<Arriving> {
    fn chunk(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, Failure>> {
        Box::pin(Local::new(async move {
            let lost = |error| Failure::new(Sent::Perhaps, thrown(&error));
            if let Some(reader) = &self.reader {
                let step = JsFuture::from(reader.read()).await.map_err(lost)?;
                let chunk = get(&step, "value");
                // At the end it is undefined.
                if !chunk.is_null_or_undefined() {
                    return Ok(Some(Bytes::from_owner(chunk.unchecked_into::<Uint8Array>().to_vec())));
                }
            }
            self.abort.disarm();
            Ok(None)
        }))
    }
}

/// Aborts the request when the caller has lost interest in it.
struct AbortOnDrop(Option<AbortController>);

impl AbortOnDrop {
    fn disarm(&mut self) {
        self.0 = None;
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        if let Some(controller) = &self.0 {
            controller.abort();
        }
    }
}

/// What JavaScript threw, as text: the message of an error, or a string.
fn thrown(value: &JsValue) -> String {
    let message = get(value, "message").as_string();
    message.or_else(|| value.as_string()).unwrap_or_else(|| "fetch failed".to_owned())
}

/// `Date.now`, `setTimeout` and `Math.random`.
pub(super) struct SystemClock;

impl Clock for SystemClock {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the date is positive and fits 53 bits"
    )]
    fn now_ms(&self) -> u64 {
        js_sys::Date::now() as u64
    }

    #[allow(clippy::cast_precision_loss, reason = "a wait of 2^53 milliseconds does not happen")]
    fn sleep(&self, milliseconds: u64) -> BoxFuture<'_, ()> {
        Box::pin(Local::new(async move {
            // A longer timer would fire at once.
            let milliseconds = milliseconds.min(i32::MAX.unsigned_abs().into()) as f64;
            let mut timer = Timer(JsValue::UNDEFINED);
            // The constructor that wasm-bindgen makes promises of futures by: another would be another import.
            let promise = Promise::new_typed::<JsValue>(&mut |resolve, _reject| {
                timer.0 = set_timeout(resolve.unchecked_ref(), milliseconds);
            });
            // A promise made from `resolve` alone is never rejected.
            let _ = JsFuture::from(promise).await;
        }))
    }

    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the product lies in 0 to 2^32 - 1"
    )]
    fn random(&self) -> u32 {
        (js_sys::Math::random() * 4_294_967_296.0) as u32
    }
}

/// A timer that does not outlive the wait: it would keep a Node process and a Worker's request alive.
struct Timer(JsValue);

impl Drop for Timer {
    fn drop(&mut self) {
        clear_timeout(&self.0);
    }
}
