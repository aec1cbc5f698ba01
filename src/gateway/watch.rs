//! Watches a request from its begin to the last byte of its answer, then tells:
//! metrics, access log, one line of the gateway's log, spans.
//!
//! What is known when the answer's head is there is put together then; what only
//! its end tells (bytes and time) is added by whoever sees the end: at once for an
//! answer in memory, by the body itself for one that streams.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant, UNIX_EPOCH};

use bytes::Bytes;
use http::{Method, Response};
use http_body::{Frame, SizeHint};
use tracing::{Level, enabled};

use super::access_log;
use super::rejection::Rejection;
use super::why::why;
use crate::base::{Body, BodyError};
use crate::event::Exchange;
use crate::integration::IntegrationError;
use crate::limit::{Limits, Why};
use crate::observe::Observer;
use crate::observe::access_log::Line;
use crate::observe::logs::REQUEST;
use crate::observe::metrics::RouteMetrics;
use crate::observe::sink::Sink;
use crate::observe::trace_context::TraceContext;
use crate::observe::traces::{Finished, Value};
use crate::plan::{ApiPlan, Plan};

/// Finds the request's place in a trace, where the gateway traces. Both headers go on
/// to the backend with it.
pub(super) fn begin(observer: &Observer, exchange: &mut Exchange<'_>) {
    let Some(tracer) = &observer.tracer else {
        return;
    };
    let headers = exchange.headers();
    let w3c = headers.first("traceparent");
    let w3c = w3c.and_then(|text| TraceContext::of_w3c(&text));
    let xray = headers.first("x-amzn-trace-id");
    let came = w3c.or_else(|| TraceContext::of_xray(xray.as_deref()?));
    // Made at the exchange's begin, where the client brought none.
    let made = TraceContext::of_xray(&exchange.trace_id).map_or(1, |made| made.trace_id);
    let trace = tracer.begin(came, made);
    // A client that names two traces keeps both.
    let two = xray.as_deref().and_then(TraceContext::of_xray);
    if two.is_none_or(|own| own.trace_id == trace.onward.trace_id) {
        let onward = trace.onward.xray(xray.as_deref());
        exchange.trace_id = onward;
    }
    exchange.traceparent = Some(trace.onward.w3c());
    exchange.watch.trace = Some(trace);
}

/// Tells of the request now, or once its answer has been sent.
pub(super) fn end(
    plan: &Plan,
    api: &ApiPlan,
    mut exchange: Exchange<'_>,
    refused: Option<&Rejection>,
    response: Response<Body>,
) -> Response<Body> {
    let status = response.status().as_u16();
    if let Some(refused) = refused {
        api.metrics.refused(refused.rest_answer().response_type);
        if let Rejection::Limited(refusal) = refused {
            api.metrics.throttled(refusal.scope.as_str());
        }
    }
    let metrics = exchange
        .route
        .map_or(&api.unmatched, |route| &route.metrics);
    if let Some(latency) = exchange.watch.integration_latency() {
        metrics.integrated(latency);
    }
    if let Some(hit) = exchange.watch.was_cached() {
        metrics.cached(hit);
    }
    let metrics = Arc::clone(metrics);
    let line = api.access_log.as_ref().map(|log| {
        let line = access_log::line(&log.format, &exchange, refused, status);
        (line, Arc::clone(&log.sink))
    });
    let told = Told::of(&plan.limits, &exchange, refused, status).map(Box::new);
    let traced = traced(&mut exchange, refused, status)
        .map(|finished| Box::new((finished, Arc::clone(&plan.observer))));
    let record = Record {
        began: exchange.watch.began(),
        status,
        metrics,
        line,
        told,
        traced,
    };
    let whole = match response.body() {
        Body::Empty => Some(0),
        Body::Full(bytes) => Some(bytes.len() as u64),
        Body::Incoming(_) | Body::Stream(_) => None,
    };
    match whole {
        _ if exchange.request.method == Method::HEAD => record.end(0),
        Some(length) => record.end(length),
        None => {
            return response.map(|body| {
                Body::stream(Watched {
                    body,
                    sent: 0,
                    record: Some(record),
                })
            });
        }
    }
    response
}

/// Everything that is told at the end.
struct Record {
    began: Instant,
    status: u16,
    metrics: Arc<RouteMetrics>,
    line: Option<(Line, Arc<Sink>)>,
    told: Option<Box<Told>>,
    traced: Option<Box<(Finished, Arc<Observer>)>>,
}

impl Record {
    fn end(self, length: u64) {
        let latency = self.began.elapsed();
        self.metrics.answered(self.status, latency);
        if let Some((mut line, sink)) = self.line {
            sink.push(line.end(length, latency));
        }
        if let Some(told) = self.told {
            told.say(latency);
        }
        if let Some(traced) = self.traced {
            let (mut finished, observer) = *traced;
            finished.ended = latency;
            let size = i64::try_from(length).unwrap_or(i64::MAX);
            let size = ("http.response.body.size", Value::Number(size));
            finished.attributes.push(size);
            if let Some(tracer) = &observer.tracer {
                tracer.end(finished);
            }
        }
    }
}

/// A body that tells of its request when it ends, or is dropped because the client went.
struct Watched {
    body: Body,
    sent: u64,
    record: Option<Record>,
}

impl Watched {
    fn end(&mut self) {
        if let Some(record) = self.record.take() {
            record.end(self.sent);
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.end();
    }
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        match &frame {
            Some(Ok(frame)) => {
                self.sent += frame.data_ref().map_or(0, |data| data.len() as u64);
            }
            Some(Err(_)) | None => self.end(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

// === the gateway's log

/// The line of the gateway's log, while its level is on.
struct Told {
    level: Level,
    method: Method,
    path: String,
    status: u16,
    request_id: String,
    backend: Option<String>,
    integration: Option<Duration>,
    function: Option<Duration>,
    cold_start: Option<Duration>,
    cached: Option<bool>,
    why: Option<String>,
}

impl Told {
    fn of(
        limits: &Limits,
        exchange: &Exchange<'_>,
        refused: Option<&Rejection>,
        status: u16,
    ) -> Option<Self> {
        let level = refused.map_or(Level::INFO, level);
        let on = match level {
            Level::ERROR => enabled!(target: REQUEST, Level::ERROR),
            Level::WARN => enabled!(target: REQUEST, Level::WARN),
            _ => enabled!(target: REQUEST, Level::INFO),
        };
        if !on {
            return None;
        }
        let watch = &exchange.watch;
        let function = watch.function();
        let integration = watch.integration_latency();
        Some(Self {
            level,
            method: exchange.request.method.clone(),
            path: exchange.request.path.clone(),
            status,
            request_id: exchange.request_id.clone(),
            backend: exchange
                .route
                .filter(|_| integration.is_some())
                .map(|route| route.backend.clone()),
            integration,
            function: function.map(|time| time.duration),
            cold_start: function.and_then(|time| time.init),
            cached: watch.was_cached(),
            why: refused.map(|refused| why(limits, exchange, refused)),
        })
    }

    fn say(&self, latency: Duration) {
        macro_rules! say {
            ($level:expr) => {
                tracing::event!(
                    target: REQUEST,
                    $level,
                    method = self.method.as_str(),
                    path = self.path,
                    status = self.status,
                    latency_ms = milliseconds(latency),
                    integration = self.backend,
                    integration_ms = self.integration.map(milliseconds),
                    function_ms = self.function.map(milliseconds),
                    cold_start_ms = self.cold_start.map(milliseconds),
                    cached = self.cached,
                    why = self.why,
                    request_id = self.request_id,
                    "{} {} {}",
                    self.method,
                    self.path,
                    self.status,
                )
            };
        }
        match self.level {
            Level::ERROR => say!(Level::ERROR),
            Level::WARN => say!(Level::WARN),
            _ => say!(Level::INFO),
        }
    }
}

/// To the microsecond.
fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

/// How much a refusal concerns the operator. A flood that a limit keeps out is no news.
fn level(refused: &Rejection) -> Level {
    match refused {
        Rejection::Integration(
            IntegrationError::PayloadTooLarge
            | IntegrationError::Body(_)
            | IntegrationError::ClientGone
            | IntegrationError::UnsupportedMediaType,
        ) => Level::WARN,
        Rejection::Integration(_)
        | Rejection::Closed(_)
        | Rejection::AuthorizerFailed(_)
        | Rejection::Internal(_) => Level::ERROR,
        Rejection::Limited(refusal) if refusal.why != Why::StoreDown => Level::INFO,
        _ => Level::WARN,
    }
}

// === spans

/// The spans of a sampled request. Attributes are OpenTelemetry's for HTTP servers.
fn traced(
    exchange: &mut Exchange<'_>,
    refused: Option<&Rejection>,
    status: u16,
) -> Option<Finished> {
    let trace = exchange
        .watch
        .trace
        .take_if(|trace| trace.spans.is_some())?;
    let answered = exchange.watch.began().elapsed();
    let request = &exchange.request;
    let text = |text: &str| Value::Text(text.to_owned());
    let mut attributes = vec![
        ("http.request.method", text(request.method.as_str())),
        ("url.path", text(&request.path)),
        ("url.scheme", text(request.scheme.as_str())),
        ("server.address", text(exchange.domain_name())),
        ("client.address", Value::Text(exchange.source_ip())),
        ("http.response.status_code", Value::Number(status.into())),
        ("tollgate.api_id", text(&exchange.api.api_id)),
        ("tollgate.stage", text(&exchange.api.stage)),
        ("tollgate.request_id", text(&exchange.request_id)),
    ];
    if let Some(agent) = exchange.user_agent() {
        attributes.push(("user_agent.original", Value::Text(agent.into_owned())));
    }
    if let Some(refused) = refused {
        let response_type = refused.rest_answer().response_type;
        attributes.push(("error.type", text(response_type)));
    }
    let mut backend = Vec::new();
    let mut name = request.method.to_string();
    if let Some(route) = exchange.route {
        name = format!("{} {}", request.method, route.resource_path);
        attributes.push(("http.route", text(&route.resource_path)));
        backend.push(("tollgate.integration", text(&route.backend)));
        if let Some(function) = route.backend.strip_prefix("lambda ") {
            backend.push(("faas.invoked_name", text(function)));
        }
    }
    if let Some(status) = exchange.watch.backend_status() {
        backend.push(("http.response.status_code", Value::Number(status.into())));
    }
    Some(Finished {
        name,
        trace,
        began: UNIX_EPOCH + exchange.received,
        answered,
        ended: answered,
        failed: status >= 500,
        attributes,
        backend,
    })
}
