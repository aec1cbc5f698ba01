//! Operations: parameters, bodies, responses, and what goes with a method.

use indexmap::IndexMap;
use serde_json::Value as Json;

use super::super::values::{self, get, unknown_key};
use super::{Reader, Version};
use crate::model::{Parameter, ParameterLocation, RequestValidator, Route, Spanned};
use crate::source::{Diagnostic, Mapping, Node, Severity, Span};

/// Keys of an operation that begin with `x-amazon-apigateway-`.
const EXTENSIONS: [&str; 3] = [
    "x-amazon-apigateway-auth",
    "x-amazon-apigateway-integration",
    "x-amazon-apigateway-request-validator",
];

const KEYS: [&str; 16] = [
    "callbacks",
    "consumes",
    "deprecated",
    "description",
    "externalDocs",
    "isDefaultRoute",
    "operationId",
    "parameters",
    "produces",
    "requestBody",
    "responses",
    "schemes",
    "security",
    "servers",
    "summary",
    "tags",
];

/// Declared parameters, with the schema of an OpenAPI 2.0 body.
#[derive(Clone, Default)]
pub(super) struct Declared {
    pub(super) parameters: Vec<Parameter>,
    body: Option<Spanned<Json>>,
}

impl<'a> Reader<'a, '_> {
    pub(super) fn read_operation(
        &mut self,
        method: Option<String>,
        path: &str,
        span: Span,
        operation: &'a Mapping,
        shared: &Declared,
    ) -> Route {
        self.check_operation_keys(operation);
        let own = self.read_parameters(operation);
        let parameters = merge(shared, &own);
        let (request_models, request_body_required) =
            self.read_bodies(operation, own.body.or_else(|| shared.body.clone()));
        let responses = self.read_responses(operation);
        let mut route = Route {
            method,
            path: path.to_owned(),
            operation_name: get(operation, "operationId")
                .and_then(|node| values::text(node, "`operationId`", self.findings))
                .map(|text| text.value),
            integration: None,
            authorization: crate::model::Authorization::None,
            api_key_required: false,
            request_validator: self.read_validator(operation),
            parameters,
            request_models,
            request_body_required,
            responses,
            rate_limits: self.read_rate_limits(operation, "an operation"),
            span,
        };
        self.read_security(operation, &mut route);
        self.read_integration(operation, &mut route);
        route
    }

    fn check_operation_keys(&mut self, operation: &Mapping) {
        for (key, (span, _)) in operation {
            let key = key.as_str();
            if KEYS.contains(&key) {
                match key {
                    "callbacks" => {
                        self.once(Diagnostic::note("N0311", "AWS ignores `callbacks`").at(*span))
                    }
                    "servers" => self.once(
                        Diagnostic::note("N0312", "AWS ignores `servers` of an operation")
                            .at(*span),
                    ),
                    _ => {}
                }
            } else if key.starts_with("x-amazon-apigateway") {
                if EXTENSIONS.contains(&key) {
                    let rest_only = matches!(
                        key,
                        "x-amazon-apigateway-request-validator" | "x-amazon-apigateway-auth"
                    );
                    if rest_only && !self.is_rest() && key != "x-amazon-apigateway-auth" {
                        self.ignored_by_http(key, *span);
                    }
                } else {
                    self.unknown_extension(key, *span, &EXTENSIONS, "an operation");
                }
            } else if !key.starts_with("x-") {
                self.findings.push(unknown_key(
                    key,
                    *span,
                    &KEYS,
                    "an operation",
                    Severity::Warning,
                ));
            }
        }
    }

    pub(super) fn read_parameters(&mut self, mapping: &'a Mapping) -> Declared {
        let mut declared = Declared::default();
        let Some(node) = get(mapping, "parameters") else {
            return declared;
        };
        let Some(items) = values::sequence(node, "`parameters`", self.findings) else {
            return declared;
        };
        for item in items {
            let Some(item) = self.follow(item) else {
                continue;
            };
            let Some(fields) = values::mapping(item, "a parameter", self.findings) else {
                continue;
            };
            let Some(location) = get(fields, "in") else {
                self.error(
                    "E0312",
                    item.span,
                    "a parameter says with `in` where it stands",
                );
                continue;
            };
            let Some(location) = values::text(location, "`in` of a parameter", self.findings)
            else {
                continue;
            };
            let location = match location.value.as_str() {
                "path" => ParameterLocation::Path,
                "query" => ParameterLocation::QueryString,
                "header" => ParameterLocation::Header,
                "body" if self.version == Version::Two => {
                    self.read_body_parameter(fields, item, &mut declared);
                    continue;
                }
                "formData" if self.version == Version::Two => {
                    self.once(
                        Diagnostic::note("N0313", "AWS ignores `formData` parameters")
                            .at(item.span),
                    );
                    continue;
                }
                "cookie" if self.version == Version::Three => {
                    self.once(
                        Diagnostic::note("N0314", "AWS ignores `cookie` parameters").at(item.span),
                    );
                    continue;
                }
                other => {
                    let words: &[&str] = if self.version == Version::Two {
                        &["path", "query", "header", "body", "formData"]
                    } else {
                        &["path", "query", "header", "cookie"]
                    };
                    let finding = Diagnostic::error(
                        "E0312",
                        format!(
                            "`in` of a parameter is `{other}`, but must be {}",
                            values::either(words)
                        ),
                    )
                    .at(location.span)
                    .suggest(other, words.iter().copied());
                    self.findings.push(finding);
                    continue;
                }
            };
            let Some(name) = get(fields, "name") else {
                self.error("E0312", item.span, "a parameter has a `name`");
                continue;
            };
            let Some(name) = values::text(name, "`name` of a parameter", self.findings) else {
                continue;
            };
            let required = get(fields, "required")
                .and_then(|node| values::flag(node, "`required` of a parameter", self.findings))
                .unwrap_or(false);
            let twice = declared
                .parameters
                .iter()
                .any(|known| known.name == name.value && known.location == location);
            if twice {
                self.error(
                    "E0313",
                    name.span,
                    format!("the parameter `{}` is declared twice", name.value),
                );
                continue;
            }
            declared.parameters.push(Parameter {
                name: name.value,
                location,
                required,
            });
        }
        declared
    }

    fn read_body_parameter(&mut self, fields: &'a Mapping, item: &Node, declared: &mut Declared) {
        if declared.body.is_some() {
            self.error("E0313", item.span, "an operation has one body");
            return;
        }
        match get(fields, "schema") {
            Some(schema) => {
                let value = self.schema(schema);
                declared.body = Some(Spanned {
                    value,
                    span: schema.span,
                });
            }
            None => self.warn(
                "W0314",
                item.span,
                "the body has no `schema`, so that nothing is checked",
            ),
        }
    }

    fn read_bodies(
        &mut self,
        operation: &'a Mapping,
        body: Option<Spanned<Json>>,
    ) -> (IndexMap<String, Spanned<Json>>, bool) {
        let mut models = IndexMap::new();
        if self.version == Version::Two {
            let Some(body) = body else {
                return (models, false);
            };
            let mut types = self.media_types(operation);
            if types.is_empty() {
                types.clone_from(&self.consumes);
            }
            if types.is_empty() {
                types.push("application/json".to_owned());
            }
            for media_type in types {
                models.insert(media_type, body.clone());
            }
            return (models, false);
        }
        let Some(body) = get(operation, "requestBody").and_then(|node| self.follow(node)) else {
            return (models, false);
        };
        let Some(fields) = values::mapping(body, "`requestBody`", self.findings) else {
            return (models, false);
        };
        if !self.is_rest() {
            self.once(
                Diagnostic::note(
                    "N0315",
                    "HTTP APIs do not validate: `requestBody`, `parameters` and schemas have no effect",
                )
                .at(body.span),
            );
        }
        let required = get(fields, "required")
            .and_then(|node| values::flag(node, "`required` of a body", self.findings))
            .unwrap_or(false);
        if let Some(content) = get(fields, "content") {
            for (media_type, (_, node)) in values::mapping(content, "`content`", self.findings)
                .into_iter()
                .flatten()
            {
                if let Some(schema) = node.get("schema").filter(|schema| !schema.is_null()) {
                    let value = self.schema(schema);
                    models.insert(
                        media_type.clone(),
                        Spanned {
                            value,
                            span: schema.span,
                        },
                    );
                }
            }
        }
        (models, required)
    }

    /// Status to header names.
    fn read_responses(&mut self, operation: &'a Mapping) -> IndexMap<String, Vec<String>> {
        let mut responses = IndexMap::new();
        let Some(node) = get(operation, "responses") else {
            return responses;
        };
        for (status, (span, response)) in values::mapping(node, "`responses`", self.findings)
            .into_iter()
            .flatten()
        {
            if status.starts_with("x-") {
                continue;
            }
            let known = status == "default"
                || (status.len() == 3 && status.bytes().all(|byte| byte.is_ascii_digit()));
            if !known {
                self.warn(
                    "W0315",
                    *span,
                    format!("`{status}` is no status: AWS takes three digits or `default`"),
                );
            }
            let names = self
                .follow(response)
                .and_then(|response| response.get("headers"))
                .map(|headers| {
                    headers
                        .entries()
                        .map(|(name, _, _)| name.to_owned())
                        .collect()
                })
                .unwrap_or_default();
            responses.insert(status.clone(), names);
        }
        responses
    }

    fn read_validator(&mut self, operation: &Mapping) -> Option<RequestValidator> {
        if !self.is_rest() {
            return None;
        }
        match get(operation, "x-amazon-apigateway-request-validator") {
            Some(node) => self.validator_named(node),
            None => self.default_validator,
        }
    }

    pub(super) fn validator_named(&mut self, node: &Node) -> Option<RequestValidator> {
        let name = values::text(
            node,
            "`x-amazon-apigateway-request-validator`",
            self.findings,
        )?;
        if let Some(validator) = self.validators.get(&name.value) {
            return Some(*validator);
        }
        let finding = Diagnostic::error(
            "E0701",
            format!("there is no request validator `{}`", name.value),
        )
        .at(name.span);
        let known: Vec<&str> = self.validators.keys().map(String::as_str).collect();
        let finding = if known.is_empty() {
            finding.help("define it in `x-amazon-apigateway-request-validators` at the top")
        } else {
            finding
                .help(format!("validators of the document: {}", known.join(", ")))
                .suggest(&name.value, known)
        };
        self.findings.push(finding);
        None
    }
}

/// The path item's parameters, with the operation's own in place of those with the same name.
fn merge(shared: &Declared, own: &Declared) -> Vec<Parameter> {
    if shared.parameters.is_empty() {
        return own.parameters.clone();
    }
    let mut parameters = shared.parameters.clone();
    for parameter in &own.parameters {
        let same = parameters
            .iter_mut()
            .find(|known| known.name == parameter.name && known.location == parameter.location);
        match same {
            Some(known) => *known = parameter.clone(),
            None => parameters.push(parameter.clone()),
        }
    }
    parameters
}
