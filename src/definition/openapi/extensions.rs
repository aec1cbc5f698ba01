//! Extensions at the top of the document, and those that stand where they mean nothing.

use super::super::values::{self, get};
use super::Reader;
use crate::model::{Api, ApiKeySource, RequestValidator, Spanned};
use crate::source::{Diagnostic, Mapping, Node, Severity, Span};

/// Extensions at the top, and whether HTTP APIs read them.
const ROOT: [(&str, Readers); 15] = [
    ("x-amazon-apigateway-api-key-source", Readers::Rest),
    ("x-amazon-apigateway-binary-media-types", Readers::Rest),
    ("x-amazon-apigateway-cors", Readers::Http),
    ("x-amazon-apigateway-documentation", Readers::Rest),
    ("x-amazon-apigateway-endpoint-access-mode", Readers::Rest),
    ("x-amazon-apigateway-endpoint-configuration", Readers::Both),
    ("x-amazon-apigateway-gateway-responses", Readers::Rest),
    ("x-amazon-apigateway-importexport-version", Readers::Both),
    (
        "x-amazon-apigateway-minimum-compression-size",
        Readers::Rest,
    ),
    ("x-amazon-apigateway-policy", Readers::Rest),
    ("x-amazon-apigateway-request-validator", Readers::Rest),
    ("x-amazon-apigateway-request-validators", Readers::Rest),
    ("x-amazon-apigateway-security-policy", Readers::Rest),
    ("x-amazon-apigateway-tag-value", Readers::Both),
    ("x-amazon-apigateway-integrations", Readers::Http),
];

/// Every extension with the place it belongs to.
const PLACES: [(&str, &str); 6] = [
    ("x-amazon-apigateway-any-method", "a path"),
    ("x-amazon-apigateway-auth", "an operation"),
    ("x-amazon-apigateway-authorizer", "a security scheme"),
    ("x-amazon-apigateway-authtype", "a security scheme"),
    ("x-amazon-apigateway-integration", "an operation"),
    ("x-amazon-apigateway-integrations", "`components`"),
];

const ROOT_KEYS: [&str; 19] = [
    "swagger",
    "openapi",
    "info",
    "host",
    "basePath",
    "schemes",
    "consumes",
    "produces",
    "paths",
    "definitions",
    "parameters",
    "responses",
    "securityDefinitions",
    "security",
    "tags",
    "externalDocs",
    "servers",
    "components",
    "jsonSchemaDialect",
];

#[derive(Clone, Copy, PartialEq)]
enum Readers {
    Rest,
    Http,
    Both,
}

impl<'a> Reader<'a, '_> {
    pub(super) fn check_root_keys(&mut self) {
        let root = self.root;
        for (key, (span, node)) in root {
            let key = key.as_str();
            if key.starts_with("x-amazon-apigateway") {
                match ROOT.iter().find(|(known, _)| *known == key) {
                    Some((_, Readers::Rest)) if !self.is_rest() => self.ignored_by_http(key, *span),
                    Some((_, Readers::Http)) if self.is_rest() => self.warn(
                        "W0702",
                        *span,
                        format!("REST APIs ignore `{key}`: it is for HTTP APIs"),
                    ),
                    Some(_) => {}
                    None => {
                        let names: Vec<&str> = ROOT.iter().map(|(name, _)| *name).collect();
                        self.unknown_extension(key, *span, &names, "the document");
                    }
                }
            } else if key == "security" {
                let open = node.as_sequence().is_some_and(<[Node]>::is_empty);
                if !open {
                    self.findings.push(
                        Diagnostic::warning(
                            "W0602",
                            "AWS ignores `security` at the top: it protects no method",
                        )
                        .at(*span)
                        .help("write `security` in each operation"),
                    );
                }
            } else if key == "webhooks" {
                self.findings
                    .push(Diagnostic::note("N0703", "AWS ignores `webhooks`").at(*span));
            } else if !key.starts_with("x-") && !ROOT_KEYS.contains(&key) {
                self.findings.push(values::unknown_key(
                    key,
                    *span,
                    &ROOT_KEYS,
                    "an OpenAPI document",
                    Severity::Warning,
                ));
            }
        }
        if let Some(components) = get(root, "components").and_then(Node::as_mapping) {
            for (key, (span, _)) in components {
                if key.starts_with("x-amazon-apigateway") {
                    let known = ["x-amazon-apigateway-integrations"];
                    if !known.contains(&key.as_str()) {
                        self.unknown_extension(key, *span, &known, "`components`");
                    } else if self.is_rest() {
                        self.warn(
                            "W0702",
                            *span,
                            format!("REST APIs ignore `{key}`: it is for HTTP APIs"),
                        );
                    }
                }
            }
        }
    }

    /// The finding for an extension that is unknown here, or known elsewhere.
    pub(super) fn unknown_extension(&mut self, key: &str, span: Span, known: &[&str], what: &str) {
        let elsewhere = PLACES
            .iter()
            .copied()
            .chain(
                ROOT.iter()
                    .map(|(name, _)| (*name, "the top of the document")),
            )
            .find(|(name, _)| *name == key);
        let finding = match elsewhere {
            Some((_, place)) => Diagnostic::warning(
                "W0701",
                format!("`{key}` has no effect in {what}: it belongs into {place}"),
            ),
            None => {
                Diagnostic::warning("W0703", format!("there is no extension `{key}` in {what}"))
                    .suggest(key, known.iter().copied())
            }
        };
        self.findings.push(finding.at(span));
    }

    pub(super) fn ignored_by_http(&mut self, key: &str, span: Span) {
        self.warn(
            "W0704",
            span,
            format!("HTTP APIs ignore `{key}`: it is for REST APIs"),
        );
    }

    pub(super) fn endpoint_is_disabled(&mut self) -> bool {
        let mut configurations = Vec::new();
        configurations.extend(get(self.root, "x-amazon-apigateway-endpoint-configuration"));
        for server in get(self.root, "servers")
            .and_then(Node::as_sequence)
            .unwrap_or_default()
        {
            for (key, span, node) in server.entries() {
                if key == "x-amazon-apigateway-endpoint-configuration" {
                    configurations.push(node);
                } else if key.starts_with("x-amazon-apigateway") {
                    self.unknown_extension(
                        key,
                        span,
                        &["x-amazon-apigateway-endpoint-configuration"],
                        "an entry of `servers`",
                    );
                }
            }
        }
        let mut disabled = false;
        for node in configurations {
            let what = "`x-amazon-apigateway-endpoint-configuration`";
            let Some(fields) = values::mapping(node, what, self.findings) else {
                continue;
            };
            values::unknown_keys(
                fields,
                &[
                    "disableExecuteApiEndpoint",
                    "vpcEndpointIds",
                    "ipAddressType",
                    "types",
                ],
                what,
                Severity::Warning,
                self.findings,
            );
            disabled |= get(fields, "disableExecuteApiEndpoint")
                .and_then(|node| values::flag(node, "`disableExecuteApiEndpoint`", self.findings))
                .unwrap_or(false);
        }
        disabled
    }

    pub(super) fn read_root_extensions(&mut self, api: &mut Api) {
        if !self.is_rest() {
            if let Some(node) = get(self.root, "x-amazon-apigateway-cors") {
                api.cors = self.read_cors(node);
            }
            self.check_import_version();
            return;
        }
        self.check_import_version();
        self.read_validators();
        if let Some(node) = get(self.root, "x-amazon-apigateway-request-validator") {
            self.default_validator = self.validator_named(node);
        }
        if let Some(node) = get(self.root, "x-amazon-apigateway-gateway-responses") {
            self.read_gateway_responses(node, api);
        }
        if let Some(node) = get(self.root, "x-amazon-apigateway-binary-media-types") {
            let types = values::texts(
                node,
                "`x-amazon-apigateway-binary-media-types`",
                self.findings,
            );
            for media_type in types {
                let decoded = media_type.value.replace("~1", "/");
                if !decoded.contains('/') {
                    self.error(
                        "E0741",
                        media_type.span,
                        format!(
                            "`{}` is no media type: `image/png`, `*/*`",
                            media_type.value
                        ),
                    );
                }
                api.binary_media_types.push(media_type.value);
            }
        }
        if let Some(node) = get(self.root, "x-amazon-apigateway-api-key-source") {
            let words = ["HEADER", "AUTHORIZER"];
            let what = "`x-amazon-apigateway-api-key-source`";
            if values::word(node, what, &words, self.findings) == Some(1) {
                api.api_key_source = ApiKeySource::Authorizer;
            }
        }
        if let Some(node) = get(self.root, "x-amazon-apigateway-minimum-compression-size") {
            // CreateRestApi: between 0 and 10485760 bytes.
            api.minimum_compression_size = values::integer(
                node,
                "`x-amazon-apigateway-minimum-compression-size`",
                0,
                10_485_760,
                self.findings,
            )
            .and_then(|size| u32::try_from(size).ok());
        }
        if let Some(node) = get(self.root, "x-amazon-apigateway-policy") {
            api.policy = self.read_policy(node);
        }
    }

    fn check_import_version(&mut self) {
        if let Some(node) = get(self.root, "x-amazon-apigateway-importexport-version")
            && !matches!(node.as_str(), Some("1.0" | "1"))
        {
            self.warn(
                "W0705",
                node.span,
                "`x-amazon-apigateway-importexport-version` has the one value \"1.0\"",
            );
        }
    }

    fn read_validators(&mut self) {
        let what = "`x-amazon-apigateway-request-validators`";
        let Some(node) = get(self.root, "x-amazon-apigateway-request-validators") else {
            return;
        };
        for (name, (_, entry)) in values::mapping(node, what, self.findings)
            .into_iter()
            .flatten()
        {
            let what = format!("the request validator `{name}`");
            let Some(fields) = values::mapping(entry, &what, self.findings) else {
                continue;
            };
            values::unknown_keys(
                fields,
                &["validateRequestBody", "validateRequestParameters"],
                &what,
                Severity::Warning,
                self.findings,
            );
            let mut flag = |key: &str| self.flag_of(fields, key);
            let validator = RequestValidator {
                body: flag("validateRequestBody"),
                parameters: flag("validateRequestParameters"),
            };
            self.validators.insert(name.clone(), validator);
        }
    }

    fn flag_of(&mut self, fields: &Mapping, key: &str) -> bool {
        get(fields, key)
            .and_then(|node| values::flag(node, &format!("`{key}`"), self.findings))
            .unwrap_or(false)
    }

    /// A policy is a mapping, or JSON in a text.
    fn read_policy(&mut self, node: &Node) -> Option<Spanned<serde_json::Value>> {
        let what = "`x-amazon-apigateway-policy`";
        let value = match node.as_str() {
            Some(text) => match serde_json::from_str(text) {
                Ok(value) => value,
                Err(problem) => {
                    self.error(
                        "E0742",
                        node.span,
                        format!("{what} is text, but no JSON: {problem}"),
                    );
                    return None;
                }
            },
            None => node.to_json(),
        };
        if !value.is_object() {
            self.error(
                "E0742",
                node.span,
                format!("{what} must be a policy document"),
            );
            return None;
        }
        Some(Spanned {
            value,
            span: node.span,
        })
    }

    /// `1.0` or `2.0`, as a number or a text.
    pub(super) fn payload_version(&mut self, node: &Node, what: &str) -> Option<Spanned<String>> {
        let text = values::text(node, what, self.findings)?;
        let value = match text.value.as_str() {
            "1" | "1.0" => "1.0",
            "2" | "2.0" => "2.0",
            other => {
                let message = format!("{what} is `{other}`, but must be \"1.0\" or \"2.0\"");
                self.error("E0203", text.span, message);
                return None;
            }
        };
        Some(Spanned {
            value: value.to_owned(),
            span: text.span,
        })
    }
}
