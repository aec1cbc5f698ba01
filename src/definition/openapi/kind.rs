//! REST or HTTP API: the document does not say, so its parts are looked at.
//!
//! AWS is told by the import call or the template's resource. The signs are
//! those that only one of the two kinds has in its documentation.

use super::super::values::get;
use super::{Documents, Version};
use crate::model::ApiKind;
use crate::model::settings::Settings;
use crate::source::{Diagnostic, Diagnostics, Mapping, Node, Span};

/// What speaks for one kind: the place and what stands there.
type Sign = (Span, String);

#[derive(Default)]
struct Signs {
    rest: Option<Sign>,
    http: Option<Sign>,
}

impl Signs {
    fn rest(&mut self, span: Span, what: impl Into<String>) {
        self.rest.get_or_insert_with(|| (span, what.into()));
    }

    fn http(&mut self, span: Span, what: impl Into<String>) {
        self.http.get_or_insert_with(|| (span, what.into()));
    }
}

/// Decides by the settings, else by the signs of the document, else for REST.
pub(super) fn decide(
    documents: &Documents,
    root: &Mapping,
    version: Version,
    settings: &Settings,
    findings: &mut Diagnostics,
) -> ApiKind {
    let mut signs = Signs::default();
    if let (Version::Two, Some((span, _))) = (version, root.get("swagger")) {
        signs.rest(*span, "OpenAPI 2.0 (Swagger) is read by REST APIs alone");
    }
    if let Some(kind) = settings.api_type {
        if let (ApiKind::Http, Version::Two, Some((span, _))) = (kind, version, root.get("swagger"))
        {
            findings.push(
                Diagnostic::error(
                    "E0217",
                    "HTTP APIs are imported from OpenAPI 3.0 only, and this is 2.0 (Swagger)",
                )
                .at(*span),
            );
        }
        return kind;
    }
    // A broken reference is named when it is read, not here.
    let mut quiet = Diagnostics::default();
    let mut follow = |node| documents.follow(node, &mut quiet);
    for (key, (span, _)) in root {
        match key.as_str() {
            "x-amazon-apigateway-cors" => signs.http(*span, format!("HTTP APIs have `{key}`")),
            "x-amazon-apigateway-request-validators"
            | "x-amazon-apigateway-request-validator"
            | "x-amazon-apigateway-gateway-responses"
            | "x-amazon-apigateway-binary-media-types"
            | "x-amazon-apigateway-api-key-source"
            | "x-amazon-apigateway-minimum-compression-size"
            | "x-amazon-apigateway-policy" => signs.rest(*span, format!("REST APIs have `{key}`")),
            _ => {}
        }
    }
    let components = get(root, "components");
    if let Some((span, _)) = components
        .and_then(Node::as_mapping)
        .and_then(|components| components.get("x-amazon-apigateway-integrations"))
    {
        signs.http(*span, "HTTP APIs share integrations");
    }
    let schemes = components
        .and_then(|components| components.get("securitySchemes"))
        .or_else(|| get(root, "securityDefinitions"));
    for (_, _, scheme) in schemes.into_iter().flat_map(Node::entries) {
        if let Some(authorizer) =
            follow(scheme).and_then(|scheme| scheme.get("x-amazon-apigateway-authorizer"))
        {
            of_authorizer(authorizer, &mut signs);
        }
    }
    for (_, _, item) in get(root, "paths").into_iter().flat_map(Node::entries) {
        let Some(item) = follow(item) else { continue };
        for (_, _, operation) in item.entries() {
            let Some(operation) = operation.as_mapping() else {
                continue;
            };
            if let Some((span, _)) = operation.get("isDefaultRoute") {
                signs.http(*span, "HTTP APIs have a default route");
            }
            if let Some((span, _)) = operation.get("x-amazon-apigateway-request-validator") {
                signs.rest(*span, "REST APIs validate requests");
            }
            if let Some(integration) =
                get(operation, "x-amazon-apigateway-integration").and_then(&mut follow)
            {
                of_integration(integration, &mut signs);
            }
        }
        if signs.rest.is_some() && signs.http.is_some() {
            break;
        }
    }
    match (signs.rest, signs.http) {
        (None, Some(_)) => ApiKind::Http,
        (Some(_), None) => ApiKind::Rest,
        (Some((rest, why_rest)), Some((http, why_http))) => {
            findings.push(
                Diagnostic::error(
                    "E0218",
                    "the document has parts of a REST API and parts of an HTTP API",
                )
                .at(http)
                .label(why_http)
                .related(rest, why_rest)
                .help(
                    "say which one it is: --api-type rest or http, or `apiType` in tollgate.yaml",
                ),
            );
            if version == Version::Two {
                ApiKind::Rest
            } else {
                ApiKind::Http
            }
        }
        (None, None) => {
            let finding = Diagnostic::note(
                "N0218",
                "nothing in the document tells a REST API from an HTTP API; it is taken for a REST API",
            )
            .help("--api-type http, or `apiType: http` in tollgate.yaml, makes it an HTTP API");
            findings.push(match root.first() {
                Some((_, (span, _))) => finding.at(*span),
                None => finding,
            });
            ApiKind::Rest
        }
    }
}

fn of_authorizer(authorizer: &Node, signs: &mut Signs) {
    for (key, span, value) in authorizer.entries() {
        let text = value.as_str().unwrap_or_default();
        match key {
            "type" if text.eq_ignore_ascii_case("jwt") => {
                signs.http(value.span, "HTTP APIs have JWT authorizers");
            }
            "type"
                if text.eq_ignore_ascii_case("token")
                    || text.eq_ignore_ascii_case("cognito_user_pools") =>
            {
                signs.rest(
                    value.span,
                    format!("REST APIs have authorizers of type {text}"),
                );
            }
            "authorizerPayloadFormatVersion" | "enableSimpleResponses" | "jwtConfiguration" => {
                signs.http(span, format!("authorizers of HTTP APIs have `{key}`"));
            }
            "identitySource" if text.trim_start().starts_with('$') => {
                signs.http(value.span, "identity sources of HTTP APIs begin with `$`");
            }
            "identitySource" if text.contains("method.request.") => {
                signs.rest(
                    value.span,
                    "identity sources of REST APIs begin with `method.request`",
                );
            }
            _ => {}
        }
    }
}

fn of_integration(integration: &Node, signs: &mut Signs) {
    for (key, span, value) in integration.entries() {
        let text = value.as_str().unwrap_or_default();
        match key {
            "payloadFormatVersion" | "integrationSubtype" => {
                signs.http(span, format!("integrations of HTTP APIs have `{key}`"));
            }
            "type"
                if ["aws", "http", "mock"]
                    .iter()
                    .any(|kind| text.eq_ignore_ascii_case(kind)) =>
            {
                signs.rest(
                    value.span,
                    format!("REST APIs have integrations of type {text}"),
                );
            }
            "requestTemplates" => signs.rest(span, "REST APIs have mapping templates"),
            "passthroughBehavior" if text.eq_ignore_ascii_case("never") => {
                signs.rest(value.span, "REST APIs know `never`");
            }
            "requestParameters" => {
                for (target, span, source) in value.entries() {
                    let source = source.as_str().unwrap_or_default();
                    if ["append:", "overwrite:", "remove:"]
                        .iter()
                        .any(|word| target.starts_with(word))
                    {
                        signs.http(span, "HTTP APIs map parameters in this way");
                    }
                    if target.starts_with("integration.request.")
                        || source.starts_with("method.request.")
                    {
                        signs.rest(span, "REST APIs map parameters in this way");
                    }
                }
            }
            _ => {}
        }
    }
}
