//! Whether the store answers. While it does not, nobody waits for it: requests go on
//! without it, and once in a while one of them, or the task that saves, tries again.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::counters::raise;
use super::token_bucket::nanoseconds;
use crate::model::settings::WhenDown;
use crate::store::StoreError;

/// How long a store that failed is left alone.
pub(super) const PAUSE: Duration = Duration::from_secs(1);

/// The store's health. Times are those of the steady clock.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// When it is tried again, in nanoseconds; 0 while it answers.
    again_at: AtomicU64,
}

impl Health {
    pub(super) fn answers(&self) -> bool {
        self.again_at.load(Ordering::Acquire) == 0
    }

    /// Whether a request at `now` may ask the store. Of a store that failed one request
    /// in a [`PAUSE`] asks, and the others do not wait for what becomes of that.
    pub(super) fn may_ask(&self, now: Duration) -> bool {
        let again_at = self.again_at.load(Ordering::Acquire);
        if again_at == 0 {
            return true;
        }
        let next = nanoseconds(now.saturating_add(PAUSE));
        nanoseconds(now) >= again_at
            && self
                .again_at
                .compare_exchange(again_at, next, Ordering::AcqRel, Ordering::Acquire)
                .is_ok()
    }

    /// The store failed at `now`. Says so once.
    pub(super) fn failed(
        &self,
        now: Duration,
        store: &'static str,
        error: &StoreError,
        when_down: WhenDown,
        failures: &AtomicU64,
    ) {
        raise(failures);
        let next = nanoseconds(now.saturating_add(PAUSE));
        if self.again_at.swap(next, Ordering::AcqRel) == 0 {
            let requests = match when_down {
                WhenDown::Open => "limits are this gateway's own meanwhile",
                WhenDown::Closed => "requests that need it are refused meanwhile",
            };
            tracing::error!(store, %error, "the store does not answer: {requests}");
        }
    }

    /// The store answered.
    pub(super) fn answered(&self, store: &'static str) {
        // Looked at first: most requests find it so, and need not write what all share.
        if !self.answers() && self.again_at.swap(0, Ordering::AcqRel) != 0 {
            tracing::info!(store, "the store answers again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail(health: &Health, now: Duration) {
        let error = StoreError::Slow {
            store: "redis",
            limit: PAUSE,
        };
        let failures = AtomicU64::new(0);
        health.failed(now, "redis", &error, WhenDown::Open, &failures);
    }

    #[test]
    fn one_request_in_a_while_asks_a_store_that_failed() {
        let health = Health::default();
        let begin = Duration::from_secs(100);
        assert!(health.may_ask(begin));

        fail(&health, begin);

        let asks = |now: Duration| (0..9).filter(|_| health.may_ask(now)).count();
        assert_eq!(asks(begin + PAUSE / 2), 0);
        assert_eq!(asks(begin + PAUSE), 1);
        assert_eq!(asks(begin + PAUSE * 3 / 2), 0);
        assert_eq!(asks(begin + PAUSE * 2), 1);
        health.answered("redis");
        assert_eq!(asks(begin + PAUSE * 2), 9);
    }
}
