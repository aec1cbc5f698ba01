//! WebSocket APIs: recognised and listed. They are not served yet, which is said.

use super::cfn_rest::text;
use super::{Stack, Template, cfn_v2, tree};
use crate::model::{IntegrationKind, Stage};
use crate::source::{Diagnostic, Node};

/// A WebSocket API of a template.
#[derive(Clone, Debug)]
pub struct WebSocketApi {
    /// Its logical id.
    pub logical_id: String,
    /// Its stages.
    pub stages: Vec<Stage>,
    /// Its routes.
    pub routes: Vec<WebSocketRoute>,
}

/// A route of a WebSocket API.
#[derive(Clone, Debug)]
pub struct WebSocketRoute {
    /// `$connect`, `$default`, `move`.
    pub key: String,
    /// The kind of backend and its address; none for a route without one.
    pub integration: Option<(IntegrationKind, Option<String>)>,
    /// It has a route response.
    pub has_response: bool,
    /// `AWS_IAM`, or the authorizer's name, address and identity sources.
    pub authorizer: Option<WebSocketAuthorizer>,
    /// An API key is wanted.
    pub api_key_required: bool,
}

/// Who may connect.
#[derive(Clone, Debug)]
pub enum WebSocketAuthorizer {
    /// `AWS_IAM`.
    Iam,
    /// A Lambda authorizer.
    Request {
        /// Its name.
        name: String,
        /// The uri that calls it.
        uri: Option<String>,
        /// Where the caller's identity is told.
        identity_sources: Vec<String>,
    },
}

pub(super) fn read(stack: &Stack<'_>, template: &mut Template) {
    for (id, resource) in stack.of_kind("AWS::Serverless::WebSocketApi") {
        stack.say(Diagnostic::unsupported(format!("the WebSocket API `{id}`")).at(resource.span));
    }
    for (id, resource) in stack.of_kind(cfn_v2::API) {
        let protocol = tree::get(&resource.properties, "ProtocolType")
            .and_then(|node| stack.try_resolve(node).ok()?);
        if protocol.as_ref().and_then(Node::as_str) != Some("WEBSOCKET") {
            continue;
        }
        stack.say(Diagnostic::unsupported(format!("the WebSocket API `{id}`")).at(resource.span));
        let responses: Vec<String> = stack
            .of_v2_api("AWS::ApiGatewayV2::RouteResponse", id)
            .iter()
            .filter_map(|(_, _, properties)| text(properties, "RouteId").map(str::to_owned))
            .collect();
        let routes = stack
            .of_v2_api("AWS::ApiGatewayV2::Route", id)
            .iter()
            .filter_map(|(route_id, span, properties)| {
                let reference = stack.reference_of(route_id, *span).ok()?;
                Some(route(stack, properties, responses.contains(&reference)))
            })
            .flatten()
            .collect();
        template.websocket_apis.push(WebSocketApi {
            logical_id: id.to_owned(),
            stages: stack.stages(crate::model::ApiKind::Http, id),
            routes,
        });
    }
}

fn route(stack: &Stack<'_>, properties: &Node, has_response: bool) -> Option<WebSocketRoute> {
    let key = text(properties, "RouteKey")?.to_owned();
    let integration = stack.target(properties).and_then(|(_, integration)| {
        let kind = match text(&integration, "IntegrationType")? {
            "AWS_PROXY" => IntegrationKind::AwsProxy,
            "HTTP_PROXY" => IntegrationKind::HttpProxy,
            "AWS" => IntegrationKind::Aws,
            "HTTP" => IntegrationKind::Http,
            _ => IntegrationKind::Mock,
        };
        let uri = text(&integration, "IntegrationUri").map(str::to_owned);
        Some((kind, uri))
    });
    let authorizer = match text(properties, "AuthorizationType") {
        Some("AWS_IAM") => Some(WebSocketAuthorizer::Iam),
        Some("CUSTOM") => {
            let kind = "AWS::ApiGatewayV2::Authorizer";
            stack
                .linked(&[kind], properties, "AuthorizerId")
                .and_then(|id| {
                    let fields = stack.resolve(&stack.resources.get(id)?.properties)?;
                    Some(WebSocketAuthorizer::Request {
                        name: text(&fields, "Name").unwrap_or(id).to_owned(),
                        uri: text(&fields, "AuthorizerUri").map(str::to_owned),
                        identity_sources: tree::get(&fields, "IdentitySource")
                            .and_then(Node::as_sequence)
                            .unwrap_or_default()
                            .iter()
                            .filter_map(|node| node.as_str().map(str::to_owned))
                            .collect(),
                    })
                })
        }
        _ => None,
    };
    Some(WebSocketRoute {
        key,
        integration,
        has_response,
        authorizer,
        api_key_required: text(properties, "ApiKeyRequired") == Some("true"),
    })
}
