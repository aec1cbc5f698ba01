//! Several gateways on one Redis, a real server.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tollgate::admin::AdminPort;
use tollgate::server::Running;

use super::{KEY, client, counters, get, many, metered, refused, status, used};

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

/// Gateways that wait for Redis up to `deadline` seconds.
async fn gateways(count: usize, redis: &Redis, deadline: f64, config: &str) -> Vec<Running> {
    let store = format!("store: {{url: '{}', deadline: {deadline}}}", redis.url());
    let mut gateways = Vec::new();
    for _ in 0..count {
        gateways.push(
            metered(&format!("{store}\n{config}"))
                .spawn()
                .await
                .unwrap(),
        );
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
        // A busy machine is no reason to decide alone.
        30.0,
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
        30.0,
        "
stage: {methodSettings: {/paid/GET: {throttlingRateLimit: 0.0001, throttlingBurstLimit: 4}}}
usagePlans: [{id: p, name: p, apiKeys: [alice], quota: {limit: 100, period: MONTH}, throttle: {rateLimit: 0.0001, burstLimit: 50}}]",
    )
    .await;

    let statuses = many(&urls(&two), "/paid", 60).await;

    assert_eq!(statuses, BTreeMap::from([(200, 4), (429, 56)]));
    assert_eq!(used(&two[1]).await, 4);
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
    let answer = get(&closed.url(), "/open", &[]).await;

    assert_eq!(by_itself, BTreeMap::from([(200, 10), (429, 20)]));
    assert_eq!(answer.status(), 503);
    assert_eq!(refused(&closed), [("store", 1)]);
    let (own, none) = (counters(&open), counters(&closed));
    assert_eq!((own.decided_alone, none.decided_alone), (30, 0));
    assert!(!own.store_answers && !none.store_answers);
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
        0.25,
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
    let today = tollgate::store::Day::of(tollgate::base::Clock::System.since_epoch());
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
