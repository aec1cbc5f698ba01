//! Issuers of tokens: their keys, and the tokens that were verified with them.
//!
//! Keys come when the first token asks for them and stay. They are read again in
//! the background when they are old, and at once when a token names a key that is
//! not there: one fetch at a time, and a flood of invented names gets a few
//! fetches a minute, not one each. While an issuer is down its known keys work on.

mod fetch;
mod key_set;
mod pace;
mod tail_hash;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use jsonwebtoken::Algorithm;
use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::bounded_cache::BoundedCache;
use super::jwt::{JwtFault, Registered, UnverifiedToken};
use crate::event::caller::Claims;

pub use fetch::Location;
pub use key_set::{Key, KeySet};
use pace::Pace;
use tail_hash::TailHash;

/// Age at which keys are read again in the background. API Gateway may keep
/// keys for two hours ("Control access to HTTP APIs with JWT authorizers").
const REFRESH_AFTER: Duration = Duration::from_secs(10 * 60);
/// Verified tokens that are kept for one issuer.
const TOKENS: usize = 4096;
/// Bytes of them.
const TOKEN_BYTES: usize = 16 * 1024 * 1024;

/// Why a token's key is not to be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// The issuer has published none of that name.
    #[error("the token's `kid` names no key of the issuer")]
    Unknown,
    /// The issuer's keys could not be read, ever.
    #[error("the issuer's keys are not known yet")]
    Unreachable,
}

/// An issuer.
pub struct Issuer {
    name: String,
    location: Location,
    keys: ArcSwap<Known>,
    fetching: Arc<tokio::sync::Mutex<Fetching>>,
    /// By the whole token.
    verified: BoundedCache<Box<str>, Verified, TailHash>,
}

/// The keys as last read.
#[derive(Debug, Default)]
struct Known {
    set: KeySet,
    read: Option<Instant>,
}

/// Who holds it fetches; the others wait for what it brings.
struct Fetching {
    pace: Pace,
    key_set_url: Option<String>,
    /// When the issuer named that address.
    discovered: Option<Instant>,
}

#[derive(Clone)]
struct Verified {
    claims: Arc<Claims>,
    registered: Arc<Registered>,
    kid: Arc<str>,
    key: Arc<Key>,
}

impl std::fmt::Debug for Issuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Issuer({})", self.name)
    }
}

impl Issuer {
    /// An issuer whose keys are at `location`. Nothing is fetched yet.
    pub fn new(name: impl Into<String>, location: Location) -> Self {
        let key_set_url = match &location {
            Location::Discovery | Location::Own => None,
            Location::KeySet(url) | Location::UserPool(url) => Some(url.clone()),
        };
        Self {
            name: name.into(),
            location,
            keys: ArcSwap::from_pointee(Known::default()),
            fetching: Arc::new(tokio::sync::Mutex::new(Fetching {
                pace: Pace::new(Instant::now()),
                key_set_url,
                discovered: None,
            })),
            verified: BoundedCache::with_hasher(TOKENS, TOKEN_BYTES),
        }
    }

    /// An issuer whose keys are known and stay.
    pub fn with_keys(name: impl Into<String>, set: KeySet) -> Self {
        let issuer = Self::new(name, Location::Own);
        issuer.keys.store(Arc::new(Known {
            set,
            read: Some(Instant::now()),
        }));
        issuer
    }

    /// `iss` of its tokens.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The claims of a token that this issuer signed and that pass `check`.
    ///
    /// A token that was verified before is not verified again while its key is
    /// published; its claims are checked every time.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub async fn verify(
        self: &Arc<Self>,
        token: &str,
        check: impl Fn(&Claims, &Registered) -> Result<(), JwtFault>,
    ) -> Result<Arc<Claims>, JwtFault> {
        if let Some(verified) = self.verified.get(token) {
            let known = self.keys.load();
            let published = known.set.get(&verified.kid);
            if published.is_some_and(|key| Arc::ptr_eq(key, &verified.key) || *key == verified.key)
            {
                self.refresh_when_old(&known);
                check(&verified.claims, &verified.registered)?;
                return Ok(verified.claims);
            }
            self.verified.remove(token);
        }
        let UnverifiedToken {
            signing_input,
            signature,
            algorithm,
            kid,
            claims,
        } = UnverifiedToken::parse(token)?;
        let registered = Registered::of(&claims, &self.name);
        let checked = check(&claims, &registered);
        let known = self.keys.load_full();
        let key = match known.set.get(&kid) {
            Some(key) => {
                self.refresh_when_old(&known);
                Arc::clone(key)
            }
            None => {
                // A token that is no good anyway sends nobody to the issuer.
                checked.clone()?;
                self.fetch_for(&kid, known).await?
            }
        };
        if !key.takes(algorithm) {
            return Err(JwtFault::KeyAlgorithm);
        }
        if !key.verifies(signing_input, signature, algorithm) {
            return Err(JwtFault::Signature);
        }
        checked?;
        let claims = Arc::new(claims);
        let verified = Verified {
            claims: Arc::clone(&claims),
            registered: registered.into(),
            kid: kid.into(),
            key,
        };
        // The claims as a tree weigh a few times what their text does.
        self.verified
            .insert(token.into(), verified, token.len() * 5);
        Ok(claims)
    }

    /// The key of a name that was not there in `seen`.
    async fn fetch_for(
        self: &Arc<Self>,
        kid: &str,
        seen: Arc<Known>,
    ) -> Result<Arc<Key>, KeyFault> {
        if self.location == Location::Own {
            return Err(KeyFault::Unknown);
        }
        let mut fetching = Arc::clone(&self.fetching).lock_owned().await;
        let mut known = self.keys.load_full();
        let find = |known: &Known| known.set.get(kid).map(Arc::clone);
        if !Arc::ptr_eq(&seen, &known)
            && let Some(key) = find(&known)
        {
            return Ok(key);
        }
        let first = known.read.is_none();
        if fetching.pace.may_ask(Instant::now(), first) {
            // A task of its own: a client that goes away does not waste the fetch.
            let issuer = Arc::clone(self);
            let task = tokio::spawn(async move { issuer.fetch(fetching).await });
            if let Ok(mut after) = task.await {
                known = self.keys.load_full();
                if !first && known.set.get(kid).is_some() {
                    after.pace.worth_it();
                }
            }
        }
        match find(&known) {
            Some(key) => Ok(key),
            None if known.read.is_none() => Err(KeyFault::Unreachable),
            None => Err(KeyFault::Unknown),
        }
    }

    /// Reads old keys again, without anybody waiting for it.
    fn refresh_when_old(self: &Arc<Self>, known: &Known) {
        if known.read.is_none_or(|read| read.elapsed() < REFRESH_AFTER)
            || self.location == Location::Own
        {
            return;
        }
        let Ok(fetching) = Arc::clone(&self.fetching).try_lock_owned() else {
            return;
        };
        if fetching.pace.rests(Instant::now()) {
            return;
        }
        let issuer = Arc::clone(self);
        tokio::spawn(async move { issuer.fetch(fetching).await });
    }

    /// Reads the keys; where that fails those that are known stay.
    async fn fetch(&self, mut fetching: OwnedMutexGuard<Fetching>) -> OwnedMutexGuard<Fetching> {
        let issuer = self.name.as_str();
        match self.read_keys(&mut fetching).await {
            Ok(set) => {
                debug!(issuer, keys = set.len(), "read the issuer's keys");
                fetching.pace.succeeded();
                self.keys.store(Arc::new(Known {
                    set: set.sharing(&self.keys.load().set),
                    read: Some(Instant::now()),
                }));
            }
            Err(why) => {
                warn!(issuer, "the issuer's keys cannot be read: {why}");
                fetching.pace.failed(Instant::now());
                // They may have moved.
                fetching.discovered = None;
            }
        }
        fetching
    }

    async fn read_keys(&self, fetching: &mut Fetching) -> Result<KeySet, String> {
        let known = fetching.key_set_url.clone();
        // Issuers move their keys, and may leave the old ones where they were.
        let lately = fetching
            .discovered
            .is_some_and(|then| then.elapsed() < REFRESH_AFTER);
        let url = match known {
            Some(url) if lately || self.location != Location::Discovery => url,
            known => match (fetch::discover(&self.name).await, known) {
                (Ok(url), _) => {
                    fetching.discovered = Some(Instant::now());
                    fetching.key_set_url.insert(url).clone()
                }
                (Err(why), Some(url)) => {
                    let issuer = self.name.as_str();
                    warn!(issuer, "the keys are read where they were before: {why}");
                    url
                }
                (Err(why), None) => return Err(why),
            },
        };
        let set = fetch::key_set(&url).await?;
        Ok(match self.location {
            Location::UserPool(_) => set.only(Algorithm::RS256),
            _ => set,
        })
    }
}

/// An issuer's name, and where its keys are.
type Identity = (String, Location);

/// All issuers of a gateway, each once: APIs and plans that name the same one
/// share its keys. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Issuers {
    known: Arc<Mutex<HashMap<Identity, Arc<Issuer>>>>,
    /// Local user pools, by each name that documents give them.
    own: Arc<Mutex<HashMap<String, Arc<Issuer>>>>,
}

impl Issuers {
    /// From now on these names mean these issuers, wherever their keys are said to
    /// be, and those of the last call no longer do.
    pub fn set_own(&self, issuers: HashMap<String, Arc<Issuer>>) {
        *self.own.lock().unwrap_or_else(PoisonError::into_inner) = issuers;
    }

    /// The issuer of that name whose keys are at `location`.
    pub fn get(&self, name: &str, location: Location) -> Arc<Issuer> {
        let own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(issuer) = own.get(name) {
            return Arc::clone(issuer);
        }
        drop(own);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let issuer = known
            .entry((name.to_owned(), location.clone()))
            .or_insert_with(|| Arc::new(Issuer::new(name, location)));
        Arc::clone(issuer)
    }
}
