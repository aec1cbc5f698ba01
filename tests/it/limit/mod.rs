//! Limits of whole gateways: many requests at once, restarts, shared stores.

mod file;
mod redis;
mod rules;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use tollgate::Gateway;
use tollgate::base::{Clock, HandClock};
use tollgate::definition::{openapi, settings};
use tollgate::limit::quota::Period;
use tollgate::limit::usage_plan::Records;
use tollgate::limit::{Counters, Limits};
use tollgate::plan::Plan;
use tollgate::server::{Builder, Extras, Running, assemble};
use tollgate::source::{Diagnostics, Sources};
use tollgate::store::Day;

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

/// What a gateway's limits did so far.
fn counters(gateway: &Running) -> Counters {
    gateway.gateway().plan().limits.counters()
}

/// How many requests each kind of limit refused, but for those that refused none.
fn refused(gateway: &Running) -> Vec<(&'static str, u64)> {
    let counts = counters(gateway).refused;
    counts
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(scope, count)| (scope.as_str(), count))
        .collect()
}

/// What the key has used of the plan `p` today, as the store knows it.
async fn used(gateway: &Running) -> u64 {
    let limits = Arc::clone(&gateway.gateway().plan().limits);
    let today = Day::of(limits.clock().since_epoch());
    let usage = limits.usage("p", Day(today.0 - 1), today).await.unwrap();
    usage.used.iter().map(|used| used.count).sum()
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
    assert_eq!(refused(&gateway), [("account", 7)]);
}

#[tokio::test]
async fn the_first_limit_in_the_order_of_aws_is_the_one_that_refuses() {
    let throttle = |burst: u32| format!("{{rateLimit: 1, burstLimit: {burst}}}");
    // Each limit takes one more than the one before it, so that that one refuses.
    for (first, name) in ["usage-plan-method", "usage-plan", "stage", "account"]
        .into_iter()
        .enumerate()
    {
        let burst = |place: usize| throttle(if place == first { 2 } else { 9 });
        let config = format!(
            "
throttle: {}
stage: {{methodSettings: {{/paid/GET: {{throttlingRateLimit: 1, throttlingBurstLimit: {}}}}}}}
usagePlans: [{{id: p, name: p, apiKeys: [alice], throttle: {}, methodThrottles: {{/paid/GET: {}}}}}]",
            burst(3),
            if first == 2 { 2 } else { 9 },
            burst(1),
            burst(0),
        );
        let (builder, _) = by_hand(metered(&config));
        let gateway = builder.spawn().await.unwrap();

        let statuses = many(&[gateway.url()], "/paid", 5).await;

        assert_eq!(statuses, BTreeMap::from([(200, 2), (429, 3)]), "{name}");
        assert_eq!(refused(&gateway), [(name, 3)]);
    }
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

/// A gateway whose configuration is changed while it serves, as `--watch` does it.
struct Reloaded {
    gateway: Gateway,
    limits: Arc<Limits>,
    urls: Vec<String>,
}

impl Reloaded {
    async fn serve(limits: Limits, config: &str) -> Self {
        let limits = Arc::new(limits);
        let gateway = Gateway::new(Self::plan(&limits, config), limits.clock().clone());
        let listeners = tollgate::server::Listeners::bind(Some("127.0.0.1"), 0)
            .await
            .unwrap();
        let urls = vec![format!("http://{}", listeners.addresses()[0])];
        tokio::spawn(tollgate::server::serve(
            listeners,
            tollgate::server::service(gateway.clone()),
            tollgate::server::Options::default(),
            std::future::pending(),
        ));
        Self {
            gateway,
            limits,
            urls,
        }
    }

    fn plan(limits: &Arc<Limits>, config: &str) -> Plan {
        let (mut sources, mut findings) = (Sources::new(), Diagnostics::default());
        let file = sources.add_text("tollgate.yaml", config.to_owned());
        let settings = settings::read(&sources, file, &mut findings).settings;
        let file = sources.add_text("openapi.yaml", REST);
        let api = openapi::read(&mut sources, file, &settings, &mut findings).unwrap();
        let extras = Extras {
            limits: Some(Arc::clone(limits)),
            ..Extras::default()
        };
        let (plan, _functions) = assemble(&[api], &settings, extras, &mut findings);
        assert!(!findings.has_errors(), "{}", findings.draw(&sources, false));
        plan
    }

    fn swap(&self, config: &str) {
        self.gateway.swap(Self::plan(&self.limits, config));
    }

    /// Until what was configured last is in force.
    async fn until(&self, is_there: impl Fn(&Records) -> bool) {
        while !is_there(&self.limits.records().await) {
            tokio::task::yield_now().await;
        }
    }

    async fn passes(&self, count: usize) -> usize {
        let answers = many(&self.urls, "/paid", count).await;
        answers.get(&200).copied().unwrap_or_default()
    }
}

#[tokio::test]
async fn a_reload_keeps_the_tokens_of_buckets_with_the_same_name() {
    let hand = HandClock::at(NOON);
    let config = |burst: u32| {
        format!(
            "{ALICE}
stage: {{methodSettings: {{'*/*': {{throttlingRateLimit: 1, throttlingBurstLimit: {burst}}}}}}}
usagePlans: [{{id: p, name: p, apiKeys: [alice], quota: {{limit: 4, period: DAY}}}}]"
        )
    };
    let gateway = Reloaded::serve(Limits::new(Clock::Hand(hand.clone())), &config(3)).await;

    assert_eq!(gateway.passes(5).await, 3);
    gateway.swap(&config(3));
    assert_eq!(gateway.passes(5).await, 0);
    gateway.swap(&config(30));
    assert_eq!(gateway.passes(5).await, 0);
    hand.advance(Duration::from_secs(9));
    // Nine tokens by now, but one request is left of the quota.
    assert_eq!(gateway.passes(5).await, 1);
}

#[tokio::test]
async fn a_reload_of_plans_and_keys_keeps_what_was_used() {
    let hand = HandClock::at(NOON);
    let plan = |quota: &str| {
        format!("{ALICE}usagePlans: [{{id: p, name: p, apiKeys: [alice], quota: {quota}}}]")
    };
    let month = |records: &Records| matches!(records.plans["p"].quota, Some(quota) if quota.period == Period::Month);
    let day = |records: &Records| matches!(records.plans["p"].quota, Some(quota) if quota.period == Period::Day);
    let begin = plan("{limit: 4, period: DAY}");
    let gateway = Reloaded::serve(Limits::new(Clock::Hand(hand.clone())), &begin).await;
    assert_eq!(gateway.passes(3).await, 3);

    // Another limit counts with the next request.
    gateway.swap(&plan("{limit: 5, period: DAY}"));
    assert_eq!(gateway.passes(9).await, 2);
    gateway.swap(&plan("{limit: 2, period: DAY}"));
    assert_eq!(gateway.passes(9).await, 0);

    // The day after, the month's quota counts the day before, and the day's own does not.
    hand.advance(Duration::from_secs(86_400));
    assert_eq!(gateway.passes(1).await, 1);
    gateway.swap(&plan("{limit: 7, period: MONTH}"));
    gateway.until(month).await;
    assert_eq!(gateway.passes(9).await, 1);
    gateway.swap(&plan("{limit: 4, period: DAY}"));
    gateway.until(day).await;
    assert_eq!(gateway.passes(9).await, 2);

    // A key that goes and comes again has used what it used; a new value is another secret.
    gateway.swap(ALICE);
    gateway.until(|records| records.plans.is_empty()).await;
    assert_eq!(gateway.passes(1).await, 0);
    gateway.swap(&plan("{limit: 5, period: DAY}"));
    gateway.until(|records| !records.plans.is_empty()).await;
    assert_eq!(gateway.passes(9).await, 1);
    gateway.swap(&plan("{limit: 9, period: DAY}").replace(KEY, "another-0123456789abcdefghij"));
    assert_eq!(gateway.passes(1).await, 0);
}
