//! The tokens of a local pool, with the claims that Cognito's have, and what their
//! bearers may do with them at the pool itself.
//!
//! Source: Cognito developer guide, "Understanding the identity (ID) token",
//! "Understanding the access token", "Refresh tokens", "Revoking tokens".

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map as JsonMap, Value as Json, json};

use super::kept::User;
use super::keys::{Signs, random};
use super::{ADMIN_SCOPE, PoolFault, UserPool};
use crate::auth::jwt::UnverifiedToken;
use crate::model::user_pool::UserPoolClient;

const REFRESH: &str = "refresh";

/// A sign-in: all tokens that come of it name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// `origin_jti`: a UUID whose first 48 bits are the milliseconds since 1970.
    pub jti: String,
    /// `event_id`.
    pub event_id: String,
    /// `auth_time`, in seconds since 1970.
    pub auth_time: u64,
}

/// What tokens are made of.
#[derive(Clone, Debug)]
pub struct Grant<'g> {
    /// Whose they are.
    pub user: &'g User,
    /// For which app.
    pub client: &'g UserPoolClient,
    /// Of which sign-in.
    pub origin: Origin,
    /// `scope` of the access token.
    pub scope: String,
}

/// Tokens as a client gets them.
#[derive(Clone)]
pub struct Tokens {
    /// The access token.
    pub access: String,
    /// The id token.
    pub id: String,
    /// Only after a sign-in.
    pub refresh: Option<String>,
    /// How long the access token holds.
    pub expires_in: Duration,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}

/// Whose access token it was, once it was verified.
#[derive(Clone, Debug)]
pub struct Bearer {
    /// The user.
    pub user: User,
    /// `client_id`.
    pub client_id: String,
    /// `scope`.
    pub scope: String,
}

/// A refresh token, opened.
pub(super) struct Refreshed {
    pub(super) username: String,
    pub(super) client_id: String,
    pub(super) origin: Origin,
    pub(super) scope: String,
    expires: u64,
}

/// A random UUID from the system's random numbers.
pub(super) fn random_uuid() -> Result<String, PoolFault> {
    let bytes = random().map_err(|_| PoolFault::internal())?;
    let id = uuid::Builder::from_random_bytes(bytes).into_uuid();
    Ok(id.to_string())
}

/// The moment in an `origin_jti`.
fn moment_of(jti: &str) -> u64 {
    uuid::Uuid::parse_str(jti).map_or(0, |id| {
        u64::try_from(id.as_u128() >> 80).unwrap_or_default()
    })
}

impl UserPool {
    /// A sign-in that begins now.
    ///
    /// # Errors
    ///
    /// Where the system gives no random numbers.
    pub fn origin(&self, user: &User) -> Result<Origin, PoolFault> {
        let now = self.now();
        // A sign-in in the millisecond of a sign-out comes after it.
        let moment = now.max(user.signed_out.saturating_add(1));
        let bytes = random().map_err(|_| PoolFault::internal())?;
        let jti = uuid::Builder::from_unix_timestamp_millis(moment, &bytes).into_uuid();
        Ok(Origin {
            jti: jti.to_string(),
            event_id: random_uuid()?,
            auth_time: now / 1000,
        })
    }

    /// All three tokens of a new sign-in.
    pub(super) fn tokens(&self, grant: &Grant<'_>) -> Result<Tokens, PoolFault> {
        let expires = self.now() + milliseconds(grant.client.refresh_token_validity);
        let content = json!({
            "username": grant.user.username,
            "client": grant.client.client_id,
            "origin": grant.origin.jti,
            "event": grant.origin.event_id,
            "auth_time": grant.origin.auth_time,
            "scope": grant.scope,
            "expires": expires,
        });
        let sealed = self
            .kept
            .keys
            .seal(REFRESH, &content)
            .ok_or_else(PoolFault::internal)?;
        Ok(Tokens {
            refresh: Some(URL_SAFE_NO_PAD.encode(sealed)),
            ..self.short_tokens(grant)?
        })
    }

    /// An id and an access token.
    pub(super) fn short_tokens(&self, grant: &Grant<'_>) -> Result<Tokens, PoolFault> {
        let client = grant.client;
        Ok(Tokens {
            access: self.access_token(grant, client.access_token_validity)?,
            id: self.id_token(grant, client.id_token_validity)?,
            refresh: None,
            expires_in: client.access_token_validity,
        })
    }

    /// An id token that holds for `validity`.
    ///
    /// # Errors
    ///
    /// Where the system gives no random numbers.
    pub fn id_token(&self, grant: &Grant<'_>, validity: Duration) -> Result<String, PoolFault> {
        let user = grant.user;
        let mut claims = self.common(grant, "id", validity)?;
        claims.insert("aud".to_owned(), json!(grant.client.client_id));
        claims.insert("cognito:username".to_owned(), json!(user.username));
        let (roles, preferred) = self.roles(user);
        if !roles.is_empty() {
            claims.insert("cognito:roles".to_owned(), json!(roles));
        }
        if let Some(role) = preferred {
            claims.insert("cognito:preferred_role".to_owned(), json!(role));
        }
        for (name, value) in &user.attributes {
            let value = match (name.as_str(), value.as_str()) {
                ("email_verified" | "phone_number_verified", text) => json!(text == "true"),
                ("updated_at", text) => text.parse::<u64>().map_or(json!(text), |time| json!(time)),
                (_, text) => json!(text),
            };
            // An attribute never stands in for a claim of the pool's own.
            claims.entry(name.clone()).or_insert(value);
        }
        self.signed(Signs::Id, claims)
    }

    /// An access token that holds for `validity`.
    ///
    /// # Errors
    ///
    /// Where the system gives no random numbers.
    pub fn access_token(&self, grant: &Grant<'_>, validity: Duration) -> Result<String, PoolFault> {
        let mut claims = self.common(grant, "access", validity)?;
        claims.insert("client_id".to_owned(), json!(grant.client.client_id));
        claims.insert("scope".to_owned(), json!(grant.scope));
        claims.insert("username".to_owned(), json!(grant.user.username));
        if grant.scope != ADMIN_SCOPE {
            // Tokens of the OAuth endpoints have it, those of the API do not.
            claims.insert("version".to_owned(), json!(2));
        }
        self.signed(Signs::Access, claims)
    }

    /// The access token of a program that signs in as itself.
    ///
    /// # Errors
    ///
    /// Where the system gives no random numbers.
    pub fn client_token(&self, client: &UserPoolClient, scope: &str) -> Result<String, PoolFault> {
        let now = self.now() / 1000;
        let claims = json!({
            "sub": client.client_id,
            "token_use": "access",
            "scope": scope,
            "auth_time": now,
            "iss": self.issuer,
            "exp": now + client.access_token_validity.as_secs(),
            "iat": now,
            "version": 2,
            "jti": random_uuid()?,
            "client_id": client.client_id,
        });
        let token = self.kept.keys.token(Signs::Access, &claims);
        token.ok_or_else(PoolFault::internal)
    }

    fn common(
        &self,
        grant: &Grant<'_>,
        token_use: &str,
        validity: Duration,
    ) -> Result<JsonMap<String, Json>, PoolFault> {
        let now = self.now() / 1000;
        let mut claims = JsonMap::new();
        claims.insert("sub".to_owned(), json!(grant.user.sub));
        if !grant.user.groups.is_empty() {
            claims.insert("cognito:groups".to_owned(), json!(grant.user.groups));
        }
        for (name, value) in [
            ("iss", json!(self.issuer)),
            ("origin_jti", json!(grant.origin.jti)),
            ("event_id", json!(grant.origin.event_id)),
            ("token_use", json!(token_use)),
            ("auth_time", json!(grant.origin.auth_time)),
            ("exp", json!(now + validity.as_secs())),
            ("iat", json!(now)),
            ("jti", json!(random_uuid()?)),
        ] {
            claims.insert(name.to_owned(), value);
        }
        Ok(claims)
    }

    /// The roles of a user's groups, and the one of the group with the lowest precedence.
    fn roles(&self, user: &User) -> (Vec<String>, Option<String>) {
        self.kept.read(|state| {
            let mut groups: Vec<_> = user
                .groups
                .iter()
                .filter_map(|name| state.groups.get(name))
                .filter_map(|group| Some((group.precedence, group.role_arn.clone()?)))
                .collect();
            groups.sort_by_key(|(precedence, _)| precedence.unwrap_or(u32::MAX));
            let preferred = groups
                .first()
                .filter(|(precedence, _)| precedence.is_some())
                .map(|(_, role)| role.clone());
            (
                groups.into_iter().map(|(_, role)| role).collect(),
                preferred,
            )
        })
    }

    fn signed(&self, signs: Signs, claims: JsonMap<String, Json>) -> Result<String, PoolFault> {
        let token = self.kept.keys.token(signs, &Json::Object(claims));
        token.ok_or_else(PoolFault::internal)
    }

    /// Whether a sign-in of that user is over.
    pub(super) fn is_over(&self, jti: &str, user: &User) -> bool {
        moment_of(jti) <= user.signed_out || self.kept.read(|state| state.revoked.contains_key(jti))
    }

    /// Opens a refresh token.
    pub(super) fn refreshed(&self, token: &str) -> Result<Refreshed, PoolFault> {
        let content = URL_SAFE_NO_PAD
            .decode(token)
            .ok()
            .and_then(|sealed| self.kept.keys.unseal(REFRESH, &sealed))
            .ok_or_else(|| PoolFault::not_authorized("Invalid Refresh Token"))?;
        let text = |name: &str| content[name].as_str().unwrap_or_default().to_owned();
        Ok(Refreshed {
            username: text("username"),
            client_id: text("client"),
            origin: Origin {
                jti: text("origin"),
                event_id: text("event"),
                auth_time: content["auth_time"].as_u64().unwrap_or_default(),
            },
            scope: text("scope"),
            expires: content["expires"].as_u64().unwrap_or_default(),
        })
    }

    /// The user of a refresh token that `client` may still use.
    pub(super) fn user_of(
        &self,
        refreshed: &Refreshed,
        client: &UserPoolClient,
    ) -> Result<User, PoolFault> {
        let refused = PoolFault::not_authorized;
        if refreshed.client_id != client.client_id {
            return Err(refused("Invalid Refresh Token"));
        }
        if refreshed.expires <= self.now() {
            return Err(refused("Refresh Token has expired"));
        }
        let user = self
            .kept
            .read(|state| state.users.get(&refreshed.username).cloned())
            .ok_or_else(|| refused("Invalid Refresh Token"))?;
        if self.is_over(&refreshed.origin.jti, &user) {
            return Err(refused("Refresh Token has been revoked"));
        }
        if !user.enabled {
            return Err(refused("User is disabled."));
        }
        Ok(user)
    }

    /// Ends the sign-in that a refresh token is of. One that cannot be read ends nothing.
    ///
    /// # Errors
    ///
    /// Where the token is another client's, or the change cannot be kept.
    pub fn revoke(&self, token: &str, client: &UserPoolClient) -> Result<(), PoolFault> {
        let refreshed = self.refreshed(token)?;
        if refreshed.client_id != client.client_id {
            return Err(PoolFault::new(
                "UnauthorizedException",
                "The token was not issued to this client.",
            ));
        }
        let now = self.now();
        self.kept.change(|state| {
            state.revoked.retain(|_, until| *until > now);
            state
                .revoked
                .insert(refreshed.origin.jti, refreshed.expires);
            Ok(())
        })
    }

    /// Whose access token it is, where it may be used at the pool.
    ///
    /// # Errors
    ///
    /// `NotAuthorizedException` for any token that is not one of these.
    pub fn bearer(&self, token: &str, scope: &str) -> Result<Bearer, PoolFault> {
        let refused = PoolFault::not_authorized;
        let invalid = || refused("Invalid Access Token");
        let unverified = UnverifiedToken::parse(token).map_err(|_| invalid())?;
        let keys = self.kept.keys.key_set();
        let signed = keys.get(&unverified.kid).is_some_and(|key| {
            key.verifies(
                unverified.signing_input,
                unverified.signature,
                unverified.algorithm,
            )
        });
        let claims = &unverified.claims;
        let text = |name: &str| claims.get(name).and_then(Json::as_str).unwrap_or_default();
        if !signed || text("token_use") != "access" || text("iss") != self.issuer {
            return Err(invalid());
        }
        let expires = claims.get("exp").and_then(Json::as_u64).unwrap_or_default();
        if expires <= self.now() / 1000 {
            return Err(refused("Access Token has expired"));
        }
        let name = claims.get("username").and_then(Json::as_str);
        let user = self
            .kept
            .read(|state| state.users.get(name?).cloned())
            .ok_or_else(PoolFault::no_user)?;
        if self.is_over(text("origin_jti"), &user) {
            return Err(refused("Access Token has been revoked"));
        }
        if !text("scope").split(' ').any(|held| held == scope) {
            return Err(refused("Access Token does not have required scopes"));
        }
        if !user.enabled {
            return Err(refused("User is disabled."));
        }
        Ok(Bearer {
            client_id: text("client_id").to_owned(),
            scope: text("scope").to_owned(),
            user,
        })
    }
}

/// The whole milliseconds of a time.
pub(super) fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
