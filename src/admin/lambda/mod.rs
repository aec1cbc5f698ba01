//! Lambda's own API for the functions that the configuration and templates place:
//! `aws lambda invoke --endpoint-url`, SDKs and functions that call each other.
//!
//! Only functions that are placed here can be called, never one at AWS by accident.
//! Nothing is published: an alias or version that is declared is the code as it is, any
//! other is not found. Signatures are not looked at.
//!
//! Source: Lambda API reference, "Invoke", "InvokeWithResponseStream",
//! "ListFunctions", "GetFunction", "GetFunctionConfiguration".

mod describe;
mod invoke;
mod refused;
mod stream;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::any;
use bytes::{Bytes, BytesMut};
use http::request::Parts;
use http_body_util::BodyExt;

use self::refused::Refused;
use crate::base::FunctionArn;
use crate::event::query::{Query, decode_percent};
use crate::function::{FunctionRef, Functions};
use crate::gateway::Gateway;

/// What a call that runs code answers with: there are no published versions.
const VERSION: &str = "$LATEST";

/// The routes of Lambda's API.
pub fn router(gateway: Gateway) -> Router {
    Router::new()
        .route("/2015-03-31/functions", any(answer))
        .route("/2015-03-31/functions/", any(answer))
        .route("/2015-03-31/functions/{*call}", any(answer))
        .route("/2021-11-15/functions/{*call}", any(answer))
        .with_state(gateway)
}

async fn answer(State(gateway): State<Gateway>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let functions = gateway.plan().functions.clone();
    let answered = route(&functions, &parts, body).await;
    answered.unwrap_or_else(Refused::into_response)
}

async fn route(functions: &Functions, parts: &Parts, body: Body) -> Result<Response, Refused> {
    let path: Vec<String> = parts
        .uri
        .path()
        .trim_matches('/')
        .split('/')
        .map(|segment| decode_percent(segment).into_owned())
        .collect();
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    match (parts.method.as_str(), path.as_slice()) {
        ("GET", ["2015-03-31", "functions"]) => describe::list(functions, &query),
        ("GET", ["2015-03-31", "functions", name]) => {
            describe::function(functions, &find(functions, name, &query)?)
        }
        ("GET", ["2015-03-31", "functions", name, "configuration"]) => {
            describe::configuration(functions, &find(functions, name, &query)?)
        }
        ("POST", ["2015-03-31", "functions", name, "invocations"]) => {
            let function = find(functions, name, &query)?;
            invoke::invoke(functions, function, &parts.headers, body).await
        }
        (
            "POST",
            [
                "2021-11-15",
                "functions",
                name,
                "response-streaming-invocations",
            ],
        ) => {
            let function = find(functions, name, &query)?;
            stream::invoke(functions, function, &parts.headers, body).await
        }
        _ => Err(Refused::unknown_operation(parts)),
    }
}

/// The function that a path names: by name, ARN or partial ARN, with a qualifier
/// there or in the query.
fn find(functions: &Functions, text: &str, query: &Query) -> Result<FunctionRef, Refused> {
    let mut arn = read_name(text).ok_or_else(|| Refused::invalid_name(text))?;
    let asked = query.last("Qualifier").filter(|text| !text.is_empty());
    if let Some(asked) = asked
        && !is_qualifier(asked)
    {
        return Err(Refused::invalid_qualifier(asked));
    }
    match (&arn.qualifier, asked) {
        (Some(own), Some(other)) if own != other => {
            return Err(Refused::parameter(
                "The derived qualifier from the function name does not match the specified qualifier.",
            ));
        }
        (None, Some(other)) => arn.qualifier = Some(other.to_owned()),
        _ => {}
    }
    let found = functions.find(&arn);
    if found.is_some() {
        if let Some(function) = found.filter(FunctionRef::has_qualifier) {
            return Ok(function);
        }
        tracing::warn!(
            function = %arn,
            "Lambda's API was asked for an alias or version that is declared nowhere; \
             `qualifiers` of the function in tollgate.yaml declares it"
        );
    } else {
        tracing::warn!(
            function = %arn,
            "Lambda's API was asked for a function that neither the configuration nor a template places"
        );
    }
    let (region, account) = functions.home();
    Err(Refused::no_function(&arn, region, account))
}

/// "Lambda API reference", Invoke, `Qualifier`: 1 to 128 of `[a-zA-Z0-9$_-]`.
fn is_qualifier(text: &str) -> bool {
    text.len() <= 128
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'$' | b'_' | b'-'))
}

/// `NAME`, `ACCOUNT:function:NAME`, `REGION:ACCOUNT:function:NAME`, `function:NAME` or
/// an ARN, each with `:QUALIFIER` or not.
fn read_name(text: &str) -> Option<FunctionArn> {
    // "Lambda API reference": at most 140 characters, a name of 64.
    const LONGEST: usize = 170;
    if text.len() > LONGEST {
        return None;
    }
    let parts: Vec<&str> = text.split(':').collect();
    let text = match parts.as_slice() {
        ["function", rest @ ..] => rest.join(":"),
        [_, account, "function", rest @ ..] => format!("{account}:function:{}", rest.join(":")),
        _ => text.to_owned(),
    };
    FunctionArn::parse(&text)
}

/// A whole body of at most `limit` bytes; one that is longer is read to its end, so
/// that its sender gets to read the answer.
async fn read_body(mut body: Body, limit: usize) -> Result<Bytes, Refused> {
    let mut bytes = BytesMut::new();
    let mut length = 0_usize;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            return Err(Refused::content("the body broke off"));
        };
        if let Ok(data) = frame.into_data() {
            length = length.saturating_add(data.len());
            if length <= limit {
                bytes.extend_from_slice(&data);
            }
        }
    }
    if length > limit {
        return Err(Refused::too_large(limit));
    }
    Ok(bytes.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_named_in_every_form_that_lambda_takes() {
        for text in [
            "pets",
            "function:pets",
            "123456789012:function:pets",
            "us-east-1:123456789012:function:pets",
            "arn:aws:lambda:us-east-1:123456789012:function:pets",
        ] {
            let arn = read_name(text).unwrap();
            assert_eq!((arn.name.as_str(), arn.qualifier), ("pets", None), "{text}");
            let arn = read_name(&format!("{text}:live")).unwrap();
            assert_eq!(arn.qualifier.as_deref(), Some("live"), "{text}");
        }
        for text in ["", "a b", "a:b:c", "arn:aws:s3:::x", &"x".repeat(200)] {
            assert!(read_name(text).is_none(), "{text}");
        }
    }
}
