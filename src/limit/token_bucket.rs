//! Token buckets: how fast a caller may send requests.
//!
//! API Gateway throttles with a token bucket for each scope (account, method of
//! a stage, usage-plan key): `burst` is the bucket's size and `rate` its refill
//! per second. This file holds one bucket and nothing else: which buckets a
//! request must pass is [`limit`](super)'s business, and whether their state
//! lives here or in a shared store the [`store`](crate::store)'s.
//!
//! A bucket is one number, the time at which it will be full again (the generic
//! cell rate algorithm, GCRA). That number says as much as a level and the time
//! of its last change, and one compare-and-swap moves it: no lock, and exactly
//! `burst` of any number of simultaneous requests pass.
//!
//! Source of the rule: API Gateway developer guide, "Throttle requests to your
//! REST APIs for better throughput in API Gateway".

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The longest that a bucket may take to fill, 146 years in nanoseconds: sums of
/// times stay in 64 bits.
const LONGEST: u64 = 1 << 62;

/// How fast a bucket fills, and how large it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    rate: f64,
    burst: u32,
    /// Nanoseconds for one token.
    interval: u64,
    /// Nanoseconds from empty to full.
    window: u64,
}

impl Pace {
    /// `rate` tokens a second, `burst` tokens at most.
    ///
    /// A burst of 0 lets nobody pass; a rate of 0 (or below, or no number) never
    /// gives a token back. The interval between two tokens is rounded to
    /// nanoseconds, so rates above a thousand million count as that.
    pub fn new(rate: f64, burst: u32) -> Self {
        let never = LONGEST / u64::from(burst.max(1));
        let interval = if rate > 0.0 {
            // A float beyond the range of u64 saturates.
            ((1e9 / rate).round() as u64).clamp(1, LONGEST)
        } else {
            never
        };
        Self {
            rate: rate.max(0.0),
            burst,
            interval,
            window: interval.saturating_mul(u64::from(burst)).min(LONGEST),
        }
    }

    /// Tokens a second.
    pub fn rate(self) -> f64 {
        self.rate
    }

    /// The bucket's size.
    pub fn burst(self) -> u32 {
        self.burst
    }

    /// From empty to full; [`Duration::MAX`] where that never happens.
    pub fn window(self) -> Duration {
        if self.rate > 0.0 {
            Duration::from_nanos(self.window)
        } else {
            Duration::MAX
        }
    }

    /// When the bucket will be full once a token is taken at `now` from one that
    /// will be full at `full_at`, all in nanoseconds.
    ///
    /// # Errors
    ///
    /// How long until a token is there, or [`Duration::MAX`] when none will ever be.
    pub fn take(self, full_at: u64, now: u64) -> Result<u64, Duration> {
        let after = full_at.max(now).saturating_add(self.interval);
        let until_full = after - now;
        if until_full <= self.window {
            return Ok(after);
        }
        if self.burst == 0 || self.rate <= 0.0 {
            return Err(Duration::MAX);
        }
        Err(Duration::from_nanos(until_full - self.window))
    }

    /// When a bucket will be full once a token is given back.
    pub fn give_back(self, full_at: u64) -> u64 {
        full_at.saturating_sub(self.interval)
    }

    /// When a bucket of another pace is full that has the tokens of one of this pace,
    /// as many as it holds. One that is full stays full.
    pub(super) fn carry_over(self, full_at: u64, to: Self, now: u64) -> u64 {
        let tokens = self.tokens(full_at, now);
        if tokens >= u64::from(self.burst) {
            return now;
        }
        let kept = tokens.min(u64::from(to.burst));
        let missing = to.window.saturating_sub(kept.saturating_mul(to.interval));
        now.saturating_add(missing)
    }

    /// The whole tokens that are there at `now`.
    fn tokens(self, full_at: u64, now: u64) -> u64 {
        let missing = full_at.saturating_sub(now).min(self.window);
        (self.window - missing) / self.interval
    }
}

/// A bucket in this process's memory.
#[derive(Debug)]
pub struct TokenBucket {
    pace: Pace,
    /// When it will be full, in nanoseconds of the caller's clock.
    full_at: AtomicU64,
    /// The latest time anybody came with.
    latest: AtomicU64,
}

/// A token that was taken, to be given back if another limit refuses the request.
#[derive(Clone, Copy, Debug)]
#[must_use = "a token is kept, or given back with `refund`"]
pub struct Taken {
    full_at: u64,
}

impl TokenBucket {
    /// A full bucket.
    pub fn full(pace: Pace) -> Self {
        Self {
            pace,
            full_at: AtomicU64::new(0),
            latest: AtomicU64::new(0),
        }
    }

    /// A bucket of another pace with the tokens of this one, as many as it holds.
    pub fn with_pace(&self, pace: Pace, now: Duration) -> Self {
        let now = nanoseconds(now).max(self.latest.load(Ordering::Acquire));
        let full_at = self.full_at.load(Ordering::Acquire);
        Self {
            pace,
            full_at: AtomicU64::new(self.pace.carry_over(full_at, pace, now)),
            latest: AtomicU64::new(now),
        }
    }

    /// Its rate and size.
    pub fn pace(&self) -> Pace {
        self.pace
    }

    /// Takes one token at time `now`.
    ///
    /// A `now` before the latest call counts as that call's time. Of calls that
    /// race exactly as many pass as there are tokens.
    ///
    /// # Errors
    ///
    /// How long until a token is there, or [`Duration::MAX`] when none will
    /// ever be. Nothing is taken then.
    pub fn take(&self, now: Duration) -> Result<Taken, Duration> {
        let now = nanoseconds(now);
        self.latest.fetch_max(now, Ordering::AcqRel);
        let mut full_at = self.full_at.load(Ordering::Acquire);
        loop {
            // Read after `full_at`: whoever moved that had moved `latest` before, so a
            // request never judges tokens by an earlier time than they were taken at.
            let now = self.latest.load(Ordering::Acquire);
            let after = self.pace.take(full_at, now)?;
            match self.full_at.compare_exchange_weak(
                full_at,
                after,
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => return Ok(Taken { full_at: after }),
                Err(moved) => full_at = moved,
            }
        }
    }

    /// How long until a token is there; nothing is taken.
    ///
    /// # Errors
    ///
    /// As [`TokenBucket::take`].
    pub fn peek(&self, now: Duration) -> Result<(), Duration> {
        let full_at = self.full_at.load(Ordering::Acquire);
        let now = nanoseconds(now).max(self.latest.load(Ordering::Acquire));
        self.pace.take(full_at, now).map(|_| ())
    }

    /// Gives a token back.
    ///
    /// Where the bucket has filled up since, nothing changes: the token came back
    /// by itself, and a second one would let one request too many pass.
    pub fn refund(&self, taken: Taken) {
        let mut full_at = self.full_at.load(Ordering::Acquire);
        while self.latest.load(Ordering::Acquire) <= taken.full_at {
            let before = self.pace.give_back(full_at);
            match self.full_at.compare_exchange_weak(
                full_at,
                before,
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => return,
                Err(moved) => full_at = moved,
            }
        }
    }
}

/// Saturates in the year 2554.
pub(super) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::AtomicUsize;

    use proptest::prelude::*;

    use super::*;

    fn milliseconds(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn refuses_after_the_burst_and_says_how_long_to_wait() {
        let bucket = TokenBucket::full(Pace::new(10.0, 2));

        assert!(bucket.take(Duration::ZERO).is_ok());
        assert!(bucket.take(Duration::ZERO).is_ok());
        assert_eq!(bucket.take(Duration::ZERO).err(), Some(milliseconds(100)));

        assert!(bucket.take(milliseconds(100)).is_ok());
    }

    #[test]
    fn holds_no_more_than_its_size() {
        let bucket = TokenBucket::full(Pace::new(1000.0, 3));
        let hour = Duration::from_secs(3600);

        let passed = (0..10).filter(|_| bucket.take(hour).is_ok()).count();

        assert_eq!(passed, 3);
    }

    #[test]
    fn a_bucket_of_size_0_never_lets_anybody_pass() {
        let bucket = TokenBucket::full(Pace::new(5.0, 0));

        assert_eq!(bucket.take(Duration::ZERO).err(), Some(Duration::MAX));
        assert_eq!(
            bucket.take(Duration::from_secs(9)).err(),
            Some(Duration::MAX)
        );
    }

    #[test]
    fn a_rate_of_0_never_gives_tokens_back() {
        let bucket = TokenBucket::full(Pace::new(0.0, 2));
        let year = Duration::from_secs(365 * 86_400);

        assert!(bucket.take(Duration::ZERO).is_ok());
        assert!(bucket.take(Duration::ZERO).is_ok());
        assert_eq!(bucket.take(year).err(), Some(Duration::MAX));
    }

    #[test]
    fn a_time_before_the_latest_counts_as_the_latest() {
        let bucket = TokenBucket::full(Pace::new(1.0, 2));

        assert!(bucket.take(milliseconds(5000)).is_ok());
        assert!(bucket.take(milliseconds(4000)).is_ok());
        assert_eq!(
            bucket.take(milliseconds(4000)).err(),
            Some(milliseconds(1000))
        );
    }

    #[test]
    fn a_refund_lets_the_next_one_pass_at_once() {
        let bucket = TokenBucket::full(Pace::new(1.0, 1));
        let taken = bucket.take(milliseconds(100)).unwrap();

        bucket.refund(taken);

        assert!(bucket.take(milliseconds(100)).is_ok());
    }

    #[test]
    fn a_late_refund_gives_nothing_to_a_bucket_that_filled_up_meanwhile() {
        let bucket = TokenBucket::full(Pace::new(10.0, 1));
        let taken = bucket.take(milliseconds(0)).unwrap();
        assert!(bucket.take(milliseconds(150)).is_ok());

        bucket.refund(taken);

        assert!(bucket.take(milliseconds(150)).is_err());
    }

    #[test]
    fn another_pace_keeps_the_tokens_that_fit() {
        let now = milliseconds(1000);
        let bucket = TokenBucket::full(Pace::new(1.0, 5));
        for _ in 0..2 {
            assert!(bucket.take(now).is_ok());
        }

        let smaller = bucket.with_pace(Pace::new(1.0, 2), now);
        let larger = bucket.with_pace(Pace::new(1.0, 50), now);

        assert_eq!((0..9).filter(|_| smaller.take(now).is_ok()).count(), 2);
        assert_eq!((0..9).filter(|_| larger.take(now).is_ok()).count(), 3);
    }

    /// A bucket as the guide tells it: a level that time raises and requests lower.
    struct Simulation {
        interval: u128,
        size: u128,
        level: u128,
        last: u128,
    }

    impl Simulation {
        fn new(pace: Pace) -> Self {
            let size = u128::from(pace.interval) * u128::from(pace.burst);
            Self {
                interval: pace.interval.into(),
                size,
                level: size,
                last: 0,
            }
        }

        fn take(&mut self, now: u128) -> bool {
            let now = now.max(self.last);
            self.level = (self.level + now - self.last).min(self.size);
            self.last = now;
            let there = self.level >= self.interval;
            if there {
                self.level -= self.interval;
            }
            there
        }
    }

    proptest! {
        #[test]
        fn passes_what_a_simulated_bucket_passes(
            rate in prop_oneof![0.001_f64..2.0, 1.0_f64..20_000.0],
            burst in 0_u32..40,
            steps in proptest::collection::vec((0_u64..3_000_000_000, any::<bool>()), 1..300),
        ) {
            let pace = Pace::new(rate, burst);
            let bucket = TokenBucket::full(pace);
            let mut simulation = Simulation::new(pace);
            let mut now: u64 = 1_000_000_000;

            for (step, back) in steps {
                now = if back { now.saturating_sub(step / 1000) } else { now + step / 7 };
                let passed = bucket.take(Duration::from_nanos(now)).is_ok();
                prop_assert_eq!(passed, simulation.take(now.into()));
            }
        }

        #[test]
        fn the_wait_it_names_is_the_shortest(
            rate in 0.01_f64..5_000.0,
            burst in 1_u32..20,
            start in 0_u64..1_000_000_000_000,
        ) {
            let bucket = TokenBucket::full(Pace::new(rate, burst));
            let start = Duration::from_nanos(start);
            while bucket.take(start).is_ok() {}
            let wait = bucket.take(start).unwrap_err();
            let nanosecond = Duration::from_nanos(1);

            prop_assert!(bucket.peek(start + wait - nanosecond).is_err());
            prop_assert!(bucket.take(start + wait).is_ok());
        }

        #[test]
        fn taking_and_giving_back_leaves_a_bucket_as_it_was(
            burst in 1_u32..10,
            times in proptest::collection::vec(0_u64..2_000_000_000, 1..60),
        ) {
            let pace = Pace::new(3.0, burst);
            let (plain, with_refunds) = (TokenBucket::full(pace), TokenBucket::full(pace));
            let mut now = Duration::from_secs(1);

            for step in times {
                now += Duration::from_nanos(step / 4);
                if let Ok(taken) = with_refunds.take(now) {
                    with_refunds.refund(taken);
                }
                prop_assert_eq!(plain.take(now).is_ok(), with_refunds.take(now).is_ok());
            }
        }
    }

    #[test]
    fn of_many_simultaneous_requests_exactly_the_burst_passes() {
        const THREADS: usize = 8;
        const EACH: usize = 2000;
        for round in 0..20_u64 {
            let burst = 1 + (round as u32 * 97) % 5000;
            let bucket = TokenBucket::full(Pace::new(0.000_001, burst));
            let (passed, begin) = (AtomicUsize::new(0), Barrier::new(THREADS));

            std::thread::scope(|scope| {
                for thread in 0..THREADS as u64 {
                    let (bucket, passed, begin) = (&bucket, &passed, &begin);
                    scope.spawn(move || {
                        begin.wait();
                        for turn in 0..EACH as u64 {
                            // Clocks that differ from thread to thread, by microseconds.
                            let now = Duration::from_nanos(
                                1_000_000_000 + (turn * 31 + thread * 977) % 4096,
                            );
                            if bucket.take(now).is_ok() {
                                passed.fetch_add(1, Ordering::Relaxed);
                            }
                        }
                    });
                }
            });

            assert_eq!(passed.into_inner(), burst as usize, "burst {burst}");
        }
    }

    #[test]
    fn refunds_in_a_race_never_let_more_pass_than_the_burst() {
        const THREADS: usize = 8;
        let burst = 100;
        let bucket = TokenBucket::full(Pace::new(0.000_001, burst));
        let (kept, begin) = (AtomicUsize::new(0), Barrier::new(THREADS));

        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let (bucket, kept, begin) = (&bucket, &kept, &begin);
                scope.spawn(move || {
                    begin.wait();
                    for turn in 0..3000 {
                        let Ok(taken) = bucket.take(Duration::from_secs(1)) else {
                            continue;
                        };
                        if (turn + thread) % 3 == 0 {
                            kept.fetch_add(1, Ordering::Relaxed);
                        } else {
                            bucket.refund(taken);
                        }
                    }
                });
            }
        });
        let rest = (0..1000)
            .filter(|_| bucket.take(Duration::from_secs(1)).is_ok())
            .count();

        assert_eq!(kept.into_inner() + rest, burst as usize);
    }
}
