//! `/oauth2/token`, `/oauth2/revoke` and `/oauth2/userInfo`.
//!
//! Beside Cognito's grants there is `password`, for tests: a sign-in in one request.
//! Source: Cognito developer guide, "The token issuer endpoint", "The token
//! revocation endpoint", "The userInfo endpoint"; RFC 6749, 5.2.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, StatusCode, header};
use serde_json::{Value as Json, json};

use super::{json_response, pools, whole};
use crate::auth::user_pool::{ADMIN_SCOPE, PoolFault, Tokens, UserPool, UserPools};
use crate::event::query::Query;
use crate::gateway::Gateway;
use crate::model::user_pool::UserPoolClient;

/// An `error` of RFC 6749, 5.2. Cognito answers 400 to each.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Refused(&'static str);

type Answered<T> = Result<T, Refused>;

fn refused(fault: &PoolFault) -> Refused {
    match fault.kind {
        "InternalErrorException" => Refused("server_error"),
        _ => Refused("invalid_grant"),
    }
}

fn respond(answered: Answered<Json>) -> Response {
    match answered {
        Ok(body) => json_response(StatusCode::OK, &body),
        Err(Refused("server_error")) => json_response(
            StatusCode::INTERNAL_SERVER_ERROR,
            &json!({"error": "server_error"}),
        ),
        Err(Refused(error)) => json_response(StatusCode::BAD_REQUEST, &json!({"error": error})),
    }
}

/// A form and the client that sent it.
struct Form {
    pool: Arc<UserPool>,
    client: UserPoolClient,
    fields: HashMap<String, String>,
}

impl Form {
    async fn read(gateway: &Gateway, named: Option<String>, request: Request) -> Answered<Self> {
        let headers = request.headers().clone();
        let kind = headers
            .get(header::CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok());
        let is_form = kind.is_some_and(|kind| {
            let kind = kind.split(';').next().unwrap_or_default().trim();
            kind.eq_ignore_ascii_case("application/x-www-form-urlencoded")
        });
        if !is_form {
            return Err(Refused("invalid_request"));
        }
        let body = whole(request).await.ok_or(Refused("invalid_request"))?;
        let body = String::from_utf8(body).map_err(|_| Refused("invalid_request"))?;
        let mut fields = HashMap::new();
        for (name, value) in Query::parse(&body).iter() {
            // RFC 6749, 3.2: parameters must not stand twice.
            if fields.insert(name.to_owned(), value.to_owned()).is_some() {
                return Err(Refused("invalid_request"));
            }
        }
        let (pool, client) = client(&pools(gateway), named.as_deref(), &headers, &fields)?;
        Ok(Self {
            pool,
            client,
            fields,
        })
    }

    fn field(&self, name: &str) -> Answered<&str> {
        match self.fields.get(name) {
            Some(value) if !value.is_empty() => Ok(value),
            _ => Err(Refused("invalid_request")),
        }
    }

    /// The scopes that are asked for, each of which `known` has; all of them where none is.
    fn scopes(&self, known: &[String]) -> Answered<Vec<String>> {
        let asked: Vec<String> = self
            .fields
            .get("scope")
            .into_iter()
            .flat_map(|text| text.split(' '))
            .filter(|scope| !scope.is_empty())
            .map(str::to_owned)
            .collect();
        if asked.iter().any(|scope| !known.contains(scope)) {
            return Err(Refused("invalid_scope"));
        }
        Ok(if asked.is_empty() {
            known.to_vec()
        } else {
            asked
        })
    }
}

/// The client by its Basic credentials or the form's; one that has a secret tells it.
fn client(
    pools: &UserPools,
    named: Option<&str>,
    headers: &HeaderMap,
    fields: &HashMap<String, String>,
) -> Answered<(Arc<UserPool>, UserPoolClient)> {
    let invalid = || Refused("invalid_client");
    let (id, secret) = match headers.get(header::AUTHORIZATION) {
        Some(value) => {
            let (scheme, credentials) = value
                .to_str()
                .ok()
                .and_then(|text| text.split_once(' '))
                .ok_or_else(invalid)?;
            if !scheme.eq_ignore_ascii_case("basic") {
                return Err(invalid());
            }
            let decoded = STANDARD.decode(credentials.trim()).map_err(|_| invalid())?;
            let text = String::from_utf8(decoded).map_err(|_| invalid())?;
            let (id, secret) = text.split_once(':').ok_or_else(invalid)?;
            // RFC 6749, 2.3.1: both parts are form-encoded; an id of the form must be the same.
            let id = decoded_part(id);
            if fields.get("client_id").is_some_and(|other| *other != id) {
                return Err(Refused("invalid_request"));
            }
            (id, Some(decoded_part(secret)))
        }
        None => {
            let id = fields.get("client_id").ok_or(Refused("invalid_request"))?;
            (id.clone(), fields.get("client_secret").cloned())
        }
    };
    let found = match named {
        Some(pool) => pools
            .get(pool)
            .and_then(|pool| Some((pool, pool.client(&id)?))),
        None => pools.of_client(&id),
    };
    let (pool, client) = found.ok_or_else(invalid)?;
    let own = client.client_secret.as_deref();
    let fits = match (own, secret.as_deref().filter(|secret| !secret.is_empty())) {
        (None, None) => true,
        (Some(own), Some(told)) => {
            aws_lc_rs::constant_time::verify_slices_are_equal(own.as_bytes(), told.as_bytes())
                .is_ok()
        }
        _ => false,
    };
    if !fits {
        return Err(invalid());
    }
    Ok((Arc::clone(pool), client))
}

fn decoded_part(text: &str) -> String {
    crate::event::query::decode_percent(&text.replace('+', " ")).into_owned()
}

fn token_body(tokens: &Tokens) -> Json {
    let mut body = json!({
        "access_token": tokens.access,
        "id_token": tokens.id,
        "expires_in": tokens.expires_in.as_secs(),
        "token_type": "Bearer",
    });
    if let Some(refresh) = &tokens.refresh {
        body["refresh_token"] = json!(refresh);
    }
    body
}

/// `POST /oauth2/token`.
pub(super) async fn token(
    State(gateway): State<Gateway>,
    named: Option<Path<String>>,
    request: Request,
) -> Response {
    let form = match Form::read(&gateway, named.map(|Path(named)| named), request).await {
        Ok(form) => form,
        Err(refused) => return respond(Err(refused)),
    };
    // Checking a password takes milliseconds of computing.
    let granted = tokio::task::spawn_blocking(move || grant(&form)).await;
    respond(granted.unwrap_or(Err(Refused("server_error"))))
}

fn grant(form: &Form) -> Answered<Json> {
    let (pool, client) = (&form.pool, &form.client);
    let custom = || {
        let allowed = client.allowed_oauth_scopes.clone();
        allowed.unwrap_or_else(|| pool.custom_scopes())
    };
    match form.field("grant_type")? {
        "client_credentials" => {
            if client.client_secret.is_none() {
                return Err(Refused("unauthorized_client"));
            }
            // Scopes of users are not for programs.
            let known: Vec<String> = custom()
                .into_iter()
                .filter(|scope| scope.contains('/'))
                .collect();
            let scopes = form.scopes(&known)?;
            if scopes.is_empty() {
                return Err(Refused("invalid_scope"));
            }
            let token = pool
                .client_token(client, &scopes.join(" "))
                .map_err(|fault| refused(&fault))?;
            Ok(json!({
                "access_token": token,
                "expires_in": client.access_token_validity.as_secs(),
                "token_type": "Bearer",
            }))
        }
        "password" => {
            let (name, password) = (form.field("username")?, form.field("password")?);
            let mut known = custom();
            let of_users = ["openid", "email", "phone", "profile", ADMIN_SCOPE];
            known.extend(of_users.map(str::to_owned));
            let asked = form.fields.contains_key("scope");
            let scopes = form.scopes(&known)?;
            let scope = if asked {
                scopes.join(" ")
            } else {
                ADMIN_SCOPE.to_owned()
            };
            let tokens = pool
                .sign_in_at_once(client, name, password, &scope)
                .map_err(|fault| refused(&fault))?;
            Ok(token_body(&tokens))
        }
        "refresh_token" => {
            let tokens = pool
                .refresh_of(client, form.field("refresh_token")?)
                .map_err(|fault| refused(&fault))?;
            Ok(token_body(&tokens))
        }
        // There is no page on which a user could have got a code.
        "authorization_code" => Err(Refused("invalid_grant")),
        _ => Err(Refused("unsupported_grant_type")),
    }
}

/// `POST /oauth2/revoke`. A token that is none is no error (RFC 7009, 2.2).
pub(super) async fn revoke(
    State(gateway): State<Gateway>,
    named: Option<Path<String>>,
    request: Request,
) -> Response {
    let revoked = match Form::read(&gateway, named.map(|Path(named)| named), request).await {
        Err(refused) => Err(refused),
        Ok(form) => {
            form.field("token")
                .and_then(|token| match form.pool.revoke(token, &form.client) {
                    Err(fault) if fault.kind == "UnauthorizedException" => {
                        Err(Refused("unauthorized_client"))
                    }
                    Err(fault) if fault.kind == "InternalErrorException" => {
                        Err(Refused("server_error"))
                    }
                    _ => Ok(json!({})),
                })
        }
    };
    respond(revoked)
}

/// `GET /oauth2/userInfo`: attributes of the bearer of an access token with the scope `openid`.
pub(super) async fn user_info(
    State(gateway): State<Gateway>,
    named: Option<Path<String>>,
    headers: HeaderMap,
) -> Response {
    let token = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    let pools = pools(&gateway);
    let bearer = token.and_then(|token| {
        pools
            .iter()
            .filter(|pool| named.as_ref().is_none_or(|Path(id)| pool.id() == id))
            .find_map(|pool| pool.bearer(token, "openid").ok())
    });
    let Some(bearer) = bearer else {
        let mut response = json_response(
            StatusCode::UNAUTHORIZED,
            &json!({"error": "invalid_token", "error_description": "Access token is expired, disabled, or deleted, or the user has globally signed out."}),
        );
        let challenge = http::HeaderValue::from_static(r#"Bearer error="invalid_token""#);
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, challenge);
        return response;
    };
    let mut body = json!({"sub": bearer.user.sub, "username": bearer.user.username});
    for (name, value) in &bearer.user.attributes {
        body[name] = json!(value);
    }
    json_response(StatusCode::OK, &body)
}
