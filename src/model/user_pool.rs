//! A user pool that runs beside the gateway: `userPools: {NAME: {local: true, …}}`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Spanned;
use crate::source::Span;

/// A local user pool, as the configuration describes it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UserPoolSettings {
    /// The key it stands under: its ARN, its id (`us-east-1_example`), or a name,
    /// to which the region is put in front (`example`).
    pub name: String,
    /// `iss` of its tokens; absent: what Cognito would say for its id.
    pub issuer: Option<Spanned<String>>,
    /// Its app clients; none: those that documents name as audiences, or `local`.
    pub clients: Vec<UserPoolClient>,
    /// Its users at the start.
    pub users: Vec<UserPoolUser>,
    /// Its groups; those that users are in are there anyway.
    pub groups: Vec<UserPoolGroup>,
    /// Scopes beyond OpenID's, as `identifier/scope`.
    pub resource_servers: Vec<ResourceServer>,
    /// `email`, `phone_number`: what users sign up with in place of a name.
    pub username_attributes: Vec<String>,
    /// `email`, `phone_number`, `preferred_username`: what users may sign in with beside their name.
    pub alias_attributes: Vec<String>,
    /// What a password must have. Those of `users` are taken as they are.
    pub password_policy: PasswordPolicy,
    /// The place of the entry.
    pub span: Span,
}

/// An app client.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserPoolClient {
    /// Its id: `aud` of id tokens, `client_id` of access tokens.
    pub client_id: String,
    /// Its name.
    pub client_name: String,
    /// Its secret; a public client has none.
    pub client_secret: Option<String>,
    /// `ALLOW_USER_SRP_AUTH`, …; absent: all of them.
    pub explicit_auth_flows: Option<Vec<String>>,
    /// Absent: all scopes of the pool.
    pub allowed_oauth_scopes: Option<Vec<String>>,
    /// How long an access token holds, one hour by default.
    pub access_token_validity: Duration,
    /// How long an id token holds, one hour by default.
    pub id_token_validity: Duration,
    /// How long a refresh token holds, thirty days by default.
    pub refresh_token_validity: Duration,
    /// Whether one that is not there looks like one whose password is wrong.
    pub prevent_user_existence_errors: bool,
}

impl Default for UserPoolClient {
    fn default() -> Self {
        // "CreateUserPoolClient": the defaults of the validities.
        Self {
            client_id: String::new(),
            client_name: String::new(),
            client_secret: None,
            explicit_auth_flows: None,
            allowed_oauth_scopes: None,
            access_token_validity: Duration::from_secs(60 * 60),
            id_token_validity: Duration::from_secs(60 * 60),
            refresh_token_validity: Duration::from_secs(30 * 24 * 60 * 60),
            prevent_user_existence_errors: false,
        }
    }
}

impl std::fmt::Debug for UserPoolClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UserPoolClient")
            .field("client_id", &self.client_id)
            .field("client_secret", &self.client_secret.as_ref().map(|_| "***"))
            .finish_non_exhaustive()
    }
}

/// A user of the configuration.
#[derive(Clone, Default, PartialEq)]
pub struct UserPoolUser {
    /// What he signs in with.
    pub username: String,
    /// His password; absent: he cannot sign in by himself.
    pub password: Option<String>,
    /// The groups he is in.
    pub groups: Vec<String>,
    /// `email`, `custom:tenant`; `sub` is made up where it is absent.
    pub attributes: BTreeMap<String, String>,
    /// He must choose a new password when he signs in first.
    pub temporary: bool,
}

impl std::fmt::Debug for UserPoolUser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UserPoolUser")
            .field("username", &self.username)
            .field("password", &self.password.as_ref().map(|_| "***"))
            .field("groups", &self.groups)
            .finish_non_exhaustive()
    }
}

/// A group of users.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserPoolGroup {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// The group with the lowest number gives `cognito:preferred_role`.
    pub precedence: Option<u32>,
    /// An IAM role, told in `cognito:roles`.
    pub role_arn: Option<String>,
}

/// An API with scopes of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResourceServer {
    /// The part of a scope before its last slash.
    pub identifier: String,
    /// The part behind it.
    pub scopes: Vec<String>,
}

/// What a password must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswordPolicy {
    /// Characters, 6 to 99.
    pub minimum_length: usize,
    /// A lower-case letter.
    pub require_lowercase: bool,
    /// An upper-case letter.
    pub require_uppercase: bool,
    /// A digit.
    pub require_numbers: bool,
    /// A character that is neither.
    pub require_symbols: bool,
}

impl Default for PasswordPolicy {
    fn default() -> Self {
        // "Adding user pool password requirements": a pool's defaults.
        Self {
            minimum_length: 8,
            require_lowercase: true,
            require_uppercase: true,
            require_numbers: true,
            require_symbols: true,
        }
    }
}
