//! How often a user's password may be guessed.
//!
//! Source: Cognito developer guide, "Things to know about authentication with user
//! pools", lockout behavior for failed sign-in attempts: the fifth failure in a row locks
//! the user out for a second, each that follows for twice as long, up to about a quarter of an
//! hour. Attempts while he is locked out are refused and do not count.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::PoolFault;

/// Failures before the first lockout.
const FREE: u32 = 4;
/// The first lockout, in milliseconds; each that follows is twice as long.
const SHORTEST: u64 = 1000;
/// "A maximum of approximately 15 minutes"; so long without an attempt and all is forgotten.
const LONGEST: u64 = 15 * 60 * 1000;
/// More than a pool has users.
const MOST_NAMES: usize = 20_000;

/// Failed attempts by the user's name. Times are milliseconds since 1970.
///
/// They live as long as the process. Names that nobody has are counted apart from those
/// of users, so that a flood of made-up ones makes nobody's failures forgotten.
#[derive(Debug, Default)]
pub(super) struct Attempts(Mutex<HashMap<String, Failures>>);

#[derive(Debug, Default)]
struct Failures {
    number: u32,
    last: u64,
    locked_until: u64,
}

impl Attempts {
    /// Whether the user's password may be tried now.
    ///
    /// # Errors
    ///
    /// `NotAuthorizedException`, as Cognito words it.
    pub(super) fn allow(&self, username: &str, now: u64) -> Result<(), PoolFault> {
        let mut failures = self.lock();
        let Some(own) = failures.get_mut(username) else {
            return Ok(());
        };
        if own.last.saturating_add(LONGEST) <= now {
            failures.remove(username);
            return Ok(());
        }
        own.last = own.last.max(now);
        if now < own.locked_until {
            return Err(PoolFault::not_authorized("Password attempts exceeded"));
        }
        Ok(())
    }

    /// The password was another.
    pub(super) fn failed(&self, username: &str, now: u64) {
        let mut failures = self.lock();
        failures.retain(|_, one| one.last.saturating_add(LONGEST) > now);
        if failures.len() >= MOST_NAMES && !failures.contains_key(username) {
            failures.clear();
        }
        let own = failures.entry(username.to_owned()).or_default();
        own.number = own.number.saturating_add(1);
        own.last = now;
        if let Some(doublings) = own.number.checked_sub(FREE + 1) {
            let long = SHORTEST.checked_shl(doublings.min(20)).unwrap_or(LONGEST);
            own.locked_until = now.saturating_add(long.min(LONGEST));
        }
    }

    /// The password was right.
    pub(super) fn succeeded(&self, username: &str) {
        self.lock().remove(username);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Failures>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails as often as one may, and tells at which moments: after the first free ones,
    /// as soon as each lockout is over.
    fn lockouts(attempts: &Attempts, number: usize) -> Vec<u64> {
        let mut now = 0;
        let mut waits = Vec::new();
        for _ in 0..number {
            let since = now;
            while attempts.allow("alice", now).is_err() {
                now += 500;
            }
            waits.push(now - since);
            attempts.failed("alice", now);
        }
        waits
    }

    #[test]
    fn lockouts_begin_with_the_fifth_failure_and_double() {
        let waits = lockouts(&Attempts::default(), 17);

        assert_eq!(waits[..5], [0; 5]);
        assert_eq!(waits[5..10], [1000, 2000, 4000, 8000, 16_000]);
        assert!(waits[14..].iter().all(|wait| *wait <= LONGEST), "{waits:?}");
        assert_eq!(waits[14], 512_000);
        assert_eq!(waits[15], LONGEST);
    }

    #[test]
    fn a_right_password_and_a_quarter_of_an_hour_without_any_forget_them() {
        let attempts = Attempts::default();
        for _ in 0..5 {
            attempts.failed("alice", 1000);
        }
        assert!(attempts.allow("alice", 1500).is_err());
        assert!(attempts.allow("bob", 1500).is_ok());
        attempts.succeeded("alice");
        assert!(attempts.allow("alice", 1500).is_ok());

        for _ in 0..8 {
            attempts.failed("alice", 2000);
        }
        // An attempt while he is locked out keeps the memory of the others.
        assert!(attempts.allow("alice", 9000).is_err());
        assert!(attempts.allow("alice", 10_000).is_ok());
        attempts.failed("alice", 10_000);
        assert!(attempts.allow("alice", 10_000 + 15_999).is_err());
        assert!(attempts.allow("alice", 26_000 + LONGEST).is_ok());
        attempts.failed("alice", 26_000 + LONGEST);
        assert!(attempts.allow("alice", 26_000 + LONGEST).is_ok());
    }

    #[test]
    fn names_that_failed_long_ago_are_no_longer_held() {
        let attempts = Attempts::default();
        for user in 0..100 {
            attempts.failed(&user.to_string(), 0);
        }
        attempts.failed("late", LONGEST);

        assert_eq!(attempts.lock().len(), 1);
        for user in 0..MOST_NAMES * 2 {
            let mut failures = attempts.lock();
            failures.insert(
                user.to_string(),
                Failures {
                    last: LONGEST,
                    ..Failures::default()
                },
            );
            if failures.len() == MOST_NAMES {
                break;
            }
        }
        attempts.failed("one more", LONGEST);
        assert_eq!(attempts.lock().len(), 1);
    }
}
