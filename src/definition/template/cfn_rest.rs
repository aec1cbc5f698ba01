//! `AWS::ApiGateway::*`: REST APIs of plain resources, with a body or without.
//!
//! The resources of an API become one OpenAPI document, which is read like any
//! other: so the same rules hold for both.
//!
//! Source: CloudFormation template reference, "Amazon API Gateway".

use std::cell::RefCell;

use super::document::{self, INTEGRATION};
use super::sam_api::push;
use super::{Resource, Stack, Template, include, tree};
use crate::definition::openapi;
use crate::model::settings::Settings;
use crate::model::{Api, ApiKind};
use crate::source::{Diagnostic, Diagnostics, Node, Sources, Span};

const API: &str = "AWS::ApiGateway::RestApi";
const AUTHORIZER: &str = "AWS::ApiGateway::Authorizer";

/// Longest path, in segments: a circle of resources would be longer.
const DEEPEST: usize = 64;

pub(super) fn read(stack: &Stack<'_>, sources: &mut Sources, template: &mut Template) {
    for (id, resource) in stack.of_kind(API) {
        let Some(properties) = stack.resolve_api(resource) else {
            continue;
        };
        let Some(mut body) = stack.api_body(id, resource, &properties, sources) else {
            continue;
        };
        stack.rest_properties(&mut body, &properties);
        // Of the document alone: resources beside it hang from the root.
        prepend_base_path(&mut body, &properties);
        let api = RestApi {
            stack,
            id,
            bare: RefCell::default(),
        };
        api.write(&mut body);
        let bare = api.bare.into_inner();
        let api = stack.read_body(ApiKind::Rest, id, resource, &properties, body, sources);
        if let Some(mut api) = api {
            for route in &mut api.routes {
                if bare.contains(&(route.path.clone(), route.method.clone())) {
                    route.integration = None;
                }
            }
            stack.stage_api(api, ApiKind::Rest, id, template);
        }
    }
}

impl Stack<'_> {
    /// An API's properties, its document excepted.
    pub(super) fn resolve_api(&self, resource: &Resource) -> Option<Node> {
        let mut rest = resource.properties.clone();
        tree::remove(&mut rest, "Body");
        tree::remove(&mut rest, "Domain");
        self.resolve(&rest)
    }

    /// The document that an API starts from: its own, or one without paths.
    pub(super) fn api_body(
        &self,
        id: &str,
        resource: &Resource,
        properties: &Node,
        sources: &mut Sources,
    ) -> Option<Node> {
        let span = resource.span;
        if let Some(body) = tree::get(&resource.properties, "Body") {
            return self.resolve(body);
        }
        if let Some(location) = tree::get(properties, "BodyS3Location") {
            // What the CDK uploads lies beside its template.
            let asset = resource.asset("BodyS3Location");
            let named = location.as_str().filter(|text| !text.contains("://"));
            let path = asset.or(named);
            let Some(path) = path else {
                self.say(
                    Diagnostic::error(
                        "E1030",
                        format!("the document of `{id}` is at AWS, and only files are read"),
                    )
                    .at(location.span)
                    .help("name a file beside the template in `DefinitionUri`"),
                );
                return None;
            };
            let what = format!("the document of `{id}`");
            return include::read_file(self, sources, path, location.span, &what);
        }
        let mut body = document::skeleton(Some("3.0.1"), span);
        if let Some(info) = tree::get_mut(&mut body, "info") {
            tree::set(info, "title", tree::text(id, span));
        }
        Some(body)
    }

    /// Reads an API's finished document.
    pub(super) fn read_body(
        &self,
        kind: ApiKind,
        id: &str,
        resource: &Resource,
        properties: &Node,
        mut body: Node,
        sources: &mut Sources,
    ) -> Option<Api> {
        let home = body.span;
        tree::adopt_references(&mut body, home);
        let settings = Settings {
            api_type: Some(kind),
            api_id: Some(self.api_id(id)),
            ..self.settings.clone()
        };
        let mut findings = Diagnostics::default();
        let api = openapi::read_node(sources, body, &settings, &mut findings);
        for finding in findings {
            // SAM's mark of an open method is no news to who wrote it.
            let is_noise = matches!(finding.code, "N0601" | "W0301" | "W0215");
            if !is_noise {
                self.say(finding);
            }
        }
        let mut api = api?;
        let name = tree::get(properties, "Name").and_then(Node::as_str);
        if let Some(name) = name {
            api.title = name.to_owned();
        } else if api.title == self.pseudo.stack_name() {
            api.title = self.path_of(id);
        }
        api.logical_id = Some(id.to_owned());
        api.span = resource.span;
        Some(api)
    }

    /// The API, once for each of its stages.
    pub(super) fn stage_api(&self, api: Api, kind: ApiKind, id: &str, template: &mut Template) {
        let stages = self.stages(kind, id);
        if stages.is_empty() {
            let default = match kind {
                ApiKind::Rest => "dev",
                ApiKind::Http => "$default",
            };
            template.notes.push(format!(
                "the API `{id}` has no stage, so that it cannot be reached at AWS; here it is `{default}`"
            ));
            template.apis.push(api);
            return;
        }
        for stage in stages {
            template.apis.push(Api {
                stage: Some(stage),
                ..api.clone()
            });
        }
    }

    /// Puts what stands beside the document into it, where it does not say so itself.
    fn rest_properties(&self, body: &mut Node, properties: &Node) {
        for (property, key) in [
            ("Policy", "x-amazon-apigateway-policy"),
            ("BinaryMediaTypes", "x-amazon-apigateway-binary-media-types"),
            (
                "MinimumCompressionSize",
                "x-amazon-apigateway-minimum-compression-size",
            ),
            ("ApiKeySourceType", "x-amazon-apigateway-api-key-source"),
        ] {
            let is_there = tree::get(body, key).is_some();
            if let (Some(value), false) = (tree::get(properties, property), is_there) {
                tree::set(body, key, value.clone());
            }
        }
        self.disabled_endpoint(body, properties);
    }

    pub(super) fn disabled_endpoint(&self, body: &mut Node, properties: &Node) {
        if let Some(flag) = tree::get(properties, "DisableExecuteApiEndpoint") {
            let key = "x-amazon-apigateway-endpoint-configuration";
            if let Some(configuration) = tree::entry(body, key, tree::empty(flag.span)) {
                tree::entry(configuration, "disableExecuteApiEndpoint", flag.clone());
            }
        }
    }
}

/// An API whose resources are written into its document.
struct RestApi<'a, 's> {
    stack: &'a Stack<'s>,
    id: &'a str,
    /// Path and method of those without an integration.
    bare: RefCell<Vec<(String, Option<String>)>>,
}

impl RestApi<'_, '_> {
    /// Live resources of a type that belong to the API, with their properties.
    fn own(&self, kind: &str) -> Vec<(&str, Span, Node)> {
        self.stack
            .of_kind(kind)
            .into_iter()
            .filter_map(|(id, resource)| {
                let api = tree::get(&resource.properties, "RestApiId")?;
                let api = self.stack.try_resolve(api).ok()??;
                let owner = self.stack.find_by_reference(&[API], api.as_str()?);
                (owner == Some(self.id)).then_some(())?;
                let properties = self.stack.resolve(&resource.properties)?;
                Some((id, resource.span, properties))
            })
            .collect()
    }

    fn write(&self, body: &mut Node) {
        for (id, span, properties) in self.own(AUTHORIZER) {
            let name = authorizer_name(&properties, id);
            let scheme = authorizer(&properties, span);
            if let Some(schemes) = document::schemes(body) {
                tree::set(schemes, &name, scheme);
            }
        }
        for (id, span, properties) in self.own("AWS::ApiGateway::Model") {
            let name = text(&properties, "Name").unwrap_or(id);
            let schema = match tree::get(&properties, "Schema") {
                Some(schema) => self.schema(schema),
                None => tree::empty(span),
            };
            if let Some(schemas) = document::schemas(body) {
                tree::set(schemas, name, schema);
            }
        }
        for (_, span, properties) in self.own("AWS::ApiGateway::GatewayResponse") {
            let Some(kind) = text(&properties, "ResponseType") else {
                continue;
            };
            let mut response = tree::empty(span);
            for (from, to) in [
                ("StatusCode", "statusCode"),
                ("ResponseParameters", "responseParameters"),
                ("ResponseTemplates", "responseTemplates"),
            ] {
                copy(&properties, from, &mut response, to);
            }
            let key = "x-amazon-apigateway-gateway-responses";
            if let Some(all) = tree::entry(body, key, tree::empty(span)) {
                tree::set(all, kind, response);
            }
        }
        for (id, span, _) in self.own("AWS::ApiGateway::Resource") {
            if let Some(path) = self.path_of(id, span)
                && let Some(paths) = tree::entry(body, "paths", tree::empty(span))
            {
                tree::entry(paths, &path, tree::empty(span));
            }
        }
        for (_, span, properties) in self.own("AWS::ApiGateway::Method") {
            self.method(body, span, &properties);
        }
    }

    /// The path of a resource: its parts up to the API's root.
    fn path_of(&self, id: &str, span: Span) -> Option<String> {
        let mut parts = Vec::new();
        let mut id = id;
        for _ in 0..DEEPEST {
            let resource = self.stack.resources.get(id)?;
            let part = self.stack.text(
                tree::get(&resource.properties, "PathPart")?,
                &format!("`PathPart` of `{id}`"),
            )?;
            parts.push(part);
            let parent = self.stack.text(
                tree::get(&resource.properties, "ParentId")?,
                &format!("`ParentId` of `{id}`"),
            )?;
            if parent == self.stack.root_resource_id(self.id) {
                parts.reverse();
                return Some(format!("/{}", parts.join("/")));
            }
            let found = self
                .stack
                .find_by_reference(&["AWS::ApiGateway::Resource"], &parent);
            let Some(found) = found else {
                let message = format!("`ParentId` of `{id}` names no resource of `{}`", self.id);
                self.stack
                    .say(Diagnostic::error("E1017", message).at(resource.span));
                return None;
            };
            id = found;
        }
        let message = format!("the resource `{id}` is its own parent");
        self.stack.say(Diagnostic::error("E1013", message).at(span));
        None
    }

    fn method(&self, body: &mut Node, span: Span, properties: &Node) {
        let resource = text(properties, "ResourceId").unwrap_or_default();
        let path = if resource == self.stack.root_resource_id(self.id) {
            Some("/".to_owned())
        } else {
            self.stack
                .find_by_reference(&["AWS::ApiGateway::Resource"], resource)
                .and_then(|id| self.path_of(id, span))
        };
        let (Some(path), Some(method)) = (path, text(properties, "HttpMethod")) else {
            let message = "the method names no resource of its API, or has no `HttpMethod`";
            return self.stack.say(Diagnostic::error("E1017", message).at(span));
        };
        let key = document::method_key(method);
        let mut operation = tree::empty(span);
        if let Some(name) = tree::get(properties, "OperationName") {
            tree::set(&mut operation, "operationId", name.clone());
        }
        self.parameters(properties, &mut operation);
        self.models(body, properties, &mut operation);
        self.validator(body, properties, &mut operation);
        self.security(body, properties, &mut operation, span);
        responses(properties, &mut operation, span);
        match tree::get(properties, "Integration") {
            Some(node) => {
                let written = self.integration(node);
                tree::set(&mut operation, INTEGRATION, written);
            }
            None => {
                let message = format!(
                    "the method {method} {path} has no integration, which AWS refuses to deploy"
                );
                self.stack
                    .say(Diagnostic::warning("W0401", message).at(span));
                // A document without one is refused; the route is there all the same.
                let method = method.to_uppercase();
                let method = (method != "ANY").then_some(method);
                self.bare.borrow_mut().push((path.clone(), method));
                let mock = tree::map([("type", tree::text("mock", span))], span);
                tree::set(&mut operation, INTEGRATION, mock);
            }
        }
        document::with_operation(body, &path, &key, span, &mut |node| {
            *node = operation.clone();
        });
    }

    fn parameters(&self, properties: &Node, operation: &mut Node) {
        for (name, span, required) in tree::get(properties, "RequestParameters")
            .into_iter()
            .flat_map(Node::entries)
        {
            let place = name
                .strip_prefix("method.request.")
                .and_then(|rest| rest.split_once('.'));
            let (location, name) = match place {
                Some(("querystring", name)) => ("query", name),
                Some(("path", name)) => ("path", name),
                Some(("header", name)) => ("header", name),
                _ => {
                    let message = format!(
                        "`{name}` in `RequestParameters` must be method.request.querystring|path|header.NAME"
                    );
                    self.stack.say(Diagnostic::error("E1017", message).at(span));
                    continue;
                }
            };
            let is_required = required.as_str() == Some("true");
            let schema = tree::map([("type", tree::text("string", span))], span);
            let parameter = tree::map(
                [
                    ("name", tree::text(name, span)),
                    ("in", tree::text(location, span)),
                    ("required", tree::plain(is_required, span)),
                    ("schema", schema),
                ],
                span,
            );
            push(operation, "parameters", parameter);
        }
    }

    fn models(&self, body: &mut Node, properties: &Node, operation: &mut Node) {
        let Some(models) = tree::get(properties, "RequestModels") else {
            return;
        };
        let span = models.span;
        let is_three = document::is_openapi_3(body);
        let mut content = tree::empty(span);
        for (media_type, _, model) in models.entries() {
            let Some(name) = model.as_str() else { continue };
            // Every API has the models Empty and Error.
            if let Some(schemas) = document::schemas(body) {
                let is_built_in = matches!(name, "Empty" | "Error");
                if is_built_in && tree::get(schemas, name).is_none() {
                    let object = tree::map([("type", tree::text("object", span))], span);
                    tree::set(schemas, name, object);
                }
            }
            let place = if is_three {
                format!("#/components/schemas/{name}")
            } else {
                format!("#/definitions/{name}")
            };
            let schema = tree::map([("$ref", tree::text(place, body.span))], body.span);
            if is_three {
                let inner = tree::map([("schema", schema)], body.span);
                tree::set(&mut content, media_type, inner);
            } else {
                let parameter = tree::map(
                    [
                        ("in", tree::text("body", span)),
                        ("name", tree::text(name, span)),
                        ("schema", schema),
                    ],
                    span,
                );
                push(operation, "parameters", parameter);
                push(operation, "consumes", tree::text(media_type, span));
                return;
            }
        }
        let request = tree::map([("content", content)], span);
        tree::set(operation, "requestBody", request);
    }

    fn validator(&self, body: &mut Node, properties: &Node, operation: &mut Node) {
        let Some(node) = tree::get(properties, "RequestValidatorId") else {
            return;
        };
        let kind = "AWS::ApiGateway::RequestValidator";
        let Some(id) = self.stack.linked(&[kind], properties, "RequestValidatorId") else {
            let message = "`RequestValidatorId` names no validator of this template";
            return self
                .stack
                .say(Diagnostic::error("E1017", message).at(node.span));
        };
        let resource = self.stack.resources.get(id);
        let Some(fields) = resource.and_then(|resource| self.stack.resolve(&resource.properties))
        else {
            return;
        };
        let span = node.span;
        let mut validator = tree::empty(span);
        for (from, to) in [
            ("ValidateRequestBody", "validateRequestBody"),
            ("ValidateRequestParameters", "validateRequestParameters"),
        ] {
            copy(&fields, from, &mut validator, to);
        }
        let key = "x-amazon-apigateway-request-validators";
        if let Some(all) = tree::entry(body, key, tree::empty(span)) {
            tree::set(all, id, validator);
        }
        tree::set(
            operation,
            "x-amazon-apigateway-request-validator",
            tree::text(id, span),
        );
    }

    fn security(&self, body: &mut Node, properties: &Node, operation: &mut Node, span: Span) {
        let empty = || tree::list(Vec::new(), span);
        match text(properties, "AuthorizationType").unwrap_or("NONE") {
            "AWS_IAM" => {
                define_iam(body, span);
                document::add_security(operation, "AWS_IAM", empty());
            }
            "CUSTOM" | "COGNITO_USER_POOLS" => {
                let id = self.stack.linked(&[AUTHORIZER], properties, "AuthorizerId");
                let Some((id, resource)) =
                    id.and_then(|id| Some((id, self.stack.resources.get(id)?)))
                else {
                    let place = tree::get(properties, "AuthorizerId").map_or(span, |n| n.span);
                    let message = "`AuthorizerId` names no authorizer of this template";
                    self.stack
                        .say(Diagnostic::error("E1017", message).at(place));
                    // Never open because of a slip.
                    document::add_security(operation, "AuthorizerId", empty());
                    return;
                };
                let name = authorizer_name(
                    &self
                        .stack
                        .resolve(&resource.properties)
                        .unwrap_or_else(|| tree::empty(span)),
                    id,
                );
                let scopes = tree::get(properties, "AuthorizationScopes").cloned();
                document::add_security(operation, &name, scopes.unwrap_or_else(empty));
            }
            _ => {}
        }
        let wants_key = tree::get(properties, "ApiKeyRequired")
            .and_then(Node::as_str)
            .is_some_and(|flag| flag == "true");
        if wants_key {
            if let Some(schemes) = document::schemes(body) {
                let text = |value: &str| tree::text(value, span);
                let scheme = tree::map(
                    [
                        ("type", text("apiKey")),
                        ("name", text("x-api-key")),
                        ("in", text("header")),
                    ],
                    span,
                );
                tree::entry(schemes, "api_key", scheme);
            }
            document::add_security(operation, "api_key", empty());
        }
    }

    /// A schema, which may be a mapping or JSON in a text.
    fn schema(&self, node: &Node) -> Node {
        let Some(text) = node.as_str() else {
            return node.clone();
        };
        match serde_json::from_str::<serde_json::Value>(text) {
            Ok(json) => from_json(&json, node.span),
            Err(problem) => {
                let message = format!("`Schema` is text, but no JSON: {problem}");
                self.stack
                    .say(Diagnostic::error("E1017", message).at(node.span));
                tree::empty(node.span)
            }
        }
    }

    fn integration(&self, node: &Node) -> Node {
        let mut integration = tree::empty(node.span);
        if let Some(kind) = text(node, "Type") {
            let kind = tree::text(kind.to_lowercase(), node.span);
            tree::set(&mut integration, "type", kind);
        }
        for (from, to) in [
            ("IntegrationHttpMethod", "httpMethod"),
            ("Uri", "uri"),
            ("Credentials", "credentials"),
            ("RequestParameters", "requestParameters"),
            ("RequestTemplates", "requestTemplates"),
            ("PassthroughBehavior", "passthroughBehavior"),
            ("ContentHandling", "contentHandling"),
            ("TimeoutInMillis", "timeoutInMillis"),
            ("CacheNamespace", "cacheNamespace"),
            ("CacheKeyParameters", "cacheKeyParameters"),
            ("ConnectionType", "connectionType"),
            ("ConnectionId", "connectionId"),
            ("ResponseTransferMode", "responseTransferMode"),
            ("IntegrationTarget", "integrationTarget"),
        ] {
            copy(node, from, &mut integration, to);
        }
        if let Some(responses) = tree::get(node, "IntegrationResponses").and_then(Node::as_sequence)
        {
            let mut written = tree::empty(node.span);
            for response in responses {
                let mut entry = tree::empty(response.span);
                for (from, to) in [
                    ("StatusCode", "statusCode"),
                    ("ResponseParameters", "responseParameters"),
                    ("ResponseTemplates", "responseTemplates"),
                    ("ContentHandling", "contentHandling"),
                ] {
                    copy(response, from, &mut entry, to);
                }
                let pattern = text(response, "SelectionPattern")
                    .filter(|pattern| !pattern.is_empty())
                    .unwrap_or("default");
                if written.get(pattern).is_some() {
                    let message = format!(
                        "two integration responses are for `{pattern}`; the first one counts"
                    );
                    self.stack
                        .say(Diagnostic::warning("W1017", message).at(response.span));
                    continue;
                }
                tree::set(&mut written, pattern, entry);
            }
            tree::set(&mut integration, "responses", written);
        }
        integration
    }
}

fn authorizer(properties: &Node, span: Span) -> Node {
    let text_node = |value: &str| tree::text(value, span);
    let kind = text(properties, "Type").unwrap_or("TOKEN");
    let mut extension = tree::map([("type", text_node(&kind.to_lowercase()))], span);
    for (from, to) in [
        ("AuthorizerUri", "authorizerUri"),
        ("AuthorizerCredentials", "authorizerCredentials"),
        (
            "AuthorizerResultTtlInSeconds",
            "authorizerResultTtlInSeconds",
        ),
        ("IdentitySource", "identitySource"),
        (
            "IdentityValidationExpression",
            "identityValidationExpression",
        ),
        ("ProviderARNs", "providerARNs"),
    ] {
        copy(properties, from, &mut extension, to);
    }
    let source = text(properties, "IdentitySource").unwrap_or_default();
    let header = source
        .strip_prefix("method.request.header.")
        .unwrap_or("Authorization");
    let auth_type = if kind == "COGNITO_USER_POOLS" {
        "cognito_user_pools"
    } else {
        "custom"
    };
    tree::map(
        [
            ("type", text_node("apiKey")),
            ("name", text_node(header)),
            ("in", text_node("header")),
            ("x-amazon-apigateway-authtype", text_node(auth_type)),
            ("x-amazon-apigateway-authorizer", extension),
        ],
        span,
    )
}

/// Method responses with their headers.
fn responses(properties: &Node, operation: &mut Node, span: Span) {
    let mut responses = tree::empty(span);
    for response in tree::get(properties, "MethodResponses")
        .and_then(Node::as_sequence)
        .unwrap_or_default()
    {
        let Some(status) = text(response, "StatusCode") else {
            continue;
        };
        let mut headers = tree::empty(response.span);
        for (name, span, _) in tree::get(response, "ResponseParameters")
            .into_iter()
            .flat_map(Node::entries)
        {
            if let Some(name) = name.strip_prefix("method.response.header.") {
                tree::set(&mut headers, name, tree::empty(span));
            }
        }
        let described = tree::map(
            [
                ("description", tree::text("", response.span)),
                ("headers", headers),
            ],
            response.span,
        );
        tree::set(&mut responses, status, described);
    }
    tree::set(operation, "responses", responses);
}

/// The name that an authorizer has in the document.
fn authorizer_name(properties: &Node, id: &str) -> String {
    text(properties, "Name").unwrap_or(id).to_owned()
}

pub(super) fn define_iam(body: &mut Node, span: Span) {
    let text = |value: &str| tree::text(value, span);
    let scheme = tree::map(
        [
            ("type", text("apiKey")),
            ("name", text("Authorization")),
            ("in", text("header")),
            ("x-amazon-apigateway-authtype", text("awsSigv4")),
        ],
        span,
    );
    if let Some(schemes) = document::schemes(body) {
        tree::entry(schemes, "AWS_IAM", scheme);
    }
}

pub(super) fn text<'n>(node: &'n Node, key: &str) -> Option<&'n str> {
    tree::get(node, key).and_then(Node::as_str)
}

pub(super) fn copy(from: &Node, key: &str, to: &mut Node, name: &str) {
    if let Some(value) = tree::get(from, key) {
        tree::set(to, name, value.clone());
    }
}

/// `Parameters: {basepath: prepend}`: the document's base path goes before every path.
fn prepend_base_path(body: &mut Node, properties: &Node) {
    let wants = tree::get(properties, "Parameters")
        .and_then(|node| text(node, "basepath"))
        .is_some_and(|word| word == "prepend");
    let base = text(body, "basePath").or_else(|| {
        let server = tree::get(body, "servers")?.as_sequence()?.first()?;
        let variable = server
            .get("variables")
            .and_then(|node| node.get("basePath"));
        variable.and_then(|node| text(node, "default"))
    });
    let base = match base {
        Some(base) if wants => format!("/{}", base.trim_matches('/')),
        _ => return,
    };
    if base == "/" {
        return;
    }
    let Some(paths) = tree::remove(body, "paths") else {
        return;
    };
    let moved: Vec<(String, Node)> = paths
        .entries()
        .map(|(path, _, item)| {
            let path = if path == "/" {
                base.clone()
            } else if path.starts_with('/') {
                format!("{base}{path}")
            } else {
                path.to_owned()
            };
            (path, item.clone())
        })
        .collect();
    tree::set(body, "paths", tree::map(moved, paths.span));
}

fn from_json(json: &serde_json::Value, span: Span) -> Node {
    use serde_json::Value as Json;
    match json {
        Json::Null => tree::plain("null", span),
        Json::Bool(value) => tree::plain(value, span),
        Json::Number(value) => tree::plain(value, span),
        Json::String(value) => tree::text(value, span),
        Json::Array(items) => tree::list(
            items.iter().map(|item| from_json(item, span)).collect(),
            span,
        ),
        Json::Object(entries) => tree::map(
            entries
                .iter()
                .map(|(key, value)| (key.clone(), from_json(value, span))),
            span,
        ),
    }
}
