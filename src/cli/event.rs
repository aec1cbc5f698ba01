//! `tollgate event`: the event that a function would get.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use clap::{Args, ValueEnum};

use super::print;
use crate::base::id::stable_id;
use crate::base::{Body, Clock};
use crate::event::http::PayloadFormat;
use crate::event::media_type::MediaTypes;
use crate::event::query::decode_percent;
use crate::event::websocket::{self, Connection, WebSocketEvent};
use crate::event::{
    ApiFacts, Exchange, PathParameter, ReceivedRequest, RouteFacts, Scheme, authorizer, http, rest,
};
use crate::model::ApiKind;
use crate::observe::Metrics;
use crate::observe::metrics::RouteLabels;
use crate::plan::Router;

/// Print the event that a function would get for a request
///
/// The event is built as for a request of the gateway's own:
/// `tollgate event http --path /pets | tollgate invoke pets --event -`.
#[derive(Args, Debug)]
pub struct Event {
    /// Whose event
    #[arg(value_enum, value_name = "KIND")]
    kind: Kind,

    /// The method [default: GET]
    #[arg(long, short = 'X', value_name = "METHOD")]
    method: Option<String>,

    /// The path with its query: /pets/7?full=1 [default: /]
    #[arg(long, short, value_name = "PATH")]
    path: Option<String>,

    /// The path as the API declares it, /pets/{id}: gives the path parameters [default: the path]
    #[arg(long, value_name = "PATH")]
    resource: Option<String>,

    /// A header, `Name: value`; may be repeated
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE")]
    headers: Vec<String>,

    /// A parameter of the query, added to those of the path; may be repeated
    #[arg(long, short, value_name = "NAME=VALUE")]
    query: Vec<String>,

    /// The body, or a WebSocket's message; `@FILE` takes a file's content
    #[arg(long, short, value_name = "TEXT")]
    body: Option<String>,

    /// Media types that a REST API takes as binary; may be repeated
    #[arg(long, value_name = "TYPE")]
    binary_media_type: Vec<String>,

    /// The stage [default: dev for REST and WebSocket APIs, $default for HTTP APIs]
    #[arg(long, value_name = "NAME", value_parser = super::common::stage_name)]
    stage: Option<String>,

    /// A stage variable; may be repeated
    #[arg(long = "stage-variable", value_name = "K=V")]
    stage_variables: Vec<super::common::StageVariables>,

    /// The client's address
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    source_ip: IpAddr,

    /// The host that is asked for [default: {apiId}.execute-api.{region}.amazonaws.com]
    #[arg(long, value_name = "HOST")]
    host: Option<String>,

    /// The region
    #[arg(long, value_name = "REGION", default_value = "us-east-1")]
    region: String,

    /// The route of a WebSocket's event: $connect, $disconnect, or the message's [default: $default]
    #[arg(long, value_name = "KEY")]
    route_key: Option<String>,

    /// Token of authorizer-token; for authorizer-http the `authorization` header, which is the
    /// identity [default: that of -H, or Bearer token]
    #[arg(long, value_name = "TEXT")]
    token: Option<String>,
}

/// The token of an authorizer's event, where none is given.
const TOKEN: &str = "Bearer token";

/// Whose event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Lambda proxy of a REST API
    Rest,
    /// Lambda proxy of an HTTP API, payload format 2.0
    Http,
    /// Lambda proxy of an HTTP API, payload format 1.0
    HttpV1,
    /// A route of a WebSocket API, see --route-key
    Websocket,
    /// REQUEST authorizer of a REST API
    #[value(alias = "authorizer-request")]
    Authorizer,
    /// TOKEN authorizer of a REST API
    AuthorizerToken,
    /// Lambda authorizer of an HTTP API, payload format 2.0
    AuthorizerHttp,
    /// Lambda authorizer of an HTTP API, payload format 1.0
    AuthorizerHttpV1,
}

impl Event {
    /// Prints it on stdout.
    ///
    /// # Errors
    ///
    /// A value that no request can have.
    pub(super) fn run(self) -> Result<ExitCode> {
        let event = self.event(&Clock::System)?;
        let json: serde_json::Value = serde_json::from_slice(&event)?;
        print(&format!("{json:#}\n"))?;
        Ok(ExitCode::SUCCESS)
    }

    fn api_kind(&self) -> ApiKind {
        match self.kind {
            Kind::Http | Kind::HttpV1 | Kind::AuthorizerHttp | Kind::AuthorizerHttpV1 => {
                ApiKind::Http
            }
            _ => ApiKind::Rest,
        }
    }

    /// Refuses the options that such an event has no place for.
    fn has_place(&self) -> Result<()> {
        use Kind::{AuthorizerHttp, AuthorizerHttpV1, AuthorizerToken, Http, HttpV1, Rest};
        let kind = self.kind;
        let is_message =
            kind == Kind::Websocket && !matches!(self.route_key(), "$connect" | "$disconnect");
        let in_url = kind != Kind::Websocket;
        let in_request = kind != AuthorizerToken;
        let options = [
            ("--method", self.method.is_some(), in_url),
            ("--path", self.path.is_some(), in_url),
            ("--resource", self.resource.is_some(), in_url),
            ("--header", !self.headers.is_empty(), in_request),
            ("--query", !self.query.is_empty(), in_request),
            (
                "--body",
                self.body.is_some(),
                is_message || matches!(kind, Rest | Http | HttpV1),
            ),
            (
                "--binary-media-type",
                !self.binary_media_type.is_empty(),
                kind == Rest,
            ),
            (
                "--stage-variable",
                !self.stage_variables.is_empty(),
                in_request,
            ),
            (
                "--route-key",
                self.route_key.is_some(),
                kind == Kind::Websocket,
            ),
            (
                "--token",
                self.token.is_some(),
                matches!(kind, AuthorizerToken | AuthorizerHttp | AuthorizerHttpV1),
            ),
        ];
        for (name, is_given, has_place) in options {
            if is_given && !has_place {
                let kind = kind.to_possible_value();
                let kind = kind.as_ref().map_or("such", |kind| kind.get_name());
                bail!("the event of `{kind}` has no place for {name}; leave it out");
            }
        }
        Ok(())
    }

    fn method(&self) -> &str {
        self.method.as_deref().unwrap_or("GET")
    }

    fn path(&self) -> &str {
        self.path.as_deref().unwrap_or("/")
    }

    fn route_key(&self) -> &str {
        self.route_key.as_deref().unwrap_or("$default")
    }

    fn event(&self, clock: &Clock) -> Result<Vec<u8>> {
        self.has_place()?;
        let facts = self.facts();
        let body = self.body()?;
        let request = self.request(&facts)?;
        let path = request.path.clone();
        let with_stage = match facts.stage.as_str() {
            "$default" => path.clone(),
            stage => format!("/{stage}{path}"),
        };
        let resource = self.resource.clone().unwrap_or_else(|| path.clone());
        let names = names(&resource);
        let route = self.route(&facts, &resource, &request);
        let parameters = self.parameters(&resource, &names, &request)?;
        let now = clock.since_epoch();
        let mut exchange = Exchange::begin(&facts, request, path, with_stage, now);
        exchange.route = Some(&route);
        exchange.path_parameters = parameters;
        let arn = authorizer::method_arn(&exchange);
        Ok(match self.kind {
            Kind::Rest => rest::proxy_event(&exchange, &body),
            Kind::Http => http::event_v2(&exchange, &body),
            Kind::HttpV1 => http::event_v1(&exchange, &body),
            Kind::Authorizer => authorizer::request_event(&exchange, &arn),
            Kind::AuthorizerToken => {
                authorizer::token_event(self.token.as_deref().unwrap_or(TOKEN), &arn)
            }
            Kind::AuthorizerHttp | Kind::AuthorizerHttpV1 => {
                let format = if self.kind == Kind::AuthorizerHttp {
                    PayloadFormat::V2
                } else {
                    PayloadFormat::V1
                };
                let token = exchange.headers().last("authorization");
                let identity: Vec<String> = token.map(Cow::into_owned).into_iter().collect();
                authorizer::http_event(&exchange, format, &arn, &identity)
            }
            Kind::Websocket => {
                let connection = Connection {
                    id: websocket::connection_id(),
                    connected_at: now,
                };
                let what = match self.route_key() {
                    "$connect" => WebSocketEvent::Connect,
                    "$disconnect" => WebSocketEvent::Disconnect {
                        status: 1005,
                        reason: "Client-side close frame status not set".to_owned(),
                    },
                    _ => WebSocketEvent::Message(body),
                };
                websocket::event(&exchange, &connection, &what)
            }
        })
    }

    fn facts(&self) -> ApiFacts {
        let kind = self.api_kind();
        let stage = self.stage.clone().unwrap_or_else(|| {
            match kind {
                ApiKind::Rest => "dev",
                ApiKind::Http => "$default",
            }
            .to_owned()
        });
        let variables = self.stage_variables.iter().flat_map(|some| some.0.clone());
        ApiFacts {
            kind,
            api_id: stable_id("tollgate event"),
            account_id: "123456789012".to_owned(),
            region: self.region.clone(),
            deployment_id: stable_id(&stage)[..6].to_owned(),
            stage,
            stage_variables: variables.collect(),
            binary_media_types: MediaTypes::new(self.binary_media_type.iter().map(String::as_str)),
            canary: None,
            trusted_proxies: Vec::new(),
        }
    }

    fn route(&self, facts: &ApiFacts, resource: &str, request: &ReceivedRequest) -> RouteFacts {
        let key = match self.kind {
            Kind::Websocket => self.route_key().to_owned(),
            _ if resource == "$default" => resource.to_owned(),
            _ => format!("{} {resource}", request.method),
        };
        let id = match facts.kind {
            ApiKind::Rest => stable_id(&format!("{}{resource}", facts.api_id))[..6].to_owned(),
            ApiKind::Http => key.clone(),
        };
        RouteFacts {
            resource_id: id,
            resource_path: resource.to_owned(),
            route_key: key,
            backend: String::new(),
            metrics: Metrics::default().route(RouteLabels::default()),
        }
    }

    /// The variables of the declared path, cut out of the path that is asked for.
    fn parameters<'n>(
        &self,
        resource: &str,
        names: &'n [String],
        request: &ReceivedRequest,
    ) -> Result<Vec<PathParameter<'n>>> {
        if names.is_empty() || self.kind == Kind::Websocket {
            return Ok(Vec::new());
        }
        let kind = self.api_kind();
        let mut router = Router::new(kind);
        let added = router.add(Some(request.method.as_str()), resource, 0);
        let found = added
            .ok()
            .and_then(|()| router.find(request.method.as_str(), &request.path))
            .with_context(|| {
                format!(
                    "the path {} does not fit the resource {resource}",
                    request.path
                )
            })?;
        let parameters = names.iter().zip(found.values).map(|(name, raw)| {
            let value = match kind {
                ApiKind::Http => decode_percent(raw).into_owned(),
                ApiKind::Rest => raw.to_owned(),
            };
            PathParameter {
                name,
                raw: raw.to_owned(),
                value,
            }
        });
        Ok(parameters.collect())
    }

    fn body(&self) -> Result<Bytes> {
        Ok(match self.body.as_deref() {
            None => Bytes::new(),
            Some(text) => match text.strip_prefix('@') {
                Some(file) => std::fs::read(file)
                    .with_context(|| format!("the body's file {file} cannot be read"))?
                    .into(),
                None => Bytes::copy_from_slice(text.as_bytes()),
            },
        })
    }

    fn request(&self, facts: &ApiFacts) -> Result<ReceivedRequest> {
        let (method, path) = (self.method(), self.path());
        let method = ::http::Method::from_bytes(method.to_ascii_uppercase().as_bytes())
            .with_context(|| format!("`{method}` is no HTTP method"))?;
        if !path.starts_with('/') || path.contains([' ', '#', '\n', '\r']) {
            bail!(
                "`{path}` is no path: it begins with `/`, and characters such as a space are written as %20"
            );
        }
        let (path, query) = match path.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (path, None),
        };
        let more = self.query.iter().map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let encode = |text| {
                percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC)
            };
            format!("{}={}", encode(name), encode(value))
        });
        let query: Vec<String> = query.map(str::to_owned).into_iter().chain(more).collect();
        let mut headers = Vec::new();
        for header in &self.headers {
            let (name, value) = header
                .split_once(':')
                .with_context(|| format!("`{header}` is no header; write it as `Name: value`"))?;
            let (name, value) = (name.trim(), value.trim());
            ::http::HeaderName::from_bytes(name.as_bytes())
                .with_context(|| format!("`{name}` is no header name"))?;
            ::http::HeaderValue::from_str(value)
                .with_context(|| format!("`{value}` is no header value"))?;
            headers.push((name, value.as_bytes()));
        }
        if matches!(self.kind, Kind::AuthorizerHttp | Kind::AuthorizerHttpV1) {
            let has_token = headers
                .iter()
                .any(|(name, _)| name.eq_ignore_ascii_case("authorization"));
            match self.token.as_deref() {
                Some(_) if has_token => {
                    bail!("--token and -H both give the `authorization` header; leave one out")
                }
                None if has_token => {}
                token => {
                    let token = token.unwrap_or(TOKEN);
                    ::http::HeaderValue::from_str(token)
                        .context("the text of --token is no header value")?;
                    headers.push(("authorization", token.as_bytes()));
                }
            }
        }
        let host = self.host.clone().unwrap_or_else(|| {
            format!(
                "{}.execute-api.{}.amazonaws.com",
                facts.api_id, facts.region
            )
        });
        Ok(ReceivedRequest {
            method,
            path: path.to_owned(),
            query: (!query.is_empty()).then(|| query.join("&")),
            headers: headers.into_iter().collect(),
            version: ::http::Version::HTTP_11,
            scheme: Scheme::Https,
            host,
            peer: SocketAddr::new(self.source_ip, 443),
            local: SocketAddr::new(self.source_ip, 443),
            malformed: None,
            body: Body::Empty,
        })
    }
}

/// The names of a path's variables.
fn names(path: &str) -> Vec<String> {
    path.split('/')
        .filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| name.trim_end_matches('+').to_owned())
        .collect()
}
