//! The phases of a request, in AWS's order. `docs/request-life.md` tells the same story.

use http::header::{CONTENT_LENGTH, HeaderName, HeaderValue};
use http::{Method, Response, StatusCode};

use super::admit::admit;
use super::authorize::{authorize, no_route};
use super::cache::{self, ResponseCache};
use super::choose::{Choice, NoChoice, choose};
use super::compression;
use super::cors;
use super::execution_log;
use super::function_url;
use super::gateway_response::{http_error, rest_error, tell_limits};
use super::rejection::Rejection;
use super::validate;
use super::watch;
use crate::base::{Body, Clock, PassedLines};
use crate::event::execution_log::{Line, LogSettings};
use crate::event::query::decode_percent;
use crate::event::{ApiFacts, Exchange, Malformed, PathParameter, ReceivedRequest};
use crate::integration::bounded_body::{BoundedBody, PAYLOAD_LIMIT, read_whole};
use crate::integration::header_rules::METHOD_OVERRIDE;
use crate::integration::{Answer, IntegrationError, RequestBody, body_error};
use crate::model::ApiKind;
use crate::observe::watch::Phase;
use crate::plan::{ApiPlan, Plan, RoutePlan};

// Named once: a name that is given as text is read again for each answer.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
const EXTENDED_REQUEST_ID: HeaderName = HeaderName::from_static("x-amz-apigw-id");
const TRACE_ID: HeaderName = HeaderName::from_static("x-amzn-trace-id");
const HTTP_REQUEST_ID: HeaderName = HeaderName::from_static("apigw-requestid");

/// Answers one request.
pub(super) async fn handle(
    plan: &Plan,
    clock: &Clock,
    cache: &ResponseCache,
    mut request: Box<ReceivedRequest>,
    logged: Option<LogSettings>,
) -> (Response<Body>, Vec<Line>) {
    if let Some(choice) = plan.function_url_of_host(&request.host) {
        return (
            Box::pin(function_url::answer(choice, clock, request)).await,
            Vec::new(),
        );
    }
    let received = clock.since_epoch();
    let body = std::mem::take(&mut request.body);
    let malformed = request.malformed.or_else(|| misspelt(&request.path));
    let (api, refused, choice) = match choose(plan, &request) {
        Ok(choice) => (choice.api, None, Some(choice)),
        Err(NoChoice::UnknownStage(api)) => (api, Some(unknown_stage(api, &request)), None),
        Err(NoChoice::UnknownApi) => {
            let refused = Rejection::UnknownApi {
                host: request.host.clone(),
            };
            match plan.apis.first() {
                Some(api) => (api, Some(refused), None),
                None => return (bare(StatusCode::NOT_FOUND), Vec::new()),
            }
        }
    };
    let Choice {
        path,
        path_with_stage,
        by_domain,
        ..
    } = choice.unwrap_or_else(|| {
        let path = request.path.clone();
        Choice {
            api,
            path: path.clone(),
            path_with_stage: path,
            by_domain: false,
        }
    });
    if api.facts.kind == ApiKind::Rest {
        override_method(&mut request);
    }
    let mut exchange = Exchange::begin(facts_for(api), request, path, path_with_stage, received);
    exchange.by_domain = by_domain;
    watch::begin(&plan.observer, &mut exchange);
    let malformed = malformed.or_else(|| over_size(&exchange));
    let refused = malformed.map(Rejection::Malformed).or(refused);
    let answered = match refused {
        Some(refused) => Err(refused),
        None => run(plan, api, &mut exchange, body, cache, clock, logged).await,
    };
    if let Err(rejection) = &answered {
        execution_log::refused(&exchange, rejection);
    }
    let (response, refused) = finish(plan, api, &exchange, answered);
    let response_type = refused
        .as_ref()
        .map(|rejection| rejection.rest_answer().response_type);
    execution_log::end(&exchange, &response, response_type, logged.is_some());
    let lines = exchange.log.lines();
    let response = watch::end(plan, api, exchange, refused.as_ref(), response);
    (response, lines)
}

/// `X-HTTP-Method-Override` changes the method of a REST API's request ("Amazon API Gateway
/// important notes") before anything else looks at it, signatures included: whoever puts the header
/// into somebody's signed request has no signed request any more. A value that is no method
/// of an API, or several, change nothing.
fn override_method(request: &mut ReceivedRequest) {
    const METHODS: [Method; 7] = [
        Method::DELETE,
        Method::GET,
        Method::HEAD,
        Method::OPTIONS,
        Method::PATCH,
        Method::POST,
        Method::PUT,
    ];
    let mut told = request.headers.all(METHOD_OVERRIDE);
    let (Some(name), None) = (told.next(), told.next()) else {
        return;
    };
    if let Some(method) = METHODS.into_iter().find(|method| method.as_str() == name) {
        drop((name, told));
        request.method = method;
    }
}

/// Match, authorize, admit, read, validate, integrate: the first that refuses ends it.
async fn run<'p>(
    plan: &'p Plan,
    api: &'p ApiPlan,
    exchange: &mut Exchange<'p>,
    body: Body,
    cache: &ResponseCache,
    clock: &Clock,
    logged: Option<LogSettings>,
) -> Result<Answer, Rejection> {
    if api.endpoint_disabled && !exchange.by_domain {
        return Err(Rejection::EndpointDisabled);
    }
    if let Some(response) = cors::preflight(api, exchange) {
        return Ok(Answer {
            response,
            with_trace_id: false,
            streams: false,
        });
    }
    let route = find(api, exchange)?;
    execution_log::begin(route, exchange, clock, logged);
    let body = authorize(route, exchange, body).await?;
    let admitted = admit(&plan.limits, route, exchange).await;
    execution_log::usage_plan(route, exchange, admitted.as_ref().copied());
    admitted?;
    execution_log::start(exchange);
    exchange.watch.enter(Phase::Validation);
    validate::parameters(&route.validation, exchange)?;
    let body = read(route, exchange, body).await?;
    execution_log::body(exchange, &body);
    validate_body(route, exchange, &body)?;
    let mut answer = integrate(route, exchange, body, cache).await?;
    if exchange.log.wants_data() && !answer.streams {
        answer.response = Box::pin(collected(answer.response)).await?;
    }
    compress(api, exchange, answer).await
}

/// A path with a `%` that is no byte's encoding, or with an encoded NUL: no two
/// readers agree on what it names.
fn misspelt(path: &str) -> Option<Malformed> {
    let bytes = path.as_bytes();
    let bad = memchr::memchr_iter(b'%', bytes).any(|at| match bytes.get(at + 1..at + 3) {
        Some(digits) => digits == b"00" || !digits.iter().all(u8::is_ascii_hexdigit),
        None => true,
    });
    bad.then_some(Malformed::RequestLine)
}

/// Whether the head is larger than an HTTP API takes: request line and header
/// values together ("Amazon API Gateway quotas" for HTTP APIs).
fn over_size(exchange: &Exchange<'_>) -> Option<Malformed> {
    const MOST_BYTES: usize = 10_240;
    if exchange.api.kind != ApiKind::Http {
        return None;
    }
    let request = &exchange.request;
    let query = request.query.as_ref().map_or(0, |query| query.len() + 1);
    let line = request.method.as_str().len() + request.path.len() + query + "  HTTP/1.1".len();
    (line + request.headers.value_len() > MOST_BYTES).then_some(Malformed::HeadersTooLarge)
}

/// Finds the route and what its variables matched.
fn find<'p>(api: &'p ApiPlan, exchange: &mut Exchange<'p>) -> Result<&'p RoutePlan, Rejection> {
    let found = api
        .router
        .find(exchange.request.method.as_str(), &exchange.path);
    let Some(found) = found else {
        return Err(
            no_route(exchange).unwrap_or_else(|| Rejection::MissingRoute {
                method: exchange.request.method.clone(),
                path: exchange.path.clone(),
            }),
        );
    };
    let route = &api.routes[found.route];
    let decoded = api.facts.kind == ApiKind::Http;
    exchange.path_parameters = route
        .variables
        .iter()
        .zip(found.values)
        .map(|(name, raw)| {
            let value = if decoded {
                decode_percent(raw).into_owned()
            } else {
                raw.to_owned()
            };
            PathParameter {
                name,
                raw: raw.to_owned(),
                value,
            }
        })
        .collect();
    exchange.route = Some(&route.facts);
    Ok(route)
}

/// Takes the body: whole where something needs it whole, else as it comes.
/// Either way it is bounded.
async fn read(
    route: &RoutePlan,
    exchange: &Exchange<'_>,
    body: Body,
) -> Result<RequestBody, Rejection> {
    use http_body::Body as _;

    if body.size_hint().lower() > PAYLOAD_LIMIT as u64 {
        return Err(IntegrationError::PayloadTooLarge.into());
    }
    // HTTP APIs undo no coding.
    let coded = exchange.api.kind == ApiKind::Rest && compression::is_coded(exchange.headers());
    if body.is_end_stream() && !coded {
        return Ok(RequestBody::Whole(bytes::Bytes::new()));
    }
    let checked = route.validation.body.is_some();
    let streams = route.integration(exchange.api).takes_streams(exchange);
    if streams && !checked && !coded {
        let exact = body.size_hint().exact().is_some();
        // A body of known length is held to it by its connection.
        let body = if exact {
            body
        } else {
            Body::stream(BoundedBody::new(body, PAYLOAD_LIMIT, None))
        };
        return Ok(RequestBody::Streaming(body));
    }
    let bytes = read_whole(body, PAYLOAD_LIMIT).await.map_err(body_error)?;
    if coded {
        return compression::undo(exchange.headers(), bytes).map(RequestBody::Whole);
    }
    Ok(RequestBody::Whole(bytes))
}

/// Checks the body, which is whole where something checks it.
fn validate_body(
    route: &RoutePlan,
    exchange: &Exchange<'_>,
    body: &RequestBody,
) -> Result<(), Rejection> {
    match (&route.validation.body, body) {
        (Some(validation), RequestBody::Whole(bytes)) => {
            validate::body(validation, exchange, bytes)?;
            execution_log::valid(exchange);
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Calls the backend, or answers from the stage's cache.
async fn integrate(
    route: &RoutePlan,
    exchange: &Exchange<'_>,
    body: RequestBody,
    cache: &ResponseCache,
) -> Result<Answer, Rejection> {
    let integration = route.integration(exchange.api);
    let caching = route
        .caching
        .as_ref()
        .filter(|caching| cache::applies(caching, &exchange.request.method));
    match caching {
        Some(caching) => {
            let now = exchange.received;
            let through = cache::through(cache, caching, integration, exchange, body, now);
            Box::pin(through).await
        }
        None => Ok(integration.call(exchange, body).await?),
    }
}

/// An answer with its whole body, so that it can be shown.
async fn collected(response: Response<Body>) -> Result<Response<Body>, Rejection> {
    let (parts, body) = response.into_parts();
    let body = read_whole(body, PAYLOAD_LIMIT)
        .await
        .map_err(|error| IntegrationError::BrokenAnswer(error.to_string()))?;
    Ok(Response::from_parts(parts, body.into()))
}

/// Compresses an answer where the API and the client want it.
async fn compress(
    api: &ApiPlan,
    exchange: &Exchange<'_>,
    mut answer: Answer,
) -> Result<Answer, Rejection> {
    let Some(minimum) = api.minimum_compression_size.filter(|_| !answer.streams) else {
        return Ok(answer);
    };
    let accepted = exchange.headers().last("accept-encoding");
    PassedLines::spread(&mut answer.response);
    let compressed = compression::compress(answer.response, accepted.as_deref(), minimum);
    let response = Box::pin(compressed).await?;
    Ok(Answer { response, ..answer })
}

/// The facts of the stage, or of its canary for its share of the requests.
fn facts_for(api: &ApiPlan) -> &ApiFacts {
    match &api.canary {
        Some(canary) if fastrand::f64() * 100.0 < canary.percent_traffic => &canary.facts,
        _ => &api.facts,
    }
}

/// Puts the gateway's own headers on the answer, or makes the answer of a refusal,
/// which it hands back.
fn finish(
    plan: &Plan,
    api: &ApiPlan,
    exchange: &Exchange<'_>,
    answered: Result<Answer, Rejection>,
) -> (Response<Body>, Option<Rejection>) {
    let (mut response, with_trace_id, refused) = match answered {
        Ok(answer) => (answer.response, answer.with_trace_id, None),
        Err(rejection) => {
            let with_trace_id = rejection.after_integration();
            let mut response = match api.facts.kind {
                ApiKind::Rest => rest_error(&api.gateway_responses, exchange, &rejection),
                ApiKind::Http => http_error(&rejection),
            };
            if let (Rejection::Limited(refusal), false) = (&rejection, plan.strict_aws) {
                tell_limits(refusal, response.headers_mut());
            }
            if must_close(&rejection) {
                response
                    .headers_mut()
                    .insert(http::header::CONNECTION, HeaderValue::from_static("close"));
            }
            (response, with_trace_id, Some(rejection))
        }
    };
    if let Some(cors) = &api.cors {
        PassedLines::spread(&mut response);
        cors::put(cors, exchange, response.headers_mut());
    }
    let mut set = |name: HeaderName, value: &str| {
        if let Some(PassedLines(lines)) = response.extensions_mut().get_mut() {
            lines.set(name.as_str(), value.as_bytes());
        } else if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(name, value);
        }
    };
    match api.facts.kind {
        ApiKind::Rest => {
            set(REQUEST_ID, &exchange.request_id);
            set(EXTENDED_REQUEST_ID, &exchange.extended_request_id);
            if with_trace_id {
                set(TRACE_ID, &exchange.trace_id);
            }
        }
        ApiKind::Http => set(HTTP_REQUEST_ID, &exchange.extended_request_id),
    }
    if response.status() == StatusCode::NO_CONTENT || response.status() == StatusCode::NOT_MODIFIED
    {
        // Such an answer has no body (RFC 9110, 15.3.5 and 15.4.5).
        response.headers_mut().remove(CONTENT_LENGTH);
        *response.body_mut() = Body::Empty;
    }
    (response, refused)
}

/// After these the rest of the request cannot be trusted or was not read.
fn must_close(rejection: &Rejection) -> bool {
    matches!(
        rejection,
        Rejection::Malformed(_)
            | Rejection::Integration(
                IntegrationError::PayloadTooLarge | IntegrationError::ClientGone
            )
    )
}

/// A stage that the API does not have.
fn unknown_stage(api: &ApiPlan, request: &ReceivedRequest) -> Rejection {
    match api.facts.kind {
        // Recorded: a REST API's endpoint says Forbidden where no stage is.
        ApiKind::Rest => Rejection::UnknownApi {
            host: request.host.clone(),
        },
        ApiKind::Http => Rejection::MissingRoute {
            method: request.method.clone(),
            path: request.path.clone(),
        },
    }
}

/// An answer where there is no API at all.
fn bare(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = status;
    response
}
