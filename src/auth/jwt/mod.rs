//! HTTP API JWT authorizers, and what they share with Cognito authorizers: how a
//! signed token is read and which claims must hold.
//!
//! Source: API Gateway developer guide, "Control access to HTTP APIs with JWT
//! authorizers in API Gateway". No clock skew is allowed: the page names none.

mod strict_json;
mod token;

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value as Json;

use super::identity_source::IdentitySource;
use super::issuer::{Issuer, KeyFault};
use crate::event::caller::Claims;
use crate::event::{Caller, Exchange};

pub use strict_json::read_object;
pub use token::{TokenError, UnverifiedToken};

/// Why a token does not let its bearer pass. `Display` is for the operator and
/// repeats nothing of the token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JwtFault {
    /// There is none.
    #[error("the request has no token")]
    Missing,
    /// It cannot be read.
    #[error(transparent)]
    Unreadable(#[from] TokenError),
    /// Its key is not to be had.
    #[error(transparent)]
    Key(#[from] KeyFault),
    /// It is signed in a way that its key is not for.
    #[error("the token's algorithm is not the one of its key")]
    KeyAlgorithm,
    /// Its signature is not the key's.
    #[error("the token's signature is wrong")]
    Signature,
    /// Somebody else issued it.
    #[error("the token's `iss` is not the configured issuer")]
    Issuer,
    /// It is for somebody else.
    #[error("the token's `aud` or `client_id` is not one of the configured audiences")]
    Audience,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// Its time has not come.
    #[error("the token is not valid yet")]
    NotYet,
    /// A claim that is there has no meaning.
    #[error("the token's `{0}` is missing or malformed")]
    Claim(&'static str),
    /// It is of the other use: an id token for an access token.
    #[error("the token's `token_use` is not the one that the method wants")]
    Use,
    /// It has none of the scopes that the route asks for.
    #[error("the token has none of the route's scopes")]
    Scope,
}

impl JwtFault {
    /// `error_description` of `www-authenticate`.
    ///
    /// Recorded at AWS: the texts on audience, expiry and segments; the others
    /// are guessed from access logs.
    pub fn description(&self) -> &'static str {
        match self {
            Self::Missing => "token not provided",
            Self::Unreadable(TokenError::Segments) => {
                "token contains an invalid number of segments"
            }
            Self::Unreadable(TokenError::Algorithm(name)) => match name {
                Some("none") => "signing method none is invalid",
                Some("HS256") => "signing method HS256 is invalid",
                Some("HS384") => "signing method HS384 is invalid",
                Some("HS512") => "signing method HS512 is invalid",
                Some("ES256") => "signing method ES256 is invalid",
                Some("ES384") => "signing method ES384 is invalid",
                Some("ES512") => "signing method ES512 is invalid",
                _ => "signing method is invalid",
            },
            Self::Unreadable(TokenError::Kid) | Self::Key(_) => {
                "the token does not have a valid key id"
            }
            Self::Unreadable(_) => "the token is malformed",
            Self::KeyAlgorithm | Self::Signature => "the token has an invalid signature",
            Self::Issuer => "issuer does not match",
            Self::Audience => "the token does not have a valid audience",
            Self::Expired => "the token has expired",
            Self::NotYet => "the token is not valid yet",
            Self::Claim(_) | Self::Use => "the token has invalid claims",
            Self::Scope => "the token does not have a sufficient scope",
        }
    }
}

/// A JWT authorizer of an HTTP API.
#[derive(Debug)]
pub struct JwtAuthorizer {
    /// Who issues its tokens.
    pub issuer: Arc<Issuer>,
    /// Of which a token must be for one.
    pub audience: Vec<String>,
    /// Where the token stands; the first that has one counts.
    pub sources: Vec<IdentitySource>,
}

impl JwtAuthorizer {
    /// Lets the bearer of a good token pass.
    ///
    /// # Errors
    ///
    /// What is wrong with the token. [`JwtFault::Scope`] is a 403, all else a 401.
    pub async fn authorize(
        &self,
        exchange: &Exchange<'_>,
        scopes: &[String],
    ) -> Result<Caller, JwtFault> {
        let value = self
            .sources
            .iter()
            .find_map(|source| source.value(exchange))
            .ok_or(JwtFault::Missing)?;
        let token = bearer(&value);
        let now = exchange.received;
        let check = |claims: &Claims, registered: &Registered| {
            registered.check_issuer()?;
            self.check_audience(claims)?;
            registered.check_times(now)
        };
        let claims = self.issuer.verify(token, check).await?;
        let scopes = match scopes {
            [] => None,
            wanted => {
                let held = scopes_of(&claims);
                if !held.iter().any(|scope| wanted.contains(scope)) {
                    return Err(JwtFault::Scope);
                }
                Some(held)
            }
        };
        Ok(Caller::Token { claims, scopes })
    }

    /// `client_id` counts only where there is no `aud`.
    fn check_audience(&self, claims: &Claims) -> Result<(), JwtFault> {
        let wanted = |text: &str| self.audience.iter().any(|audience| audience == text);
        let fits = match claims.get("aud") {
            Some(Json::String(one)) => wanted(one),
            Some(Json::Array(many)) => {
                if !many.iter().all(Json::is_string) {
                    return Err(JwtFault::Claim("aud"));
                }
                many.iter().filter_map(Json::as_str).any(wanted)
            }
            Some(_) => return Err(JwtFault::Claim("aud")),
            None => claims
                .get("client_id")
                .and_then(Json::as_str)
                .is_some_and(wanted),
        };
        if fits {
            Ok(())
        } else {
            Err(JwtFault::Audience)
        }
    }
}

/// The token in an identity source's value: bare, or behind `Bearer `.
pub(super) fn bearer(value: &str) -> &str {
    value.strip_prefix("Bearer ").unwrap_or(value)
}

/// The last second of the year 9999. Beyond it a number is no date that an issuer
/// means, and readers with whole numbers of 64 bits take it for another one.
const LATEST: f64 = 253_402_300_799.0;

/// What a token says of its issuer and its times, read once and judged at each use.
#[derive(Clone, Debug)]
pub struct Registered {
    issuer: Result<(), JwtFault>,
    times: Result<Times, JwtFault>,
}

/// Seconds since 1970.
#[derive(Clone, Copy, Debug)]
struct Times {
    expires: f64,
    /// The later one of `nbf` and `iat`.
    begins: f64,
}

impl Registered {
    /// Of a token that `issuer` is to have issued.
    pub fn of(claims: &Claims, issuer: &str) -> Self {
        Self {
            // Compared as text.
            issuer: match claims.get("iss") {
                Some(Json::String(own)) if own == issuer => Ok(()),
                Some(Json::String(_)) => Err(JwtFault::Issuer),
                _ => Err(JwtFault::Claim("iss")),
            },
            times: Times::of(claims),
        }
    }

    /// Whether `iss` is the issuer's name.
    ///
    /// # Errors
    ///
    /// It is not, or there is none.
    pub fn check_issuer(&self) -> Result<(), JwtFault> {
        self.issuer.clone()
    }

    /// `exp` must be there and after now; `nbf` and `iat`, where they are there, not after it.
    ///
    /// # Errors
    ///
    /// The first that is not so, or is no time.
    pub fn check_times(&self, now: Duration) -> Result<(), JwtFault> {
        let Times { expires, begins } = self.times.clone()?;
        let now = now.as_secs_f64();
        if now >= expires {
            return Err(JwtFault::Expired);
        }
        if begins > now {
            return Err(JwtFault::NotYet);
        }
        Ok(())
    }
}

impl Times {
    fn of(claims: &Claims) -> Result<Self, JwtFault> {
        let time = |name: &'static str| match claims.get(name) {
            None => Ok(None),
            Some(Json::Number(number)) => match number.as_f64() {
                Some(seconds) if (0.0..=LATEST).contains(&seconds) => Ok(Some(seconds)),
                _ => Err(JwtFault::Claim(name)),
            },
            Some(_) => Err(JwtFault::Claim(name)),
        };
        let expires = time("exp")?.ok_or(JwtFault::Claim("exp"))?;
        let (not_before, issued) = (time("nbf")?, time("iat")?);
        Ok(Self {
            expires,
            begins: not_before.unwrap_or(0.0).max(issued.unwrap_or(0.0)),
        })
    }
}

/// The scopes a token holds: `scope`, or `scp` where there is none; words, or a list of them.
pub fn scopes_of(claims: &Claims) -> Vec<String> {
    let words = |text: &str| -> Vec<String> { text.split(' ').map(str::to_owned).collect() };
    let mut scopes = match claims.get("scope").or_else(|| claims.get("scp")) {
        Some(Json::String(text)) => words(text),
        Some(Json::Array(items)) => items
            .iter()
            .filter_map(Json::as_str)
            .map(str::to_owned)
            .collect(),
        _ => Vec::new(),
    };
    scopes.retain(|scope| !scope.is_empty());
    scopes
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims(json: Json) -> Claims {
        match json {
            Json::Object(members) => members,
            _ => panic!("an object"),
        }
    }

    #[test]
    fn times_are_numbers_and_hold_to_the_second() {
        let now = Duration::from_secs(1000);
        let check = |json| Registered::of(&claims(json), "").check_times(now);

        assert_eq!(check(json!({"exp": 1001})), Ok(()));
        assert_eq!(check(json!({"exp": 1000.5})), Ok(()));
        assert_eq!(
            check(json!({"exp": 1001, "nbf": 1000, "iat": 1000})),
            Ok(())
        );
        assert_eq!(check(json!({"exp": 1000})), Err(JwtFault::Expired));
        assert_eq!(
            check(json!({"exp": 2000, "nbf": 1001})),
            Err(JwtFault::NotYet)
        );
        assert_eq!(
            check(json!({"exp": 2000, "iat": 1001})),
            Err(JwtFault::NotYet)
        );
        for bad in [
            json!({}),
            json!({"exp": "2000"}),
            json!({"exp": null}),
            json!({"exp": [2000]}),
            json!({"exp": true}),
            json!({"exp": -1}),
            json!({"exp": 253_402_300_800u64}),
            json!({"exp": u64::MAX}),
            json!({"exp": 1e300}),
            json!({"exp": 2000, "nbf": -1}),
            json!({"exp": 2000, "nbf": "1"}),
            json!({"exp": 2000, "nbf": null}),
            json!({"exp": 2000, "iat": {}}),
        ] {
            assert!(
                matches!(check(bad.clone()), Err(JwtFault::Claim(_))),
                "{bad}"
            );
        }
    }

    #[test]
    fn scopes_are_whole_words() {
        let scopes = |json| scopes_of(&claims(json));

        assert_eq!(scopes(json!({"scope": "a  b"})), ["a", "b"]);
        assert_eq!(scopes(json!({"scp": ["a", "b", 1]})), ["a", "b"]);
        assert_eq!(scopes(json!({"scope": "a", "scp": "b"})), ["a"]);
        assert!(scopes(json!({"scope": {"a": 1}})).is_empty());
    }

    #[test]
    fn only_the_exact_prefix_is_taken_off() {
        assert_eq!(bearer("Bearer a.b.c"), "a.b.c");
        assert_eq!(bearer("Bearer  a.b.c"), " a.b.c");
        assert_eq!(bearer("Basic a.b.c"), "Basic a.b.c");
    }
}
