//! The one place that asks what time it is.
//!
//! Rooms get a [`Clock`] handed in, so that a test decides the time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Tells the wall-clock time.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The system's clock.
    #[default]
    System,
    /// Always this time since 1970.
    Fixed(Duration),
    /// The time that a test's hand has set.
    Hand(HandClock),
}

/// A clock that stands still until somebody moves it; clones move together.
#[derive(Clone, Debug, Default)]
pub struct HandClock(Arc<AtomicU64>);

impl HandClock {
    /// A clock that shows `time` since 1970.
    pub fn at(time: Duration) -> Self {
        let clock = Self::default();
        clock.set(time);
        clock
    }

    /// Shows another time since 1970.
    pub fn set(&self, time: Duration) {
        self.0.store(nanoseconds(time), Ordering::SeqCst);
    }

    /// Goes on by `time`.
    pub fn advance(&self, time: Duration) {
        self.0.fetch_add(nanoseconds(time), Ordering::SeqCst);
    }
}

/// Saturates in the year 2554.
fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl Clock {
    /// The time since 1970-01-01T00:00:00Z.
    ///
    /// A system clock that is set before 1970 counts as 1970.
    pub fn since_epoch(&self) -> Duration {
        match self {
            #[expect(
                clippy::disallowed_methods,
                reason = "the one place that reads the clock"
            )]
            Self::System => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default(),
            Self::Fixed(time) => *time,
            Self::Hand(hand) => Duration::from_nanos(hand.0.load(Ordering::SeqCst)),
        }
    }

    /// A time that never goes back: the wall clock's when it was first asked, and
    /// what has passed since. Setting the system's clock does not move it.
    pub fn steady(&self) -> Duration {
        static BEGIN: OnceLock<(Instant, Duration)> = OnceLock::new();
        match self {
            Self::System => {
                let (begin, wall) = BEGIN.get_or_init(|| (Instant::now(), self.since_epoch()));
                *wall + begin.elapsed()
            }
            Self::Fixed(_) | Self::Hand(_) => self.since_epoch(),
        }
    }
}
