//! What a call of a local function costs: `cargo bench --bench local_function`.
//!
//! The handlers do nothing, so the time of a warm call is what the gateway and the
//! runtime's client add to a handler's own. Cold starts are printed beside the bare
//! interpreter's, since most of them is its start. Nothing is asserted: the numbers
//! are the machine's.

#![expect(
    clippy::unwrap_used,
    reason = "a measurement may stop at the first trouble"
)]
#![expect(clippy::print_stdout, reason = "numbers are its result")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use indexmap::IndexMap;
use tollgate::function::local::{LocalFunction, LocalOptions};
use tollgate::function::{Invocation, InvocationType};
use tollgate::model::Spanned;
use tollgate::model::settings::{FunctionPlace, FunctionSettings};
use tollgate::source::Span;

const ROUNDS: usize = 5;
const CALLS: usize = 3_000;
const COLD_STARTS: usize = 8;

fn function(runtime: &str, code: &Path) -> Arc<LocalFunction> {
    let settings = FunctionSettings {
        place: FunctionPlace::Runtime {
            runtime: Spanned {
                value: runtime.to_owned(),
                span: Span::default(),
            },
            handler: "app.handler".to_owned(),
            code_uri: code.to_owned(),
        },
        timeout: Duration::from_secs(30),
        memory_size: 128,
        environment: IndexMap::new(),
        reserved_concurrency: None,
        life: Default::default(),
        span: Span::default(),
    };
    LocalFunction::new("bench", &settings, LocalOptions::default())
}

async fn call(function: &LocalFunction, payload: &Bytes) -> Duration {
    let invocation = Invocation {
        payload: payload.clone(),
        invocation_type: InvocationType::RequestResponse,
        qualifier: None,
        trace_id: None,
        client_context: None,
    };
    let start = Instant::now();
    let outcome = function.invoke(invocation).await.unwrap();
    let took = start.elapsed();
    assert_eq!(outcome.function_error, None);
    took
}

fn milliseconds(times: &mut [Duration], share: f64) -> f64 {
    times.sort();
    times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1_000.0
}

async fn measure(runtime: &str, code: &Path) {
    let small = Bytes::from_static(br#"{"path": "/pets", "n": 1}"#);
    let large = Bytes::from(format!(r#"{{"text": "{}"}}"#, "x".repeat(100_000)));
    let warm = function(runtime, code);
    for (name, payload, calls) in [("small", &small, CALLS), ("100 KB", &large, CALLS / 10)] {
        for _ in 0..calls / 10 {
            call(&warm, payload).await;
        }
        let mut medians = Vec::new();
        let mut all = Vec::new();
        for _ in 0..ROUNDS {
            let mut times = Vec::new();
            for _ in 0..calls {
                times.push(call(&warm, payload).await);
            }
            medians.push(Duration::from_secs_f64(
                milliseconds(&mut times, 0.5) / 1_000.0,
            ));
            all.append(&mut times);
        }
        println!(
            "{runtime} warm, {name} event: p50 {:.3} ms (rounds {:.3} to {:.3}), p99 {:.3} ms",
            milliseconds(&mut all, 0.5),
            milliseconds(&mut medians, 0.0),
            milliseconds(&mut medians, 1.0),
            milliseconds(&mut all, 0.99),
        );
    }
    warm.shutdown().await;

    let mut cold = Vec::new();
    for _ in 0..COLD_STARTS {
        let function = function(runtime, code);
        cold.push(call(&function, &small).await);
        function.shutdown().await;
    }
    println!(
        "{runtime} cold: best {:.0} ms, median {:.0} ms",
        milliseconds(&mut cold, 0.0),
        milliseconds(&mut cold, 0.5)
    );
}

fn bare(name: &str, program: &str, arguments: &[&str]) {
    let mut times = Vec::new();
    for _ in 0..COLD_STARTS {
        let start = Instant::now();
        let status = std::process::Command::new(program)
            .args(arguments)
            .env_clear()
            .env("LANG", "en_US.UTF-8")
            .status();
        if status.is_ok() {
            times.push(start.elapsed());
        }
    }
    if !times.is_empty() {
        println!(
            "{name} bare: best {:.0} ms, median {:.0} ms",
            milliseconds(&mut times, 0.0),
            milliseconds(&mut times, 0.5)
        );
    }
}

/// The interpreter itself, behind whatever a version manager puts before it.
fn real(program: &str, arguments: &[&str]) -> String {
    let output = std::process::Command::new(program).args(arguments).output();
    output.map_or_else(
        |_| program.to_owned(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}

#[tokio::main]
async fn main() {
    let code = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| std::fs::write(code.path().join(name), text).unwrap();
    file("app.py", "def handler(event, context):\n    return event\n");
    file("app.js", "exports.handler = async (event) => event;\n");

    measure("python3.12", code.path()).await;
    let python = real("python3", &["-c", "import sys; print(sys.executable)"]);
    bare("python3", &python, &["-c", "pass"]);
    measure("nodejs20.x", code.path()).await;
    let node = real("node", &["-p", "process.execPath"]);
    bare("node", &node, &["-e", "0"]);
}
