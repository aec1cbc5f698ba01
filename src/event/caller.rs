//! Who the caller is, as an authorizer found out, and how events and variables
//! tell it.
//!
//! Source: API Gateway developer guide, "Control access to REST APIs using
//! Amazon Cognito user pools as an authorizer", "Output from an API Gateway
//! Lambda authorizer" and "Control access to HTTP APIs with JWT authorizers";
//! how claims become text was recorded at AWS.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::{Map as JsonMap, Value as Json};

use super::exchange::Exchange;
use super::json::{Object, write_list};
use crate::model::ApiKind;

/// The claims of a token that was verified.
pub type Claims = JsonMap<String, Json>;

/// Who calls. Set once the route's authorizer has let the request pass.
#[derive(Clone, Debug, Default)]
pub enum Caller {
    /// Nobody was asked.
    #[default]
    Anonymous,
    /// The bearer of a token: a Cognito user pool's (REST) or any issuer's (HTTP).
    Token {
        /// What the token says.
        claims: Arc<Claims>,
        /// HTTP: the token's whole list of scopes where the route asks for one.
        scopes: Option<Vec<String>>,
    },
    /// Whom a Lambda authorizer named.
    Lambda(Arc<LambdaCaller>),
    /// Who signed the request.
    Iam(Arc<IamCaller>),
}

/// What a Lambda authorizer said of the caller.
#[derive(Clone, Debug, Default)]
pub struct LambdaCaller {
    /// `principalId`.
    pub principal_id: Option<String>,
    /// `context`; absent where the function gave none.
    pub context: Option<JsonMap<String, Json>>,
}

/// An IAM user or role whose key signed the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IamCaller {
    /// The access key's id.
    pub access_key: String,
    /// The caller's account.
    pub account_id: String,
    /// `AIDA…`.
    pub user_id: String,
    /// `arn:aws:iam::123456789012:user/alice`.
    pub user_arn: String,
}

impl Caller {
    /// The caller that signed, if it is one.
    pub fn iam(&self) -> Option<&IamCaller> {
        match self {
            Self::Iam(caller) => Some(caller),
            Self::Anonymous | Self::Token { .. } | Self::Lambda(_) => None,
        }
    }
}

/// A claim as a REST API shows it: lists joined by commas, `exp` and `iat` as
/// dates, everything as text. `None` for null.
pub fn rest_claim<'c>(name: &str, value: &'c Json) -> Option<Cow<'c, str>> {
    match value {
        Json::Null => None,
        Json::Number(number) if matches!(name, "exp" | "iat") => Some(Cow::Owned(
            number
                .as_f64()
                .and_then(java_date)
                .unwrap_or_else(|| number.to_string()),
        )),
        Json::Array(items) => {
            let items: Vec<Cow<'_, str>> = items.iter().map(plain).collect();
            Some(Cow::Owned(items.join(",")))
        }
        other => Some(plain(other)),
    }
}

/// A claim as an HTTP API shows it: numbers as they are, lists as `[a b]`.
/// `None` for null.
pub fn http_claim(value: &Json) -> Option<Cow<'_, str>> {
    match value {
        Json::Null => None,
        Json::Array(items) => {
            let items: Vec<Cow<'_, str>> = items.iter().map(plain).collect();
            Some(Cow::Owned(format!("[{}]", items.join(" "))))
        }
        other => Some(plain(other)),
    }
}

/// A value as text: a string as it is, anything else as JSON.
fn plain(value: &Json) -> Cow<'_, str> {
    match value {
        Json::String(text) => Cow::Borrowed(text),
        other => Cow::Owned(other.to_string()),
    }
}

/// `Wed May 18 12:31:07 UTC 2022`.
fn java_date(seconds: f64) -> Option<String> {
    if !(0.0..253_402_300_800.0).contains(&seconds) {
        return None;
    }
    let time = jiff::Timestamp::from_second(seconds as i64).ok()?;
    Some(time.strftime("%a %b %d %H:%M:%S UTC %Y").to_string())
}

/// A context value of a REST API's authorizer: text, whatever it was.
fn context_text(value: &Json) -> Option<Cow<'_, str>> {
    match value {
        Json::Null => None,
        other => Some(plain(other)),
    }
}

/// Writes `authorizer` of a REST event's request context, where there is one.
pub(super) fn write_rest(context: &mut Object<'_>, exchange: &Exchange<'_>) {
    match &exchange.caller {
        Caller::Anonymous | Caller::Iam(_) => {}
        Caller::Token { claims, .. } => {
            let mut out = Vec::with_capacity(512);
            let mut authorizer = Object::begin(&mut out);
            write_claims(&mut authorizer, claims, rest_claim);
            authorizer.end();
            context.key("authorizer");
            context.append(&out);
        }
        Caller::Lambda(caller) => {
            let mut out = Vec::with_capacity(256);
            let mut authorizer = Object::begin(&mut out);
            if let Some(principal) = &caller.principal_id {
                authorizer.text("principalId", principal);
            }
            authorizer.raw(
                "integrationLatency",
                &exchange.authorizer.latency.as_millis().to_string(),
            );
            for (name, value) in caller.context.iter().flatten() {
                if let Some(text) = context_text(value) {
                    authorizer.text(name, &text);
                }
            }
            authorizer.end();
            context.key("authorizer");
            context.append(&out);
        }
    }
}

/// Writes `authorizer` of a 2.0 event's request context, where there is one.
pub(super) fn write_http_v2(context: &mut Object<'_>, exchange: &Exchange<'_>) {
    let mut out = Vec::with_capacity(512);
    let mut authorizer = Object::begin(&mut out);
    match &exchange.caller {
        Caller::Anonymous => return,
        Caller::Token { claims, scopes } => {
            let mut inner = Vec::with_capacity(512);
            let mut jwt = Object::begin(&mut inner);
            write_claims(&mut jwt, claims, |_, value| http_claim(value));
            write_scopes(&mut jwt, scopes.as_deref());
            jwt.end();
            authorizer.key("jwt");
            authorizer.append(&inner);
        }
        Caller::Lambda(caller) => match &caller.context {
            Some(context) => {
                authorizer.raw("lambda", &Json::Object(context.clone()).to_string());
            }
            None => {
                authorizer.raw("lambda", "null");
            }
        },
        Caller::Iam(caller) => {
            let mut inner = Vec::with_capacity(256);
            let mut iam = Object::begin(&mut inner);
            iam.text("accessKey", &caller.access_key);
            iam.text("accountId", &caller.account_id);
            iam.text("callerId", &caller.user_id);
            iam.raw("cognitoIdentity", "null");
            iam.raw("principalOrgId", "null");
            iam.text("userArn", &caller.user_arn);
            iam.text("userId", &caller.user_id);
            iam.end();
            authorizer.key("iam");
            authorizer.append(&inner);
        }
    }
    authorizer.end();
    context.key("authorizer");
    context.append(&out);
}

/// Writes `authorizer` of a 1.0 event's request context, where there is one.
pub(super) fn write_http_v1(context: &mut Object<'_>, exchange: &Exchange<'_>) {
    let mut out = Vec::with_capacity(512);
    let mut authorizer = Object::begin(&mut out);
    match &exchange.caller {
        Caller::Anonymous | Caller::Iam(_) => return,
        Caller::Token { claims, scopes } => {
            write_claims(&mut authorizer, claims, |_, value| http_claim(value));
            write_scopes(&mut authorizer, scopes.as_deref());
        }
        Caller::Lambda(caller) => {
            if let Some(principal) = &caller.principal_id {
                authorizer.text("principalId", principal);
            }
            for (name, value) in caller.context.iter().flatten() {
                authorizer.raw(name, &value.to_string());
            }
        }
    }
    authorizer.end();
    context.key("authorizer");
    context.append(&out);
}

fn write_claims<'c>(
    object: &mut Object<'_>,
    claims: &'c Claims,
    text: impl Fn(&str, &'c Json) -> Option<Cow<'c, str>>,
) {
    let mut out = Vec::with_capacity(512);
    let mut members = Object::begin(&mut out);
    for (name, value) in claims {
        if let Some(text) = text(name, value) {
            members.text(name, &text);
        }
    }
    members.end();
    object.key("claims");
    object.append(&out);
}

fn write_scopes(object: &mut Object<'_>, scopes: Option<&[String]>) {
    match scopes {
        Some(scopes) => write_list(object.key("scopes"), scopes.iter().map(String::as_str)),
        None => {
            object.raw("scopes", "null");
        }
    }
}

/// A variable under `$context.authorizer`, by what follows `authorizer.`:
/// `principalId`, `KEY`, `claims.NAME`, `claims['NAME']`.
pub(super) fn lookup_authorizer<'e>(
    exchange: &'e Exchange<'_>,
    name: &str,
) -> Option<Cow<'e, str>> {
    match name {
        "error" => return exchange.authorizer.error.as_deref().map(Cow::Borrowed),
        "status" => {
            let status = exchange.authorizer.status?;
            return Some(Cow::Owned(status.to_string()));
        }
        "latency" | "integrationLatency" if exchange.authorizer.status.is_some() => {
            let latency = exchange.authorizer.latency.as_millis();
            return Some(Cow::Owned(latency.to_string()));
        }
        _ => {}
    }
    match &exchange.caller {
        Caller::Anonymous | Caller::Iam(_) => None,
        Caller::Token { claims, .. } => {
            let rest = name.strip_prefix("claims")?;
            let claim = match rest.strip_prefix('.') {
                Some(claim) => claim,
                None => bracketed(rest)?,
            };
            let value = claims.get(claim)?;
            match exchange.api.kind {
                ApiKind::Rest => rest_claim(claim, value),
                ApiKind::Http => http_claim(value),
            }
        }
        Caller::Lambda(caller) => {
            if name == "principalId" {
                return caller.principal_id.as_deref().map(Cow::Borrowed);
            }
            let key = bracketed(name).unwrap_or(name);
            context_text(caller.context.as_ref()?.get(key)?)
        }
    }
}

/// `['NAME']` or `["NAME"]`.
fn bracketed(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('[')?.strip_suffix(']')?;
    ['\'', '"']
        .iter()
        .find_map(|quote| inner.strip_prefix(*quote)?.strip_suffix(*quote))
}

/// Whether `$context.authorizer` is there.
pub(super) fn has_authorizer(exchange: &Exchange<'_>) -> bool {
    matches!(exchange.caller, Caller::Token { .. } | Caller::Lambda(_))
}

/// `$context.authorizer` as mapping templates see it; `None` where there is none.
pub(super) fn authorizer_tree(exchange: &Exchange<'_>) -> Option<Json> {
    let text = |value: Cow<'_, str>| Json::String(value.into_owned());
    let mut tree = JsonMap::new();
    match &exchange.caller {
        Caller::Anonymous | Caller::Iam(_) => return None,
        Caller::Token { claims, .. } => {
            let claims: JsonMap<String, Json> = claims
                .iter()
                .filter_map(|(name, value)| Some((name.clone(), text(rest_claim(name, value)?))))
                .collect();
            tree.insert("claims".to_owned(), Json::Object(claims));
        }
        Caller::Lambda(caller) => {
            if let Some(principal) = &caller.principal_id {
                tree.insert("principalId".to_owned(), Json::String(principal.clone()));
            }
            for (name, value) in caller.context.iter().flatten() {
                if let Some(value) = context_text(value) {
                    tree.insert(name.clone(), text(value));
                }
            }
            let latency = exchange.authorizer.latency.as_millis();
            tree.insert(
                "integrationLatency".to_owned(),
                Json::String(latency.to_string()),
            );
        }
    }
    Some(Json::Object(tree))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rest_claims_are_text_and_times_are_dates() {
        let text = |name, value: Json| rest_claim(name, &value).map(Cow::into_owned);

        assert_eq!(
            text("iat", json!(1_652_877_067)).as_deref(),
            Some("Wed May 18 12:31:07 UTC 2022")
        );
        assert_eq!(
            text("exp", json!(1_700_000_000)).as_deref(),
            Some("Tue Nov 14 22:13:20 UTC 2023")
        );
        assert_eq!(
            text("auth_time", json!(1_700_000_000)).as_deref(),
            Some("1700000000")
        );
        assert_eq!(
            text("cognito:groups", json!(["admin", "users"])).as_deref(),
            Some("admin,users")
        );
        assert_eq!(text("email_verified", json!(true)).as_deref(), Some("true"));
        assert_eq!(
            text("identities", json!({"a": 1})).as_deref(),
            Some(r#"{"a":1}"#)
        );
        assert_eq!(text("nothing", Json::Null), None);
        assert_eq!(text("exp", json!(1e300)).as_deref(), Some("1e+300"));
    }

    #[test]
    fn http_claims_are_text_and_lists_stand_in_brackets() {
        assert_eq!(
            http_claim(&json!(["admin", "poweruser"])).as_deref(),
            Some("[admin poweruser]")
        );
        assert_eq!(
            http_claim(&json!(1_700_000_000)).as_deref(),
            Some("1700000000")
        );
        assert_eq!(http_claim(&Json::Null), None);
    }

    #[test]
    fn a_name_in_brackets_is_read() {
        assert_eq!(bracketed("['custom:role']"), Some("custom:role"));
        assert_eq!(bracketed("[\"a\"]"), Some("a"));
        assert_eq!(bracketed("['a\"]"), None);
    }
}
