//! What tests of local functions share: code in a folder, settings, calls, and ways for a
//! function to report to its test and to wait for it, so that no test sleeps.

use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use indexmap::IndexMap;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tollgate::function::local::{LocalFunction, LocalOptions};
use tollgate::function::{Invocation, InvocationType, Outcome};
use tollgate::model::Spanned;
use tollgate::model::settings::{FunctionLife, FunctionPlace, FunctionSettings};
use tollgate::source::Span;

pub(super) fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}

/// A folder whose file `app.py` is `code`.
pub(super) fn code(code: &str) -> TempDir {
    folder(&[("app.py", code)])
}

pub(super) fn settings(place: FunctionPlace) -> FunctionSettings {
    FunctionSettings {
        place,
        // Long enough that only tests of timeouts meet it.
        timeout: Duration::from_secs(60),
        memory_size: 256,
        environment: IndexMap::new(),
        reserved_concurrency: None,
        life: FunctionLife::default(),
        span: Span::default(),
    }
}

pub(super) fn runtime(runtime: &str, handler: &str, folder: &Path) -> FunctionSettings {
    settings(FunctionPlace::Runtime {
        runtime: Spanned {
            value: runtime.to_owned(),
            span: Span::default(),
        },
        handler: handler.to_owned(),
        code_uri: folder.to_owned(),
    })
}

/// The handler `app.handler` of a folder or zip file.
pub(super) fn python(place: impl AsRef<Path>) -> FunctionSettings {
    runtime("python3.12", "app.handler", place.as_ref())
}

pub(super) fn node(place: impl AsRef<Path>) -> FunctionSettings {
    runtime("nodejs20.x", "app.handler", place.as_ref())
}

pub(super) fn local(settings: &FunctionSettings) -> Arc<LocalFunction> {
    LocalFunction::new("pets", settings, LocalOptions::default())
}

pub(super) fn call(event: &Value) -> Invocation {
    Invocation {
        payload: Bytes::from(event.to_string()),
        invocation_type: InvocationType::RequestResponse,
        qualifier: None,
        trace_id: None,
        client_context: None,
    }
}

pub(super) async fn outcome(function: &LocalFunction, event: Value) -> Outcome {
    function.invoke(call(&event)).await.unwrap()
}

/// The result of a call that must succeed.
pub(super) async fn result(function: &LocalFunction, event: Value) -> Value {
    let outcome = outcome(function, event).await;
    assert_eq!(outcome.function_error, None, "{:?}", outcome.payload);
    serde_json::from_slice(&outcome.payload).unwrap()
}

/// The error of a call that must fail in the function.
pub(super) async fn error(function: &LocalFunction, event: Value) -> Value {
    let outcome = outcome(function, event).await;
    assert_eq!(
        outcome.function_error.as_deref(),
        Some("Unhandled"),
        "{:?}",
        outcome.payload
    );
    serde_json::from_slice(&outcome.payload).unwrap()
}

/// Where functions report to the test and wait for it.
pub(super) struct Gate(TcpListener);

impl Gate {
    pub(super) async fn open() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    pub(super) fn port(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }

    pub(super) async fn visitor(&self) -> Visitor {
        Visitor(BufReader::new(self.0.accept().await.unwrap().0))
    }
}

/// A function at the gate.
pub(super) struct Visitor(BufReader<TcpStream>);

impl Visitor {
    pub(super) async fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).await.unwrap();
        line.trim_end().to_owned()
    }

    pub(super) async fn let_through(&mut self) {
        self.0.write_all(b"go\n").await.unwrap();
    }

    /// Waits until every process that holds the connection is gone.
    pub(super) async fn gone(&mut self) {
        let mut rest = Vec::new();
        let _ = self.0.read_to_end(&mut rest).await; // a reset is an end as well
    }
}

/// A handler that waits at the gate when the event names one.
pub(super) const AT_THE_GATE: &str = r#"
import os, socket

def handler(event, context):
    if event.get("gate"):
        gate = socket.create_connection(("127.0.0.1", event["gate"]))
        gate.sendall(b"%d\n" % os.getpid())
        gate.recv(16)
        gate.sendall(b"done\n")
        gate.close()
    return os.getpid()
"#;

pub(super) fn is_alive(process: u64) -> bool {
    // A zombie that nobody has fetched yet counts as gone.
    match std::fs::read_to_string(format!("/proc/{process}/stat")) {
        Ok(stat) => !stat.contains(") Z "),
        Err(_) => {
            let process = nix::unistd::Pid::from_raw(i32::try_from(process).unwrap());
            cfg!(not(target_os = "linux")) && nix::sys::signal::kill(process, None).is_ok()
        }
    }
}

/// Where functions report to the test, a line each.
pub(super) struct Reports(TcpListener);

impl Reports {
    pub(super) async fn open() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    pub(super) fn port(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }

    /// The next report: what a connection says until its end.
    pub(super) async fn next(&self) -> String {
        let mut text = String::new();
        let mut lines = BufReader::new(self.0.accept().await.unwrap().0).lines();
        while let Some(line) = lines.next_line().await.unwrap() {
            text.push_str(&line);
        }
        text
    }
}

#[derive(Clone, Default)]
pub(super) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// What was logged of a function so far.
    pub(super) fn of_function(&self, name: &str) -> Vec<Value> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .filter(|event: &Value| {
                event["target"] == "tollgate::function" && event["fields"]["function"] == name
            })
            .collect()
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The log of this whole test program, since whether an event is wanted is decided
/// once for all threads.
pub(super) fn log() -> &'static Log {
    static LOG: OnceLock<Log> = OnceLock::new();
    LOG.get_or_init(|| {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::set_global_default(subscriber).unwrap();
        log
    })
}
