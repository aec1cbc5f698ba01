//! `AWS::ApiGatewayV2::*`: HTTP APIs of plain resources, with a body or without.
//!
//! Source: CloudFormation template reference, "Amazon API Gateway V2".

use super::cfn_rest::{copy, define_iam, text};
use super::document::{self, INTEGRATION};
use super::{Stack, Template, tree};
use crate::model::{ApiKind, Stage};
use crate::source::{Diagnostic, Node, Sources, Span};

pub(super) const API: &str = "AWS::ApiGatewayV2::Api";
const AUTHORIZER: &str = "AWS::ApiGatewayV2::Authorizer";
const INTEGRATIONS: &str = "AWS::ApiGatewayV2::Integration";

pub(super) fn read(stack: &Stack<'_>, sources: &mut Sources, template: &mut Template) {
    for (id, resource) in stack.of_kind(API) {
        let Some(properties) = stack.resolve_api(resource) else {
            continue;
        };
        if text(&properties, "ProtocolType") == Some("WEBSOCKET") {
            continue;
        }
        let Some(mut body) = stack.api_body(id, resource, &properties, sources) else {
            continue;
        };
        stack.disabled_endpoint(&mut body, &properties);
        cors(&mut body, &properties);
        let api = HttpApi { stack, id };
        api.write(&mut body);
        let is_quick = api.quick_create(&mut body, &properties, resource.span);
        let read = stack.read_body(ApiKind::Http, id, resource, &properties, body, sources);
        let Some(api) = read else { continue };
        if is_quick && stack.stages(ApiKind::Http, id).is_empty() {
            template.apis.push(crate::model::Api {
                stage: Some(Stage {
                    name: "$default".to_owned(),
                    ..Stage::default()
                }),
                ..api
            });
        } else {
            stack.stage_api(api, ApiKind::Http, id, template);
        }
    }
}

impl Stack<'_> {
    /// Live resources of a type that belong to an API of version 2, with their properties.
    pub(super) fn of_v2_api(&self, kind: &str, api: &str) -> Vec<(&str, Span, Node)> {
        self.of_kind(kind)
            .into_iter()
            .filter_map(|(id, resource)| {
                let node = tree::get(&resource.properties, "ApiId")?;
                let node = self.try_resolve(node).ok()??;
                let owner = self.find_by_reference(&[API], node.as_str()?);
                (owner == Some(api)).then_some(())?;
                let properties = self.resolve(&resource.properties)?;
                Some((id, resource.span, properties))
            })
            .collect()
    }

    /// The integration that a route's `Target` names.
    pub(super) fn target(&self, properties: &Node) -> Option<(&str, Node)> {
        let target = text(properties, "Target")?;
        let reference = target.strip_prefix("integrations/")?;
        let id = self.find_by_reference(&[INTEGRATIONS], reference)?;
        let resource = self.resources.get(id)?;
        Some((id, self.resolve(&resource.properties)?))
    }
}

/// `CorsConfiguration`, where the document does not say it.
fn cors(body: &mut Node, properties: &Node) {
    let Some(cors) = tree::get(properties, "CorsConfiguration") else {
        return;
    };
    let mut made = tree::empty(cors.span);
    for (from, to) in [
        ("AllowOrigins", "allowOrigins"),
        ("AllowHeaders", "allowHeaders"),
        ("AllowMethods", "allowMethods"),
        ("ExposeHeaders", "exposeHeaders"),
        ("MaxAge", "maxAge"),
        ("AllowCredentials", "allowCredentials"),
    ] {
        copy(cors, from, &mut made, to);
    }
    tree::entry(body, "x-amazon-apigateway-cors", made);
}

struct HttpApi<'a, 's> {
    stack: &'a Stack<'s>,
    id: &'a str,
}

impl HttpApi<'_, '_> {
    fn write(&self, body: &mut Node) {
        for (id, span, properties) in self.stack.of_v2_api(AUTHORIZER, self.id) {
            let name = text(&properties, "Name").unwrap_or(id).to_owned();
            let scheme = authorizer(&properties, span);
            if let Some(schemes) = document::schemes(body) {
                tree::set(schemes, &name, scheme);
            }
        }
        for (_, span, properties) in self.stack.of_v2_api("AWS::ApiGatewayV2::Route", self.id) {
            self.route(body, span, &properties);
        }
    }

    fn route(&self, body: &mut Node, span: Span, properties: &Node) {
        let Some(key) = text(properties, "RouteKey") else {
            let message = "the route has no `RouteKey`";
            return self.stack.say(Diagnostic::error("E1017", message).at(span));
        };
        let Some((method, path)) = route_key(key) else {
            let message = format!("the route key `{key}` is neither `METHOD /path` nor `$default`");
            return self.stack.say(Diagnostic::error("E1017", message).at(span));
        };
        let mut operation = tree::map([("responses", tree::empty(span))], span);
        if path == "$default" {
            tree::set(&mut operation, "isDefaultRoute", tree::plain(true, span));
        }
        if let Some(name) = tree::get(properties, "OperationName") {
            tree::set(&mut operation, "operationId", name.clone());
        }
        self.security(body, properties, &mut operation, span);
        match self.stack.target(properties) {
            Some((_, integration)) => {
                tree::set(&mut operation, INTEGRATION, integration_of(&integration));
            }
            None if tree::get(properties, "Target").is_some() => {
                let message = "`Target` names no integration of this template";
                self.stack.say(Diagnostic::error("E1017", message).at(span));
            }
            None => {}
        }
        document::with_operation(body, path, &method, span, &mut |node| {
            *node = operation.clone();
        });
    }

    fn security(&self, body: &mut Node, properties: &Node, operation: &mut Node, span: Span) {
        let empty = || tree::list(Vec::new(), span);
        match text(properties, "AuthorizationType").unwrap_or("NONE") {
            "AWS_IAM" => {
                define_iam(body, span);
                document::add_security(operation, "AWS_IAM", empty());
            }
            "JWT" | "CUSTOM" => {
                let linked = self.stack.linked(&[AUTHORIZER], properties, "AuthorizerId");
                let name = linked.and_then(|id| {
                    let fields = self
                        .stack
                        .resolve(&self.stack.resources.get(id)?.properties)?;
                    Some(text(&fields, "Name").unwrap_or(id).to_owned())
                });
                let name = name.unwrap_or_else(|| {
                    let place = tree::get(properties, "AuthorizerId").map_or(span, |n| n.span);
                    let message = "`AuthorizerId` names no authorizer of this template";
                    self.stack
                        .say(Diagnostic::error("E1017", message).at(place));
                    // Never open because of a slip.
                    "AuthorizerId".to_owned()
                });
                let scopes = tree::get(properties, "AuthorizationScopes").cloned();
                document::add_security(operation, &name, scopes.unwrap_or_else(empty));
            }
            _ => {}
        }
    }

    /// `Target` of an API makes its one route, the integration, and the stage `$default`.
    fn quick_create(&self, body: &mut Node, properties: &Node, span: Span) -> bool {
        let Some(target) = text(properties, "Target") else {
            return false;
        };
        let key = text(properties, "RouteKey").unwrap_or("$default");
        let Some((method, path)) = route_key(key) else {
            let message = format!("the route key `{key}` is neither `METHOD /path` nor `$default`");
            self.stack.say(Diagnostic::error("E1017", message).at(span));
            return true;
        };
        let words = |value: &str| tree::text(value, span);
        let is_function = target.starts_with("arn:");
        let mut integration = tree::map(
            [
                (
                    "type",
                    words(if is_function {
                        "aws_proxy"
                    } else {
                        "http_proxy"
                    }),
                ),
                (
                    "payloadFormatVersion",
                    words(if is_function { "2.0" } else { "1.0" }),
                ),
                (
                    "httpMethod",
                    words(if is_function { "POST" } else { "ANY" }),
                ),
                ("uri", words(target)),
            ],
            span,
        );
        copy(
            properties,
            "CredentialsArn",
            &mut integration,
            "credentials",
        );
        let is_default = path == "$default";
        document::with_operation(body, path, &method, span, &mut |operation| {
            tree::set(operation, INTEGRATION, integration.clone());
            if is_default {
                tree::set(operation, "isDefaultRoute", tree::plain(true, span));
            }
        });
        true
    }
}

/// The method's key in a document, and the path.
fn route_key(key: &str) -> Option<(String, &str)> {
    if key == "$default" {
        return Some((document::ANY.to_owned(), key));
    }
    let (method, path) = key.split_once(' ')?;
    path.starts_with('/')
        .then(|| (document::method_key(method), path.trim()))
}

fn integration_of(properties: &Node) -> Node {
    let span = properties.span;
    let kind = text(properties, "IntegrationType").unwrap_or_default();
    let mut integration = tree::map([("type", tree::text(kind.to_lowercase(), span))], span);
    for (from, to) in [
        ("IntegrationUri", "uri"),
        ("IntegrationMethod", "httpMethod"),
        ("IntegrationSubtype", "integrationSubtype"),
        ("CredentialsArn", "credentials"),
        ("PayloadFormatVersion", "payloadFormatVersion"),
        ("RequestParameters", "requestParameters"),
        ("ResponseParameters", "responseParameters"),
        ("TimeoutInMillis", "timeoutInMillis"),
        ("ConnectionType", "connectionType"),
        ("ConnectionId", "connectionId"),
    ] {
        copy(properties, from, &mut integration, to);
    }
    if let Some(tls) = tree::get(properties, "TlsConfig") {
        let mut made = tree::empty(tls.span);
        copy(tls, "ServerNameToVerify", &mut made, "serverNameToVerify");
        tree::set(&mut integration, "tlsConfig", made);
    }
    if kind == "AWS_PROXY" && integration.get("payloadFormatVersion").is_none() {
        // CreateIntegration: 1.0 where none is named.
        tree::set(
            &mut integration,
            "payloadFormatVersion",
            tree::text("1.0", span),
        );
    }
    integration
}

fn authorizer(properties: &Node, span: Span) -> Node {
    let words = |value: &str| tree::text(value, span);
    let is_jwt = text(properties, "AuthorizerType") == Some("JWT");
    let mut extension = tree::map(
        [("type", words(if is_jwt { "jwt" } else { "request" }))],
        span,
    );
    for (from, to) in [
        ("AuthorizerUri", "authorizerUri"),
        ("AuthorizerCredentialsArn", "authorizerCredentials"),
        (
            "AuthorizerPayloadFormatVersion",
            "authorizerPayloadFormatVersion",
        ),
        (
            "AuthorizerResultTtlInSeconds",
            "authorizerResultTtlInSeconds",
        ),
        ("EnableSimpleResponses", "enableSimpleResponses"),
        ("IdentitySource", "identitySource"),
    ] {
        copy(properties, from, &mut extension, to);
    }
    if let Some(configuration) = tree::get(properties, "JwtConfiguration") {
        let mut made = tree::empty(configuration.span);
        copy(configuration, "Issuer", &mut made, "issuer");
        copy(configuration, "Audience", &mut made, "audience");
        tree::set(&mut extension, "jwtConfiguration", made);
    }
    let kind = if is_jwt { "oauth2" } else { "apiKey" };
    let mut scheme = tree::map([("type", words(kind))], span);
    if !is_jwt {
        tree::set(&mut scheme, "name", words("Unused"));
        tree::set(&mut scheme, "in", words("header"));
    }
    tree::set(&mut scheme, "x-amazon-apigateway-authorizer", extension);
    scheme
}
