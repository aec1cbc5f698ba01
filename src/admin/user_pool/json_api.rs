//! Cognito's JSON API: how a call is read and answered. What it does stands in
//! `operations`.
//!
//! Source: Cognito API reference, "Making API requests"; AWS JSON 1.1.

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use serde_json::{Map as JsonMap, Value as Json, json};

use super::operations;
use super::{pools, whole};
use crate::auth::user_pool::{PoolFault, UserPools};
use crate::base::id;
use crate::gateway::Gateway;

const SERVICE: &str = "AWSCognitoIdentityProviderService.";

/// A call, read.
pub(super) struct Call {
    pub(super) pools: UserPools,
    pub(super) body: JsonMap<String, Json>,
}

impl Call {
    /// A text that may be missing.
    pub(super) fn maybe(&self, name: &str) -> Option<&str> {
        self.body.get(name).and_then(Json::as_str)
    }

    /// A text that must be there.
    pub(super) fn text(&self, name: &str) -> Result<&str, PoolFault> {
        match self.maybe(name) {
            Some(text) if !text.is_empty() => Ok(text),
            _ => {
                let mut camel = name.to_owned();
                if let Some(first) = camel.get_mut(..1) {
                    first.make_ascii_lowercase();
                }
                Err(PoolFault::invalid(format!(
                    "1 validation error detected: Value at '{camel}' failed to satisfy constraint: Member must not be null"
                )))
            }
        }
    }

    pub(super) fn object(&self, name: &str) -> JsonMap<String, Json> {
        let object = self.body.get(name).and_then(Json::as_object);
        object.cloned().unwrap_or_default()
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        self.body.get(name).and_then(Json::as_bool).unwrap_or(false)
    }

    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.body.get(name).and_then(Json::as_u64)
    }

    /// `[{Name, Value}]`.
    pub(super) fn attributes(&self, name: &str) -> Vec<(String, String)> {
        let list = self.body.get(name).and_then(Json::as_array);
        list.into_iter()
            .flatten()
            .filter_map(|entry| {
                let name = entry.get("Name")?.as_str()?.to_owned();
                let value = entry
                    .get("Value")
                    .and_then(Json::as_str)
                    .unwrap_or_default();
                Some((name, value.to_owned()))
            })
            .collect()
    }

    pub(super) fn texts(&self, name: &str) -> Option<Vec<String>> {
        let list = self.body.get(name)?.as_array()?;
        let texts = list.iter().filter_map(Json::as_str);
        Some(texts.map(str::to_owned).collect())
    }
}

/// `POST /`.
pub(super) async fn answer(State(gateway): State<Gateway>, request: Request) -> Response {
    let headers = request.headers();
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(operation) = text("x-amz-target").and_then(|target| target.strip_prefix(SERVICE))
    else {
        return refuse(&PoolFault::new("UnknownOperationException", ""));
    };
    let operation = operation.to_owned();
    let json = text("content-type").is_some_and(|kind| {
        let kind = kind.split(';').next().unwrap_or_default().trim();
        kind.eq_ignore_ascii_case("application/x-amz-json-1.1")
    });
    let from_page = headers.contains_key(header::ORIGIN);
    if !json {
        return refuse(&PoolFault::new("SerializationException", ""));
    }
    let Some(body) = whole(request).await else {
        return refuse(&PoolFault::new(
            "SerializationException",
            "the request is too large",
        ));
    };
    let Ok(Json::Object(body)) = serde_json::from_slice(&body) else {
        return refuse(&PoolFault::new("SerializationException", ""));
    };
    if from_page && !operations::is_for_everybody(&operation) {
        // At AWS it needs credentials, which no page has.
        return refuse(&PoolFault::new(
            "MissingAuthenticationTokenException",
            "Missing Authentication Token",
        ));
    }
    let call = Call {
        pools: pools(&gateway),
        body,
    };
    // Passwords take milliseconds of computing, and changes are written to a file.
    let done = tokio::task::spawn_blocking(move || {
        let done = operations::perform(&operation, &call);
        if let Err(fault) = &done {
            tracing::debug!(
                operation,
                kind = fault.kind,
                "the local user pool refused a call"
            );
        }
        done
    });
    match done.await.unwrap_or_else(|_| Err(PoolFault::internal())) {
        Ok(body) => {
            let headers = [
                ("x-amzn-requestid", id::request_id()),
                ("content-type", "application/x-amz-json-1.1".to_owned()),
                ("cache-control", "no-store".to_owned()),
            ];
            (StatusCode::OK, headers, body.to_string()).into_response()
        }
        Err(fault) => refuse(&fault),
    }
}

fn refuse(fault: &PoolFault) -> Response {
    let status = match fault.kind {
        "InternalErrorException" => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::BAD_REQUEST,
    };
    let headers = [
        ("x-amzn-requestid", id::request_id()),
        ("x-amzn-errortype", format!("{}:", fault.kind)),
        ("content-type", "application/x-amz-json-1.1".to_owned()),
    ];
    let body = json!({"__type": fault.kind, "message": fault.message});
    (status, headers, body.to_string()).into_response()
}
