//! A user pool of its own, in the place of Cognito's: who its users are, how they
//! sign in, and the tokens they get.
//!
//! What a pool knows stands in `.tollgate/user-pools/ID/`, readable by its owner alone.
//! How a client talks to it (`/oauth2/token`, Cognito's JSON API) is `admin::user_pool`'s
//! business. A token's `iss` is what Cognito itself would say, wherever the pool
//! listens; authorizers of that issuer or of the pool's ARN take its keys from here.
//!
//! Source: Amazon Cognito developer guide and user pools API reference; error
//! texts as clients report them.

mod accounts;
mod attempts;
mod file;
mod kept;
mod keys;
mod sign_in;
mod srp;
mod tokens;
mod wanted;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value as Json;

pub use self::accounts::{Confirmation, Filter, NewUser};
use self::kept::Kept;
pub use self::kept::{Group, User, UserStatus};
pub use self::keys::KeptFault;
pub use self::sign_in::{Flow, Outcome, Parameters};
pub use self::tokens::{Bearer, Grant, Origin, Tokens};
use self::wanted::Wanted;
use super::issuer::{Issuer, Issuers};
use crate::base::Clock;
use crate::model::Api;
use crate::model::settings::Settings;
use crate::model::user_pool::{UserPoolClient, UserPoolSettings};
use crate::source::Span;

/// The scope of whoever signs in through the API.
pub const ADMIN_SCOPE: &str = "aws.cognito.signin.user.admin";

/// One of Cognito's exceptions.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind}: {message}")]
pub struct PoolFault {
    /// `NotAuthorizedException`.
    pub kind: &'static str,
    /// What the client is told.
    pub message: String,
}

impl PoolFault {
    /// An exception by its name.
    pub fn new(kind: &'static str, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    /// Whoever asks may not.
    pub fn not_authorized(message: impl Into<String>) -> Self {
        Self::new("NotAuthorizedException", message)
    }

    /// A parameter is missing or makes no sense.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new("InvalidParameterException", message)
    }

    /// A pool, client or group is not there.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new("ResourceNotFoundException", message)
    }

    /// Ours, not the caller's.
    pub fn internal() -> Self {
        Self::new("InternalErrorException", "An internal error occurred")
    }

    fn wrong_password() -> Self {
        Self::not_authorized("Incorrect username or password.")
    }

    fn no_user() -> Self {
        Self::new("UserNotFoundException", "User does not exist.")
    }
}

/// Why a pool cannot be opened, and where the configuration asks for it.
#[derive(Debug, thiserror::Error)]
#[error("the local user pool {id} cannot be opened: {cause}")]
pub struct OpenFault {
    id: String,
    /// The place of its entry.
    pub span: Span,
    #[source]
    cause: KeptFault,
}

/// A local user pool.
#[derive(Debug)]
pub struct UserPool {
    id: String,
    arn: String,
    issuer: String,
    settings: UserPoolSettings,
    /// Scopes that routes ask for, where the configuration lists none.
    documented_scopes: Vec<String>,
    kept: Arc<Kept>,
    clock: Clock,
}

impl UserPool {
    fn open(wanted: Wanted, folder: &Path, clock: Clock) -> Result<Self, KeptFault> {
        let kept = Kept::open(&folder.join(&wanted.id))?;
        let pool = Self {
            id: wanted.id,
            arn: wanted.arn,
            issuer: wanted.issuer,
            settings: wanted.settings,
            documented_scopes: wanted.scopes,
            kept,
            clock,
        };
        pool.kept
            .configure(pool.short_id(), &pool.settings, pool.now())
            .map_err(|_| KeptFault::File {
                path: folder.display().to_string(),
                cause: std::io::ErrorKind::Other.into(),
            })?;
        Ok(pool)
    }

    /// `us-east-1_example`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The id without its region.
    fn short_id(&self) -> &str {
        self.id.split_once('_').map_or(&self.id, |(_, id)| id)
    }

    /// Its ARN.
    pub fn arn(&self) -> &str {
        &self.arn
    }

    /// `iss` of its tokens.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// What the configuration says of it.
    pub fn settings(&self) -> &UserPoolSettings {
        &self.settings
    }

    /// Its public keys, as a JWK set.
    pub fn jwks(&self) -> Json {
        self.kept.keys.jwks()
    }

    /// Whether `name` means this pool: the key of its entry, its id or its ARN.
    pub fn is_called(&self, name: &str) -> bool {
        name == self.settings.name || name == self.id || name == self.arn
    }

    /// Milliseconds since 1970.
    fn now(&self) -> u64 {
        u64::try_from(self.clock.since_epoch().as_millis()).unwrap_or(u64::MAX)
    }

    /// An app client, configured or made at run time.
    pub fn client(&self, id: &str) -> Option<UserPoolClient> {
        let configured = self.settings.clients.iter().find(|one| one.client_id == id);
        configured
            .cloned()
            .or_else(|| self.kept.read(|state| state.clients.get(id).cloned()))
    }

    /// All app clients.
    pub fn clients(&self) -> Vec<UserPoolClient> {
        let mut clients = self.settings.clients.clone();
        clients.extend(self.kept.read(|state| {
            let made = state.clients.values();
            made.cloned().collect::<Vec<_>>()
        }));
        clients
    }

    /// The scopes that its resource servers have, or else that routes ask for.
    pub fn custom_scopes(&self) -> Vec<String> {
        if self.settings.resource_servers.is_empty() {
            return self.documented_scopes.clone();
        }
        self.settings
            .resource_servers
            .iter()
            .flat_map(|server| {
                let scopes = server.scopes.iter();
                scopes.map(|scope| format!("{}/{scope}", server.identifier))
            })
            .collect()
    }
}

/// The local user pools of a gateway. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct UserPools {
    pools: Arc<[Arc<UserPool>]>,
}

impl UserPools {
    /// Opens those that the configuration asks for, in `.tollgate/user-pools` of its folder.
    /// Without any nothing is read or written.
    ///
    /// # Errors
    ///
    /// Where keys or users cannot be kept.
    pub fn open(apis: &[Api], settings: &Settings, clock: &Clock) -> Result<Self, OpenFault> {
        let folder = settings.base_directory.join(".tollgate/user-pools");
        let mut pools = Vec::new();
        for wanted in wanted::wanted(apis, settings) {
            let (id, span) = (wanted.id.clone(), wanted.settings.span);
            let pool = UserPool::open(wanted, &folder, clock.clone())
                .map_err(|cause| OpenFault { id, span, cause })?;
            pools.push(Arc::new(pool));
        }
        Ok(Self {
            pools: pools.into(),
        })
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<UserPool>> {
        self.pools.iter()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.pools.is_empty()
    }

    /// The pool of that id.
    pub fn get(&self, id: &str) -> Option<&Arc<UserPool>> {
        self.iter().find(|pool| pool.id == id)
    }

    /// The pool that has a client, and the client.
    pub fn of_client(&self, id: &str) -> Option<(&Arc<UserPool>, UserPoolClient)> {
        self.iter().find_map(|pool| Some((pool, pool.client(id)?)))
    }

    /// Makes authorizers take these pools' keys, by each name an issuer or ARN gives them.
    pub fn register(&self, issuers: &Issuers) {
        let mut own = HashMap::new();
        for pool in self.iter() {
            let keys = pool.kept.keys.key_set();
            let issuer = Arc::new(Issuer::with_keys(pool.issuer.clone(), keys));
            own.insert(pool.issuer.clone(), Arc::clone(&issuer));
            own.insert(wanted::issuer_of(&pool.id), issuer);
        }
        issuers.set_own(own);
    }
}

#[cfg(test)]
mod tests;
