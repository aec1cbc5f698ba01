//! How users sign in: with their password, by proving that they know it, or with a
//! refresh token; and the challenges on the way.
//!
//! Source: Cognito API reference, "InitiateAuth", "AdminInitiateAuth",
//! "RespondToAuthChallenge".

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map as JsonMap, Value as Json, json};

use aws_lc_rs::{constant_time, hmac};

use super::kept::{User, UserStatus};
use super::keys::random;
use super::srp::{self, Proof, Verifier};
use super::tokens::{Grant, Tokens, random_uuid};
use super::{ADMIN_SCOPE, PoolFault, UserPool};
use crate::model::user_pool::UserPoolClient;

/// "AuthSessionValidity": three minutes by default.
const SESSION: u64 = 3 * 60 * 1000;
const SRP: &str = "srp";
const NEW_PASSWORD: &str = "new password";

/// `AuthParameters` or `ChallengeResponses`.
pub type Parameters = JsonMap<String, Json>;

/// `AuthFlow`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// `USER_SRP_AUTH`.
    Srp,
    /// `USER_PASSWORD_AUTH`.
    Password,
    /// `ADMIN_USER_PASSWORD_AUTH`, `ADMIN_NO_SRP_AUTH`.
    AdminPassword,
    /// `REFRESH_TOKEN_AUTH`, `REFRESH_TOKEN`.
    Refresh,
}

impl Flow {
    /// From its name; `admin` tells whose call it is.
    ///
    /// # Errors
    ///
    /// For a flow that is none, is not served here, or is not for that call.
    pub fn named(name: &str, admin: bool) -> Result<Self, PoolFault> {
        match name {
            "USER_SRP_AUTH" => Ok(Self::Srp),
            "USER_PASSWORD_AUTH" if !admin => Ok(Self::Password),
            "ADMIN_USER_PASSWORD_AUTH" | "ADMIN_NO_SRP_AUTH" if admin => Ok(Self::AdminPassword),
            "REFRESH_TOKEN_AUTH" | "REFRESH_TOKEN" => Ok(Self::Refresh),
            "USER_PASSWORD_AUTH" | "ADMIN_USER_PASSWORD_AUTH" | "ADMIN_NO_SRP_AUTH" => {
                Err(PoolFault::invalid("Initiate Auth method not supported."))
            }
            "CUSTOM_AUTH" | "USER_AUTH" => Err(PoolFault::invalid(format!(
                "{name} is not served by a local user pool"
            ))),
            other => Err(PoolFault::invalid(format!(
                "1 validation error detected: Value '{other}' at 'authFlow' failed to satisfy constraint: Member must satisfy enum value set: [USER_SRP_AUTH, USER_PASSWORD_AUTH, ADMIN_USER_PASSWORD_AUTH, REFRESH_TOKEN_AUTH]"
            ))),
        }
    }

    fn setting(self) -> [&'static str; 2] {
        match self {
            Self::Srp => ["ALLOW_USER_SRP_AUTH", "USER_SRP_AUTH"],
            Self::Password => ["ALLOW_USER_PASSWORD_AUTH", "USER_PASSWORD_AUTH"],
            Self::AdminPassword => ["ALLOW_ADMIN_USER_PASSWORD_AUTH", "ADMIN_NO_SRP_AUTH"],
            Self::Refresh => ["ALLOW_REFRESH_TOKEN_AUTH", "REFRESH_TOKEN_AUTH"],
        }
    }
}

/// How a step of a sign-in ended.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The user is in.
    Tokens(Tokens),
    /// He has to answer something.
    Challenge {
        /// `ChallengeName`.
        name: &'static str,
        /// `ChallengeParameters`.
        parameters: Json,
        /// `Session`.
        session: Option<String>,
    },
}

/// A parameter that must be there.
fn required<'p>(parameters: &'p Parameters, name: &str) -> Result<&'p str, PoolFault> {
    match parameters.get(name).and_then(Json::as_str) {
        Some(text) if !text.is_empty() => Ok(text),
        _ => Err(PoolFault::invalid(format!(
            "Missing required parameter {name}"
        ))),
    }
}

impl UserPool {
    /// The user whom `name` means: his name, or an address that the pool takes for one.
    pub(super) fn find(&self, name: &str) -> Option<User> {
        let settings = &self.settings;
        self.kept.read(|state| {
            if let Some(user) = state.users.get(name) {
                return Some(user.clone());
            }
            let by = |attribute: &String, verified: bool| {
                let named = |user: &&User| {
                    let own = user.attributes.get(attribute);
                    own.is_some_and(|own| own == name)
                        && (!verified || user.has_verified(attribute))
                };
                state.users.values().find(named).cloned()
            };
            let addresses = settings.username_attributes.iter();
            // "Customizing sign-in attributes": an address is an alias once it is verified, or
            // whoever writes down somebody else's would be taken for him.
            let aliases = settings.alias_attributes.iter();
            addresses
                .map(|attribute| by(attribute, false))
                .chain(aliases.map(|attribute| by(attribute, attribute != "preferred_username")))
                .flatten()
                .next()
                .or_else(|| state.users.values().find(|user| user.sub == name).cloned())
        })
    }

    /// Whether a client that has a secret shows that it knows it.
    ///
    /// # Errors
    ///
    /// `NotAuthorizedException`, as Cognito words it.
    pub fn check_secret(
        &self,
        client: &UserPoolClient,
        names: &[&str],
        told: Option<&str>,
    ) -> Result<(), PoolFault> {
        let id = &client.client_id;
        let Some(secret) = &client.client_secret else {
            return match told {
                None => Ok(()),
                Some(_) => Err(PoolFault::not_authorized(format!(
                    "Client {id} is not configured for secret but secret was received"
                ))),
            };
        };
        let Some(told) = told else {
            return Err(PoolFault::not_authorized(format!(
                "Client {id} is configured for secret but secret was not received"
            )));
        };
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let fits = names.iter().any(|name| {
            let own = STANDARD.encode(hmac::sign(&key, format!("{name}{id}").as_bytes()));
            constant_time::verify_slices_are_equal(own.as_bytes(), told.as_bytes()).is_ok()
        });
        if fits {
            return Ok(());
        }
        Err(PoolFault::not_authorized(format!(
            "SecretHash does not match for the client: {id}"
        )))
    }

    /// Begins a sign-in.
    ///
    /// # Errors
    ///
    /// Cognito's exceptions.
    pub fn initiate(
        &self,
        client: &UserPoolClient,
        flow: Flow,
        parameters: &Parameters,
    ) -> Result<Outcome, PoolFault> {
        let allowed = client.explicit_auth_flows.as_ref().is_none_or(|allowed| {
            allowed
                .iter()
                .any(|own| flow.setting().contains(&own.as_str()))
        });
        if !allowed {
            let [_, name] = flow.setting();
            return Err(PoolFault::invalid(format!(
                "{name} flow not enabled for this client"
            )));
        }
        let told = parameters.get("SECRET_HASH").and_then(Json::as_str);
        if flow == Flow::Refresh {
            let token = required(parameters, "REFRESH_TOKEN")?;
            return self.refresh(client, token, told).map(Outcome::Tokens);
        }
        let name = required(parameters, "USERNAME")?;
        self.check_secret(client, &[name], told)?;
        if flow == Flow::Srp {
            return self.begin_proof(client, name, required(parameters, "SRP_A")?);
        }
        let password = required(parameters, "PASSWORD")?;
        let user = self.by_password(client, name, password)?;
        self.enter(client, &user)
    }

    /// The user of a name and password that may sign in with them.
    pub(super) fn by_password(
        &self,
        client: &UserPoolClient,
        name: &str,
        password: &str,
    ) -> Result<User, PoolFault> {
        let Some(user) = self.find(name) else {
            if client.prevent_user_existence_errors {
                // Nobody is told by the lockout, or by how long it takes, that he is not there.
                self.kept.made_up.allow(name, self.now())?;
                let _ = self.pretended(name);
                self.kept.made_up.failed(name, self.now());
            }
            return Err(unknown(client));
        };
        if !user.enabled {
            return Err(PoolFault::not_authorized("User is disabled."));
        }
        let attempts = &self.kept.attempts;
        attempts.allow(&user.username, self.now())?;
        let verifier = user.verifier();
        if !verifier.fits(self.short_id(), &user.username, password) {
            attempts.failed(&user.username, self.now());
            return Err(PoolFault::wrong_password());
        }
        attempts.succeeded(&user.username);
        Ok(user)
    }

    /// Tokens, or what the user has to do first.
    fn enter(&self, client: &UserPoolClient, user: &User) -> Result<Outcome, PoolFault> {
        match user.status {
            UserStatus::Confirmed => self.sign_in(client, user, ADMIN_SCOPE).map(Outcome::Tokens),
            UserStatus::Unconfirmed => Err(PoolFault::new(
                "UserNotConfirmedException",
                "User is not confirmed.",
            )),
            UserStatus::ResetRequired => Err(PoolFault::new(
                "PasswordResetRequiredException",
                "Password reset required for the user",
            )),
            UserStatus::ForceChangePassword => {
                let attributes = serde_json::to_string(&user.attributes);
                Ok(Outcome::Challenge {
                    name: "NEW_PASSWORD_REQUIRED",
                    parameters: json!({
                        "USER_ID_FOR_SRP": user.username,
                        "requiredAttributes": "[]",
                        "userAttributes": attributes.unwrap_or_else(|_| "{}".to_owned()),
                    }),
                    session: Some(self.session(NEW_PASSWORD, client, user)?),
                })
            }
        }
    }

    /// Tokens of a new sign-in.
    ///
    /// # Errors
    ///
    /// Where the system gives no random numbers.
    pub fn sign_in(
        &self,
        client: &UserPoolClient,
        user: &User,
        scope: &str,
    ) -> Result<Tokens, PoolFault> {
        self.tokens(&Grant {
            user,
            client,
            origin: self.origin(user)?,
            scope: scope.to_owned(),
        })
    }

    /// New tokens of an old sign-in.
    ///
    /// # Errors
    ///
    /// `NotAuthorizedException` for a token that is none, was revoked or has expired.
    pub fn refresh(
        &self,
        client: &UserPoolClient,
        token: &str,
        told: Option<&str>,
    ) -> Result<Tokens, PoolFault> {
        let refreshed = self.refreshed(token)?;
        let user = self.user_of(&refreshed, client)?;
        let mut names = vec![user.username.as_str(), user.sub.as_str()];
        names.extend(user.attributes.values().map(String::as_str));
        self.check_secret(client, &names, told)?;
        self.short_tokens(&Grant {
            user: &user,
            client,
            origin: refreshed.origin,
            scope: refreshed.scope,
        })
    }

    /// New tokens for a client that has shown who it is already.
    ///
    /// # Errors
    ///
    /// As [`UserPool::refresh`].
    pub fn refresh_of(&self, client: &UserPoolClient, token: &str) -> Result<Tokens, PoolFault> {
        let shown = UserPoolClient {
            client_secret: None,
            ..client.clone()
        };
        self.refresh(&shown, token, None)
    }

    /// A sign-in in one step, for a client that has shown who it is.
    ///
    /// # Errors
    ///
    /// Cognito's exceptions; a challenge is one, too.
    pub fn sign_in_at_once(
        &self,
        client: &UserPoolClient,
        name: &str,
        password: &str,
        scope: &str,
    ) -> Result<Tokens, PoolFault> {
        let user = self.by_password(client, name, password)?;
        if user.status != UserStatus::Confirmed {
            return Err(PoolFault::not_authorized(
                "the user has to answer a challenge",
            ));
        }
        self.sign_in(client, &user, scope)
    }

    fn session(
        &self,
        purpose: &str,
        client: &UserPoolClient,
        user: &User,
    ) -> Result<String, PoolFault> {
        let content = json!({
            "id": random_uuid()?,
            "username": user.username,
            "client": client.client_id,
            // A password that was set in between ends the session.
            "modified": user.modified,
            "expires": self.now() + SESSION,
        });
        let sealed = self.kept.keys.seal(purpose, &content);
        Ok(STANDARD.encode(sealed.ok_or_else(PoolFault::internal)?))
    }

    fn begin_proof(
        &self,
        client: &UserPoolClient,
        name: &str,
        public: &str,
    ) -> Result<Outcome, PoolFault> {
        if srp::client_number(public).is_none() {
            return Err(PoolFault::not_authorized("Incorrect username or password."));
        }
        let user = self.find(name);
        if user.as_ref().is_some_and(|user| !user.enabled) && !client.prevent_user_existence_errors
        {
            return Err(PoolFault::not_authorized("User is disabled."));
        }
        let (username, verifier) = match &user {
            Some(user) if !user.verifier.is_empty() => (user.username.clone(), user.verifier()),
            Some(user) => (user.username.clone(), self.pretended(&user.username)),
            None if client.prevent_user_existence_errors => (
                super::kept::stable_sub(&self.id, name),
                self.pretended(name),
            ),
            None => return Err(PoolFault::no_user()),
        };
        let secret: [u8; 32] = random().map_err(|_| PoolFault::internal())?;
        let challenge = verifier
            .challenge(&secret)
            .ok_or_else(PoolFault::internal)?;
        let content = json!({
            "id": random_uuid()?,
            "username": username,
            "client": client.client_id,
            "public": public,
            "secret": STANDARD.encode(secret),
            "salt": verifier.salt,
            "verifier": verifier.value,
            "expires": self.now() + SESSION,
        });
        let block = self.kept.keys.seal(SRP, &content);
        let block = STANDARD.encode(block.ok_or_else(PoolFault::internal)?);
        Ok(Outcome::Challenge {
            name: "PASSWORD_VERIFIER",
            parameters: json!({
                "SALT": verifier.salt,
                "SECRET_BLOCK": block,
                "SRP_B": challenge,
                "USERNAME": username,
                "USER_ID_FOR_SRP": username,
            }),
            session: None,
        })
    }

    /// What nobody's password fits, and is the same each time one asks.
    fn pretended(&self, name: &str) -> Verifier {
        let digest = self.kept.keys.digest(&format!("nobody {name}"));
        let mut salt = [0; 16];
        salt.copy_from_slice(&digest[..16]);
        Verifier::new(self.short_id(), name, &STANDARD.encode(digest), &salt)
    }

    /// Goes on with a sign-in.
    ///
    /// # Errors
    ///
    /// Cognito's exceptions.
    pub fn respond(
        &self,
        client: &UserPoolClient,
        challenge: &str,
        session: Option<&str>,
        responses: &Parameters,
    ) -> Result<Outcome, PoolFault> {
        let name = required(responses, "USERNAME")?;
        let told = responses.get("SECRET_HASH").and_then(Json::as_str);
        let found = self.find(name);
        let mut names = vec![name];
        names.extend(found.iter().map(|user| user.username.as_str()));
        self.check_secret(client, &names, told)?;
        match challenge {
            "PASSWORD_VERIFIER" => self.check_proof(client, found, responses),
            "NEW_PASSWORD_REQUIRED" => self.new_password(client, found, session, responses),
            other => Err(PoolFault::invalid(format!(
                "the challenge {other} is not one of a local user pool"
            ))),
        }
    }

    fn check_proof(
        &self,
        client: &UserPoolClient,
        found: Option<User>,
        responses: &Parameters,
    ) -> Result<Outcome, PoolFault> {
        let block = required(responses, "PASSWORD_CLAIM_SECRET_BLOCK")?;
        let signature = required(responses, "PASSWORD_CLAIM_SIGNATURE")?;
        let timestamp = required(responses, "TIMESTAMP")?;
        if !is_timestamp(timestamp) {
            return Err(PoolFault::invalid(
                "TIMESTAMP format should be EEE MMM d HH:mm:ss z yyyy in english.",
            ));
        }
        let wrong = PoolFault::wrong_password;
        let block = STANDARD.decode(block).map_err(|_| wrong())?;
        let signature = STANDARD.decode(signature).map_err(|_| wrong())?;
        let content = self.kept.keys.unseal(SRP, &block).ok_or_else(wrong)?;
        let text = |name: &str| content[name].as_str().unwrap_or_default();
        let expires = content["expires"].as_u64().unwrap_or_default();
        let username = text("username");
        let secret = STANDARD.decode(text("secret")).map_err(|_| wrong())?;
        let secret = <[u8; 32]>::try_from(secret).map_err(|_| wrong())?;
        let now = self.now();
        if text("client") != client.client_id || expires <= now {
            return Err(PoolFault::not_authorized("Invalid session for the user."));
        }
        let verifier = Verifier {
            salt: text("salt").to_owned(),
            value: text("verifier").to_owned(),
        };
        let proven = verifier.proves(&Proof {
            pool: self.short_id(),
            username,
            client: text("public"),
            secret: &secret,
            secret_block: &block,
            timestamp,
            signature: &signature,
        });
        // The verifier is the user's still, and not one that was pretended.
        let user = found.filter(|user| user.username == username && user.verifier() == verifier);
        let attempts = match &user {
            Some(_) => &self.kept.attempts,
            None => &self.kept.made_up,
        };
        attempts.allow(username, now)?;
        let Some(user) = user.filter(|_| proven) else {
            attempts.failed(username, now);
            return Err(wrong());
        };
        attempts.succeeded(username);
        if !user.enabled {
            return Err(PoolFault::not_authorized("User is disabled."));
        }
        if !self.kept.spend(text("id"), expires, now) {
            return Err(PoolFault::not_authorized("Invalid session for the user."));
        }
        self.enter(client, &user)
    }

    fn new_password(
        &self,
        client: &UserPoolClient,
        found: Option<User>,
        session: Option<&str>,
        responses: &Parameters,
    ) -> Result<Outcome, PoolFault> {
        let invalid = || PoolFault::not_authorized("Invalid session for the user.");
        let password = required(responses, "NEW_PASSWORD")?;
        let content = session
            .and_then(|session| STANDARD.decode(session).ok())
            .and_then(|sealed| self.kept.keys.unseal(NEW_PASSWORD, &sealed))
            .ok_or_else(invalid)?;
        let text = |name: &str| content[name].as_str().unwrap_or_default();
        let expires = content["expires"].as_u64().unwrap_or_default();
        let now = self.now();
        if text("client") != client.client_id || expires <= now {
            return Err(invalid());
        }
        let user = found
            .filter(|user| user.username == text("username") && user.enabled)
            .filter(|user| content["modified"].as_u64() == Some(user.modified))
            .filter(|user| user.status == UserStatus::ForceChangePassword)
            .ok_or_else(invalid)?;
        self.check_password(password)?;
        if !self.kept.spend(text("id"), expires, now) {
            return Err(invalid());
        }
        let attributes: Vec<(String, String)> = responses
            .iter()
            .filter_map(|(name, value)| {
                let name = name.strip_prefix("userAttributes.")?;
                Some((name.to_owned(), value.as_str()?.to_owned()))
            })
            .collect();
        self.set_attributes(&user.username, &attributes, false)?;
        let user = self.set_password(&user.username, password, UserStatus::Confirmed)?;
        self.enter(client, &user)
    }
}

fn unknown(client: &UserPoolClient) -> PoolFault {
    if client.prevent_user_existence_errors {
        PoolFault::wrong_password()
    } else {
        PoolFault::no_user()
    }
}

/// `Tue Nov 3 09:05:07 UTC 2026`, the day without a zero in front; with one it is taken too.
fn is_timestamp(text: &str) -> bool {
    let mut parts = text.split(' ');
    let (Some(day), Some(rest)) = (parts.next(), text.get(4..)) else {
        return false;
    };
    ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"].contains(&day)
        && text.len() < 40
        && jiff::civil::DateTime::strptime("%b %d %H:%M:%S UTC %Y", rest).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_has_the_form_that_clients_write() {
        assert!(is_timestamp("Tue Nov 3 09:05:07 UTC 2026"));
        assert!(is_timestamp("Tue Nov 24 09:05:07 UTC 2026"));
        for bad in [
            "",
            "2026-11-03T09:05:07Z",
            "Tue Nov 3 09:05:07 CET 2026",
            "Xyz Nov 3 09:05:07 UTC 2026",
        ] {
            assert!(!is_timestamp(bad), "{bad}");
        }
    }
}
