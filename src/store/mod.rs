//! What outlives a request: usage counts, API keys and usage plans that were
//! changed while serving, and limits that several gateways share.
//!
//! | store | usage and changes | limits |
//! | --- | --- | --- |
//! | `memory:` | end with the process | in this process |
//! | `sqlite:PATH` | in a file; survive restarts and `kill -9` | in this process |
//! | `redis://HOST:PORT` | in Redis or Valkey, shared | shared: one script a request |
//!
//! A [`Store`] knows nothing of what its records mean: that is `limit`'s business.

pub mod memory;
pub mod redis;
pub mod sqlite;

use std::fmt;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::settings::{Durability, StoreOptions};

/// Opens the store of an address: `memory:`, `sqlite:PATH`, `redis://HOST:PORT`.
///
/// A Redis that is not there is no error: it may come later.
///
/// # Errors
///
/// Where a file cannot be opened, or the address is none.
pub fn open(address: &str, options: StoreOptions) -> Result<Box<dyn Store>, StoreError> {
    match address.split_once(':') {
        Some(("sqlite", path)) => {
            let strict = options.durability == Durability::Strict;
            let store = sqlite::SqliteStore::open(Path::new(path), strict)?;
            Ok(Box::new(store))
        }
        Some(("redis", _)) => Ok(Box::new(redis::RedisStore::open(
            address,
            options.deadline,
        )?)),
        _ => Ok(Box::new(memory::MemoryStore::default())),
    }
}

/// What a store will have done, or found.
pub type Waiting<'s, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 's>>;

/// Keeps records and usage counts.
pub trait Store: fmt::Debug + Send + Sync {
    /// `memory`, `sqlite`, `redis`: for logs.
    fn name(&self) -> &'static str;

    /// Whether what is written outlives the process.
    fn outlives(&self) -> bool {
        true
    }

    /// Every record.
    fn records(&self) -> Waiting<'_, Vec<Record>>;

    /// Writes records, all or none.
    fn write(&self, records: Vec<Record>) -> Waiting<'_, ()>;

    /// Adds to usage counts, all or none.
    fn add(&self, used: Vec<Used>) -> Waiting<'_, ()>;

    /// Usage by day from `from` to `to`, both included; of one plan, or of all.
    fn used<'s>(&'s self, plan: Option<&'s str>, from: Day, to: Day) -> Waiting<'s, Vec<Used>>;

    /// Notes what an operator granted beyond a quota.
    fn grant(&self, grant: Grant) -> Waiting<'_, ()>;

    /// Every grant for a period that begins at `since` or later.
    fn grants(&self, since: Day) -> Waiting<'_, Vec<Grant>>;

    /// Writes what waits, and lets go of files and connections.
    fn close(&self) -> Waiting<'_, ()>;

    /// The limits that this store decides on for several gateways.
    fn shared(&self) -> Option<&dyn SharedLimits> {
        None
    }
}

/// Decides on limits for several gateways at once.
pub trait SharedLimits: Send + Sync {
    /// Takes from every limit, or from none where one refuses: one round trip.
    fn take(&self, asks: Vec<Ask>) -> Waiting<'_, Verdict>;

    /// Changes whenever a record is written by any gateway.
    fn revision(&self) -> Waiting<'_, u64>;
}

/// One limit of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    /// A token bucket.
    Bucket {
        /// The same at every gateway.
        name: String,
        /// From one token to the next.
        interval: Duration,
        /// The bucket's size; 0 lets nobody pass.
        burst: u32,
    },
    /// A usage count, with or without a limit.
    Quota {
        /// The plan's id.
        plan: String,
        /// The key's id.
        key: String,
        /// Where the request counts.
        day: Day,
        /// The first day of the quota's period.
        period: Day,
        /// Requests in the period; `None` counts without limit.
        limit: Option<u64>,
    },
}

/// What shared limits say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The first limit that refuses, by its place in the question, and how long until it would not.
    pub refused: Option<(usize, Duration)>,
    /// Requests counted in the quota's period so far.
    pub used: u64,
    /// As [`SharedLimits::revision`].
    pub revision: u64,
}

/// A day, counted from 1970-01-01 UTC.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Day(pub i32);

impl Day {
    /// The day of a time since 1970.
    pub fn of(now: Duration) -> Self {
        Self(i32::try_from(now.as_secs() / 86_400).unwrap_or(i32::MAX))
    }

    /// Midnight at its begin, since 1970.
    pub fn begins(self) -> Duration {
        Duration::from_secs(u64::try_from(self.0).unwrap_or(0) * 86_400)
    }

    /// Year, month and day. Years end with 9999.
    pub fn civil(self) -> jiff::civil::Date {
        jiff::civil::date(1970, 1, 1)
            .saturating_add(jiff::Span::new().days(self.0.clamp(-719_162, 2_932_896)))
    }
}

impl fmt::Display for Day {
    /// `2026-11-24`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.civil().fmt(f)
    }
}

impl FromStr for Day {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no date: YYYY-MM-DD");
        // jiff takes more forms than AWS does.
        if text.len() != 10 {
            return Err(wrong());
        }
        let date: jiff::civil::Date = text.parse().map_err(|_| wrong())?;
        let since = date
            .since((jiff::Unit::Day, jiff::civil::date(1970, 1, 1)))
            .map_err(|_| wrong())?;
        Ok(Self(since.get_days()))
    }
}

/// Requests of a key under a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Used {
    /// The plan's id.
    pub plan: String,
    /// The key's id.
    pub key: String,
    /// The day.
    pub day: Day,
    /// The first day of the quota's period that the day was in.
    pub period: Day,
    /// How many.
    pub count: u64,
}

/// Requests beyond a quota that an operator granted for one period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The plan's id.
    pub plan: String,
    /// The key's id.
    pub key: String,
    /// The first day of the period.
    pub period: Day,
    /// How many; may be below 0.
    pub extra: i64,
}

/// Something that was changed while serving.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    /// `key`, `plan`, `member`.
    pub kind: String,
    /// Its id among its kind.
    pub id: String,
    /// JSON; `None` takes the record away.
    pub body: Option<String>,
}

impl fmt::Debug for Record {
    /// Bodies of keys hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("kind", &self.kind)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// Why a store did not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// It answered with an error, or cannot be reached.
    #[error("the store `{store}` failed: {cause}")]
    Failed {
        /// `sqlite`, `redis`.
        store: &'static str,
        /// What it said.
        cause: String,
    },
    /// It did not answer in time.
    #[error("the store `{store}` did not answer in {limit:?}")]
    Slow {
        /// `sqlite`, `redis`.
        store: &'static str,
        /// The deadline.
        limit: Duration,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_written_as_aws_writes_them() {
        let day: Day = "2026-11-24".parse().unwrap();

        assert_eq!(day, Day(20_781));
        assert_eq!(day.to_string(), "2026-11-24");
        assert_eq!(Day::of(day.begins()), day);
        assert!("24.11.2026".parse::<Day>().is_err());
        assert!("2026-02-30".parse::<Day>().is_err());
    }
}
