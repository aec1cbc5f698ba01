//! The one place that asks what time it is.
//!
//! Rooms get a [`Clock`] handed in, so that a test decides the time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Tells the wall-clock time.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The system's clock.
    #[default]
    System,
    /// Always this time since 1970.
    Fixed(Duration),
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
        }
    }
}
