//! What limits cost: `cargo bench --bench limits`.
//!
//! `bucket`: one token, alone and with four threads on one bucket. `admit`: everything
//! that a request with API key, usage plan, quota, method throttle and account meets,
//! beside the account alone; in memory, with SQLite behind, in Redis (where a
//! `redis-server` is installed). `requests`: whole requests to a mock over eight
//! connections, with and without.

#![expect(
    clippy::unwrap_used,
    reason = "a measurement may stop at the first trouble"
)]

use std::hint::black_box;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use tollgate::Gateway;
use tollgate::base::{Body, Clock};
use tollgate::event::{Exchange, HeaderList, ReceivedRequest, Scheme};
use tollgate::limit::token_bucket::{Pace, TokenBucket};
use tollgate::server::Running;

const KEY: &str = "alice-0123456789abcdefghij";

fn bucket(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("bucket");
    let pace = Pace::new(1e9, 1_000_000);
    let alone = TokenBucket::full(pace);
    let clock = Clock::System;
    group.bench_function("take", |bencher| {
        bencher.iter(|| black_box(alone.take(clock.steady())).is_ok());
    });
    let empty = TokenBucket::full(Pace::new(1e-6, 1));
    let _ = empty.take(clock.steady());
    group.bench_function("refuse", |bencher| {
        bencher.iter(|| black_box(empty.take(clock.steady())).is_ok());
    });
    let shared = TokenBucket::full(pace);
    group.bench_function("take_by_4_threads", |bencher| {
        bencher.iter_custom(|rounds| {
            let begin = Instant::now();
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        for _ in 0..rounds.div_ceil(4) {
                            let _ = black_box(shared.take(clock.steady()));
                        }
                    });
                }
            });
            begin.elapsed()
        });
    });
    group.finish();
}

const DOCUMENT: &str = r#"
openapi: 3.0.1
info: {title: measured, version: '1'}
components: {securitySchemes: {api_key: {type: apiKey, name: x-api-key, in: header}}}
paths:
  /paid:
    get:
      security: [{api_key: []}]
      responses: {'200': {description: OK}}
      x-amazon-apigateway-integration: &mock
        type: mock
        requestTemplates: {application/json: '{"statusCode": 200}'}
        responses: {default: {statusCode: '200'}}
  /open:
    get: {responses: {'200': {description: OK}}, x-amazon-apigateway-integration: *mock}
"#;

fn config(store: &str) -> String {
    format!(
        "
throttle: {{rateLimit: 1000000000, burstLimit: 1000000}}
stage: {{methodSettings: {{/paid/GET: {{throttlingRateLimit: 1000000000, throttlingBurstLimit: 1000000}}}}}}
apiKeys: [{{id: k1, name: alice, value: {KEY}}}]
usagePlans:
- id: p
  name: p
  apiKeys: [alice]
  throttle: {{rateLimit: 1000000000, burstLimit: 1000000}}
  methodThrottles: {{/paid/GET: {{rateLimit: 1000000000, burstLimit: 1000000}}}}
  quota: {{limit: 1000000000000, period: MONTH}}
store: '{store}'"
    )
}

/// Stores to measure, with whatever must live as long.
struct Stores {
    list: Vec<(&'static str, String)>,
    _folder: tempfile::TempDir,
    redis: Option<Child>,
}

impl Stores {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut list = vec![
            ("memory", "memory:".to_owned()),
            (
                "sqlite",
                format!("sqlite:{}/state.db", folder.path().display()),
            ),
        ];
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let redis = Command::new("redis-server")
            .args([
                "--port",
                &port.to_string(),
                "--save",
                "",
                "--bind",
                "127.0.0.1",
            ])
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .spawn()
            .ok();
        if redis.is_some() {
            while TcpStream::connect(("127.0.0.1", port)).is_err() {
                std::thread::yield_now();
            }
            list.push(("redis", format!("redis://127.0.0.1:{port}")));
        }
        Self {
            list,
            _folder: folder,
            redis,
        }
    }
}

impl Drop for Stores {
    fn drop(&mut self) {
        if let Some(redis) = &mut self.redis {
            let _ = redis.kill();
            let _ = redis.wait();
        }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

async fn gateway(store: &str) -> Running {
    Gateway::builder()
        .openapi_text(DOCUMENT)
        .config_text(config(store))
        .spawn()
        .await
        .unwrap()
}

fn request() -> ReceivedRequest {
    let address = "127.0.0.1:1".parse().unwrap();
    ReceivedRequest {
        method: http::Method::GET,
        path: "/paid".to_owned(),
        query: None,
        headers: [("x-api-key", KEY.as_bytes())]
            .into_iter()
            .collect::<HeaderList>(),
        version: http::Version::HTTP_11,
        scheme: Scheme::Http,
        host: "localhost".to_owned(),
        peer: address,
        local: address,
        malformed: None,
        body: Body::default(),
    }
}

fn admit(criterion: &mut Criterion) {
    let (runtime, stores) = (runtime(), Stores::new());
    let mut group = criterion.benchmark_group("admit");
    for (name, store) in &stores.list {
        let running = runtime.block_on(gateway(store));
        let plan = running.gateway().plan();
        let limits = Arc::clone(&plan.limits);
        let api = &plan.apis[0];
        let received = Clock::System.since_epoch();
        let path = || "/paid".to_owned();
        let mut exchange =
            Exchange::begin(&api.facts, Box::new(request()), path(), path(), received);
        exchange.api_key = limits.accepted_key(KEY, &api.facts.api_id, &api.facts.stage);
        assert!(exchange.api_key.is_some());
        for (route, what) in [(0, "all"), (1, "account")] {
            let tolls = &api.routes[route].tolls;
            group.bench_function(BenchmarkId::new(what, name), |bencher| {
                bencher.iter_custom(|rounds| {
                    runtime.block_on(async {
                        let begin = Instant::now();
                        for _ in 0..rounds {
                            black_box(limits.admit(tolls, &exchange).await).unwrap();
                        }
                        begin.elapsed()
                    })
                });
            });
        }
        drop(plan);
        runtime.block_on(running.shutdown());
    }
    group.finish();
}

/// Requests over one connection, one after the other.
fn client(address: &str, path: &str, count: u64) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nx-api-key: {KEY}\r\n\r\n");
    let mut answer = Vec::with_capacity(1024);
    let mut chunk = [0; 1024];
    for _ in 0..count {
        stream.write_all(request.as_bytes()).unwrap();
        answer.clear();
        // A mock without a template has an empty body: the head is the whole answer.
        while !answer.ends_with(b"\r\n\r\n") {
            let read = stream.read(&mut chunk).unwrap();
            assert!(read > 0, "the gateway closed the connection");
            answer.extend_from_slice(&chunk[..read]);
        }
        assert!(answer.starts_with(b"HTTP/1.1 200"));
    }
}

fn requests(criterion: &mut Criterion) {
    const CONNECTIONS: u64 = 8;
    let (runtime, stores) = (runtime(), Stores::new());
    let mut group = criterion.benchmark_group("requests");
    group
        .measurement_time(Duration::from_secs(8))
        .sample_size(20);
    for (name, store) in &stores.list {
        let running = runtime.block_on(gateway(store));
        let address = running.url().replace("http://", "");
        for (path, what) in [("/open", "without"), ("/paid", "with")] {
            group.bench_function(BenchmarkId::new(what, name), |bencher| {
                bencher.iter_custom(|rounds| {
                    let each = rounds.div_ceil(CONNECTIONS);
                    let begin = Instant::now();
                    std::thread::scope(|scope| {
                        for _ in 0..CONNECTIONS {
                            scope.spawn(|| client(&address, path, each));
                        }
                    });
                    // As long as the rounds asked for would have taken.
                    begin
                        .elapsed()
                        .mul_f64(rounds as f64 / (each * CONNECTIONS) as f64)
                });
            });
        }
        runtime.block_on(running.shutdown());
    }
    group.finish();
}

criterion_group!(benches, bucket, admit, requests);
criterion_main!(benches);
