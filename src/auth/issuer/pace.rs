//! How often an issuer may be asked.

use std::time::Duration;

use tokio::time::Instant;

/// Fetches for names that turn out to be invented: so many at once,
const BURST: u32 = 2;
/// and one more each time this has passed. So long a new key may be unknown while a flood goes on.
const REFILL: Duration = Duration::from_secs(5);
/// Rest after a failed fetch; doubled by each that follows, up to `LONGEST_REST`.
const SHORTEST_REST: Duration = Duration::from_millis(250);
const LONGEST_REST: Duration = Duration::from_secs(8);

/// Paces the fetches of one issuer.
#[derive(Debug)]
pub(super) struct Pace {
    left: u32,
    refilled: Instant,
    failures: u32,
    rest_until: Option<Instant>,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            left: BURST,
            refilled: now,
            failures: 0,
            rest_until: None,
        }
    }

    /// Whether the issuer rests after a failure.
    pub(super) fn rests(&self, now: Instant) -> bool {
        self.rest_until.is_some_and(|until| now < until)
    }

    /// Whether a fetch may be made for a name that is not known. The `first`
    /// fetch costs nothing.
    pub(super) fn may_ask(&mut self, now: Instant, first: bool) -> bool {
        if self.rests(now) {
            return false;
        }
        if first {
            return true;
        }
        while self.left < BURST && now.duration_since(self.refilled) >= REFILL {
            self.left += 1;
            self.refilled += REFILL;
        }
        if self.left == BURST {
            self.refilled = now;
        }
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        true
    }

    /// The fetch has brought the name it was made for: keys rotate, and that costs nothing.
    pub(super) fn worth_it(&mut self) {
        self.left = (self.left + 1).min(BURST);
    }

    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
        self.rest_until = None;
    }

    pub(super) fn failed(&mut self, now: Instant) {
        let rest = SHORTEST_REST * 2u32.pow(self.failures.min(5));
        self.rest_until = Some(now + rest.min(LONGEST_REST));
        self.failures = self.failures.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invented_names_get_a_few_fetches_and_real_ones_as_many_as_they_need() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        assert!(pace.may_ask(start, true));

        assert!(pace.may_ask(start, false) && pace.may_ask(start, false));
        assert!(!pace.may_ask(start, false));
        assert!(!pace.may_ask(start + REFILL - Duration::from_millis(1), false));
        assert!(pace.may_ask(start + REFILL, false));
        assert!(!pace.may_ask(start + REFILL, false));

        let later = start + REFILL * 10;
        for _ in 0..10 {
            assert!(pace.may_ask(later, false));
            pace.worth_it();
        }
    }

    #[test]
    fn failures_are_followed_by_longer_and_longer_rests() {
        let start = Instant::now();
        let mut pace = Pace::new(start);

        pace.failed(start);
        assert!(!pace.may_ask(start, true));
        assert!(pace.may_ask(start + SHORTEST_REST, true));
        for _ in 0..50 {
            pace.failed(start);
        }
        assert!(pace.rests(start + LONGEST_REST - Duration::from_millis(1)));
        assert!(!pace.rests(start + LONGEST_REST));
        pace.succeeded();
        assert!(!pace.rests(start));
    }
}
