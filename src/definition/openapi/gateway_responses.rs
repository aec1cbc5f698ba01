//! `x-amazon-apigateway-gateway-responses`: what the gateway says in its own name.

use super::super::values::{self, get};
use super::Reader;
use super::mapping;
use crate::model::{Api, GatewayResponse, Spanned};
use crate::source::{Diagnostic, Node, Severity};

/// "Gateway response types for API Gateway".
const TYPES: [&str; 21] = [
    "ACCESS_DENIED",
    "API_CONFIGURATION_ERROR",
    "AUTHORIZER_CONFIGURATION_ERROR",
    "AUTHORIZER_FAILURE",
    "BAD_REQUEST_PARAMETERS",
    "BAD_REQUEST_BODY",
    "DEFAULT_4XX",
    "DEFAULT_5XX",
    "EXPIRED_TOKEN",
    "INTEGRATION_FAILURE",
    "INTEGRATION_TIMEOUT",
    "INVALID_API_KEY",
    "INVALID_SIGNATURE",
    "MISSING_AUTHENTICATION_TOKEN",
    "QUOTA_EXCEEDED",
    "REQUEST_TOO_LARGE",
    "RESOURCE_NOT_FOUND",
    "THROTTLED",
    "UNAUTHORIZED",
    "UNSUPPORTED_MEDIA_TYPE",
    "WAF_FILTERED",
];

const KEYS: [&str; 3] = ["statusCode", "responseParameters", "responseTemplates"];

impl Reader<'_, '_> {
    pub(super) fn read_gateway_responses(&mut self, node: &Node, api: &mut Api) {
        let what = "`x-amazon-apigateway-gateway-responses`";
        for (name, (span, entry)) in values::mapping(node, what, self.findings)
            .into_iter()
            .flatten()
        {
            if !TYPES.contains(&name.as_str()) {
                let finding = Diagnostic::error(
                    "E0731",
                    format!("there is no gateway response type `{name}`"),
                )
                .at(*span)
                .suggest(name, TYPES);
                self.findings.push(finding);
                continue;
            }
            let what = format!("the gateway response {name}");
            let Some(fields) = values::mapping(entry, &what, self.findings) else {
                continue;
            };
            values::unknown_keys(fields, &KEYS, &what, Severity::Warning, self.findings);
            let status_code = get(fields, "statusCode").and_then(|node| {
                let status = values::integer(node, "`statusCode`", 100, 599, self.findings)?;
                Some(Spanned {
                    value: u16::try_from(status).ok()?,
                    span: node.span,
                })
            });
            let mut response_parameters = get(fields, "responseParameters")
                .map(|node| values::text_map(node, "`responseParameters`", self.findings))
                .unwrap_or_default();
            // AWS documents header, path and querystring as places; an answer has headers alone.
            response_parameters.retain(|target, source| {
                let is_vain = ["gatewayresponse.path.", "gatewayresponse.querystring."]
                    .iter()
                    .any(|place| {
                        target
                            .strip_prefix(place)
                            .is_some_and(|name| !name.is_empty())
                    });
                if is_vain {
                    let message =
                        format!("`{target}` of {what} has no effect: an answer has headers only");
                    self.findings
                        .push(Diagnostic::warning("W0732", message).at(source.span));
                }
                !is_vain
            });
            for (target, source) in &response_parameters {
                if let Err(problem) = mapping::gateway_response(target, &source.value) {
                    self.findings
                        .push(Diagnostic::error("E0732", problem).at(source.span));
                }
            }
            let response_templates = get(fields, "responseTemplates")
                .map(|node| values::text_map(node, "`responseTemplates`", self.findings))
                .unwrap_or_default();
            api.gateway_responses.insert(
                name.clone(),
                GatewayResponse {
                    status_code,
                    response_parameters,
                    response_templates,
                    span: *span,
                },
            );
        }
    }
}
