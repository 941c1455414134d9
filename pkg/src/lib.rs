//! The WebAssembly inside the npm package `onetrip`: what JavaScript shares with Rust, and nothing else.
//!
//! This is the only crate with `#[wasm_bindgen]` exports, and nothing depends on it. It holds no logic: each export
//! hands numbers and bytes to `onetrip-wire` or to the driver's retry policy. Numbers cross as `f64`, −1 standing for
//! "none"; bytes cross through the module's memory. It is loaded only when an endpoint sends frames or a request failed (pkg/ts/wasm.ts).

#![cfg_attr(all(target_arch = "wasm32", not(test)), no_std)]

extern crate alloc;

#[cfg(target_arch = "wasm32")]
mod allocator;
mod frames;
mod retry;

pub use frames::{encode, input, output, problem_at, start};
pub use retry::retry_after_ms;

/// A panic is a bug, and a trap for JavaScript, which then starts the module anew. Without std's handler there is no code
/// here that writes messages nobody would see.
#[cfg(all(target_arch = "wasm32", not(test)))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}
