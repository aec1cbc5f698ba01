//! `userPools` of the configuration: the pools that run beside the gateway.
//!
//! Names are those of the Cognito API in camelCase.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value as Json;

use super::values::{self, get};
use crate::model::Spanned;
use crate::model::user_pool::{
    PasswordPolicy, ResourceServer, UserPoolClient, UserPoolGroup, UserPoolSettings, UserPoolUser,
};
use crate::source::{Diagnostic, Diagnostics, Mapping, Node, Severity, Span, Value};

const POOL_KEYS: [&str; 10] = [
    "local",
    "issuer",
    "clients",
    "users",
    "groups",
    "resourceServers",
    "usernameAttributes",
    "aliasAttributes",
    "passwordPolicy",
    "jwksUri",
];
const CLIENT_KEYS: [&str; 10] = [
    "clientId",
    "clientName",
    "clientSecret",
    "explicitAuthFlows",
    "allowedOAuthScopes",
    "allowedOAuthFlows",
    "accessTokenValidity",
    "idTokenValidity",
    "refreshTokenValidity",
    "preventUserExistenceErrors",
];
const USER_KEYS: [&str; 5] = ["username", "password", "groups", "attributes", "temporary"];
const GROUP_KEYS: [&str; 4] = ["name", "description", "precedence", "roleArn"];
const SERVER_KEYS: [&str; 2] = ["identifier", "scopes"];
const POLICY_KEYS: [&str; 5] = [
    "minimumLength",
    "requireLowercase",
    "requireUppercase",
    "requireNumbers",
    "requireSymbols",
];
/// "InitiateAuth" and "CreateUserPoolClient": the flows that are served here.
const FLOWS: [&str; 4] = [
    "ALLOW_USER_SRP_AUTH",
    "ALLOW_USER_PASSWORD_AUTH",
    "ALLOW_ADMIN_USER_PASSWORD_AUTH",
    "ALLOW_REFRESH_TOKEN_AUTH",
];

/// Whether an entry says anything that only a local pool has.
fn is_local(fields: &Mapping) -> bool {
    POOL_KEYS
        .iter()
        .filter(|key| !matches!(**key, "issuer" | "jwksUri"))
        .any(|key| fields.contains_key(*key))
        && get(fields, "local").and_then(Node::as_bool) != Some(false)
}

/// `userPools` without its local pools: where the keys of the others are.
pub(super) fn elsewhere(node: &Node) -> Node {
    let mut node = node.clone();
    if let Value::Mapping(pools) = &mut node.value {
        pools.retain(|_, (_, pool)| pool.as_mapping().is_none_or(|fields| !is_local(fields)));
        for (_, pool) in pools.values_mut() {
            if let Value::Mapping(fields) = &mut pool.value {
                // `local: false` says what is so anyway.
                fields.shift_remove("local");
            }
        }
    }
    node
}

/// Blanks passwords and secrets in what `tollgate config` shows.
pub(super) fn blank_secrets(pools: &mut Json) {
    let pools = pools.as_object_mut().into_iter().flatten();
    for (_, pool) in pools {
        for (list, name) in [("users", "password"), ("clients", "clientSecret")] {
            let entries = pool.get_mut(list).and_then(Json::as_array_mut);
            for entry in entries.into_iter().flatten() {
                if let Some(secret) = entry.get_mut(name) {
                    *secret = "***".into();
                }
            }
        }
    }
}

/// The local pools of `userPools`.
pub(super) fn read_local(
    pools: Option<&Mapping>,
    findings: &mut Diagnostics,
) -> Vec<UserPoolSettings> {
    let mut read: Vec<UserPoolSettings> = Vec::new();
    for (name, (span, node)) in pools.into_iter().flatten() {
        let Some(fields) = node.as_mapping().filter(|fields| is_local(fields)) else {
            continue;
        };
        let mut reader = Reader {
            what: format!("`{name}` in `userPools`"),
            findings,
        };
        let pool = reader.pool(name, *span, fields);
        let twice = read
            .iter()
            .any(|other| own_id(&other.name) == own_id(&pool.name));
        if twice {
            reader.error("E0851", *span, "the local user pool stands here twice");
        }
        read.push(pool);
    }
    read
}

/// What is left of an ARN: the pool's id.
fn own_id(name: &str) -> &str {
    name.rsplit_once('/').map_or(name, |(_, id)| id)
}

struct Reader<'f> {
    what: String,
    findings: &'f mut Diagnostics,
}

impl Reader<'_> {
    fn error(&mut self, code: &'static str, span: Span, message: impl Into<String>) {
        self.findings
            .push(Diagnostic::error(code, message.into()).at(span));
    }

    fn known_keys(&mut self, fields: &Mapping, known: &[&str], what: &str) {
        values::unknown_keys(fields, known, what, Severity::Error, self.findings);
    }

    fn text(&mut self, fields: &Mapping, key: &str) -> Option<Spanned<String>> {
        get(fields, key).and_then(|node| values::text(node, &format!("`{key}`"), self.findings))
    }

    fn texts(&mut self, fields: &Mapping, key: &str) -> Option<Vec<Spanned<String>>> {
        get(fields, key).map(|node| values::texts(node, &format!("`{key}`"), self.findings))
    }

    fn words(&mut self, fields: &Mapping, key: &str, words: &[&str]) -> Option<Vec<String>> {
        let list = get(fields, key)?;
        let what = format!("an entry of `{key}`");
        let items = values::sequence(list, &format!("`{key}`"), self.findings)?;
        Some(
            items
                .iter()
                .filter_map(|node| values::word(node, &what, words, self.findings))
                .map(|index| words[index].to_owned())
                .collect(),
        )
    }

    /// The entries of a list of mappings.
    fn entries<'n>(&mut self, fields: &'n Mapping, key: &str) -> Vec<(&'n Mapping, Span)> {
        let what = format!("an entry of `{key}`");
        get(fields, key)
            .and_then(|node| values::sequence(node, &format!("`{key}`"), self.findings))
            .unwrap_or_default()
            .iter()
            .filter_map(|node| Some((values::mapping(node, &what, self.findings)?, node.span)))
            .collect()
    }

    fn pool(&mut self, name: &str, span: Span, fields: &Mapping) -> UserPoolSettings {
        let what = self.what.clone();
        self.known_keys(fields, &POOL_KEYS, &what);
        match get(fields, "local") {
            Some(node) => drop(values::flag(node, "`local`", self.findings)),
            None => self.error(
                "E0851",
                span,
                format!("{what} has what only a local user pool has: say `local: true`"),
            ),
        }
        if let Some(node) = get(fields, "jwksUri") {
            let message =
                format!("{what} is local: its keys are its own, and `jwksUri` says nothing");
            self.error("E0851", node.span, message);
        }
        let id = own_id(name);
        // "CreateUserPool": `[\w-]+_[0-9a-zA-Z]+`; what is behind the underscore is signed with a password.
        let alphanumeric =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let (region, own) = id.split_once('_').unwrap_or(("-", id));
        let region_is_one = region
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if !alphanumeric(own) || !region_is_one {
            let message = format!(
                "`{id}` cannot be a user pool's id: `us-east-1_example`, or letters and digits alone"
            );
            self.error("E0851", span, message);
        }
        let issuer = self.text(fields, "issuer");
        if let Some(issuer) = &issuer
            && !issuer.value.starts_with("http://")
            && !issuer.value.starts_with("https://")
        {
            let message = format!("`issuer` is `{}`, but must be a URL", issuer.value);
            self.error("E0806", issuer.span, message);
        }
        let addresses = ["email", "phone_number"];
        let aliases = ["email", "phone_number", "preferred_username"];
        let mut pool = UserPoolSettings {
            name: name.to_owned(),
            issuer,
            username_attributes: self
                .words(fields, "usernameAttributes", &addresses)
                .unwrap_or_default(),
            alias_attributes: self
                .words(fields, "aliasAttributes", &aliases)
                .unwrap_or_default(),
            span,
            ..UserPoolSettings::default()
        };
        for (fields, span) in self.entries(fields, "clients") {
            if let Some(client) = self.client(fields, span) {
                if pool
                    .clients
                    .iter()
                    .any(|one| one.client_id == client.client_id)
                {
                    let message = format!("the client `{}` stands here twice", client.client_id);
                    self.error("E0852", span, message);
                }
                pool.clients.push(client);
            }
        }
        for (fields, span) in self.entries(fields, "users") {
            if let Some(user) = self.user(fields, span) {
                if pool.users.iter().any(|one| one.username == user.username) {
                    let message = format!("the user `{}` stands here twice", user.username);
                    self.error("E0852", span, message);
                }
                pool.users.push(user);
            }
        }
        pool.groups = self.groups(fields);
        for (fields, span) in self.entries(fields, "resourceServers") {
            self.known_keys(fields, &SERVER_KEYS, "a resource server");
            let scopes = self.texts(fields, "scopes").unwrap_or_default();
            match self.text(fields, "identifier") {
                Some(identifier) => pool.resource_servers.push(ResourceServer {
                    identifier: identifier.value,
                    scopes: scopes.into_iter().map(|scope| scope.value).collect(),
                }),
                None => self.error("E0852", span, "a resource server has an `identifier`"),
            }
        }
        if let Some(node) = get(fields, "passwordPolicy") {
            pool.password_policy = self.password_policy(node);
        }
        pool
    }

    fn client(&mut self, fields: &Mapping, span: Span) -> Option<UserPoolClient> {
        self.known_keys(fields, &CLIENT_KEYS, "an app client");
        let standard = UserPoolClient::default();
        let Some(id) = self
            .text(fields, "clientId")
            .filter(|id| !id.value.is_empty())
        else {
            self.error("E0852", span, "an app client has a `clientId`");
            return None;
        };
        let seconds = |reader: &mut Self, key: &str, least: i64, most: i64, or: Duration| {
            get(fields, key)
                .and_then(|node| {
                    values::integer(node, &format!("`{key}`"), least, most, reader.findings)
                })
                .and_then(|seconds| u64::try_from(seconds).ok())
                .map_or(or, Duration::from_secs)
        };
        // "CreateUserPoolClient": five minutes to a day, one hour to ten years. Shorter
        // ones are taken too, so that a test can see a token expire.
        let day = 24 * 60 * 60;
        let access = seconds(
            self,
            "accessTokenValidity",
            1,
            day,
            standard.access_token_validity,
        );
        let identity = seconds(self, "idTokenValidity", 1, day, standard.id_token_validity);
        let refresh = seconds(
            self,
            "refreshTokenValidity",
            1,
            3650 * day,
            standard.refresh_token_validity,
        );
        if let Some(flows) = self.texts(fields, "allowedOAuthFlows") {
            for flow in flows
                .iter()
                .filter(|flow| flow.value != "client_credentials")
            {
                let message = format!(
                    "the local user pool has no sign-in page: `{}` in `allowedOAuthFlows`",
                    flow.value
                );
                self.findings
                    .push(Diagnostic::unsupported(&message).at(flow.span));
            }
        }
        let prevent = get(fields, "preventUserExistenceErrors").and_then(|node| {
            let words = ["LEGACY", "ENABLED"];
            values::word(node, "`preventUserExistenceErrors`", &words, self.findings)
        });
        Some(UserPoolClient {
            client_name: self
                .text(fields, "clientName")
                .map_or_else(|| id.value.clone(), |name| name.value),
            client_id: id.value,
            client_secret: self
                .text(fields, "clientSecret")
                .map(|secret| secret.value)
                .filter(|secret| !secret.is_empty()),
            explicit_auth_flows: self.words(fields, "explicitAuthFlows", &FLOWS),
            allowed_oauth_scopes: self
                .texts(fields, "allowedOAuthScopes")
                .map(|scopes| scopes.into_iter().map(|scope| scope.value).collect()),
            access_token_validity: access,
            id_token_validity: identity,
            refresh_token_validity: refresh,
            prevent_user_existence_errors: prevent == Some(1),
        })
    }

    fn user(&mut self, fields: &Mapping, span: Span) -> Option<UserPoolUser> {
        self.known_keys(fields, &USER_KEYS, "a user of a local user pool");
        let username = self.text(fields, "username").map(|name| name.value);
        let Some(username) = username.filter(|name| !name.is_empty() && name.len() <= 128) else {
            let message = "a user of a local user pool has a `username` of 1 to 128 characters";
            self.error("E0852", span, message);
            return None;
        };
        let attributes: BTreeMap<String, String> = get(fields, "attributes")
            .map(|node| values::text_map(node, "`attributes`", self.findings))
            .unwrap_or_default()
            .into_iter()
            .map(|(name, value)| (name, value.value))
            .collect();
        let groups = self.texts(fields, "groups").unwrap_or_default();
        Some(UserPoolUser {
            username,
            password: self.text(fields, "password").map(|password| password.value),
            groups: groups.into_iter().map(|group| group.value).collect(),
            attributes,
            temporary: get(fields, "temporary")
                .and_then(|node| values::flag(node, "`temporary`", self.findings))
                .unwrap_or(false),
        })
    }

    /// Names, or mappings with more.
    fn groups(&mut self, fields: &Mapping) -> Vec<UserPoolGroup> {
        let list = get(fields, "groups")
            .and_then(|node| values::sequence(node, "`groups`", self.findings))
            .unwrap_or_default();
        let mut groups = Vec::new();
        for node in list {
            let Some(fields) = node.as_mapping() else {
                groups.extend(
                    values::text(node, "an entry of `groups`", self.findings).map(|name| {
                        UserPoolGroup {
                            name: name.value,
                            ..UserPoolGroup::default()
                        }
                    }),
                );
                continue;
            };
            self.known_keys(fields, &GROUP_KEYS, "a group");
            let Some(name) = self.text(fields, "name") else {
                self.error("E0852", node.span, "a group has a `name`");
                continue;
            };
            groups.push(UserPoolGroup {
                name: name.value,
                description: self.text(fields, "description").map(|text| text.value),
                precedence: get(fields, "precedence")
                    .and_then(|node| {
                        values::integer(node, "`precedence`", 0, i64::from(u32::MAX), self.findings)
                    })
                    .and_then(|number| u32::try_from(number).ok()),
                role_arn: self.text(fields, "roleArn").map(|arn| arn.value),
            });
        }
        groups
    }

    fn password_policy(&mut self, node: &Node) -> PasswordPolicy {
        let mut policy = PasswordPolicy::default();
        let Some(fields) = values::mapping(node, "`passwordPolicy`", self.findings) else {
            return policy;
        };
        self.known_keys(fields, &POLICY_KEYS, "`passwordPolicy`");
        if let Some(node) = get(fields, "minimumLength")
            && let Some(least) = values::integer(node, "`minimumLength`", 6, 99, self.findings)
        {
            policy.minimum_length = usize::try_from(least).unwrap_or(policy.minimum_length);
        }
        let mut flag = |key: &str, value: &mut bool| {
            if let Some(node) = get(fields, key)
                && let Some(told) = values::flag(node, &format!("`{key}`"), self.findings)
            {
                *value = told;
            }
        };
        flag("requireLowercase", &mut policy.require_lowercase);
        flag("requireUppercase", &mut policy.require_uppercase);
        flag("requireNumbers", &mut policy.require_numbers);
        flag("requireSymbols", &mut policy.require_symbols);
        policy
    }
}
