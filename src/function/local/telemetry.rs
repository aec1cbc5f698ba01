//! What extensions hear of the function: its log, and what the platform does.
//!
//! An extension subscribes with an address of its own; records are gathered and
//! sent there in batches. Both the Telemetry API and the older Logs API are
//! spoken, which differ in few names.
//!
//! Source: Lambda developer guide, "Accessing real-time telemetry data for extensions
//! using the Telemetry API" and "Telemetry API Event schema reference".

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use serde_json::{Value as Json, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::environment::timestamp;
use super::log_lines::{Mark, Report};
use crate::base::Clock;

/// Records that wait for a subscriber; what is over is dropped, as at AWS.
const WAITING_RECORDS: usize = 10_000;

/// How long a subscriber may take for a batch.
const PATIENCE: Duration = Duration::from_secs(2);

/// Which of the two APIs a subscriber speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// `/2022-07-01/telemetry`.
    Telemetry,
    /// `/2020-08-15/logs`.
    Logs,
}

/// Where a batch goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Destination {
    /// A POST with a JSON array.
    Http(String),
    /// JSON, one record a line, to this port.
    Tcp(u16),
}

/// What a subscriber asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Subscription {
    pub(super) dialect: Dialect,
    pub(super) types: Vec<String>,
    pub(super) destination: Destination,
    pub(super) most_records: usize,
    pub(super) most_bytes: usize,
    pub(super) longest_wait: Duration,
}

/// Who listens to one process.
#[derive(Debug)]
pub(super) struct Telemetry {
    clock: Clock,
    function: String,
    /// Since 1970.
    started: Duration,
    is_used: AtomicBool,
    subscribers: Mutex<Vec<Subscriber>>,
}

#[derive(Debug)]
struct Subscriber {
    dialect: Dialect,
    types: Vec<String>,
    /// To the task that sends batches, which ends when this is dropped.
    records: mpsc::Sender<Item>,
}

#[derive(Debug)]
enum Item {
    Record(Json),
    /// Send what is there, then say so.
    Flush(oneshot::Sender<()>),
}

/// Whose output a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Function,
    Extension,
}

impl Source {
    fn as_str(self) -> &'static str {
        match self {
            Self::Function => "function",
            Self::Extension => "extension",
        }
    }
}

impl Telemetry {
    /// For a process of `function` that starts now.
    pub(super) fn new(function: &str, clock: &Clock) -> Self {
        Self {
            started: clock.since_epoch(),
            clock: clock.clone(),
            function: function.to_owned(),
            is_used: AtomicBool::new(false),
            subscribers: Mutex::default(),
        }
    }

    /// Of nobody.
    #[cfg(test)]
    pub(super) fn silent() -> Self {
        Self::new("pets", &Clock::System)
    }

    /// Whether anybody listens.
    pub(super) fn is_used(&self) -> bool {
        self.is_used.load(Ordering::Relaxed)
    }

    /// Takes a subscriber in; `extension` is its name.
    pub(super) fn subscribe(&self, extension: &str, subscription: Subscription) {
        let (records, items) = mpsc::channel(WAITING_RECORDS);
        let (dialect, types) = (subscription.dialect, subscription.types.clone());
        tokio::spawn(send_batches(subscription, items));
        let subscriber = Subscriber {
            dialect,
            types: types.clone(),
            records,
        };
        if dialect == Dialect::Telemetry {
            let start = json!({
                "initializationType": "on-demand",
                "phase": "init",
                "functionName": self.function,
                "functionVersion": "$LATEST",
            });
            subscriber.send(self.started, "platform", "platform.initStart", start);
        }
        let kind = match dialect {
            Dialect::Telemetry => "platform.telemetrySubscription",
            Dialect::Logs => "platform.logsSubscription",
        };
        let record = json!({ "name": extension, "state": "Subscribed", "types": types });
        subscriber.send(self.clock.since_epoch(), "platform", kind, record);
        self.lock().push(subscriber);
        self.is_used.store(true, Ordering::Relaxed);
    }

    /// A line of output.
    pub(super) fn line(&self, source: Source, line: &str) {
        if !self.is_used() {
            return;
        }
        let now = self.clock.since_epoch();
        for subscriber in self.lock().iter() {
            let kind = source.as_str();
            subscriber.send(now, kind, kind, Json::String(format!("{line}\n")));
        }
    }

    /// The function is ready after `took`.
    pub(super) fn initialized(&self, took: Duration) {
        let phase =
            json!({ "initializationType": "on-demand", "phase": "init", "status": "success" });
        self.platform("platform.initRuntimeDone", None, || phase);
        let report = json!({
            "initializationType": "on-demand",
            "phase": "init",
            "status": "success",
            "metrics": { "durationMs": milliseconds(took) },
        });
        self.platform("platform.initReport", None, || report);
    }

    /// An extension has registered.
    pub(super) fn registered(&self, name: &str, events: &[&str]) {
        let record = json!({ "name": name, "state": "Ready", "events": events });
        self.platform("platform.extension", Some("platform.extension"), || record);
    }

    /// An invocation begins or ends.
    pub(super) fn mark(&self, mark: &Mark) {
        if !self.is_used() {
            return;
        }
        match mark {
            Mark::Start { request_id } => {
                let record = json!({ "requestId": &**request_id, "version": "$LATEST" });
                self.platform("platform.start", Some("platform.start"), || record);
            }
            Mark::End(report) => self.end(report),
            Mark::Trouble(_) => {}
        }
    }

    fn end(&self, report: &Report) {
        let request_id = &*report.request_id;
        let status = match (report.status, report.failure.is_some()) {
            (Some(status), _) => status,
            (None, true) => "error",
            (None, false) => "success",
        };
        let done = json!({
            "requestId": request_id,
            "status": status,
            "metrics": { "durationMs": milliseconds(report.duration) },
        });
        self.platform("platform.runtimeDone", Some("platform.runtimeDone"), || {
            done
        });
        let ended = json!({ "requestId": request_id });
        self.platform_for(Dialect::Logs, "platform.end", &ended);
        let mut metrics = json!({
            "durationMs": milliseconds(report.duration),
            "billedDurationMs": milliseconds(report.duration).ceil(),
            "memorySizeMB": report.memory_size,
        });
        if let Some(used) = report.most_memory() {
            metrics["maxMemoryUsedMB"] = json!(used);
        }
        if let Some(init) = report.init {
            metrics["initDurationMs"] = json!(milliseconds(init));
        }
        let record = json!({ "requestId": request_id, "metrics": metrics, "status": status });
        self.platform("platform.report", Some("platform.report"), || record);
    }

    /// A record of the platform: `logs` is its name in the older API, if it is there.
    fn platform(
        &self,
        telemetry: &'static str,
        logs: Option<&'static str>,
        record: impl FnOnce() -> Json,
    ) {
        if !self.is_used() {
            return;
        }
        let record = record();
        self.platform_for(Dialect::Telemetry, telemetry, &record);
        if let Some(logs) = logs {
            self.platform_for(Dialect::Logs, logs, &record);
        }
    }

    fn platform_for(&self, dialect: Dialect, kind: &'static str, record: &Json) {
        let now = self.clock.since_epoch();
        for subscriber in self.lock().iter().filter(|one| one.dialect == dialect) {
            subscriber.send(now, "platform", kind, record.clone());
        }
    }

    /// Sends what has been gathered, and returns when it is there.
    pub(super) async fn flush(&self) {
        if !self.is_used() {
            return;
        }
        let mut done = Vec::new();
        for subscriber in self.lock().iter() {
            let (sender, receiver) = oneshot::channel();
            if subscriber.records.try_send(Item::Flush(sender)).is_ok() {
                done.push(receiver);
            }
        }
        for one in done {
            let _ = one.await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Subscriber>> {
        self.subscribers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Subscriber {
    /// `wanted` is the kind that subscribers ask for.
    fn send(&self, time: Duration, wanted: &str, kind: &str, record: Json) {
        if !self.types.iter().any(|own| own == wanted) {
            return;
        }
        let item = json!({
            "time": format!("{:.3}", timestamp(time)),
            "type": kind,
            "record": record,
        });
        // A subscriber that does not keep up loses records, as at AWS.
        let _ = self.records.try_send(Item::Record(item));
    }
}

fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1_000_000.0).round() / 1_000.0
}

/// Gathers records and sends them on; ends when the process is gone.
async fn send_batches(subscription: Subscription, mut items: mpsc::Receiver<Item>) {
    let mut batch: Vec<String> = Vec::new();
    let mut bytes = 0;
    let mut due: Option<Instant> = None;
    loop {
        let item = match due {
            None => items.recv().await,
            Some(due) => match tokio::time::timeout_at(due, items.recv()).await {
                Ok(item) => item,
                Err(_) => Some(Item::Flush(oneshot::channel().0)),
            },
        };
        let mut waits = None;
        let is_over = item.is_none();
        match item {
            Some(Item::Record(record)) => {
                let text = record.to_string();
                bytes += text.len() + 1;
                batch.push(text);
                due.get_or_insert_with(|| Instant::now() + subscription.longest_wait);
                if batch.len() < subscription.most_records && bytes < subscription.most_bytes {
                    continue;
                }
            }
            Some(Item::Flush(done)) => waits = Some(done),
            None => {}
        }
        if !batch.is_empty() {
            let sent = tokio::time::timeout(PATIENCE, deliver(&subscription.destination, &batch));
            match sent.await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::debug!(destination = ?subscription.destination, error, "telemetry was not taken");
                }
                Err(_) => {
                    tracing::debug!(destination = ?subscription.destination, "telemetry was not taken in time");
                }
            }
            batch.clear();
            bytes = 0;
            due = None;
        }
        if let Some(done) = waits {
            let _ = done.send(());
        }
        if is_over {
            return;
        }
    }
}

async fn deliver(destination: &Destination, batch: &[String]) -> Result<(), String> {
    match destination {
        Destination::Http(url) => {
            let sent = client()
                .post(url)
                .header("content-type", "application/json")
                .body(format!("[{}]", batch.join(",")))
                .send()
                .await;
            match sent {
                Ok(answer) if answer.status().is_success() => Ok(()),
                Ok(answer) => Err(format!("it answered {}", answer.status())),
                Err(error) => Err(crate::function::chain(&error)),
            }
        }
        Destination::Tcp(port) => {
            let sent = async {
                let mut stream = TcpStream::connect(("127.0.0.1", *port)).await?;
                stream
                    .write_all((batch.join("\n") + "\n").as_bytes())
                    .await?;
                stream.shutdown().await
            };
            sent.await.map_err(|error| error.to_string())
        }
    }
}

/// One client for all subscribers, which are on this machine.
fn client() -> &'static reqwest::Client {
    static CLIENT: OnceLock<reqwest::Client> = OnceLock::new();
    CLIENT.get_or_init(|| {
        reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap_or_default()
    })
}
