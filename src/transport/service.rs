//! A Worker's service binding: the endpoint without a network hop between Workers.

use js_sys::{Object, Promise};
use wasm_bindgen::{JsCast, JsValue, prelude::wasm_bindgen};

use super::fetch::{self, SystemClock};
use super::local::Local;
use super::{BoxFuture, Clock, Failure, Request, Response, Transport};

#[wasm_bindgen]
extern "C" {
    /// What has a method `fetch`.
    #[derive(Clone)]
    type Binding;

    #[wasm_bindgen(method, catch)]
    fn fetch(this: &Binding, url: &str, options: &Object) -> Result<Promise, JsValue>;
}

/// The transport of a service binding: an object with a method `fetch`, as Workers get it for another Worker, for a VPC
/// service and for a container. The client's URL says role, password and database; its host goes along and leads nowhere.
///
/// # Examples
/// In a Worker of `workers-rs` (feature `worker`), with `[[services]] binding = "ENDPOINT"` in wrangler.toml:
/// ```no_run
/// # #[cfg(all(feature = "worker", target_arch = "wasm32"))]
/// # fn example(env: &worker::Env) -> Result<(), Box<dyn std::error::Error>> {
/// use onetrip::{Client, Config, transport::Service};
/// let config: Config = env.secret("ONETRIP_URL")?.to_string().parse()?;
/// let client = Client::with_transport(config, Service::from(env.service("ENDPOINT")?));
/// # Ok(()) }
/// ```
pub struct Service {
    binding: Local<Binding>,
}

impl Service {
    /// A transport by the binding as JavaScript has it.
    pub fn new(binding: JsValue) -> Service {
        Service { binding: Local::new(binding.unchecked_into()) }
    }
}

#[cfg(feature = "worker")]
impl From<worker::Fetcher> for Service {
    fn from(fetcher: worker::Fetcher) -> Service {
        Service { binding: Local::new(fetcher.into_rpc()) }
    }
}

impl Transport for Service {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, Failure>> {
        let binding = Binding::clone(&self.binding);
        fetch::send(request, move |url, options| binding.fetch(url, options))
    }

    fn clock(&self) -> &dyn Clock {
        &SystemClock
    }
}
