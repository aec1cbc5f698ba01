//! Limits of whole gateways: many requests at once, restarts, shared stores.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use tollgate::Gateway;
use tollgate::admin::AdminPort;
use tollgate::base::{Clock, HandClock};
use tollgate::definition::{openapi, settings};
use tollgate::limit::Limits;
use tollgate::server::{Builder, Extras, Running, assemble};
use tollgate::source::{Diagnostics, Sources};

const KEY: &str = "alice-0123456789abcdefghij";
const NOON: Duration = Duration::from_secs(1_795_000_000);

const REST: &str = r#"
openapi: 3.0.1
info: {title: metered, version: '1'}
components: {securitySchemes: {api_key: {type: apiKey, name: x-api-key, in: header}}}
x-amazon-apigateway-gateway-responses:
  QUOTA_EXCEEDED: {responseParameters: {gatewayresponse.header.Retry-After: "'never'"}}
paths:
  /paid:
    get:
      security: [{api_key: []}]
      responses: &ok {'200': {description: OK}}
      x-amazon-apigateway-integration: &mock
        type: mock
        requestTemplates: {application/json: '{"statusCode": 200}'}
        responses: {default: {statusCode: '200'}}
  /open:
    get: {responses: *ok, x-amazon-apigateway-integration: *mock}
    post: {responses: *ok, x-amazon-apigateway-integration: *mock}
  /other:
    get: {responses: *ok, x-amazon-apigateway-integration: *mock}
"#;

const ALICE: &str = "apiKeys: [{id: k1, name: alice, value: alice-0123456789abcdefghij}]\n";

fn metered(config: &str) -> Builder {
    Gateway::builder()
        .openapi_text(REST)
        .config_text(format!("{ALICE}{config}"))
}

fn by_hand(builder: Builder) -> (Builder, HandClock) {
    let hand = HandClock::at(NOON);
    (builder.clock(Clock::Hand(hand.clone())), hand)
}

fn client() -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(30))
        .build()
        .unwrap()
}

async fn get(url: &str, path: &str, headers: &[(&str, &str)]) -> reqwest::Response {
    let mut request = client().get(format!("{url}{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap()
}

async fn status(gateway: &Running, path: &str, headers: &[(&str, &str)]) -> u16 {
    get(&gateway.url(), path, headers).await.status().as_u16()
}

/// Sends many requests at once, to each address in turn; how many got which status.
async fn many(urls: &[String], path: &str, count: usize) -> BTreeMap<u16, usize> {
    let client = client();
    let mut waiting: FuturesUnordered<_> = (0..count)
        .map(|turn| {
            let url = format!("{}{path}", urls[turn % urls.len()]);
            let sent = client.get(url).header("x-api-key", KEY).send();
            async move { sent.await.unwrap().status().as_u16() }
        })
        .collect();
    let mut statuses = BTreeMap::new();
    while let Some(status) = waiting.next().await {
        *statuses.entry(status).or_default() += 1;
    }
    statuses
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_requests_at_once_exactly_the_burst_passes() {
    let (builder, hand) = by_hand(metered(
        "usagePlans: [{id: p, name: p, apiKeys: [alice], throttle: {rateLimit: 5, burstLimit: 17}}]",
    ));
    let gateway = builder.spawn().await.unwrap();
    let urls = [gateway.url()];

    assert_eq!(many(&urls, "/paid", 200).await[&200], 17);
    hand.advance(Duration::from_secs(2));
    assert_eq!(many(&urls, "/paid", 100).await[&200], 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_requests_at_once_exactly_the_quota_passes() {
    let (builder, _) = by_hand(metered(
        "usagePlans: [{id: p, name: p, apiKeys: [alice], quota: {limit: 23, period: DAY}}]",
    ));
    let gateway = builder.spawn().await.unwrap();

    let statuses = many(&[gateway.url()], "/paid", 200).await;

    assert_eq!(statuses, BTreeMap::from([(200, 23), (429, 177)]));
}

#[tokio::test]
async fn a_request_that_another_limit_refuses_costs_neither_tokens_nor_quota() {
    let (builder, hand) = by_hand(metered(
        "
stage: {methodSettings: {/paid/GET: {throttlingRateLimit: 1, throttlingBurstLimit: 1}}}
usagePlans: [{id: p, name: p, apiKeys: [alice], quota: {limit: 3, period: DAY}, throttle: {rateLimit: 0, burstLimit: 3}}]",
    ));
    let gateway = builder.spawn().await.unwrap();
    let key = [("x-api-key", KEY)];

    for _ in 0..3 {
        assert_eq!(status(&gateway, "/paid", &key).await, 200);
        for _ in 0..5 {
            assert_eq!(status(&gateway, "/paid", &key).await, 429);
        }
        hand.advance(Duration::from_secs(1));
    }
    let over = get(&gateway.url(), "/paid", &key).await;

    assert_eq!(
        over.text().await.unwrap(),
        r#"{"message":"Limit Exceeded"}"#
    );
}

#[tokio::test]
async fn a_refusal_says_when_to_come_again_unless_aws_is_to_be_followed_strictly() {
    let plan = "usagePlans: [{id: p, name: p, apiKeys: [alice], throttle: {rateLimit: 0.4, burstLimit: 1}}]";
    let (builder, hand) = by_hand(metered(plan));
    let gateway = builder.spawn().await.unwrap();
    let (builder, _) = by_hand(metered(plan));
    let strict = builder.strict_aws().spawn().await.unwrap();
    let key = [("x-api-key", KEY)];
    for gateway in [&gateway, &strict] {
        assert_eq!(status(gateway, "/paid", &key).await, 200);
    }

    let refused = get(&gateway.url(), "/paid", &key).await;
    let as_at_aws = get(&strict.url(), "/paid", &key).await;

    assert_eq!(refused.headers()["retry-after"], "3");
    assert_eq!(
        refused.headers()["ratelimit-policy"],
        "\"usage-plan\";q=1;w=3"
    );
    assert_eq!(refused.headers()["ratelimit"], "\"usage-plan\";r=0;t=3");
    for name in ["retry-after", "ratelimit-policy", "ratelimit"] {
        assert!(!as_at_aws.headers().contains_key(name), "{name}");
    }
    hand.advance(Duration::from_secs(3));
    assert_eq!(status(&gateway, "/paid", &key).await, 200);
}

#[tokio::test]
async fn the_apis_own_gateway_response_keeps_its_headers() {
    let (builder, _) = by_hand(metered(
        "usagePlans: [{id: p, name: p, apiKeys: [alice], quota: {limit: 0, period: DAY}}]",
    ));
    let gateway = builder.spawn().await.unwrap();

    let refused = get(&gateway.url(), "/paid", &[("x-api-key", KEY)]).await;

    assert_eq!(refused.status(), 429);
    assert_eq!(refused.headers()["retry-after"], "never");
}

#[tokio::test]
async fn method_throttles_of_a_plan_come_before_the_plans_own() {
    let (builder, _) = by_hand(metered(
        "
usagePlans:
- {id: p, name: p, apiKeys: [alice], throttle: {rateLimit: 1, burstLimit: 9}, methodThrottles: {/paid/GET: {rateLimit: 1, burstLimit: 2}}}",
    ));
    let gateway = builder.spawn().await.unwrap();

    let statuses = many(&[gateway.url()], "/paid", 20).await;

    assert_eq!(statuses[&200], 2);
}

#[tokio::test]
async fn the_account_limits_all_routes_together() {
    let (builder, _) = by_hand(metered("throttle: {rateLimit: 1, burstLimit: 5}"));
    let gateway = builder.spawn().await.unwrap();

    let open = many(&[gateway.url()], "/open", 3).await;
    let other = many(&[gateway.url()], "/other", 9).await;

    assert_eq!((open[&200], other[&200]), (3, 2));
}

#[tokio::test]
async fn a_key_needs_a_plan_only_where_the_method_wants_one() {
    let (builder, _) = by_hand(metered(""));
    let gateway = builder.spawn().await.unwrap();
    let key = [("x-api-key", KEY)];

    assert_eq!(status(&gateway, "/paid", &key).await, 403);
    assert_eq!(status(&gateway, "/open", &key).await, 200);
}

#[tokio::test]
async fn route_settings_of_an_http_api_win_over_the_default() {
    let api = r#"
openapi: 3.0.1
info: {title: orders, version: '1'}
paths:
  /limited: {get: {x-amazon-apigateway-integration: &hello {type: http_proxy, uri: "local:hello", payloadFormatVersion: '1.0'}}}
  /usual: {get: {x-amazon-apigateway-integration: *hello}}
  /also: {get: {x-amazon-apigateway-integration: *hello}}
"#;
    let hand = HandClock::at(NOON);
    let gateway = Gateway::builder()
        .openapi_text(api)
        .config_text(
            "
apiType: http
stage:
  defaultRouteSettings: {throttlingRateLimit: 1, throttlingBurstLimit: 3}
  routeSettings: {GET /limited: {throttlingBurstLimit: 1}}",
        )
        .handler("hello", |_: http::Request<bytes::Bytes>| async { "hello" })
        .clock(Clock::Hand(hand))
        .spawn()
        .await
        .unwrap();
    let urls = [gateway.url()];

    assert_eq!(many(&urls, "/limited", 9).await[&200], 1);
    assert_eq!(many(&urls, "/usual", 9).await[&200], 3);
    assert_eq!(many(&urls, "/also", 9).await[&200], 3);
    let refused = get(&gateway.url(), "/usual", &[]).await;
    assert_eq!(
        refused.text().await.unwrap(),
        r#"{"message":"Too Many Requests"}"#
    );
}

// ---- rate limits beyond AWS's

fn with_rules(document: &str, path: &str, operation: &str, config: &str) -> Builder {
    let text = format!(
        r#"
openapi: 3.0.1
info: {{title: ruled, version: '1'}}
{document}
paths:
  /a:
    {path}
    get:
      {operation}
      x-amazon-apigateway-integration: &mock
        type: mock
        requestTemplates: {{application/json: '{{"statusCode": 200}}'}}
        responses: {{default: {{statusCode: '200'}}}}
    post: {{x-amazon-apigateway-integration: *mock}}
  /b:
    get: {{x-amazon-apigateway-integration: *mock}}
"#
    );
    let hand = HandClock::at(NOON);
    Gateway::builder()
        .openapi_text(text)
        .config_text(format!("{config}\n"))
        .clock(Clock::Hand(hand))
}

#[tokio::test]
async fn a_rule_of_the_document_is_shared_by_its_routes_and_one_of_an_operation_is_not() {
    let by_header =
        "x-tollgate-rate-limit: {key: 'header:x-client', limit: 60, period: 60, burst: 2}";
    let shared = with_rules(by_header, "", "", "").spawn().await.unwrap();
    let own = with_rules("", "", by_header, "").spawn().await.unwrap();
    let (one, two) = ([("x-client", "1")], [("x-client", "2")]);

    assert_eq!(status(&shared, "/a", &one).await, 200);
    assert_eq!(status(&shared, "/b", &one).await, 200);
    assert_eq!(status(&shared, "/a", &one).await, 429);
    assert_eq!(status(&shared, "/a", &two).await, 200);
    for _ in 0..2 {
        assert_eq!(status(&own, "/a", &one).await, 200);
    }
    assert_eq!(status(&own, "/a", &one).await, 429);
    assert_eq!(status(&own, "/b", &one).await, 200);
}

#[tokio::test]
async fn leaving_the_header_out_does_not_pass_by_a_rule() {
    let rule = "x-tollgate-rate-limit: [{key: 'header:x-client', limit: 1, period: 60}]";
    let gateway = with_rules("", rule, "", "").spawn().await.unwrap();

    assert_eq!(status(&gateway, "/a", &[]).await, 200);
    assert_eq!(status(&gateway, "/a", &[]).await, 429);
    let post = client().post(format!("{}/a", gateway.url()));
    assert_eq!(post.send().await.unwrap().status(), 429);
}

#[tokio::test]
async fn the_forwarded_address_counts_only_behind_a_trusted_proxy() {
    let rule = "rateLimits: [{key: ip, limit: 1, period: 60}]";
    let trusting = format!("{rule}\ntrustedProxies: [127.0.0.0/8, '198.51.100.7']");
    let alone = with_rules("", "", "", rule).spawn().await.unwrap();
    let behind = with_rules("", "", "", &trusting).spawn().await.unwrap();
    let from = |address| [("x-forwarded-for", address)];

    assert_eq!(status(&alone, "/a", &from("192.0.2.1")).await, 200);
    assert_eq!(status(&alone, "/a", &from("192.0.2.2")).await, 429);

    assert_eq!(status(&behind, "/a", &from("192.0.2.1")).await, 200);
    assert_eq!(status(&behind, "/b", &from("192.0.2.1")).await, 429);
    assert_eq!(status(&behind, "/a", &from("192.0.2.2")).await, 200);
    // What the client itself put in front does not count; what another trusted proxy noted does.
    let forged = from("192.0.2.99, 192.0.2.2, 198.51.100.7");
    assert_eq!(status(&behind, "/a", &forged).await, 429);
}

#[tokio::test]
async fn an_endpoint_rule_gives_each_route_a_bucket() {
    let rule = "rateLimits: [{key: endpoint, limit: 2, period: 60}]";
    let gateway = with_rules("", "", "", rule).spawn().await.unwrap();
    let urls = [gateway.url()];

    assert_eq!(many(&urls, "/a", 6).await[&200], 2);
    assert_eq!(many(&urls, "/b", 6).await[&200], 2);
    let refused = get(&gateway.url(), "/b", &[]).await;
    assert_eq!(
        refused.headers()["ratelimit-policy"],
        "\"rate-limit\";q=2;w=60"
    );
    assert_eq!(refused.headers()["retry-after"], "30");
}

#[tokio::test]
async fn a_rule_that_cannot_be_read_is_named() {
    let refused = with_rules(
        "",
        "",
        "",
        "rateLimits: [{key: cookie, limit: 2, period: 60}]",
    )
    .spawn()
    .await
    .unwrap_err()
    .to_string();

    assert!(refused.contains("E0827"), "{refused}");
    assert!(refused.contains("claim:sub"), "{refused}");
}

// ---- reload

#[tokio::test]
async fn a_reload_keeps_the_tokens_of_buckets_with_the_same_name() {
    let hand = HandClock::at(NOON);
    let limits = Arc::new(Limits::new(Clock::Hand(hand.clone())));
    let plan = |config: &str| {
        let (mut sources, mut findings) = (Sources::new(), Diagnostics::default());
        let file = sources.add_text("tollgate.yaml", format!("{ALICE}{config}"));
        let settings = settings::read(&sources, file, &mut findings).settings;
        let file = sources.add_text("openapi.yaml", REST);
        let api = openapi::read(&mut sources, file, &settings, &mut findings).unwrap();
        let extras = Extras {
            limits: Some(Arc::clone(&limits)),
            ..Extras::default()
        };
        let (plan, _functions) = assemble(&[api], &settings, extras, &mut findings);
        assert!(!findings.has_errors(), "{}", findings.draw(&sources, false));
        plan
    };
    let config = |burst: u32| {
        format!(
            "
stage: {{methodSettings: {{'*/*': {{throttlingRateLimit: 1, throttlingBurstLimit: {burst}}}}}}}
usagePlans: [{{id: p, name: p, apiKeys: [alice], quota: {{limit: 4, period: DAY}}}}]"
        )
    };
    let gateway = Gateway::new(plan(&config(3)), Clock::Hand(hand.clone()));
    let listeners = tollgate::server::Listeners::bind(Some("127.0.0.1"), 0)
        .await
        .unwrap();
    let urls = [format!("http://{}", listeners.addresses()[0])];
    tokio::spawn(tollgate::server::serve(
        listeners,
        tollgate::server::service(gateway.clone()),
        tollgate::server::Options::default(),
        std::future::pending(),
    ));

    assert_eq!(many(&urls, "/paid", 5).await[&200], 3);
    gateway.swap(plan(&config(3)));
    assert_eq!(many(&urls, "/paid", 5).await.get(&200), None);
    gateway.swap(plan(&config(30)));
    assert_eq!(many(&urls, "/paid", 5).await.get(&200), None);
    hand.advance(Duration::from_secs(9));
    // Nine tokens by now, but one request is left of the quota.
    assert_eq!(many(&urls, "/paid", 5).await[&200], 1);
}

// ---- the file

/// The program, serving from `folder` until it is killed.
struct Program {
    child: Child,
    url: String,
}

impl Program {
    fn start(folder: &Path, config: &str) -> Self {
        std::fs::write(folder.join("openapi.yaml"), REST).unwrap();
        std::fs::write(folder.join("tollgate.yaml"), format!("{ALICE}{config}")).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_tollgate"))
            .args([
                "serve",
                "openapi.yaml",
                "--port",
                "0",
                "--admin-port",
                "off",
            ])
            .args(["--log-format", "json", "--host", "127.0.0.1"])
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let said: serde_json::Value = serde_json::from_str(&line).unwrap();
        Self {
            url: said["url"].as_str().unwrap().to_owned(),
            child,
        }
    }

    fn usage(folder: &Path) -> u64 {
        let output = Command::new(env!("CARGO_BIN_EXE_tollgate"))
            .args(["usage", "openapi.yaml", "--json"])
            .current_dir(folder)
            .output()
            .unwrap();
        let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        said["used"].as_u64().unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends requests from several tasks until `enough` were answered 200, kills the
/// gateway with SIGKILL meanwhile, and gives how many were answered 200 in all.
async fn load_and_kill(mut program: Program, enough: u64) -> u64 {
    let passed = Arc::new(AtomicU64::new(0));
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let (url, passed) = (format!("{}/paid", program.url), Arc::clone(&passed));
            tokio::spawn(async move {
                let client = client();
                while let Ok(answer) = client.get(&url).header("x-api-key", KEY).send().await {
                    assert_eq!(answer.status(), 200);
                    passed.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    while passed.load(Ordering::SeqCst) < enough {
        tokio::task::yield_now().await;
    }
    program.child.kill().unwrap();
    for task in tasks {
        task.await.unwrap();
    }
    passed.load(Ordering::SeqCst)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_killed_gateway_has_lost_no_more_counts_than_it_says() {
    // `limit::saver`: at most 1,000 counts, beside those of requests under way.
    const MOST_LOST: u64 = 1000;
    let folder = tempfile::tempdir().unwrap();
    let config = "
store: 'sqlite:state.db'
usagePlans: [{id: p, name: p, apiKeys: [alice], quota: {limit: 1000000, period: MONTH}}]";
    let mut passed = 0;

    for _ in 0..2 {
        passed += load_and_kill(Program::start(folder.path(), config), 1500).await;
        let used = Program::usage(folder.path());
        assert!(used + MOST_LOST >= passed, "{used} of {passed}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_killed_gateway_has_lost_no_count_against_a_quota_where_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let config = "
store: {url: 'sqlite:state.db', durability: strict, deadline: 30}
usagePlans: [{id: p, name: p, apiKeys: [alice], quota: {limit: 100000, period: MONTH}}]";
    let mut passed = 0;

    for _ in 0..2 {
        passed += load_and_kill(Program::start(folder.path(), config), 200).await;
        let used = Program::usage(folder.path());
        assert!(used >= passed, "{used} of {passed}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_gateway_goes_on_with_the_quota() {
    let folder = tempfile::tempdir().unwrap();
    let config = "
store: {url: 'sqlite:state.db', durability: strict, deadline: 30}
usagePlans: [{id: p, name: p, apiKeys: [alice], quota: {limit: 5, period: MONTH}}]";
    let program = Program::start(folder.path(), config);
    assert_eq!(
        many(std::slice::from_ref(&program.url), "/paid", 3).await[&200],
        3
    );
    drop(program);

    let program = Program::start(folder.path(), config);

    let statuses = many(std::slice::from_ref(&program.url), "/paid", 5).await;
    assert_eq!(statuses, BTreeMap::from([(200, 2), (429, 3)]));
}

// ---- Redis

/// A real server on a port of its own.
struct Redis {
    child: Child,
    port: u16,
    folder: tempfile::TempDir,
}

impl Redis {
    /// `None`, and a word on it, where no server is installed; in CI that is a failure.
    fn start() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        for _ in 0..5 {
            let port = std::net::TcpListener::bind("127.0.0.1:0")
                .unwrap()
                .local_addr()
                .unwrap()
                .port();
            if let Some(child) = Self::serve(port, folder.path()) {
                return Some(Self {
                    child,
                    port,
                    folder,
                });
            }
        }
        assert!(
            std::env::var_os("CI").is_none(),
            "redis-server is missing: apt-get install redis-server"
        );
        eprintln!("skipped: redis-server is missing or does not start");
        None
    }

    /// Starts the server and waits until it listens.
    fn serve(port: u16, folder: &Path) -> Option<Child> {
        let mut child = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args([
                "--save",
                "",
                "--appendonly",
                "yes",
                "--appendfsync",
                "always",
            ])
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        let mut lines = BufReader::new(child.stdout.take()?).lines();
        let ready = lines.any(|line| line.is_ok_and(|line| line.contains("Ready to accept")));
        // Whatever else it says is read, so that it never waits for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        if !ready {
            let _ = child.wait();
        }
        ready.then_some(child)
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    fn stop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn start_again(&mut self) {
        self.child = Self::serve(self.port, self.folder.path()).unwrap();
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn gateways(count: usize, redis: &Redis, config: &str) -> Vec<Running> {
    let mut gateways = Vec::new();
    for _ in 0..count {
        let config = format!("{}\n{config}", redis.url());
        gateways.push(metered(&format!("store: {config}")).spawn().await.unwrap());
    }
    gateways
}

fn urls(gateways: &[Running]) -> Vec<String> {
    gateways.iter().map(Running::url).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn gateways_that_share_redis_share_buckets_and_quotas() {
    let Some(redis) = Redis::start() else { return };
    let four = gateways(
        4,
        &redis,
        "
stage: {methodSettings: {/open/GET: {throttlingRateLimit: 0.0001, throttlingBurstLimit: 40}}}
usagePlans: [{id: p, name: p, apiKeys: [alice], quota: {limit: 33, period: MONTH}}]",
    )
    .await;

    let urls = urls(&four);
    let (open, paid) = tokio::join!(many(&urls, "/open", 120), many(&urls, "/paid", 120));

    assert_eq!(open, BTreeMap::from([(200, 40), (429, 80)]));
    assert_eq!(paid, BTreeMap::from([(200, 33), (429, 87)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn in_redis_too_a_refused_request_takes_nothing() {
    let Some(redis) = Redis::start() else { return };
    let two = gateways(
        2,
        &redis,
        "
stage: {methodSettings: {/paid/GET: {throttlingRateLimit: 0.0001, throttlingBurstLimit: 4}}}
usagePlans: [{id: p, name: p, apiKeys: [alice], quota: {limit: 100, period: MONTH}, throttle: {rateLimit: 0.0001, burstLimit: 50}}]",
    )
    .await;

    let statuses = many(&urls(&two), "/paid", 60).await;

    assert_eq!(statuses, BTreeMap::from([(200, 4), (429, 56)]));
    let limits = Arc::clone(&two[1].gateway().plan().limits);
    let today = tollgate::store::Day::of(Clock::System.since_epoch());
    let usage = limits
        .usage("p", tollgate::store::Day(today.0 - 1), today)
        .await
        .unwrap();
    assert_eq!(usage.used.iter().map(|used| used.count).sum::<u64>(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_change_at_one_gateway_reaches_the_others_with_their_next_requests() {
    let Some(redis) = Redis::start() else { return };
    let config = format!(
        "store: {}\nusagePlans: [{{id: p, name: p, apiKeys: [alice], quota: {{limit: 1000, period: MONTH}}}}]",
        redis.url()
    );
    let one = metered(&config)
        .admin_port(AdminPort::Exactly(0))
        .spawn()
        .await
        .unwrap();
    let other = metered(&config).spawn().await.unwrap();
    let key = [("x-api-key", KEY)];
    assert_eq!(status(&other, "/paid", &key).await, 200);

    let answer = client()
        .patch(format!("{}/apikeys/k1", one.admin_url().unwrap()))
        .body(r#"{"patchOperations": [{"op": "replace", "path": "/enabled", "value": "false"}]}"#)
        .send()
        .await
        .unwrap();

    assert_eq!(answer.status(), 200);
    assert_eq!(status(&one, "/paid", &key).await, 403);
    // A request tells the other gateway that there is news; reading it takes a moment.
    while status(&other, "/paid", &key).await != 403 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn without_redis_each_gateway_counts_for_itself_or_refuses_as_configured() {
    let Some(mut redis) = Redis::start() else {
        return;
    };
    let config = |when_down: &str| {
        format!(
            "
store: {{url: '{}', whenDown: {when_down}, deadline: 5}}
stage: {{methodSettings: {{/open/GET: {{throttlingRateLimit: 0.0001, throttlingBurstLimit: 10}}}}}}",
            redis.url()
        )
    };
    let open = metered(&config("open")).spawn().await.unwrap();
    let closed = metered(&config("closed")).spawn().await.unwrap();
    assert_eq!(status(&open, "/other", &[]).await, 200);
    assert_eq!(status(&closed, "/other", &[]).await, 200);
    redis.stop();

    let by_itself = many(&[open.url()], "/open", 30).await;
    let refused = get(&closed.url(), "/open", &[]).await;

    assert_eq!(by_itself, BTreeMap::from([(200, 10), (429, 20)]));
    assert_eq!(refused.status(), 503);
    redis.start_again();
    while status(&closed, "/other", &[]).await != 200 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_hangs_while_redis_goes_and_comes_under_load() {
    let Some(mut redis) = Redis::start() else {
        return;
    };
    let two = gateways(
        2,
        &redis,
        "usagePlans: [{id: p, name: p, apiKeys: [alice], quota: {limit: 1000000, period: MONTH}}]",
    )
    .await;
    let (stop, passed) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let tasks: Vec<_> = (0..6)
        .map(|task| {
            let (stop, passed) = (Arc::clone(&stop), Arc::clone(&passed));
            let url = format!("{}/paid", two[task % 2].url());
            tokio::spawn(async move {
                let client = client();
                while !stop.load(Ordering::SeqCst) {
                    let answer = client
                        .get(&url)
                        .header("x-api-key", KEY)
                        .send()
                        .await
                        .unwrap();
                    assert_eq!(answer.status(), 200);
                    passed.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    let more = async |count: u64| {
        let enough = passed.load(Ordering::SeqCst) + count;
        while passed.load(Ordering::SeqCst) < enough {
            tokio::task::yield_now().await;
        }
    };

    for _ in 0..2 {
        more(100).await;
        redis.stop();
        more(100).await;
        redis.start_again();
    }
    more(100).await;
    stop.store(true, Ordering::SeqCst);
    for task in tasks {
        task.await.unwrap();
    }
    // What was counted while Redis was away is added once it is back.
    let limits = Arc::clone(&two[0].gateway().plan().limits);
    let passed = passed.load(Ordering::SeqCst);
    let today = tollgate::store::Day::of(Clock::System.since_epoch());
    let since = tollgate::store::Day(today.0 - 1);
    loop {
        let _ = two[1].gateway().plan().limits.save().await;
        let Ok(usage) = limits.usage("p", since, today).await else {
            continue;
        };
        let used: u64 = usage.used.iter().map(|used| used.count).sum();
        // A script whose answer was lost on the way may have counted as well.
        if used >= passed {
            break;
        }
    }
}
