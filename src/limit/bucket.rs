//! A bucket with a name: what it is for, and the same at every gateway and after every reload.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;

use super::token_bucket::{Pace, TokenBucket};
use crate::store::Ask;

/// Buckets by method, `/pets/GET`. The operator names them all: a fast hash will do.
pub type Buckets = HashMap<Box<str>, Arc<Bucket>, RandomState>;

/// Whose limit it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// A usage plan's, of one key and method.
    PlanMethod,
    /// A usage plan's, of one key.
    Plan,
    /// A usage plan's quota.
    Quota,
    /// The stage's, of one method or route.
    Stage,
    /// The account's.
    Account,
    /// One of `rateLimits` or `x-tollgate-rate-limit`.
    Rule,
    /// The store did not answer.
    Store,
}

impl Scope {
    /// All of them, each at its own place.
    pub const ALL: [Self; 7] = [
        Self::PlanMethod,
        Self::Plan,
        Self::Quota,
        Self::Stage,
        Self::Account,
        Self::Rule,
        Self::Store,
    ];

    /// Its name in logs and `RateLimit` headers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PlanMethod => "usage-plan-method",
            Self::Plan => "usage-plan",
            Self::Quota => "quota",
            Self::Stage => "stage",
            Self::Account => "account",
            Self::Rule => "rate-limit",
            Self::Store => "store",
        }
    }
}

/// A token bucket with a name.
#[derive(Debug)]
pub struct Bucket {
    /// The same at every gateway that shares a store.
    pub name: Box<str>,
    /// Whose limit it is.
    pub scope: Scope,
    /// Its state in this process.
    pub tokens: TokenBucket,
}

impl Bucket {
    /// A full one.
    pub fn full(name: impl Into<Box<str>>, scope: Scope, pace: Pace) -> Self {
        Self {
            name: name.into(),
            scope,
            tokens: TokenBucket::full(pace),
        }
    }

    /// The question to a shared store.
    pub(super) fn ask(&self) -> Ask {
        ask(self.name.to_string(), self.tokens.pace())
    }
}

/// The question to a shared store.
pub(super) fn ask(name: String, pace: Pace) -> Ask {
    // A bucket that never fills is, to a store, one that takes a year.
    const YEAR: Duration = Duration::from_secs(365 * 86_400);
    let interval = if pace.rate() > 0.0 {
        Duration::from_secs_f64((1.0 / pace.rate()).min(YEAR.as_secs_f64()))
    } else {
        YEAR
    };
    Ask::Bucket {
        name,
        interval,
        burst: pace.burst(),
    }
}
