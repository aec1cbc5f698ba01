//! `$context` by name: for mappings (`context.NAME`), gateway responses,
//! templates and access logs.
//!
//! Source: API Gateway developer guide, "Variables for data transformations for
//! API Gateway" and "Variables for access logging for API Gateway".

use std::borrow::Cow;

use super::caller::{self, IamCaller};
use super::exchange::Exchange;
use crate::model::ApiKind;

/// The text of a variable, without `$context.`; `None` where it has no value.
pub fn lookup<'e>(exchange: &'e Exchange<'_>, name: &str) -> Option<Cow<'e, str>> {
    let api = exchange.api;
    let borrowed = |text: &'e str| Some(Cow::Borrowed(text));
    match name {
        "accountId" => borrowed(&api.account_id),
        "apiId" => borrowed(&api.api_id),
        "deploymentId" if api.kind == ApiKind::Rest => borrowed(&api.deployment_id),
        "domainName" => borrowed(exchange.domain_name()),
        "domainPrefix" => borrowed(exchange.domain_prefix()),
        "extendedRequestId" => borrowed(&exchange.extended_request_id),
        "httpMethod" => borrowed(exchange.request.method.as_str()),
        "path" => borrowed(&exchange.path_with_stage),
        "protocol" => borrowed(exchange.protocol()),
        "requestId" => borrowed(&exchange.request_id),
        "requestTime" => Some(Cow::Owned(exchange.request_time())),
        "requestTimeEpoch" => Some(Cow::Owned(exchange.request_time_epoch().to_string())),
        "resourceId" => exchange
            .route
            .and_then(|route| borrowed(&route.resource_id)),
        "resourcePath" => exchange
            .route
            .and_then(|route| borrowed(&route.resource_path)),
        "routeKey" if api.kind == ApiKind::Http => {
            exchange.route.and_then(|route| borrowed(&route.route_key))
        }
        "stage" => borrowed(&api.stage),
        "xrayTraceId" => borrowed(&exchange.trace_id),
        "isCanaryRequest" => api
            .canary
            .and_then(|canary| borrowed(if canary.requested { "true" } else { "false" })),
        "identity.sourceIp" => Some(Cow::Owned(exchange.source_ip())),
        "identity.userAgent" => exchange.user_agent(),
        "identity.apiKey" => exchange
            .api_key
            .as_ref()
            .and_then(|key| borrowed(&key.value)),
        "identity.apiKeyId" => exchange.api_key.as_ref().and_then(|key| borrowed(&key.id)),
        "identity.accessKey" => iam(exchange, |caller| &caller.access_key),
        "identity.accountId" => iam(exchange, |caller| &caller.account_id),
        "identity.caller" | "identity.user" => iam(exchange, |caller| &caller.user_id),
        "identity.userArn" => iam(exchange, |caller| &caller.user_arn),
        other => {
            let name = other.strip_prefix("authorizer.")?;
            caller::lookup_authorizer(exchange, name)
        }
    }
}

/// What is told of a caller who signed the request.
fn iam<'e>(
    exchange: &'e Exchange<'_>,
    part: impl Fn(&IamCaller) -> &String,
) -> Option<Cow<'e, str>> {
    let caller = exchange.caller.iam()?;
    Some(Cow::Borrowed(part(caller)))
}
