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
///
/// No wake-up is lost. It finds one of three states:
/// - `RESTING`: no poll is under way, and none is due. It wakes the task, whose next poll is after it.
/// - `POLLED`: a poll is under way. Its end finds the state changed and polls again.
/// - `WOKEN`: somebody else has found one of the former two, so that a poll is due that has not begun, for each poll begins
///   with `POLLED`.
///
/// And what was written before a wake-up is seen by the poll that is due to it: a wake-up always writes the state, in the third
/// case, too, and a poll reads the last of what was written.
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
            self.state.swap(POLLED, Ordering::AcqRel);
            if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(waker)) {
                return Poll::Ready(output);
            }
            let rested =
                self.state.compare_exchange(POLLED, RESTING, Ordering::AcqRel, Ordering::Acquire).is_ok();
            if rested {
                return Poll::Pending;
            }
        }
        // The state is `WOKEN`, and stays so until the poll that this leads to.
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Wake for Latch {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.state.swap(WOKEN, Ordering::AcqRel) == RESTING {
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

    #[test]
    fn who_wakes_from_two_threads_at_any_moment_is_polled_for_each_change() {
        const CHANGES: usize = 100_000;
        // Unpark before park is not forgotten, so that this executor loses no wake-up of its own.
        struct Unpark(std::thread::Thread);
        impl Wake for Unpark {
            fn wake(self: Arc<Self>) {
                self.0.unpark();
            }
        }
        let task = Waker::from(Arc::new(Unpark(std::thread::current())));
        let made = Arc::new(AtomicUsize::new(0));
        let registered: Arc<Mutex<Option<Waker>>> = Arc::default();
        let seen = Arc::new(AtomicUsize::new(0));
        let threads: Vec<_> = (0..2)
            .map(|thread| {
                let (made, registered, seen) = (made.clone(), registered.clone(), seen.clone());
                std::thread::spawn(move || {
                    for change in 0..CHANGES {
                        made.fetch_add(1, Ordering::Relaxed);
                        let waker = registered.lock().unwrap().clone();
                        if let Some(waker) = waker {
                            waker.wake();
                        }
                        // Now and then the poller comes to rest first.
                        while thread == 0 && change % 50 == 0 && seen.load(Ordering::Relaxed) <= change {
                            std::thread::yield_now();
                        }
                    }
                })
            })
            .collect();
        let mut outer = pin!(repolled(std::future::poll_fn(|context| {
            *registered.lock().unwrap() = Some(context.waker().clone());
            let now = made.load(Ordering::Relaxed);
            seen.store(now, Ordering::Relaxed);
            if now == 2 * CHANGES { Poll::Ready(()) } else { Poll::Pending }
        })));
        while outer.as_mut().poll(&mut Context::from_waker(&task)).is_pending() {
            let begun = std::time::Instant::now();
            std::thread::park_timeout(std::time::Duration::from_secs(20));
            assert!(begun.elapsed() < std::time::Duration::from_secs(20), "a wake-up was lost");
        }
        for thread in threads {
            thread.join().unwrap();
        }
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
