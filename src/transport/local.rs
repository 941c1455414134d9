//! JavaScript values in futures that are `Send`, on a target that has one thread.
//!
//! The crate `send_wrapper` does the same and checks the thread each time, for which it takes std's notion of threads: two
//! kilobytes of wasm. With wasm's threads (target feature `atomics`) it is used.

#[cfg(target_feature = "atomics")]
pub(super) use send_wrapper::SendWrapper as Local;

/// What stays on the only thread.
#[cfg(not(target_feature = "atomics"))]
pub(super) use single::Local;

#[cfg(not(target_feature = "atomics"))]
mod single {
    use std::future::Future;
    use std::ops::{Deref, DerefMut};
    use std::pin::Pin;
    use std::task::{Context, Poll};

    pub(in super::super) struct Local<T>(T);

    impl<T> Local<T> {
        pub(in super::super) fn new(value: T) -> Local<T> {
            Local(value)
        }
    }

    // SAFETY: without `atomics` memory is not shared and there is no other thread that the value could be sent to.
    unsafe impl<T> Send for Local<T> {}
    // SAFETY: as above.
    unsafe impl<T> Sync for Local<T> {}

    impl<T> Deref for Local<T> {
        type Target = T;

        fn deref(&self) -> &T {
            &self.0
        }
    }

    impl<T> DerefMut for Local<T> {
        fn deref_mut(&mut self) -> &mut T {
            &mut self.0
        }
    }

    impl<F: Future> Future for Local<F> {
        type Output = F::Output;

        fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
            // SAFETY: the future is never moved out of its place, so it is pinned as long as what it lies in.
            unsafe { self.map_unchecked_mut(|local| &mut local.0) }.poll(context)
        }
    }
}
