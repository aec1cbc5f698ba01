//! The listener for those who run the gateway: AWS's control plane for API keys and
//! usage plans, Lambda's API for the functions that run here, what monitors ask, and
//! the local user pools.
//!
//! It listens on loopback alone and asks for no credentials, so it answers
//! nobody whom a web page could have sent: a request whose `Host` is no loopback
//! name, or that comes from a page of another origin, gets 403. Local user pools let
//! pages of this machine in, see [`user_pool`].

pub mod control_plane;
mod health;
pub mod lambda;
mod listener;
pub mod user_pool;

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};

pub use self::listener::{AdminListener, AdminPort, BindAdminError};
use crate::gateway::Gateway;

/// What the listener serves.
pub fn router(gateway: &Gateway) -> Router {
    control_plane::router(Arc::new(control_plane::ControlPlane::new(gateway.clone())))
        .merge(lambda::router(gateway.clone()))
        .merge(health::router(gateway))
        .layer(from_fn(only_from_here))
        .merge(user_pool::router(gateway))
}

/// Refuses what a web page of somebody else may have sent.
async fn only_from_here(request: Request, next: Next) -> Response {
    if is_from_here(request.headers()) {
        return next.run(request).await;
    }
    let body = r#"{"message":"Forbidden"}"#;
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (StatusCode::FORBIDDEN, kind, body).into_response()
}

/// A name that another machine's DNS can point here is no loopback name.
fn is_from_here(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let host = text(header::HOST).is_some_and(is_loopback);
    let origin = text(header::ORIGIN)
        .is_none_or(|origin| origin.strip_prefix("http://").is_some_and(is_loopback));
    let site = headers
        .get("sec-fetch-site")
        .is_none_or(|site| site != "cross-site");
    host && origin && site
}

/// `127.0.0.1:3001`, `localhost`, `[::1]:3001`.
fn is_loopback(authority: &str) -> bool {
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    let local = host.eq_ignore_ascii_case("localhost") || host.ends_with(".localhost");
    local
        || host
            .parse()
            .is_ok_and(|address: IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (
                    http::HeaderName::from_static(name),
                    http::HeaderValue::from_static(value),
                )
            })
            .collect()
    }

    #[test]
    fn pages_of_others_are_refused() {
        let here = |pairs: &[_]| is_from_here(&headers(pairs));

        assert!(here(&[("host", "127.0.0.1:3001")]));
        assert!(here(&[
            ("host", "localhost:3001"),
            ("origin", "http://localhost:3001")
        ]));
        assert!(here(&[("host", "[::1]:3001")]));
        assert!(!here(&[]));
        assert!(!here(&[("host", "evil.example:3001")]));
        assert!(!here(&[
            ("host", "127.0.0.1"),
            ("origin", "http://evil.example")
        ]));
        assert!(!here(&[("host", "127.0.0.1"), ("origin", "null")]));
        assert!(!here(&[
            ("host", "127.0.0.1"),
            ("sec-fetch-site", "cross-site")
        ]));
    }
}
