//! `AWS::Serverless::WebSocketApi`: the plain resources of a WebSocket API.
//!
//! Source: AWS SAM developer guide, "AWS::Serverless::WebSocketApi"; what it makes of it
//! is what the translator makes.

use super::sam::Transform;
use super::tree::{self, get};
use super::{Resource, cfn_v2};
use crate::source::{Diagnostic, Node, Span};

/// `default`, and not `$default` as for an HTTP API, which is the name of a route here.
const STAGE: &str = "default";

const AUTH_TYPES: [&str; 3] = ["NONE", "AWS_IAM", "CUSTOM"];

impl Transform<'_, '_> {
    /// Makes the API, its stage, and a route with its integration for each key of `Routes`.
    pub(super) fn web_socket(&mut self, id: &str, resource: &Resource, merged: &Node) {
        let span = resource.span;
        let condition = resource.condition.as_deref();
        let Some(properties) = self.stack.settle(merged) else {
            return;
        };
        let property = |name: &str| get(&properties, name);
        let routes = property("Routes").filter(|routes| routes.entries().next().is_some());
        let Some(routes) = routes else {
            return self.error(span, format!("`{id}` has no `Routes`"));
        };
        if property("RouteSelectionExpression").is_none() {
            self.error(span, format!("`{id}` has no `RouteSelectionExpression`"));
        }
        let mut api = tree::map([("ProtocolType", tree::text("WEBSOCKET", span))], span);
        for key in [
            "Name",
            "Description",
            "RouteSelectionExpression",
            "ApiKeySelectionExpression",
            "DisableExecuteApiEndpoint",
            "DisableSchemaValidation",
            "IpAddressType",
        ] {
            if let Some(node) = property(key) {
                tree::set(&mut api, key, node.clone());
            }
        }
        tree::entry(&mut api, "Name", tree::text(id, span));
        self.make(id, cfn_v2::API, api, condition, span);
        let auth = property("Auth").and_then(|auth| self.connect_auth(id, auth, routes));
        for (key, span, route) in routes.entries() {
            self.web_socket_route(id, condition, key, span, route, auth);
        }
        let stage_name = property("StageName")
            .cloned()
            .unwrap_or_else(|| tree::text(STAGE, span));
        if stage_name.as_str() == Some("$default") {
            self.error(
                stage_name.span,
                format!("the stage of `{id}` cannot be `$default`: a WebSocket API has a route of that name"),
            );
        }
        let stage_id = match stage_name.as_str() {
            Some(STAGE) => format!("{id}DefaultStage"),
            Some(name) => format!("{id}{name}Stage"),
            None => format!("{id}Stage"),
        };
        let mut stage = tree::map(
            [
                ("ApiId", tree::reference(id, span)),
                ("StageName", stage_name),
                ("AutoDeploy", tree::plain(true, span)),
            ],
            span,
        );
        for key in [
            "StageVariables",
            "AccessLogSettings",
            "DefaultRouteSettings",
            "RouteSettings",
        ] {
            if let Some(node) = property(key) {
                tree::set(&mut stage, key, node.clone());
            }
        }
        self.make(
            &stage_id,
            "AWS::ApiGatewayV2::Stage",
            stage,
            condition,
            span,
        );
        self.generated.insert(format!("{id}.Stage"), stage_id);
    }

    /// `Auth`, where it is one that SAM takes: it is for `$connect`.
    fn connect_auth<'n>(&self, id: &str, auth: &'n Node, routes: &Node) -> Option<&'n Node> {
        let wrong = |message: String| {
            self.stack
                .say(Diagnostic::error("E1023", message).at(auth.span));
        };
        auth.entries().next()?;
        if get(routes, "$connect").is_none() {
            wrong(format!("`Auth` of `{id}` needs a route `$connect`"));
            return None;
        }
        let Some(kind) = get(auth, "AuthType").and_then(Node::as_str) else {
            wrong(format!("`Auth` of `{id}` has no `AuthType`"));
            return None;
        };
        if !AUTH_TYPES.contains(&kind) {
            let finding = Diagnostic::error(
                "E1023",
                format!("`AuthType` of `{id}` is `{kind}`, but must be NONE, AWS_IAM or CUSTOM"),
            )
            .at(auth.span);
            self.stack.say(finding.suggest(kind, AUTH_TYPES));
            return None;
        }
        if kind == "CUSTOM" && get(auth, "AuthArn").is_none() {
            wrong(format!("`Auth` of `{id}` has no `AuthArn`"));
            return None;
        }
        if kind != "CUSTOM" && auth.entries().count() > 1 {
            wrong(format!(
                "`Auth` of `{id}` takes nothing beside `AuthType: {kind}`"
            ));
            return None;
        }
        Some(auth)
    }

    fn web_socket_route(
        &mut self,
        id: &str,
        condition: Option<&str>,
        key: &str,
        span: Span,
        route: &Node,
        auth: Option<&Node>,
    ) {
        let bare = key.strip_prefix('$').unwrap_or(key);
        let is_special = matches!(key, "$connect" | "$disconnect" | "$default");
        if !is_special && (key.is_empty() || !key.chars().all(char::is_alphanumeric)) {
            return self.error(
                span,
                format!(
                    "the route key `{key}` of `{id}` must be letters and digits, or $connect, $disconnect, $default"
                ),
            );
        }
        let Some(function) = get(route, "FunctionArn") else {
            return self.error(
                span,
                format!("the route `{key}` of `{id}` has no `FunctionArn`"),
            );
        };
        let base = format!("{id}{}", capitalized(bare));
        let (route_id, integration_id) = (format!("{base}Route"), format!("{base}Integration"));
        let mut made = tree::map(
            [
                ("ApiId", tree::reference(id, span)),
                ("RouteKey", tree::text(key, span)),
                (
                    "Target",
                    tree::sub(format!("integrations/${{{integration_id}}}"), span),
                ),
            ],
            span,
        );
        for name in [
            "ApiKeyRequired",
            "ModelSelectionExpression",
            "OperationName",
            "RequestModels",
            "RequestParameters",
            "RouteResponseSelectionExpression",
        ] {
            if let Some(node) = get(route, name) {
                tree::set(&mut made, name, node.clone());
            }
        }
        if key != "$connect" && get(route, "RequestParameters").is_some() {
            self.error(
                span,
                format!("`RequestParameters` of `{id}` are for the route `$connect` alone"),
            );
        }
        if let (Some(auth), "$connect") = (auth, key)
            && let Some(kind) = get(auth, "AuthType")
        {
            tree::set(&mut made, "AuthorizationType", kind.clone());
            if kind.as_str() == Some("CUSTOM") {
                let authorizer = self.connect_authorizer(id, condition, auth);
                tree::set(
                    &mut made,
                    "AuthorizerId",
                    tree::reference(&authorizer, span),
                );
            }
        }
        self.make(&route_id, "AWS::ApiGatewayV2::Route", made, condition, span);
        let mut integration = tree::map(
            [
                ("ApiId", tree::reference(id, span)),
                ("IntegrationType", tree::text("AWS_PROXY", span)),
                ("IntegrationUri", invocation_uri(function)),
            ],
            span,
        );
        if let Some(timeout) = get(route, "IntegrationTimeout") {
            tree::set(&mut integration, "TimeoutInMillis", timeout.clone());
        }
        self.make(
            &integration_id,
            "AWS::ApiGatewayV2::Integration",
            integration,
            condition,
            span,
        );
    }

    fn connect_authorizer(&mut self, id: &str, condition: Option<&str>, auth: &Node) -> String {
        let authorizer_id = format!("{id}ConnectAuthorizer");
        let span = auth.span;
        let mut made = tree::map(
            [
                ("ApiId", tree::reference(id, span)),
                ("AuthorizerType", tree::text("REQUEST", span)),
            ],
            span,
        );
        if let Some(function) = get(auth, "AuthArn") {
            tree::set(&mut made, "AuthorizerUri", invocation_uri(function));
        }
        for (from, to) in [
            ("InvokeRole", "AuthorizerCredentialsArn"),
            ("IdentitySource", "IdentitySource"),
            ("Name", "Name"),
        ] {
            if let Some(node) = get(auth, from) {
                tree::set(&mut made, to, node.clone());
            }
        }
        tree::entry(&mut made, "Name", tree::text(&authorizer_id, span));
        self.make(
            &authorizer_id,
            "AWS::ApiGatewayV2::Authorizer",
            made,
            condition,
            span,
        );
        authorizer_id
    }
}

/// What calls the function of this ARN.
fn invocation_uri(function: &Node) -> Node {
    let span = function.span;
    let uri = "arn:${AWS::Partition}:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions/${__FunctionArn__}/invocations";
    let own = tree::map([("__FunctionArn__", function.clone())], span);
    tree::map(
        [(
            "Fn::Sub",
            tree::list(vec![tree::text(uri, span), own], span),
        )],
        span,
    )
}

/// The first letter large and the others small, as in the logical ids that SAM makes.
fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first
            .to_uppercase()
            .chain(letters.flat_map(char::to_lowercase))
            .collect()
    })
}
