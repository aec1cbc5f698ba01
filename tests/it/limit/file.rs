//! Counts in a file: restarts, `kill -9`, a file that somebody else holds.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{ALICE, KEY, REST, client, counters, many, metered, refused, status, used};

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

/// A file that another program writes to, and does not come to an end.
struct Held(rusqlite::Connection);

impl Held {
    fn hold(folder: &Path) -> Self {
        let connection = rusqlite::Connection::open(folder.join("state.db")).unwrap();
        connection
            .busy_timeout(std::time::Duration::from_secs(30))
            .unwrap();
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        Self(connection)
    }

    fn let_go(self) {
        self.0.execute_batch("ROLLBACK").unwrap();
    }
}

/// 1,200 requests, a hundred at once.
async fn more_than_may_be_lost(url: &str) -> BTreeMap<u16, usize> {
    let mut statuses = BTreeMap::new();
    for _ in 0..12 {
        for (status, count) in many(&[url.to_owned()], "/paid", 100).await {
            *statuses.entry(status).or_default() += count;
        }
    }
    statuses
}

fn kept(folder: &Path, options: &str) -> tollgate::server::Builder {
    metered(&format!(
        "
throttle: {{rateLimit: 100000, burstLimit: 100000}}
store: {{url: 'sqlite:{}/state.db', deadline: 0.05, {options}}}
usagePlans: [{{id: p, name: p, apiKeys: [alice], quota: {{limit: 1000000, period: MONTH}}}}]",
        folder.display()
    ))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_file_that_cannot_be_written_stops_nobody_where_that_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = kept(folder.path(), "whenDown: open").spawn().await.unwrap();
    let held = Held::hold(folder.path());

    let statuses = more_than_may_be_lost(&gateway.url()).await;

    assert_eq!(statuses, BTreeMap::from([(200, 1200)]));
    let meanwhile = counters(&gateway);
    assert!(!meanwhile.store_answers && meanwhile.store_failures > 0);
    assert_eq!((meanwhile.saved, meanwhile.unsaved), (0, 1200));
    assert!(meanwhile.decided_alone > 0, "{meanwhile:?}");
    held.let_go();
    assert_eq!(used(&gateway).await, 1200);
    let after = counters(&gateway);
    assert!(after.store_answers);
    assert_eq!((after.saved, after.unsaved), (1200, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_file_that_cannot_be_written_lets_no_more_pass_than_may_be_lost() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = kept(folder.path(), "whenDown: closed")
        .spawn()
        .await
        .unwrap();
    let held = Held::hold(folder.path());

    let statuses = more_than_may_be_lost(&gateway.url()).await;

    assert_eq!(statuses, BTreeMap::from([(200, 1000), (503, 200)]));
    assert_eq!(refused(&gateway), [("store", 200)]);
    held.let_go();
    assert!(used(&gateway).await >= 1000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn where_no_count_may_be_lost_nobody_passes_while_none_can_be_written() {
    let folder = tempfile::tempdir().unwrap();
    // Even where requests that need no count are let pass.
    let gateway = kept(folder.path(), "durability: strict, whenDown: open")
        .spawn()
        .await
        .unwrap();
    let key = [("x-api-key", KEY)];
    let held = Held::hold(folder.path());

    assert_eq!(status(&gateway, "/paid", &key).await, 503);
    assert_eq!(status(&gateway, "/open", &key).await, 200);

    held.let_go();
    while status(&gateway, "/paid", &key).await != 200 {
        tokio::task::yield_now().await;
    }
}
