//! Rate limits that AWS does not have: a bucket for each client address, user,
//! API key, header value or endpoint (`rateLimits`, `x-tollgate-rate-limit`).
//!
//! Whoever has no key of the kind (no token, no such header) shares one bucket
//! with all others who have none: a limit cannot be passed by leaving the header
//! out. IPv6 clients are told apart by the first 64 bits of their address, since
//! that is what one of them usually has to itself.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::bucket::ask;
use super::token_bucket::{Pace, nanoseconds};
use super::usage_plan::Directory;
use crate::event::{Exchange, context_variables};
use crate::model::{RateLimit, RateLimitKey};
use crate::store::Ask;

/// Buckets of one rule at once. Beyond that those that are nearest to being full are forgotten.
const MOST_BUCKETS: usize = 65_536;
const SHARDS: usize = 16;

/// A rate limit, ready for requests.
#[derive(Debug)]
pub struct Rule {
    /// The same at every gateway that shares a store, and after every reload.
    pub name: Box<str>,
    /// Requests in a period, as written.
    pub limit: u32,
    /// The period, as written.
    pub period: Duration,
    source: Source,
    pace: Pace,
    buckets: KeyedBuckets,
}

/// Where a request's key is found.
#[derive(Debug)]
enum Source {
    Ip,
    /// Names of `$context` variables, the first that has a value counts.
    Claim([String; 2]),
    ApiKey,
    Header(String),
    Endpoint,
}

impl Rule {
    /// A rule without buckets.
    pub fn new(name: impl Into<Box<str>>, limit: &RateLimit) -> Self {
        let source = match &limit.key {
            RateLimitKey::Ip => Source::Ip,
            RateLimitKey::Claim(name) => Source::Claim([
                format!("authorizer.claims.{name}"),
                format!("authorizer.{name}"),
            ]),
            RateLimitKey::ApiKey => Source::ApiKey,
            RateLimitKey::Header(name) => Source::Header(name.clone()),
            RateLimitKey::Endpoint => Source::Endpoint,
        };
        Self {
            name: name.into(),
            limit: limit.limit,
            period: limit.period,
            source,
            pace: pace(limit),
            buckets: KeyedBuckets::new(),
        }
    }

    /// Whether a limit is this one. Its key is part of the name.
    pub(super) fn says(&self, limit: &RateLimit) -> bool {
        (self.limit, self.period, self.pace) == (limit.limit, limit.period, pace(limit))
    }

    /// The rule with other numbers; its buckets keep the tokens that fit.
    pub(super) fn changed(&self, limit: &RateLimit, now: Duration) -> Self {
        let to = pace(limit);
        Self {
            buckets: self.buckets.with_pace(self.pace, to, now),
            ..Self::new(self.name.clone(), limit)
        }
    }

    /// Takes a token from the caller's bucket.
    pub(super) fn take(
        &self,
        exchange: &Exchange<'_>,
        endpoint: &str,
        keys: &Directory,
        now: Duration,
    ) -> Result<KeyedTaken, Duration> {
        let key = self
            .source
            .with_key(exchange, endpoint, keys, |key| self.buckets.hash(key));
        self.buckets.take(key, self.pace, now)
    }

    pub(super) fn refund(&self, taken: KeyedTaken) {
        self.buckets.refund(taken, self.pace);
    }

    /// The question to a shared store.
    pub(super) fn ask(&self, exchange: &Exchange<'_>, endpoint: &str, keys: &Directory) -> Ask {
        let name = self.source.with_key(exchange, endpoint, keys, |key| {
            format!("{}/{}", self.name, String::from_utf8_lossy(key))
        });
        ask(name, self.pace)
    }
}

impl Source {
    fn with_key<T>(
        &self,
        exchange: &Exchange<'_>,
        endpoint: &str,
        keys: &Directory,
        then: impl FnOnce(&[u8]) -> T,
    ) -> T {
        let found: Option<Cow<'_, str>> = match self {
            Self::Ip => return then(&address_key(exchange.client_ip())),
            Self::Endpoint => return then(endpoint.as_bytes()),
            Self::Claim(names) => names
                .iter()
                .find_map(|name| context_variables::lookup(exchange, name)),
            Self::ApiKey => match &exchange.api_key {
                Some(key) => Some(Cow::Borrowed(&*key.id)),
                // A route that wants no key: what was sent counts if it is somebody's.
                None => exchange
                    .headers()
                    .last("x-api-key")
                    .and_then(|value| keys.enabled(&value))
                    .map(|holder| Cow::Borrowed(&*holder.key.id)),
            },
            Self::Header(name) => exchange.headers().last(name),
        };
        then(found.as_deref().unwrap_or_default().as_bytes())
    }
}

fn pace(limit: &RateLimit) -> Pace {
    let rate = f64::from(limit.limit) / limit.period.as_secs_f64().max(f64::MIN_POSITIVE);
    Pace::new(rate, limit.burst.unwrap_or(limit.limit))
}

/// What tells addresses apart, in hexadecimal digits: all of IPv4, 64 bits of IPv6.
fn address_key(address: IpAddr) -> [u8; 16] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut key = [b'0'; 16];
    let mut write = |octets: &[u8]| {
        for (pair, octet) in key.chunks_exact_mut(2).zip(octets) {
            pair[0] = DIGITS[usize::from(octet >> 4)];
            pair[1] = DIGITS[usize::from(octet & 15)];
        }
    };
    match address.to_canonical() {
        IpAddr::V4(address) => write(&address.octets()),
        IpAddr::V6(address) => write(&address.octets()[..8]),
    }
    key
}

/// A token taken from a key's bucket.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyedTaken {
    key: u64,
    full_at: u64,
}

/// Buckets by the hash of a key, in as many locks as threads may want at once.
///
/// Two keys with the same 64 bits share a bucket; nobody can aim at that, the
/// hash is keyed at random. A bucket that is full is not kept.
#[derive(Debug)]
struct KeyedBuckets {
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
}

#[derive(Debug, Default)]
struct Shard {
    /// When each bucket will be full.
    full_at: HashMap<u64, u64>,
    latest: u64,
}

impl KeyedBuckets {
    fn new() -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
        }
    }

    /// The same callers, with the tokens that fit another pace.
    fn with_pace(&self, from: Pace, to: Pace, now: Duration) -> Self {
        let shards = std::array::from_fn(|index| {
            let shard = self.shards[index]
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let now = nanoseconds(now).max(shard.latest);
            Mutex::new(Shard {
                full_at: shard
                    .full_at
                    .iter()
                    .map(|(key, full_at)| (*key, from.carry_over(*full_at, to, now)))
                    .collect(),
                latest: now,
            })
        });
        Self {
            shards,
            hasher: self.hasher.clone(),
        }
    }

    fn hash(&self, key: &[u8]) -> u64 {
        self.hasher.hash_one(key)
    }

    fn shard(&self, key: u64) -> MutexGuard<'_, Shard> {
        self.shards[key as usize % SHARDS]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, key: u64, pace: Pace, now: Duration) -> Result<KeyedTaken, Duration> {
        let mut shard = self.shard(key);
        let now = nanoseconds(now).max(shard.latest);
        shard.latest = now;
        if let Some(full_at) = shard.full_at.get_mut(&key) {
            *full_at = pace.take(*full_at, now)?;
            return Ok(KeyedTaken {
                key,
                full_at: *full_at,
            });
        }
        let full_at = pace.take(0, now)?;
        if shard.full_at.len() >= MOST_BUCKETS / SHARDS {
            shard.make_room(now);
        }
        shard.full_at.insert(key, full_at);
        Ok(KeyedTaken { key, full_at })
    }

    fn refund(&self, taken: KeyedTaken, pace: Pace) {
        let mut shard = self.shard(taken.key);
        if shard.latest > taken.full_at {
            return;
        }
        if let Some(full_at) = shard.full_at.get_mut(&taken.key) {
            *full_at = pace.give_back(*full_at);
        }
    }
}

impl Shard {
    fn make_room(&mut self, now: u64) {
        self.full_at.retain(|_, full_at| *full_at > now);
        let most = MOST_BUCKETS / SHARDS;
        if self.full_at.len() < most {
            return;
        }
        // A quarter at once, so that a flood of strangers does not look at all of them each time.
        let mut times: Vec<u64> = self.full_at.values().copied().collect();
        let (_, edge, _) = times.select_nth_unstable(most / 4);
        let (edge, mut spare) = (*edge, most / 4);
        self.full_at.retain(|_, full_at| {
            let goes = *full_at <= edge && spare > 0;
            spare -= usize::from(goes);
            !goes
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_a_bucket_of_its_own() {
        let buckets = KeyedBuckets::new();
        let pace = Pace::new(1.0, 2);
        let now = Duration::from_secs(5);
        let (one, other) = (buckets.hash(b"one"), buckets.hash(b"other"));
        let passes = |key| {
            (0..5)
                .filter(|_| buckets.take(key, pace, now).is_ok())
                .count()
        };

        assert_eq!(passes(one), 2);
        assert_eq!(passes(other), 2);
    }

    #[test]
    fn a_refund_gives_the_token_back() {
        let buckets = KeyedBuckets::new();
        let pace = Pace::new(1.0, 1);
        let taken = buckets.take(7, pace, Duration::ZERO).unwrap();
        assert!(buckets.take(7, pace, Duration::ZERO).is_err());

        buckets.refund(taken, pace);

        assert!(buckets.take(7, pace, Duration::ZERO).is_ok());
    }

    #[test]
    fn a_rule_that_changes_gives_nobody_fresh_tokens() {
        let buckets = KeyedBuckets::new();
        let (slow, wide) = (Pace::new(1.0, 2), Pace::new(1.0, 20));
        let now = Duration::from_secs(5);
        assert!(buckets.take(1, slow, now).is_ok());
        assert!(buckets.take(2, slow, now).is_ok());
        assert!(buckets.take(2, slow, now).is_ok());

        let wider = buckets.with_pace(slow, wide, now);

        let passes = |key| {
            (0..30)
                .filter(|_| wider.take(key, wide, now).is_ok())
                .count()
        };
        assert_eq!((passes(1), passes(2), passes(3)), (1, 0, 20));
    }

    #[test]
    fn strangers_without_end_take_bounded_memory() {
        let buckets = KeyedBuckets::new();
        let pace = Pace::new(0.001, 1);
        for key in 0..2 * MOST_BUCKETS as u64 {
            let key = buckets.hash(&key.to_le_bytes());
            assert!(
                buckets
                    .take(key, pace, Duration::from_micros(key % 1000))
                    .is_ok()
            );
        }

        let kept: usize = buckets
            .shards
            .iter()
            .map(|shard| shard.lock().unwrap().full_at.len())
            .sum();

        assert!(kept <= MOST_BUCKETS, "{kept}");
    }

    #[test]
    fn addresses_of_one_ipv6_network_share_a_key() {
        let key = |text: &str| address_key(text.parse().unwrap());

        assert_eq!(key("2001:db8:1:2::1"), key("2001:db8:1:2:ffff::9"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
        assert_eq!(key("::ffff:192.0.2.1"), key("192.0.2.1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
    }
}
