//! What the parts of a request cost: `cargo bench --bench parts`.
//!
//! `route`: finding the route among 10, 1,000 and 10,000, each the last but one declared, with
//! one variable. `event`: a Lambda proxy event of a REST API, and both formats of HTTP APIs, with
//! ten headers, a query and a body. `answer`: reading what a function returned.

#![expect(
    clippy::unwrap_used,
    reason = "a measurement may stop at the first trouble"
)]

use std::hint::black_box;
use std::time::Duration;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use tollgate::base::Body;
use tollgate::event::http::PayloadFormat;
use tollgate::event::media_type::MediaTypes;
use tollgate::event::{
    ApiFacts, Exchange, HeaderList, ReceivedRequest, RouteFacts, Scheme, http as http_event, rest,
};
use tollgate::model::ApiKind;
use tollgate::observe::Metrics;
use tollgate::observe::metrics::RouteLabels;
use tollgate::plan::Router;

fn route(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("route");
    for count in [10, 1_000, 10_000] {
        let mut router = Router::new(ApiKind::Http);
        for number in 0..count {
            let path = format!("/v1/resource{number}/{{id}}/items");
            router.add(Some("GET"), &path, number).unwrap();
        }
        let wanted = count - 2;
        let path = format!("/v1/resource{wanted}/4711/items");
        assert_eq!(router.find("GET", &path).unwrap().route, wanted);
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            bencher.iter(|| router.find(black_box("GET"), black_box(&path)).is_some());
        });
    }
    group.finish();
}

fn facts(kind: ApiKind) -> ApiFacts {
    ApiFacts {
        trusted_proxies: Vec::new(),
        canary: None,
        kind,
        api_id: "a1b2c3d4e5".to_owned(),
        account_id: "123456789012".to_owned(),
        region: "us-east-1".to_owned(),
        stage: "prod".to_owned(),
        deployment_id: "abcdef".to_owned(),
        stage_variables: [("table".to_owned(), "pets".to_owned())]
            .into_iter()
            .collect(),
        binary_media_types: MediaTypes::default(),
    }
}

fn request() -> Box<ReceivedRequest> {
    let address = "192.0.2.7:4711".parse().unwrap();
    let headers: [(&str, &[u8]); 10] = [
        ("Host", b"api.example.com"),
        (
            "User-Agent",
            b"Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0",
        ),
        ("Accept", b"application/json, text/plain, */*"),
        ("Accept-Language", b"en-GB,en;q=0.5"),
        ("Accept-Encoding", b"gzip, deflate, br"),
        ("Content-Type", b"application/json"),
        ("Content-Length", b"27"),
        ("Origin", b"https://shop.example.com"),
        (
            "Cookie",
            b"session=0123456789abcdef0123456789abcdef; theme=dark",
        ),
        ("X-Forwarded-For", b"198.51.100.9"),
    ];
    Box::new(ReceivedRequest {
        method: http::Method::POST,
        path: "/pets/7".to_owned(),
        query: Some("full=1&sort=name%20asc".to_owned()),
        headers: headers.into_iter().collect::<HeaderList>(),
        version: http::Version::HTTP_11,
        scheme: Scheme::Https,
        host: "api.example.com".to_owned(),
        peer: address,
        local: address,
        malformed: None,
        body: Body::default(),
    })
}

fn event(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("event");
    let body = Bytes::from_static(br#"{"name": "rex", "legs": 4.0}"#);
    let route = RouteFacts {
        resource_id: "abc123".to_owned(),
        resource_path: "/pets/{id}".to_owned(),
        route_key: "POST /pets/{id}".to_owned(),
        backend: String::new(),
        metrics: Metrics::default().route(RouteLabels::default()),
    };
    let mut measure = |name: &str, kind, write: fn(&Exchange<'_>, &Bytes) -> Vec<u8>| {
        let api = facts(kind);
        let (path, whole) = ("/pets/7".to_owned(), "/prod/pets/7".to_owned());
        let received = Duration::from_millis(1_583_348_638_390);
        let mut exchange = Exchange::begin(&api, request(), path, whole, received);
        exchange.route = Some(&route);
        let event: serde_json::Value = serde_json::from_slice(&write(&exchange, &body)).unwrap();
        assert!(event["requestContext"].is_object());
        group.bench_function(name, |bencher| {
            bencher.iter(|| write(black_box(&exchange), black_box(&body)));
        });
    };
    measure("rest", ApiKind::Rest, rest::proxy_event);
    measure("http_1.0", ApiKind::Http, http_event::event_v1);
    measure("http_2.0", ApiKind::Http, http_event::event_v2);
    group.finish();
}

fn answer(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("answer");
    let payload = Bytes::from(
        serde_json::json!({
            "statusCode": 200,
            "headers": {"Content-Type": "application/json", "Cache-Control": "no-store", "X-Pet": "rex"},
            "body": "{\"id\": 7, \"name\": \"rex\", \"tags\": [\"a\", \"b\"]}".repeat(20),
            "isBase64Encoded": false,
        })
        .to_string(),
    );
    for (name, format) in [
        ("http_1.0", PayloadFormat::V1),
        ("http_2.0", PayloadFormat::V2),
    ] {
        assert!(http_event::read_answer(&payload, format).is_ok());
        group.bench_function(name, |bencher| {
            bencher.iter(|| http_event::read_answer(black_box(&payload), format).is_ok());
        });
    }
    assert!(rest::read_proxy_answer(&payload, false).is_ok());
    group.bench_function("rest", |bencher| {
        bencher.iter(|| rest::read_proxy_answer(black_box(&payload), false).is_ok());
    });
    group.finish();
}

criterion_group!(benches, route, event, answer);
criterion_main!(benches);
