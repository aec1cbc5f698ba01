//! What limits did since the process began, for metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use super::bucket::Scope;

/// A reading of the counters. Numbers only grow, but for `unsaved` and `store_answers`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counters {
    /// Requests that were refused, by whose limit it was; [`Scope::Store`]: the store did
    /// not answer, and the configuration says that nobody passes then.
    pub refused: [(Scope, u64); Scope::ALL.len()],
    /// Requests that this gateway decided on alone, since the store did not answer.
    pub decided_alone: u64,
    /// Calls of the store that failed or took too long.
    pub store_failures: u64,
    /// Counts that are in the store.
    pub saved: u64,
    /// Counts that are not in the store yet: what a crash would lose. None in memory, where
    /// all of them end with the process.
    pub unsaved: u64,
    /// Whether the store answered when it was asked last.
    pub store_answers: bool,
    /// Its kind: `memory`, `sqlite`, `redis`.
    pub store: &'static str,
}

/// The counters that requests raise. A request that passes raises none of them.
#[derive(Debug, Default)]
pub(super) struct Tally {
    refused: [AtomicU64; Scope::ALL.len()],
    pub(super) decided_alone: AtomicU64,
    pub(super) store_failures: AtomicU64,
}

impl Tally {
    pub(super) fn refused(&self, scope: Scope) {
        raise(&self.refused[scope as usize]);
    }

    pub(super) fn refusals(&self) -> [(Scope, u64); Scope::ALL.len()] {
        Scope::ALL.map(|scope| (scope, self.refused[scope as usize].load(Ordering::Relaxed)))
    }
}

/// Adds one.
pub(super) fn raise(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_scope_has_a_counter_of_its_own() {
        let tally = Tally::default();
        for (index, scope) in Scope::ALL.into_iter().enumerate() {
            for _ in 0..=index {
                tally.refused(scope);
            }
        }

        let counts: Vec<u64> = tally.refusals().iter().map(|(_, count)| *count).collect();

        assert_eq!(counts, [1, 2, 3, 4, 5, 6, 7]);
    }
}
