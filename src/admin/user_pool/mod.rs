//! How clients talk to the local user pools: OpenID discovery and keys, `/oauth2/token`,
//! and Cognito's JSON API, so that Cognito's own SDKs work with this as their endpoint.
//!
//! Web pages may sign their users in here, where Cognito lets them, too; but only pages
//! that come from this machine (`http://localhost:5173`), and only by calls that at
//! AWS need no credentials. A page of anybody else, a `Host` that is no loopback name
//! (another machine's DNS may point here), and a request without `Origin` that a browser
//! marks as another site's get 403. Cookies play no part, so none are allowed.

mod json_api;
mod oauth;
mod operations;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Path, Request, State};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde_json::{Value as Json, json};

use super::is_loopback;
use crate::auth::user_pool::{UserPool, UserPools};
use crate::gateway::Gateway;

/// Larger than any call: "quotas" of user pools name 128 KB for none of them.
const MOST_BYTES: usize = 128 * 1024;

/// The routes of the local user pools.
pub fn router(gateway: &Gateway) -> Router {
    Router::new()
        .route("/", post(json_api::answer))
        .route("/oauth2/token", post(oauth::token))
        .route("/oauth2/revoke", post(oauth::revoke))
        .route(
            "/oauth2/userInfo",
            get(oauth::user_info).post(oauth::user_info),
        )
        .route("/{pool}/oauth2/token", post(oauth::token))
        .route("/{pool}/oauth2/revoke", post(oauth::revoke))
        .route(
            "/{pool}/oauth2/userInfo",
            get(oauth::user_info).post(oauth::user_info),
        )
        .route("/{pool}/.well-known/openid-configuration", get(discovery))
        .route("/{pool}/.well-known/jwks.json", get(key_set))
        .layer(from_fn(only_pages_from_here))
        .with_state(gateway.clone())
}

/// The pools that are served now.
fn pools(gateway: &Gateway) -> UserPools {
    gateway.plan().user_pools.clone()
}

/// A page's origin that is this machine's.
fn own_page(headers: &HeaderMap) -> Option<&HeaderValue> {
    let origin = headers.get(header::ORIGIN)?;
    let text = origin.to_str().ok()?;
    let authority = text
        .strip_prefix("http://")
        .or_else(|| text.strip_prefix("https://"))?;
    is_loopback(authority).then_some(origin)
}

/// See the module's words on pages.
async fn only_pages_from_here(request: Request, next: Next) -> Response {
    let headers = request.headers();
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let host = text(header::HOST).is_some_and(is_loopback);
    let page = own_page(headers).cloned();
    let other_site = match headers.contains_key(header::ORIGIN) {
        true => page.is_none(),
        false => text(header::HeaderName::from_static("sec-fetch-site")) == Some("cross-site"),
    };
    if !host || other_site {
        let kind = [(header::CONTENT_TYPE, "application/json")];
        return (StatusCode::FORBIDDEN, kind, r#"{"message":"Forbidden"}"#).into_response();
    }
    let preflight = request.method() == Method::OPTIONS
        && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = if preflight {
        StatusCode::NO_CONTENT.into_response()
    } else {
        next.run(request).await
    };
    let answered = response.headers_mut();
    answered.append(header::VARY, HeaderValue::from_static("origin"));
    let Some(page) = page else {
        return response;
    };
    answered.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, page);
    let mut say = |name, value| answered.insert(name, HeaderValue::from_static(value));
    if preflight {
        say(header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST");
        // What AWS's SDKs and Amplify send.
        say(
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "authorization, cache-control, content-type, x-amz-target, x-amz-user-agent, amz-sdk-invocation-id, amz-sdk-request, x-amz-date, x-amz-content-sha256, x-amz-security-token",
        );
        say(header::ACCESS_CONTROL_MAX_AGE, "600");
    } else {
        say(
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            "x-amzn-requestid, x-amzn-errortype, x-amzn-errormessage, date",
        );
    }
    response
}

/// A request's body, where it is not too large.
async fn whole(request: Request) -> Option<Vec<u8>> {
    let body = to_bytes(request.into_body(), MOST_BYTES).await.ok()?;
    Some(body.to_vec())
}

fn json_response(status: StatusCode, body: &Json) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (status, headers, body.to_string()).into_response()
}

fn no_pool() -> Response {
    let message = "there is no such local user pool; `tollgate serve --user-pool`, or `local: true` in `userPools`, makes one";
    json_response(StatusCode::NOT_FOUND, &json!({"message": message}))
}

/// `/.well-known/openid-configuration`. Issuer is what tokens say; the endpoints are here.
async fn discovery(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let pools = pools(&gateway);
    let Some(pool) = pools.get(&id) else {
        return no_pool();
    };
    // The middleware has seen that it is a loopback name.
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let here = format!("http://{}/{id}", host.unwrap_or("localhost"));
    json_response(StatusCode::OK, &metadata(pool, &here))
}

fn metadata(pool: &UserPool, here: &str) -> Json {
    let mut scopes = vec![
        "openid".to_owned(),
        "email".to_owned(),
        "phone".to_owned(),
        "profile".to_owned(),
    ];
    scopes.extend(pool.custom_scopes());
    json!({
        "issuer": pool.issuer(),
        "jwks_uri": format!("{here}/.well-known/jwks.json"),
        "token_endpoint": format!("{here}/oauth2/token"),
        "revocation_endpoint": format!("{here}/oauth2/revoke"),
        "userinfo_endpoint": format!("{here}/oauth2/userInfo"),
        "grant_types_supported": ["client_credentials", "password", "refresh_token"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "response_types_supported": [],
        "scopes_supported": scopes,
        "subject_types_supported": ["public"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
    })
}

/// `/.well-known/jwks.json`.
async fn key_set(State(gateway): State<Gateway>, Path(id): Path<String>) -> Response {
    match pools(&gateway).get(&id) {
        Some(pool) => {
            let mut response = json_response(StatusCode::OK, &pool.jwks());
            let cached = HeaderValue::from_static("public, max-age=300");
            response.headers_mut().insert(header::CACHE_CONTROL, cached);
            response
        }
        None => no_pool(),
    }
}
