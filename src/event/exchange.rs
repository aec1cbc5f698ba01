//! One request on its way: what was received, what it matched, and what the
//! gateway found out since. `requestContext`, `$context` and the log read it.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use indexmap::IndexMap;

use super::caller::Caller;
use super::execution_log::ExecutionLog;
use super::media_type::MediaTypes;
use super::query::Query;
use super::{HeaderList, ReceivedRequest};
use crate::base::{Body, LogTime, id};
use crate::model::ApiKind;
use crate::observe::Watch;
use crate::observe::metrics::RouteMetrics;

/// What is the same for every request of an API and stage.
#[derive(Clone, Debug)]
pub struct ApiFacts {
    /// REST or HTTP.
    pub kind: ApiKind,
    /// The API's id.
    pub api_id: String,
    /// The owner's account.
    pub account_id: String,
    /// The region.
    pub region: String,
    /// The stage's name.
    pub stage: String,
    /// The deployment's id: six letters and digits.
    pub deployment_id: String,
    /// `stageVariables`.
    pub stage_variables: IndexMap<String, String>,
    /// Which media types are binary (REST).
    pub binary_media_types: MediaTypes,
    /// Set while the stage has a canary.
    pub canary: Option<CanaryFacts>,
    /// Networks whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<ipnet::IpNet>,
}

/// Which side of a stage's canary these facts are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CanaryFacts {
    /// The canary's side: `$context.isCanaryRequest`.
    pub requested: bool,
    /// The canary shares the stage's response cache.
    pub use_stage_cache: bool,
}

/// What is the same for every request of a route.
#[derive(Clone, Debug)]
pub struct RouteFacts {
    /// The resource's id: six letters and digits (REST), the route key (HTTP).
    pub resource_id: String,
    /// The path as declared, `/pets/{id}`; `$default`.
    pub resource_path: String,
    /// `GET /pets/{id}`, `ANY /{proxy+}`, `$default`.
    pub route_key: String,
    /// What its integration is called in logs and traces: `lambda orders`.
    pub backend: String,
    /// Counts its requests.
    pub metrics: Arc<RouteMetrics>,
}

/// An API key that a request may name.
#[derive(PartialEq, Eq)]
pub struct ApiKeyFacts {
    /// Its id.
    pub id: Box<str>,
    /// The secret that clients send.
    pub value: Box<str>,
}

impl std::fmt::Debug for ApiKeyFacts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiKeyFacts")
            .field("id", &self.id)
            .field("value", &"***")
            .finish()
    }
}

/// A variable of the route's path.
#[derive(Clone, Debug)]
pub struct PathParameter<'p> {
    /// Its name, without braces and `+`.
    pub name: &'p str,
    /// As sent.
    pub raw: String,
    /// As functions and templates see it: as sent (REST, recorded at AWS), decoded (HTTP).
    pub value: String,
}

/// How a route's authorizer fared with a request: for variables and access logs.
#[derive(Clone, Debug, Default)]
pub struct AuthorizerFacts {
    /// The status it came to, once it was asked.
    pub status: Option<u16>,
    /// How long its function took.
    pub latency: Duration,
    /// Why it refused or failed, in words for the operator.
    pub error: Option<String>,
}

/// One request on its way through the gateway.
#[derive(Debug)]
pub struct Exchange<'p> {
    /// The API and stage.
    pub api: &'p ApiFacts,
    /// The route, once one is found.
    pub route: Option<&'p RouteFacts>,
    /// The request; its body has been taken out.
    pub request: Box<ReceivedRequest>,
    /// The path that is matched: as sent, without the stage where the URL has it.
    pub path: String,
    /// The path with the stage, as `requestContext.path` shows it.
    pub path_with_stage: String,
    /// The request came by a custom domain name.
    pub by_domain: bool,
    /// The route's variables.
    pub path_parameters: Vec<PathParameter<'p>>,
    /// `x-amzn-RequestId`; HTTP APIs use [`Exchange::extended_request_id`] for both.
    pub request_id: String,
    /// `x-amz-apigw-id`, `apigw-requestid`.
    pub extended_request_id: String,
    /// The `X-Amzn-Trace-Id` that goes on to the backend.
    pub trace_id: String,
    /// The `traceparent` that goes on to the backend instead of the client's, while the gateway traces.
    pub traceparent: Option<String>,
    /// When it was received, since 1970.
    pub received: Duration,
    /// The API key that the request named, once it was accepted.
    pub api_key: Option<Arc<ApiKeyFacts>>,
    /// Who calls, once the authorizer has let the request pass.
    pub caller: Caller,
    /// The API key's value that a Lambda authorizer named for the caller.
    pub usage_identifier_key: Option<String>,
    /// How the authorizer fared.
    pub authorizer: AuthorizerFacts,
    /// What happens to it, step by step, where that is logged.
    pub log: ExecutionLog,
    /// Times and outcomes, for access logs, metrics and traces.
    pub watch: Watch,
    query: OnceLock<Query>,
}

impl<'p> Exchange<'p> {
    /// Begins with a received request.
    ///
    /// A client's `x-amzn-RequestId` is kept if it is a UUID, its
    /// `X-Amzn-Trace-Id` is continued whole.
    pub fn begin(
        api: &'p ApiFacts,
        request: Box<ReceivedRequest>,
        path: String,
        path_with_stage: String,
        received: Duration,
    ) -> Self {
        let extended_request_id = id::extended_request_id();
        let request_id = match api.kind {
            ApiKind::Rest => match request.headers.first("x-amzn-requestid") {
                Some(own) if id::is_uuid(&own) => own.into_owned(),
                _ => id::request_id(),
            },
            ApiKind::Http => extended_request_id.clone(),
        };
        let trace_id = match request.headers.first("x-amzn-trace-id") {
            Some(own) if own.contains("Root=") => own.into_owned(),
            Some(own) if !own.is_empty() => format!("{};{own}", id::trace_root(received.as_secs())),
            _ => id::trace_root(received.as_secs()),
        };
        Self {
            api,
            route: None,
            request,
            path,
            path_with_stage,
            by_domain: false,
            path_parameters: Vec::new(),
            request_id,
            extended_request_id,
            trace_id,
            traceparent: None,
            received,
            api_key: None,
            caller: Caller::Anonymous,
            usage_identifier_key: None,
            authorizer: AuthorizerFacts::default(),
            log: ExecutionLog::default(),
            watch: Watch::default(),
            query: OnceLock::new(),
        }
    }

    /// The same request as a backend is told of it: with another query, other
    /// headers and, where one is given, another path.
    pub fn rewritten(
        &self,
        path: Option<String>,
        query: Option<String>,
        headers: HeaderList,
    ) -> Self {
        let request = ReceivedRequest {
            method: self.request.method.clone(),
            path: self.request.path.clone(),
            query,
            headers,
            version: self.request.version,
            scheme: self.request.scheme,
            host: self.request.host.clone(),
            peer: self.request.peer,
            local: self.request.local,
            malformed: self.request.malformed,
            body: Body::Empty,
        };
        Self {
            api: self.api,
            route: self.route,
            request: Box::new(request),
            path: path.clone().unwrap_or_else(|| self.path.clone()),
            path_with_stage: path.unwrap_or_else(|| self.path_with_stage.clone()),
            by_domain: self.by_domain,
            path_parameters: self.path_parameters.clone(),
            request_id: self.request_id.clone(),
            extended_request_id: self.extended_request_id.clone(),
            trace_id: self.trace_id.clone(),
            traceparent: self.traceparent.clone(),
            received: self.received,
            api_key: self.api_key.clone(),
            caller: self.caller.clone(),
            usage_identifier_key: self.usage_identifier_key.clone(),
            authorizer: self.authorizer.clone(),
            // Only REST APIs have execution logs.
            log: ExecutionLog::default(),
            watch: Watch::default(),
            query: OnceLock::new(),
        }
    }

    /// The request's headers as sent.
    pub fn headers(&self) -> &HeaderList {
        &self.request.headers
    }

    /// Whether a header stays with the gateway: the `Authorization` of a request to a
    /// REST API whose method is `AWS_IAM`, or that holds a signature wherever it is sent
    /// ("Amazon API Gateway important notes").
    pub fn keeps_back(&self, name: &str) -> bool {
        let signed = |value: Cow<'_, str>| value.trim_start().starts_with("AWS4-");
        name.eq_ignore_ascii_case("authorization")
            && self.api.kind == ApiKind::Rest
            && (self.caller.iam().is_some() || self.headers().all(name).any(signed))
    }

    /// The query, decoded at the first call.
    pub fn query(&self) -> &Query {
        self.query
            .get_or_init(|| Query::parse(self.request.query.as_deref().unwrap_or_default()))
    }

    /// A variable of the path.
    pub fn path_parameter(&self, name: &str) -> Option<&PathParameter<'p>> {
        self.path_parameters
            .iter()
            .find(|parameter| parameter.name == name)
    }

    /// The client's address: the peer's, or, where that is a trusted proxy, the last
    /// one in `X-Forwarded-For` that is none. An entry that is no address ends the search.
    pub fn client_ip(&self) -> IpAddr {
        let peer = self.request.peer.ip().to_canonical();
        let trusted = |address: IpAddr| {
            self.api
                .trusted_proxies
                .iter()
                .any(|network| network.contains(&address))
        };
        if !trusted(peer) {
            return peer;
        }
        let mut client = peer;
        for (name, value) in self.headers().iter().rev() {
            if !name.eq_ignore_ascii_case("x-forwarded-for") {
                continue;
            }
            for entry in value.rsplit(|byte| *byte == b',') {
                let Some(address) = std::str::from_utf8(entry).ok().and_then(forwarded_address)
                else {
                    return client;
                };
                client = address;
                if !trusted(address) {
                    return client;
                }
            }
        }
        client
    }

    /// The client's address as text.
    pub fn source_ip(&self) -> String {
        ip_text(self.client_ip())
    }

    /// The client's `User-Agent`.
    pub fn user_agent(&self) -> Option<Cow<'_, str>> {
        self.headers().last("user-agent")
    }

    /// The path that events of REST APIs show: a custom domain name's with its mapping.
    pub fn event_path(&self) -> &str {
        if self.by_domain {
            &self.path_with_stage
        } else {
            &self.path
        }
    }

    /// The host asked for, without its port.
    pub fn domain_name(&self) -> &str {
        let host = self.request.host.as_str();
        match host.rfind(':') {
            // An IPv6 address stands in brackets, so a colon after one is the port's.
            Some(colon) if !host[colon..].contains(']') => &host[..colon],
            _ => host,
        }
    }

    /// The first label of the host asked for; the whole of an IP address.
    pub fn domain_prefix(&self) -> &str {
        let domain = self.domain_name();
        if domain.parse::<std::net::Ipv4Addr>().is_ok() {
            return domain;
        }
        domain.split('.').next().unwrap_or_default()
    }

    /// `HTTP/1.1`, `HTTP/2.0`. An HTTP API always says `HTTP/1.1`
    /// ("Customize HTTP API access logs").
    pub fn protocol(&self) -> &'static str {
        match (self.api.kind, self.request.version) {
            (ApiKind::Rest, ::http::Version::HTTP_2) => "HTTP/2.0",
            (ApiKind::Rest, ::http::Version::HTTP_10) => "HTTP/1.0",
            _ => "HTTP/1.1",
        }
    }

    /// `12/Mar/2020:19:03:58 +0000`; none after the year 9999.
    pub fn log_time(&self) -> Option<LogTime> {
        LogTime::of(self.received.as_secs())
    }

    /// [`Self::log_time`] as text.
    pub fn request_time(&self) -> String {
        self.log_time()
            .map_or_else(String::new, |time| time.as_str().to_owned())
    }

    /// Milliseconds since 1970.
    pub fn request_time_epoch(&self) -> u128 {
        self.received.as_millis()
    }

    /// `X-Forwarded-For` towards the backend: the client's own list and its address.
    pub fn forwarded_for(&self) -> String {
        let mut list: Vec<Cow<'_, str>> = self
            .headers()
            .all("x-forwarded-for")
            .filter(|value| !value.is_empty())
            .collect();
        list.push(Cow::Owned(ip_text(self.request.peer.ip().to_canonical())));
        list.join(", ")
    }

    /// The port the client connected to.
    pub fn forwarded_port(&self) -> String {
        self.request.local.port().to_string()
    }

    /// `http` or `https`.
    pub fn forwarded_proto(&self) -> &'static str {
        self.request.scheme.as_str()
    }
}

/// An address as text. Each request needs one; the formatting of the standard
/// library takes ten times as long for the usual kind.
fn ip_text(address: IpAddr) -> String {
    let IpAddr::V4(address) = address else {
        return address.to_string();
    };
    let mut text = String::with_capacity("255.255.255.255".len());
    for (place, octet) in address.octets().into_iter().enumerate() {
        if place > 0 {
            text.push('.');
        }
        for digit in [octet / 100, octet / 10 % 10] {
            if digit > 0 || (octet >= 100) {
                text.push((b'0' + digit).into());
            }
        }
        text.push((b'0' + octet % 10).into());
    }
    text
}

/// An address as proxies write it: alone, with a port, or in brackets.
fn forwarded_address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let address = text.parse().ok().or_else(|| {
        text.strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .and_then(|inner| inner.parse().ok())
    });
    let address = address.or_else(|| {
        text.parse()
            .ok()
            .map(|with_port: SocketAddr| with_port.ip())
    });
    address.map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn addresses_are_written_as_the_standard_library_does() {
        for octet in 0..=255 {
            let address = IpAddr::V4(Ipv4Addr::new(octet, 0, 255 - octet, octet));
            assert_eq!(ip_text(address), address.to_string());
        }
        let six: IpAddr = "2001:db8::1".parse().unwrap();
        assert_eq!(ip_text(six), "2001:db8::1");
    }
}
