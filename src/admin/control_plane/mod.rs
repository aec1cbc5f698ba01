//! AWS's own calls for API keys and usage plans, in AWS's own form (REST-JSON), so
//! that `aws apigateway … --endpoint-url` and every SDK work as they are.
//!
//! A call is read into its path, query and body, and decided on by a function of
//! the [`Records`] in force; what it changes is kept in the store and seen by the
//! next request. Signatures are not looked at.
//!
//! Source: API Gateway Version 1 API reference; limits from "Amazon API Gateway
//! quotas".

mod answer;
mod keys;
mod members;
mod pages;
mod patch;
mod plans;
mod tags;
mod usage;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::response::Response;
use http::Method;
use serde_json::Value as Json;

pub use self::answer::{Answer, Refused};
use crate::event::query::{Query, decode_percent};
use crate::gateway::Gateway;
use crate::limit::ChangeError;
use crate::limit::usage_plan::{Change, Records};
use crate::model::ApiKind;
use crate::store::{Day, StoreError};

/// The longest body: AWS takes API keys to import up to 6 MB.
const MOST_BYTES: usize = 6 * 1024 * 1024;

/// Keys and usage plans of a gateway, for its operator.
#[derive(Debug)]
pub struct ControlPlane {
    gateway: Gateway,
}

/// A call, read.
#[derive(Debug)]
struct Call {
    method: Method,
    /// Decoded segments of the path.
    path: Vec<String>,
    query: Query,
    body: Vec<u8>,
}

/// What a call is decided by, beside the records.
#[derive(Debug)]
struct World {
    /// REST APIs and stages that are served.
    stages: Vec<(String, String)>,
    /// Since 1970.
    now: Duration,
}

/// A decision: what is answered, and what changes.
type Decision = Result<(Answer, Vec<Change>), Refused>;

impl World {
    fn today(&self) -> Day {
        Day::of(self.now)
    }
}

impl Call {
    /// A value of the query.
    fn query(&self, name: &str) -> Option<&str> {
        self.query.last(name)
    }

    fn flag(&self, name: &str) -> bool {
        self.query(name)
            .is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// The body as a JSON object.
    fn object(&self) -> Result<serde_json::Map<String, Json>, Refused> {
        match serde_json::from_slice(&self.body) {
            Ok(Json::Object(object)) => Ok(object),
            _ => Err(Refused::bad("Invalid request input")),
        }
    }
}

/// The routes of the control plane.
pub fn router(plane: Arc<ControlPlane>) -> Router {
    Router::new().fallback(answer).with_state(plane)
}

async fn answer(State(plane): State<Arc<ControlPlane>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = match to_bytes(body, MOST_BYTES).await {
        Ok(body) => body.to_vec(),
        Err(_) => return Refused::bad("Request is too large").into_response(),
    };
    let path = parts.uri.path().trim_start_matches('/');
    let call = Call {
        method: parts.method,
        path: path
            .split('/')
            .map(|segment| decode_percent(segment).into_owned())
            .collect(),
        query: Query::parse(parts.uri.query().unwrap_or_default()),
        body,
    };
    match plane.decide(&call).await {
        Ok(answer) => answer.into_response(),
        Err(refused) => refused.into_response(),
    }
}

impl ControlPlane {
    /// Of a gateway.
    pub fn new(gateway: Gateway) -> Self {
        Self { gateway }
    }

    fn world(&self) -> World {
        let plan = self.gateway.plan();
        World {
            stages: plan
                .apis
                .iter()
                .filter(|api| api.facts.kind == ApiKind::Rest)
                .map(|api| (api.facts.api_id.clone(), api.facts.stage.clone()))
                .collect(),
            now: plan.limits.clock().since_epoch(),
        }
    }

    async fn decide(&self, call: &Call) -> Result<Answer, Refused> {
        let world = self.world();
        let limits = Arc::clone(&self.gateway.plan().limits);
        let path: Vec<&str> = call.path.iter().map(String::as_str).collect();
        match (&call.method, path.as_slice()) {
            (&Method::GET, ["usageplans", plan, "usage"]) => {
                return usage::get(&limits, &world, call, plan).await;
            }
            (&Method::PATCH, ["usageplans", plan, "keys", key, "usage"]) => {
                return usage::update(&limits, &world, call, plan, key).await;
            }
            _ => {}
        }
        let decide = |records: &Records| route(call, &path, records, &world);
        limits.change(&decide).await.map_err(|error| match error {
            ChangeError::Refused(refused) => refused,
            ChangeError::Store(error) => broken(&error),
        })
    }
}

/// The store failed: AWS's services say this where they cannot answer now.
fn broken(error: &StoreError) -> Refused {
    tracing::error!(%error, "a call of the control plane failed");
    Refused::unavailable()
}

fn route(call: &Call, path: &[&str], records: &Records, world: &World) -> Decision {
    match (call.method.as_str(), path) {
        ("POST", ["apikeys"]) if call.query("mode") == Some("import") => {
            keys::import(call, records, world)
        }
        ("POST", ["apikeys"]) => keys::create(call, records, world),
        ("GET", ["apikeys"]) => keys::list(call, records),
        ("GET", ["apikeys", id]) => keys::get(call, records, id),
        ("PATCH", ["apikeys", id]) => keys::update(call, records, world, id),
        ("DELETE", ["apikeys", id]) => keys::delete(records, id),
        ("POST", ["usageplans"]) => plans::create(call, records, world),
        ("GET", ["usageplans"]) => plans::list(call, records, world),
        ("GET", ["usageplans", id]) => plans::get(records, world, id),
        ("PATCH", ["usageplans", id]) => plans::update(call, records, world, id),
        ("DELETE", ["usageplans", id]) => plans::delete(records, id),
        ("POST", ["usageplans", plan, "keys"]) => members::create(call, records, plan),
        ("GET", ["usageplans", plan, "keys"]) => members::list(call, records, plan),
        ("GET", ["usageplans", plan, "keys", key]) => members::get(records, plan, key),
        ("DELETE", ["usageplans", plan, "keys", key]) => members::delete(records, plan, key),
        // An ARN has slashes; some SDKs leave them as they are.
        ("GET", ["tags", arn @ ..]) => tags::get(records, &arn.join("/")),
        ("PUT", ["tags", arn @ ..]) => tags::put(call, records, &arn.join("/")),
        ("DELETE", ["tags", arn @ ..]) => tags::delete(call, records, &arn.join("/")),
        _ => Err(Refused::missing(
            "MissingAuthenticationTokenException",
            "Missing Authentication Token",
        )),
    }
}
