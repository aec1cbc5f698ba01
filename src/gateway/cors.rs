//! CORS of HTTP APIs: the gateway answers preflights itself and puts the
//! configured headers on every other answer, its own errors included.
//!
//! Source: API Gateway developer guide, "Configure CORS for HTTP APIs in API
//! Gateway"; status 204 and `vary` were recorded at AWS. A preflight from an
//! origin that is not allowed is a 204 without headers: AWS does not say.

use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, HeaderMap, HeaderName, HeaderValue, ORIGIN, VARY};
use http::{Method, Response, StatusCode};

use crate::base::Body;
use crate::event::Exchange;
use crate::plan::ApiPlan;
use crate::plan::cors::{AllowedOrigin, CorsPlan};

/// The answer to a preflight, whatever routes and authorizers there are.
pub(super) fn preflight(api: &ApiPlan, exchange: &Exchange<'_>) -> Option<Response<Body>> {
    api.cors.as_ref().filter(|_| is_preflight(exchange))?;
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::NO_CONTENT;
    Some(response)
}

/// A preflight is told by three things ("Configure CORS for HTTP APIs").
pub(super) fn is_preflight(exchange: &Exchange<'_>) -> bool {
    exchange.request.method == Method::OPTIONS
        && exchange.headers().contains("origin")
        && exchange.headers().contains("access-control-request-method")
}

/// Puts the headers of `cors` on an answer, in place of its own.
pub(super) fn put(cors: &CorsPlan, exchange: &Exchange<'_>, headers: &mut HeaderMap) {
    let own: Vec<HeaderName> = headers
        .keys()
        .filter(|name| name.as_str().starts_with("access-control-"))
        .cloned()
        .collect();
    for name in own {
        headers.remove(name);
    }
    let Some(origin) = exchange.headers().first("origin") else {
        return;
    };
    let allowed = match cors.allowed(&origin) {
        None => return,
        Some(AllowedOrigin::Any) => HeaderValue::from_static("*"),
        Some(AllowedOrigin::Itself) => match HeaderValue::from_str(&origin) {
            Ok(origin) => {
                headers.append(VARY, HeaderValue::from_name(ORIGIN));
                origin
            }
            Err(_) => return,
        },
    };
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
    for (name, value) in configured(cors, exchange) {
        headers.insert(name.clone(), value.clone());
    }
}

fn configured<'c>(cors: &'c CorsPlan, exchange: &Exchange<'_>) -> &'c [(HeaderName, HeaderValue)] {
    if is_preflight(exchange) {
        &cors.preflight
    } else {
        &cors.actual
    }
}
