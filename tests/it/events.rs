//! Events of HTTP APIs against the types that Rust functions read them with:
//! whatever a client may send, the event parses and nothing of it is lost.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_lambda_events::apigw::{ApiGatewayProxyRequest, ApiGatewayV2httpRequest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use indexmap::IndexMap;
use percent_encoding::percent_decode_str;
use proptest::prelude::*;

use tollgate::base::Body;
use tollgate::event::http::{event_v1, event_v2};
use tollgate::event::media_type::MediaTypes;
use tollgate::event::{ApiFacts, Exchange, HeaderList, ReceivedRequest, RouteFacts, Scheme};
use tollgate::model::ApiKind;

/// A request as a client may send it.
#[derive(Clone, Debug)]
struct Sent {
    method: String,
    path: String,
    query: Option<String>,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

fn sent() -> impl Strategy<Value = Sent> {
    let method = prop_oneof![
        4 => prop::sample::select(vec!["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"])
            .prop_map(str::to_owned),
        1 => "[A-Z!#$%&'*+.^_|~-]{1,12}",
    ];
    let path = "(/([a-zA-Z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2}){0,8}){1,4}";
    let query = prop::option::of("([a-zA-Z0-9._~!$'()*+,;=:@/?-]|&|%[0-9A-Fa-f]{2}|%){0,40}");
    let value = prop::collection::vec(
        prop_oneof![8 => 0x20_u8..0x7f, 1 => 0x80_u8..=0xff, 1 => Just(b'\t')],
        0..24,
    );
    let any_header = ("[!#$%&'*+.^_`|~0-9A-Za-z-]{1,12}", value);
    let known_header = (
        prop::sample::select(vec![
            "Cookie",
            "content-type",
            "Content-Type",
            "X-Twice",
            "x-twice",
            "User-Agent",
            "X-Forwarded-For",
            "Transfer-Encoding",
            "Connection",
            "Authorization",
            "Accept",
        ]),
        prop::sample::select(vec![
            "a=1; b=2",
            "text/plain; charset=utf-8",
            "application/json",
            "image/png",
            "1",
            "2",
            "",
        ]),
    )
        .prop_map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
    let headers = prop::collection::vec(prop_oneof![any_header, known_header], 0..8);
    let body = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        "\\PC{0,60}".prop_map(String::into_bytes),
    ];
    (method, path, query, headers, body).prop_filter_map(
        "hyper takes it",
        |(method, path, query, headers, body)| {
            let target = query
                .as_ref()
                .map_or(path.clone(), |query| format!("{path}?{query}"));
            http::Method::from_bytes(method.as_bytes()).ok()?;
            target.parse::<http::Uri>().ok()?;
            let headers: Vec<(String, Vec<u8>)> = headers
                .into_iter()
                .map(|(name, value)| (name, value.trim_ascii().to_vec()))
                .collect();
            for (name, value) in &headers {
                http::HeaderName::from_bytes(name.as_bytes()).ok()?;
                http::HeaderValue::from_bytes(value).ok()?;
            }
            Some(Sent {
                method,
                path,
                query,
                headers,
                body,
            })
        },
    )
}

impl Sent {
    /// What an event holds of the headers: values by lower-case name, in order.
    fn kept_headers(&self) -> BTreeMap<String, Vec<String>> {
        const GATEWAYS_OWN: [&str; 14] = [
            "connection",
            "keep-alive",
            "proxy-connection",
            "te",
            "trailer",
            "transfer-encoding",
            "upgrade",
            "expect",
            "host",
            "content-length",
            "x-amzn-trace-id",
            "x-forwarded-for",
            "x-forwarded-port",
            "x-forwarded-proto",
        ];
        let mut kept: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in &self.headers {
            let name = name.to_ascii_lowercase();
            if !GATEWAYS_OWN.contains(&name.as_str()) {
                kept.entry(name).or_default().push(text(value));
            }
        }
        kept
    }

    /// The values of each query parameter, decoded, in order.
    fn parameters(&self) -> BTreeMap<String, Vec<String>> {
        let mut parameters: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let decode = |text: &str| {
            percent_decode_str(&text.replace('+', " "))
                .decode_utf8_lossy()
                .into_owned()
        };
        let query = self.query.as_deref().unwrap_or_default();
        for piece in query.split('&').filter(|piece| !piece.is_empty()) {
            let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
            parameters
                .entry(decode(name))
                .or_default()
                .push(decode(value));
        }
        parameters
    }

    fn decoded_path(&self) -> String {
        percent_decode_str(&self.path)
            .decode_utf8_lossy()
            .into_owned()
    }

    fn with_event<T>(&self, read: impl FnOnce(&Exchange<'_>, &Bytes) -> T) -> T {
        let api = ApiFacts {
            trusted_proxies: Vec::new(),
            canary: None,
            kind: ApiKind::Http,
            api_id: "a1b2c3d4e5".to_owned(),
            account_id: "123456789012".to_owned(),
            region: "us-east-1".to_owned(),
            stage: "$default".to_owned(),
            deployment_id: "abcdef".to_owned(),
            stage_variables: IndexMap::new(),
            binary_media_types: MediaTypes::default(),
        };
        let route = RouteFacts {
            resource_id: "$default".to_owned(),
            resource_path: "$default".to_owned(),
            route_key: "$default".to_owned(),
            backend: String::new(),
            metrics: tollgate::observe::Metrics::default()
                .route(tollgate::observe::metrics::RouteLabels::default()),
        };
        let headers: HeaderList = self
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_slice()))
            .collect();
        let request = ReceivedRequest {
            method: self.method.parse().unwrap(),
            path: self.path.clone(),
            query: self.query.clone(),
            headers,
            version: http::Version::HTTP_11,
            scheme: Scheme::Http,
            host: "api.test:3000".to_owned(),
            peer: "192.0.2.7:4711".parse().unwrap(),
            local: "127.0.0.1:3000".parse().unwrap(),
            malformed: None,
            body: Body::Empty,
        };
        let received = Duration::from_millis(1_583_348_638_390);
        let mut exchange = Exchange::begin(
            &api,
            Box::new(request),
            self.path.clone(),
            self.path.clone(),
            received,
        );
        exchange.route = Some(&route);
        read(&exchange, &Bytes::from(self.body.clone()))
    }
}

/// A header's value as an event holds it: UTF-8, or else Latin-1.
fn text(value: &[u8]) -> String {
    String::from_utf8(value.to_vec())
        .unwrap_or_else(|_| value.iter().map(|byte| char::from(*byte)).collect())
}

fn bytes_of(body: Option<&str>, base64: bool) -> Vec<u8> {
    match (body, base64) {
        (None, _) => Vec::new(),
        (Some(body), true) => STANDARD.decode(body).unwrap(),
        (Some(body), false) => body.as_bytes().to_vec(),
    }
}

proptest! {
    #[test]
    fn an_event_of_format_2_0_gives_the_whole_request_back(sent in sent()) {
        let json = sent.with_event(event_v2);
        let event: ApiGatewayV2httpRequest = serde_json::from_slice(&json).unwrap();

        prop_assert_eq!(event.version.as_deref(), Some("2.0"));
        prop_assert_eq!(event.request_context.http.method.as_str(), &sent.method);
        prop_assert_eq!(event.raw_path, Some(sent.decoded_path()));
        prop_assert_eq!(
            event.raw_query_string.as_deref().unwrap_or_default(),
            sent.query.as_deref().unwrap_or_default()
        );
        prop_assert_eq!(&bytes_of(event.body.as_deref(), event.is_base64_encoded), &sent.body);

        let mut expected = sent.kept_headers();
        let cookies: Vec<String> = expected
            .remove("cookie")
            .unwrap_or_default()
            .iter()
            .flat_map(|line| line.split(';'))
            .map(|cookie| cookie.trim().to_owned())
            .filter(|cookie| !cookie.is_empty())
            .collect();
        prop_assert_eq!(event.cookies.unwrap_or_default(), cookies);
        for (name, values) in &expected {
            let value = event.headers.get(name.as_str()).map(|value| text(value.as_bytes()));
            prop_assert_eq!(value, Some(values.join(",")), "{}", name);
        }
        // Nothing but the gateway's own six is added.
        prop_assert_eq!(event.headers.len(), expected.len() + 6);

        let raw: serde_json::Value = serde_json::from_slice(&json).unwrap();
        let parameters: BTreeMap<String, String> = raw
            .get("queryStringParameters")
            .map(|value| serde_json::from_value(value.clone()).unwrap())
            .unwrap_or_default();
        let expected: BTreeMap<String, String> =
            sent.parameters().into_iter().map(|(name, values)| (name, values.join(","))).collect();
        prop_assert_eq!(parameters, expected);
    }

    #[test]
    fn an_event_of_format_1_0_gives_the_whole_request_back(sent in sent()) {
        let json = sent.with_event(event_v1);
        let event: ApiGatewayProxyRequest = serde_json::from_slice(&json).unwrap();

        prop_assert_eq!(event.http_method.as_str(), &sent.method);
        prop_assert_eq!(event.path.as_deref(), Some(sent.path.as_str()));
        prop_assert_eq!(&bytes_of(event.body.as_deref(), event.is_base64_encoded), &sent.body);

        let expected = sent.kept_headers();
        for (name, values) in &expected {
            let seen: Vec<String> = event
                .multi_value_headers
                .get_all(name.as_str())
                .iter()
                .map(|value| text(value.as_bytes()))
                .collect();
            prop_assert_eq!(&seen, values, "{}", name);
            let last = event.headers.get(name.as_str()).map(|value| text(value.as_bytes()));
            prop_assert_eq!(last.as_ref(), values.last(), "{}", name);
        }
        prop_assert_eq!(event.headers.len(), expected.len() + 6);

        let raw: serde_json::Value = serde_json::from_slice(&json).unwrap();
        let multi: Option<BTreeMap<String, Vec<String>>> =
            serde_json::from_value(raw["multiValueQueryStringParameters"].clone()).unwrap();
        let single: Option<BTreeMap<String, String>> =
            serde_json::from_value(raw["queryStringParameters"].clone()).unwrap();
        let expected = sent.parameters();
        let last: BTreeMap<String, String> = expected
            .iter()
            .filter_map(|(name, values)| Some((name.clone(), values.last()?.clone())))
            .collect();
        prop_assert_eq!(multi.unwrap_or_default(), expected);
        prop_assert_eq!(single.unwrap_or_default(), last);
    }
}
