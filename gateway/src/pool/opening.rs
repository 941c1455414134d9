//! Opening connections for the requests that wait for one.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use onetrip_wire::problem::Code;
use tokio::time::Instant;

use super::lease::Lease;
use super::role_pool::{RolePool, State};
use crate::credentials::Credentials;
use crate::failure::Failure;

/// How long after a failure no other connection is opened while there are some.
const PAUSE: Duration = Duration::from_millis(500);

impl RolePool {
    /// Opens connections where requests wait and there is room.
    pub(super) fn open_more(self: &Arc<Self>, state: &mut State) {
        let size = usize::try_from(self.context.config.pool_size).unwrap_or(usize::MAX);
        let paused = state.open > 0 && state.open_after.is_some_and(|after| Instant::now() < after);
        while !paused && state.open < size && state.opening < state.waiting.len() {
            let Some(waiting) = state.waiting.get(state.opening) else { return };
            let credentials = waiting.credentials.clone();
            state.open += 1;
            state.opening += 1;
            tokio::spawn(open(Opening { pool: self.clone(), credentials, over: false }));
        }
    }

    /// Opens no connection for a while, and then those for which requests still wait: nothing else need happen by then.
    fn pause(self: &Arc<Self>, state: &mut State) {
        let now = Instant::now();
        if state.open_after.is_some_and(|after| now < after) {
            // Somebody sees to that already.
            return;
        }
        let after = now + PAUSE;
        state.open_after = Some(after);
        let pool = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep_until(after).await;
            pool.open_more(&mut pool.state());
        });
    }
}

/// Opens a connection for whoever waits.
async fn open(mut opening: Opening) {
    let (pool, credentials) = (opening.pool.clone(), opening.credentials.clone());
    let permit = pool.context.logins.acquire().await;
    if opening.is_in_vain() {
        return;
    }
    let begun = Instant::now();
    let opened = pool.context.login(&credentials).await;
    let taken = begun.elapsed();
    drop(permit);
    match opened {
        Ok(connection) => {
            opening.succeed();
            pool.context.prove(&pool, &credentials);
            pool.hand_out(Lease::new(connection, pool.clone()), taken);
        }
        Err(failure) => opening.fail(&failure),
    }
}

/// A connection that is being opened, and counted so. Whatever becomes of that, the count is right afterwards.
struct Opening {
    pool: Arc<RolePool>,
    credentials: Arc<Credentials>,
    over: bool,
}

impl Opening {
    /// Whether others were quicker, or nobody waits any longer; then it is over.
    fn is_in_vain(&mut self) -> bool {
        let mut state = self.pool.state();
        if !state.waiting.is_empty() {
            return false;
        }
        state.opening -= 1;
        state.open -= 1;
        self.over = true;
        true
    }

    fn succeed(&mut self) {
        let mut state = self.pool.state();
        state.opening -= 1;
        state.open_after = None;
        self.over = true;
    }

    fn fail(&mut self, failure: &Failure) {
        let mut state = self.pool.state();
        state.opening -= 1;
        state.open -= 1;
        self.over = true;
        let told = if failure.code == Code::InvalidCredentials {
            // PostgreSQL does not take this password any longer; a newer one may have been proven since.
            state.proof = None;
            let (told, waiting) = std::mem::take(&mut state.waiting)
                .into_iter()
                .partition(|waiting| waiting.credentials.password() == self.credentials.password());
            state.waiting = waiting;
            self.pool.open_more(&mut state);
            told
        } else if state.open > 0 && failure.code == Code::DatabaseUnreachable {
            // There are others, or there will be: the first in line gets one of those.
            self.pool.pause(&mut state);
            VecDeque::new()
        } else {
            std::mem::take(&mut state.waiting)
        };
        drop(state);
        for waiting in told {
            // Who went away needs no failure either.
            let _ = waiting.hand.send(Err(failure.clone()));
        }
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        if !self.over {
            // It panicked, or the runtime ends. Who waits must not do so for ever, and the place must not be lost.
            self.fail(&Failure::new(
                Code::Internal,
                "the endpoint gave up opening a connection; its log may say why",
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Deadline;
    use super::super::database::tests::{credentials, unreachable};

    #[test]
    fn a_login_that_panics_leaves_no_trace_in_the_pool_and_nobody_waiting() {
        let pool = unreachable().pool();
        // Without a clock the login panics.
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let until =
                Deadline::default().within(tokio::time::Instant::now(), std::time::Duration::from_secs(60));
            let _place = pool.queue(&credentials("app", "secret"), until, None, false).unwrap();
            let counts = || {
                let state = pool.state();
                (state.open, state.opening)
            };
            assert_eq!(counts(), (1, 1));
            while !pool.state().waiting.is_empty() {
                tokio::task::yield_now().await;
            }
            assert_eq!(counts(), (0, 0));
        });
    }
}
