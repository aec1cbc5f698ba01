//! What a monitor asks: `/metrics`, `/healthz`, `/readyz`.

use axum::Router;
use axum::routing::get;
use http::{HeaderMap, StatusCode, header};

use crate::gateway::Gateway;
use crate::observe::metrics::{OPENMETRICS, TEXT, text};

/// The three paths.
pub(super) fn router(gateway: &Gateway) -> Router {
    let (measured, asked) = (gateway.clone(), gateway.clone());
    Router::new()
        .route(
            "/metrics",
            get(move |headers: HeaderMap| async move { metrics(&measured, &headers) }),
        )
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(move || async move { ready(&asked) }))
}

/// OpenMetrics for those who ask for it, as Prometheus does; its text of old otherwise.
fn metrics(
    gateway: &Gateway,
    headers: &HeaderMap,
) -> ([(header::HeaderName, &'static str); 1], String) {
    let openmetrics = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("application/openmetrics-text"));
    let media_type = if openmetrics { OPENMETRICS } else { TEXT };
    let text = text(&gateway.plan().observer, openmetrics);
    ([(header::CONTENT_TYPE, media_type)], text)
}

/// 503 once the gateway stops, and while its store is down and requests are refused for that.
fn ready(gateway: &Gateway) -> (StatusCode, String) {
    let plan = gateway.plan();
    let ready = plan
        .observer
        .metrics
        .ready()
        .and_then(|()| match plan.limits.refuses_all() {
            true => Err("the store of the limits does not answer"),
            false => Ok(()),
        });
    match ready {
        Ok(()) => (StatusCode::OK, "ready\n".to_owned()),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}
