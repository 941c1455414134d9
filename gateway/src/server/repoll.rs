//! Polling again at once what wakes itself, instead of by way of the scheduler.
//!
//! hyper's connection and the handler of a request run in one task and wake each other through the channel of the request's
//! body. For a task that is woken while it runs, tokio queues it again and wakes another thread to take it, which finds
//! nothing: a system call and two switches of context for each request.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// After so many polls in a row others get their turn.
const POLLS: usize = 8;

const RESTING: u8 = 0;
const POLLED: u8 = 1;
const WOKEN: u8 = 2;

/// Runs `future` to its end.
pub(super) async fn repolled<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let latch = Arc::new(Latch { state: AtomicU8::new(RESTING), task: Mutex::new(Waker::noop().clone()) });
    let waker = Waker::from(latch.clone());
    std::future::poll_fn(move |context| latch.poll(future.as_mut(), &waker, context)).await
}

/// Holds back a wake-up that comes during a poll.
struct Latch {
    state: AtomicU8,
    task: Mutex<Waker>,
}

impl Latch {
    fn poll<F: Future>(
        &self,
        mut future: Pin<&mut F>,
        waker: &Waker,
        context: &mut Context<'_>,
    ) -> Poll<F::Output> {
        self.task.lock().unwrap_or_else(PoisonError::into_inner).clone_from(context.waker());
        for _ in 0..POLLS {
            self.state.store(POLLED, Ordering::Release);
            if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(waker)) {
                return Poll::Ready(output);
            }
            let rested =
                self.state.compare_exchange(POLLED, RESTING, Ordering::AcqRel, Ordering::Acquire).is_ok();
            if rested {
                return Poll::Pending;
            }
        }
        self.state.store(RESTING, Ordering::Release);
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Wake for Latch {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let polled = self.state.compare_exchange(POLLED, WOKEN, Ordering::AcqRel, Ordering::Acquire);
        if polled == Err(RESTING) {
            self.task.lock().unwrap_or_else(PoisonError::into_inner).wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    /// Counts how often a task is woken.
    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn polls(wakes: usize) -> (usize, usize, bool) {
        let count = Arc::new(Count::default());
        let waker = Waker::from(count.clone());
        let mut polls = 0;
        let ready = {
            let inner = std::future::poll_fn(|context| {
                polls += 1;
                if polls <= wakes {
                    context.waker().wake_by_ref();
                    context.waker().wake_by_ref();
                }
                if polls == 3 { Poll::Ready(()) } else { Poll::Pending }
            });
            let mut outer = pin!(repolled(inner));
            outer.as_mut().poll(&mut Context::from_waker(&waker)).is_ready()
        };
        (polls, count.0.load(Ordering::Relaxed), ready)
    }

    #[test]
    fn what_wakes_itself_is_polled_again_and_its_task_not_woken() {
        assert_eq!(polls(0), (1, 0, false));
        assert_eq!(polls(1), (2, 0, false));
        assert_eq!(polls(2), (3, 0, true));
    }

    #[test]
    fn what_wakes_itself_for_ever_lets_others_run() {
        let count = Arc::new(Count::default());
        let waker = Waker::from(count.clone());
        let mut polls = 0;
        {
            let inner = std::future::poll_fn(|context| {
                polls += 1;
                context.waker().wake_by_ref();
                Poll::<()>::Pending
            });
            let mut outer = pin!(repolled(inner));
            for _ in 0..3 {
                assert!(outer.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            }
        }
        assert_eq!((polls, count.0.load(Ordering::Relaxed)), (3 * POLLS, 3));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_wake_up_from_elsewhere_is_lost() {
        for _ in 0..2000 {
            let (sender, receiver) = tokio::sync::oneshot::channel();
            let (there, mut back) = tokio::sync::mpsc::channel(1);
            tokio::spawn(async move {
                for number in 0..5 {
                    there.send(number).await.unwrap();
                }
                sender.send(()).unwrap();
            });
            let received = repolled(async {
                let mut sum = 0;
                while let Some(number) = back.recv().await {
                    sum += number;
                }
                receiver.await.unwrap();
                sum
            });
            assert_eq!(received.await, 10);
        }
    }
}
