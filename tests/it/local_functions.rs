//! Local Lambda functions as real processes: `python3` and `node` must be on PATH.
//!
//! Where a test has to know what a function is doing, the function connects to a
//! [`Gate`] of the test's and waits there: no test sleeps.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tollgate::function::local::{LocalFunction, LocalOptions};
use tollgate::function::{InvocationType, InvokeError};
use tollgate::model::settings::{FunctionPlace, FunctionSettings};

use crate::functions::{
    AT_THE_GATE, Gate, call, error, folder, is_alive, local, log, node, outcome, python, result,
    runtime, settings,
};

const RESULT_LIMIT: usize = 6 * 1024 * 1024 + 100;

// --- Python ----------------------------------------------------------------------

#[tokio::test]
async fn python_answers_byte_for_byte_and_stays_warm() {
    let folder = folder(&[(
        "app.py",
        "import os\ndef handler(event, context):\n    return {'pid': os.getpid(), 'got': event}\n",
    )]);
    let function = local(&python(&folder));

    let first = outcome(&function, json!({"a": "é"})).await;
    let second = outcome(&function, json!({"a": "é"})).await;

    let pid = function.processes()[0];
    let expected = format!(r#"{{"pid": {pid}, "got": {{"a": "é"}}}}"#);
    assert_eq!(first.status, 200);
    assert_eq!(first.payload, expected);
    assert_eq!(second.payload, expected);
    function.shutdown().await;
}

#[tokio::test]
async fn python_before_3_12_escapes_what_is_not_ascii() {
    let folder = folder(&[("app.py", "def handler(event, context):\n    return event\n")]);
    let function = local(&runtime("python3.11", "app.handler", folder.path()));

    let outcome = outcome(&function, json!("é")).await;

    assert_eq!(outcome.payload, r#""\u00e9""#);
    function.shutdown().await;
}

#[tokio::test]
async fn python_sees_lambdas_context_and_environment() {
    let folder = folder(&[(
        "app.py",
        r#"
import os
def handler(event, context):
    return {
        "id": context.aws_request_id, "name": context.function_name,
        "version": context.function_version, "arn": context.invoked_function_arn,
        "memory": context.memory_limit_in_mb, "group": context.log_group_name,
        "left": context.get_remaining_time_in_millis() > 1000,
        "identity": context.identity.cognito_identity_id,
        "client": context.client_context.custom,
        "trace": os.environ["_X_AMZN_TRACE_ID"], "handler": os.environ["_HANDLER"],
        "own": os.environ["OWN"], "zone": os.environ["TZ"],
        "key": os.environ["AWS_ACCESS_KEY_ID"], "root": os.environ["LAMBDA_TASK_ROOT"],
        "cwd": os.getcwd(),
    }
"#,
    )]);
    let mut settings = python(&folder);
    settings.environment.insert("OWN".into(), "mine".into());
    let function = local(&settings);
    let mut invocation = call(&json!({}));
    invocation.qualifier = Some("live".into());
    invocation.trace_id = Some("Root=1-5759e988-bd862e3fe1be46a994272793".into());
    // {"custom": {"a": "é"}} with a line break in it
    invocation.client_context = Some("eyJjdXN0b20iOgogeyJhIjogIsOpIn19".into());

    let outcome = function.invoke(invocation).await.unwrap();

    let got: Value = serde_json::from_slice(&outcome.payload).unwrap();
    let root = folder.path().to_str().unwrap();
    assert_eq!(got["id"].as_str().unwrap().len(), 36);
    assert_eq!(
        got["arn"],
        "arn:aws:lambda:us-east-1:123456789012:function:pets:live"
    );
    for (key, expected) in [
        ("name", json!("pets")),
        ("version", json!("$LATEST")),
        ("memory", json!("256")),
        ("group", json!("/aws/lambda/pets")),
        ("left", json!(true)),
        ("identity", json!(null)),
        ("client", json!({"a": "é"})),
        ("trace", json!("Root=1-5759e988-bd862e3fe1be46a994272793")),
        ("handler", json!("app.handler")),
        ("own", json!("mine")),
        ("zone", json!(":UTC")),
        ("key", json!("local")),
        ("root", json!(root)),
        ("cwd", json!(root)),
    ] {
        assert_eq!(got[key], expected, "{key}");
    }
    function.shutdown().await;
}

#[tokio::test]
async fn python_handlers_may_be_async_nested_and_return_decimals_and_bytes() {
    let folder = folder(&[
        (
            "pkg/mod.py",
            r#"
import asyncio
from decimal import Decimal
async def slow(event, context):
    await asyncio.sleep(0)
    return asyncio.get_running_loop() is not None
def price(event, context):
    return {"price": Decimal("1.10"), "plain": "x"}
def raw(event, context):
    return b"\x00raw"
"#,
        ),
        ("pkg/__init__.py", ""),
    ]);
    for (handler, expected) in [
        ("pkg.mod.slow", &b"true"[..]),
        ("pkg/mod.slow", b"true"),
        ("pkg.mod.price", br#"{"price": 1.10, "plain": "x"}"#),
        ("pkg.mod.raw", b"\x00raw"),
    ] {
        let function = local(&runtime("python3.12", handler, folder.path()));
        assert_eq!(outcome(&function, json!({})).await.payload, expected);
        assert_eq!(outcome(&function, json!({})).await.payload, expected);
        function.shutdown().await;
    }
}

#[tokio::test]
async fn python_exceptions_keep_their_traceback_and_the_process() {
    let folder = folder(&[(
        "app.py",
        "def handler(event, context):\n    return 1 / event['by']\n",
    )]);
    let function = local(&python(&folder));

    let failed = error(&function, json!({"by": 0})).await;
    let process = function.processes();
    let divided = result(&function, json!({"by": 2})).await;

    assert_eq!(failed["errorType"], "ZeroDivisionError");
    assert_eq!(failed["errorMessage"], "division by zero");
    let trace = failed["stackTrace"].as_array().unwrap();
    assert_eq!(trace.len(), 1, "{trace:?}");
    let frame = trace[0].as_str().unwrap();
    assert!(frame.contains("app.py\", line 2, in handler\n    return 1 / event['by']"));
    assert_eq!(divided, 0.5);
    assert_eq!(function.processes(), process);
    function.shutdown().await;
}

#[tokio::test]
async fn results_that_are_no_json_are_marshal_errors() {
    let folder = folder(&[(
        "app.py",
        "def handler(event, context):\n    return {1, 2}\n",
    )]);
    let function = local(&python(&folder));

    let failed = error(&function, json!({})).await;

    assert_eq!(failed["errorType"], "Runtime.MarshalError");
    function.shutdown().await;
}

#[tokio::test]
async fn code_that_cannot_be_loaded_gives_lambdas_init_errors() {
    let folder = folder(&[
        ("app.py", "import no_such_module\n"),
        ("syntax.py", "def handler(:\n"),
        ("empty.py", ""),
        ("raises.py", "raise ValueError('at import')\n"),
        ("exits.py", "import sys\nsys.exit(7)\n"),
        ("app.js", "require('no-such-module')\n"),
        ("syntax.js", "exports.handler = (\n"),
        ("empty.js", ""),
        ("raises.js", "throw new TypeError('at import')\n"),
        ("waits.mjs", "await new Promise(() => {});\n"),
    ]);
    for (name, handler, kind, message) in [
        (
            "python3.12",
            "app.handler",
            "Runtime.ImportModuleError",
            "Unable to import module 'app': No module named 'no_such_module'",
        ),
        (
            "python3.12",
            "syntax.handler",
            "Runtime.UserCodeSyntaxError",
            "Syntax error in module 'syntax'",
        ),
        (
            "python3.12",
            "empty.handler",
            "Runtime.HandlerNotFound",
            "Handler 'handler' missing on module 'empty'",
        ),
        ("python3.12", "raises.handler", "ValueError", "at import"),
        (
            "python3.12",
            "exits.handler",
            "Runtime.ExitError",
            "Runtime exited with error: exit status 7",
        ),
        (
            "nodejs20.x",
            "app.handler",
            "Runtime.ImportModuleError",
            "Error: Cannot find module 'no-such-module'",
        ),
        (
            "nodejs20.x",
            "syntax.handler",
            "Runtime.UserCodeSyntaxError",
            "SyntaxError: ",
        ),
        (
            "nodejs20.x",
            "empty.handler",
            "Runtime.HandlerNotFound",
            "empty.handler is undefined or not exported",
        ),
        ("nodejs20.x", "raises.handler", "TypeError", "at import"),
        (
            "nodejs20.x",
            "waits.handler",
            "Runtime.ExitError",
            "Runtime exited with error: exit status 13",
        ),
    ] {
        let function = local(&runtime(name, handler, folder.path()));
        let failed = error(&function, json!({})).await;
        assert_eq!(failed["errorType"], kind, "{handler}: {failed}");
        let said = failed["errorMessage"].as_str().unwrap();
        assert!(said.contains(message), "{handler}: {said}");
        function.shutdown().await;
    }
}

#[tokio::test]
async fn mended_code_serves_after_an_import_error() {
    let folder = folder(&[("app.py", "import no_such_module\n")]);
    let function = local(&python(&folder));

    error(&function, json!({})).await;
    std::fs::write(
        folder.path().join("app.py"),
        "def handler(event, context):\n    return 'mended'\n",
    )
    .unwrap();

    assert_eq!(result(&function, json!({})).await, "mended");
    function.shutdown().await;
}

// --- Node.js -----------------------------------------------------------------------

#[tokio::test]
async fn node_runs_every_style_of_handler() {
    let folder = folder(&[
        (
            "src/app.js",
            r#"
exports.async = async (event) => ({ got: event });
exports.nothing = async () => {};
exports.callback = (event, context, callback) => { callback(null, 'called'); };
exports.later = (event, context, callback) => {
  const answer = { ticks: 0 };
  setTimeout(() => { answer.ticks += 1; }, 1);
  callback(null, answer);
};
exports.notWaiting = (event, context, callback) => {
  context.callbackWaitsForEmptyEventLoop = false;
  setInterval(() => {}, 1000);
  callback(null, 'at once');
};
exports.succeed = (event, context) => {
  setInterval(() => {}, 1000);
  context.succeed('succeeded');
  context.fail(new Error('only the first counts'));
};
exports.done = (event, context) => {
  setInterval(() => {}, 1000);
  context.done(null, 'done');
  context.succeed('only the first counts');
};
exports.never = () => 'a value that is not looked at';
exports.deep = { inner: { handler: async () => 'deep' } };
exports.context = async (event, context) => [
  context.awsRequestId.length, context.functionName, context.functionVersion,
  context.invokedFunctionArn, context.memoryLimitInMB, context.logGroupName,
  context.getRemainingTimeInMillis() > 1000, typeof require, process.env._HANDLER,
];
"#,
        ),
        ("esm.mjs", "export const handler = async () => 'module';\n"),
        ("package/package.json", r#"{"type": "module"}"#),
        (
            "package/index.js",
            "import { readFileSync } from 'fs';\nexport const handler = async () => typeof readFileSync;\n",
        ),
        (
            "common.cjs",
            "exports.handler = async () => require('path').sep;\n",
        ),
    ]);
    for (handler, expected) in [
        ("src/app.async", json!({"got": {"a": "é"}})),
        ("src/app.nothing", json!(null)),
        ("src/app.callback", json!("called")),
        // Written once the event loop was empty.
        ("src/app.later", json!({"ticks": 1})),
        ("src/app.notWaiting", json!("at once")),
        ("src/app.succeed", json!("succeeded")),
        ("src/app.done", json!("done")),
        ("src/app.never", json!(null)),
        ("src/app.deep.inner.handler", json!("deep")),
        (
            "src/app.context",
            json!([
                36,
                "pets",
                "$LATEST",
                "arn:aws:lambda:us-east-1:123456789012:function:pets",
                "256",
                "/aws/lambda/pets",
                true,
                "function",
                "src/app.context"
            ]),
        ),
        ("esm.handler", json!("module")),
        ("package/index.handler", json!("function")),
        ("common.handler", json!("/")),
    ] {
        let function = local(&runtime("nodejs20.x", handler, folder.path()));
        for _ in 0..2 {
            let got = result(&function, json!({"a": "é"})).await;
            assert_eq!(got, expected, "{handler}");
        }
        assert_eq!(function.processes().len(), 1, "{handler}");
        function.shutdown().await;
    }
}

#[tokio::test]
async fn node_results_are_as_json_stringify_writes_them() {
    let folder = folder(&[(
        "app.js",
        "exports.handler = async (event) => ({ b: 1.0, a: [event.n, undefined], u: undefined });\n",
    )]);
    let function = local(&node(&folder));

    let outcome = outcome(&function, json!({"n": 2})).await;

    assert_eq!(outcome.payload, r#"{"b":1,"a":[2,null]}"#);
    function.shutdown().await;
}

#[tokio::test]
async fn node_errors_are_told_in_all_styles() {
    let folder = folder(&[(
        "app.js",
        r#"
const styles = {
  thrown: () => { throw new RangeError('boom'); },
  callback: (context, callback) => callback(new RangeError('boom')),
  fail: (context) => context.fail(new RangeError('boom')),
  done: (context) => context.done(new RangeError('boom'), 'not looked at'),
  text: (context, callback) => callback('boom'),
};
exports.handler = (event, context, callback) => styles[event.style](context, callback);
exports.rejects = async () => { throw new RangeError('boom'); };
exports.circular = async () => { const a = {}; a.a = a; return a; };
"#,
    )]);
    let function = local(&node(&folder));
    for style in ["thrown", "callback", "fail", "done"] {
        let failed = error(&function, json!({"style": style})).await;
        assert_eq!(failed["errorType"], "RangeError", "{style}");
        assert_eq!(failed["errorMessage"], "boom", "{style}");
        assert_eq!(failed["trace"][0], "RangeError: boom", "{style}");
    }
    let failed = error(&function, json!({"style": "text"})).await;
    assert_eq!(failed["errorType"], "string");
    assert_eq!(function.processes().len(), 1);
    function.shutdown().await;

    for (handler, kind) in [("app.rejects", "RangeError"), ("app.circular", "TypeError")] {
        let function = local(&runtime("nodejs20.x", handler, folder.path()));
        assert_eq!(error(&function, json!({})).await["errorType"], kind);
        function.shutdown().await;
    }
}

#[tokio::test]
async fn an_uncaught_node_error_ends_the_process_but_not_the_function() {
    let folder = folder(&[(
        "app.js",
        r#"
exports.handler = (event, context, callback) => {
  if (event.bad === 'throws') setImmediate(() => { throw new Error('outside'); });
  else if (event.bad === 'rejects') Promise.reject(new Error('outside'));
  else callback(null, process.pid);
};
"#,
    )]);
    let function = local(&node(&folder));
    let first = result(&function, json!({})).await;

    let thrown = error(&function, json!({"bad": "throws"})).await;
    let second = result(&function, json!({})).await;
    let rejected = error(&function, json!({"bad": "rejects"})).await;
    let third = result(&function, json!({})).await;

    assert_eq!(thrown["errorMessage"], "outside");
    assert_eq!(rejected["errorType"], "Runtime.UnhandledPromiseRejection");
    assert_eq!(rejected["errorMessage"], "Error: outside");
    assert_eq!(
        HashSet::from([first, second, third].map(|v| v.to_string())).len(),
        3
    );
    function.shutdown().await;
}

#[tokio::test]
async fn the_time_that_is_left_goes_down_from_the_functions_timeout() {
    let folder = folder(&[
        (
            "app.py",
            r#"
import time
def handler(event, context):
    first = context.get_remaining_time_in_millis()
    until = time.time() + 0.05
    while time.time() < until:
        pass
    return [first, context.get_remaining_time_in_millis()]
"#,
        ),
        (
            "app.js",
            r#"
exports.handler = async (event, context) => {
  const first = context.getRemainingTimeInMillis();
  const until = Date.now() + 50;
  while (Date.now() < until);
  return [first, context.getRemainingTimeInMillis()];
};
"#,
        ),
    ]);
    for mut settings in [python(&folder), node(&folder)] {
        for (timeout, least) in [(60, 0), (900, 60_000)] {
            settings.timeout = Duration::from_secs(timeout);
            let function = local(&settings);
            let got = result(&function, json!({})).await;
            let (first, second) = (got[0].as_u64().unwrap(), got[1].as_u64().unwrap());
            assert!(least < first && first <= timeout * 1000, "{timeout}: {got}");
            // By the function's own clock, which it reads in whole milliseconds.
            assert!(second + 49 <= first, "{timeout}: {got}");
            function.shutdown().await;
        }
    }
}

#[tokio::test]
async fn long_events_and_results_pass_through_both_languages() {
    let folder = folder(&[
        ("app.py", "def handler(event, context):\n    return event\n"),
        ("app.js", "exports.handler = async (event) => event;\n"),
    ]);
    let event = json!({"text": "é".repeat(2_500_000)});
    for settings in [python(&folder), node(&folder)] {
        let function = local(&settings);
        for _ in 0..2 {
            assert_eq!(result(&function, event.clone()).await, event);
        }
        function.shutdown().await;
    }
}

// --- life and death ------------------------------------------------------------------

#[tokio::test]
async fn a_timeout_kills_the_whole_group_and_the_next_call_gets_a_new_process() {
    let folder = folder(&[(
        "app.py",
        r#"
import os, socket, subprocess
def handler(event, context):
    if event.get("gate"):
        gate = socket.create_connection(("127.0.0.1", event["gate"]))
        subprocess.Popen(["sleep", "600"], pass_fds=[gate.fileno()])
        gate.sendall(b"%d\n" % os.getpid())
        gate.recv(1)
    return os.getpid()
"#,
    )]);
    let mut settings = python(&folder);
    settings.timeout = Duration::from_millis(1_000);
    let function = local(&settings);
    let gate = Gate::open().await;

    let (failed, process) = tokio::join!(error(&function, json!({"gate": gate.port()})), async {
        let mut visitor = gate.visitor().await;
        let process = visitor.line().await;
        // The child of the function holds the connection as well.
        visitor.gone().await;
        process
    });
    let next = result(&function, json!({})).await;

    let message = failed["errorMessage"].as_str().unwrap();
    assert!(
        message.ends_with(" Task timed out after 1.00 seconds"),
        "{message}"
    );
    assert_eq!(failed.as_object().unwrap().len(), 1);
    assert_ne!(next.to_string(), process);
    function.shutdown().await;
}

/// A function that cannot be loaded before the gate lets it through.
const LOADED_AT_THE_GATE: &str = r#"
import os, socket
gate = socket.create_connection(("127.0.0.1", int(os.environ["GATE"])))
gate.sendall(b"loading\n")
gate.recv(16)
def handler(event, context):
    return "loaded"
"#;

#[tokio::test]
async fn a_start_that_takes_too_long_is_repeated_within_the_functions_timeout() {
    let folder = folder(&[("app.py", LOADED_AT_THE_GATE)]);
    let gate = Gate::open().await;
    let mut settings = python(&folder);
    settings
        .environment
        .insert("GATE".into(), gate.port().to_string());
    let options = LocalOptions {
        init_timeout: Duration::from_millis(1_500),
        ..LocalOptions::default()
    };
    let function = LocalFunction::new("pets", &settings, options);

    let (got, ()) = tokio::join!(result(&function, json!({})), async {
        let mut first = gate.visitor().await;
        first.line().await;
        first.gone().await;
        gate.visitor().await.let_through().await;
    });

    assert_eq!(got, "loaded");
    assert_eq!(function.processes().len(), 1);
    function.shutdown().await;
}

#[tokio::test]
async fn a_function_that_never_loads_times_out() {
    let folder = folder(&[("app.py", LOADED_AT_THE_GATE)]);
    let gate = Gate::open().await;
    let mut settings = python(&folder);
    settings.timeout = Duration::from_millis(500);
    settings
        .environment
        .insert("GATE".into(), gate.port().to_string());
    let options = LocalOptions {
        init_timeout: Duration::from_millis(500),
        ..LocalOptions::default()
    };
    let function = LocalFunction::new("pets", &settings, options);

    let failed = error(&function, json!({})).await;

    let message = failed["errorMessage"].as_str().unwrap();
    assert!(
        message.ends_with(" Task timed out after 0.50 seconds"),
        "{message}"
    );
    function.shutdown().await;
}

#[tokio::test]
async fn a_crash_in_mid_call_is_an_exit_error_and_the_next_call_is_served() {
    let folder = folder(&[(
        "app.py",
        r#"
import os, signal
def handler(event, context):
    if "exit" in event:
        os._exit(event["exit"])
    if "signal" in event:
        os.kill(os.getpid(), event["signal"])
    return "fine"
"#,
    )]);
    let function = local(&python(&folder));

    for (event, ending) in [
        (
            json!({"exit": 1}),
            "Runtime exited with error: exit status 1",
        ),
        (
            json!({"exit": 0}),
            "Runtime exited without providing a reason",
        ),
        (
            json!({"signal": 9}),
            "Runtime exited with error: signal: killed",
        ),
        (
            json!({"signal": 11}),
            "Runtime exited with error: signal: segmentation fault",
        ),
    ] {
        let failed = error(&function, event).await;
        assert_eq!(failed["errorType"], "Runtime.ExitError");
        let message = failed["errorMessage"].as_str().unwrap();
        assert!(message.starts_with("RequestId: "), "{message}");
        assert!(message.ends_with(ending), "{message}");
        assert_eq!(result(&function, json!({})).await, "fine");
    }
    function.shutdown().await;
}

#[tokio::test]
async fn no_process_is_left_after_shutdown() {
    let folder = folder(&[("app.py", AT_THE_GATE)]);
    let function = local(&python(&folder));
    let gate = Gate::open().await;
    let idle = result(&function, json!({})).await.as_u64().unwrap();

    let busy_call = tokio::spawn({
        let function = Arc::clone(&function);
        let event = json!({"gate": gate.port()});
        async move { function.invoke(call(&event)).await }
    });
    let mut visitor = gate.visitor().await;
    let busy: u64 = visitor.line().await.parse().unwrap();
    function.shutdown().await;

    assert!(!is_alive(idle));
    assert!(!is_alive(busy));
    assert!(function.processes().is_empty());
    assert!(matches!(
        busy_call.await.unwrap(),
        Err(InvokeError::Unreachable { .. })
    ));
    assert!(function.invoke(call(&json!({}))).await.is_err());
}

#[tokio::test]
async fn a_dropped_function_finishes_its_call_and_then_ends() {
    let folder = folder(&[("app.py", AT_THE_GATE)]);
    let function = local(&python(&folder));
    let gate = Gate::open().await;
    let mut event = call(&json!({"gate": gate.port()}));
    event.invocation_type = InvocationType::Event;
    assert_eq!(function.invoke(event).await.unwrap().status, 202);
    let mut visitor = gate.visitor().await;
    visitor.line().await;

    drop(function);
    visitor.let_through().await;

    assert_eq!(visitor.line().await, "done");
}

#[tokio::test]
async fn idle_processes_end() {
    let folder = folder(&[("app.py", AT_THE_GATE)]);
    let gate = Gate::open().await;
    let code = r#"
import os, socket
def handler(event, context):
    global kept
    kept = socket.create_connection(("127.0.0.1", event["gate"]))
"#;
    std::fs::write(folder.path().join("app.py"), code).unwrap();
    let mut settings = python(&folder);
    settings.timeout = Duration::from_secs(3);
    let options = LocalOptions {
        idle_timeout: Duration::from_millis(1),
        ..LocalOptions::default()
    };
    let function = LocalFunction::new("pets", &settings, options);

    result(&function, json!({"gate": gate.port()})).await;

    gate.visitor().await.gone().await;
    function.shutdown().await;
}

/// Not a test by itself: the gateway of the next test, which is killed.
#[tokio::test]
#[ignore = "run by the next test"]
async fn a_gateway_to_be_killed() {
    let Ok(code) = std::env::var("TOLLGATE_TEST_CODE") else {
        return;
    };
    let port: u16 = std::env::var("TOLLGATE_TEST_GATE")
        .unwrap()
        .parse()
        .unwrap();
    let function = local(&runtime("python3.12", "app.handler", Path::new(&code)));
    let _ = function.invoke(call(&json!({"gate": port}))).await;
}

#[tokio::test]
async fn functions_do_not_outlive_a_gateway_that_is_killed() {
    let folder = folder(&[("app.py", AT_THE_GATE)]);
    let gate = Gate::open().await;
    let mut gateway = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "local_functions::a_gateway_to_be_killed",
            "--ignored",
        ])
        .env("TOLLGATE_TEST_CODE", folder.path())
        .env("TOLLGATE_TEST_GATE", gate.port().to_string())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut visitor = gate.visitor().await;
    visitor.line().await;

    gateway.kill().await.unwrap();

    visitor.gone().await;
}

// --- concurrency -----------------------------------------------------------------------

#[tokio::test]
async fn twenty_calls_at_once_are_all_answered() {
    let folder = folder(&[(
        "app.py",
        "import os\ndef handler(event, context):\n    return [event, os.getpid()]\n",
    )]);
    let options = LocalOptions {
        max_processes: 3,
        ..LocalOptions::default()
    };
    let function = LocalFunction::new("pets", &python(&folder), options);

    let calls = (0..20).map(|n| {
        let function = Arc::clone(&function);
        tokio::spawn(async move { (n, result(&function, json!(n)).await) })
    });
    let mut processes = HashSet::new();
    for done in futures_util::future::join_all(calls).await {
        let (n, got) = done.unwrap();
        assert_eq!(got[0], n);
        processes.insert(got[1].as_u64().unwrap());
    }

    assert!(processes.len() <= 3, "{processes:?}");
    function.shutdown().await;
}

#[tokio::test]
async fn calls_over_the_reserved_concurrency_are_throttled() {
    let folder = folder(&[("app.py", AT_THE_GATE)]);
    let mut settings = python(&folder);
    settings.reserved_concurrency = Some(2);
    let function = local(&settings);
    let gate = Gate::open().await;
    let busy = [0, 1].map(|_| {
        let function = Arc::clone(&function);
        let event = json!({"gate": gate.port()});
        tokio::spawn(async move { result(&function, event).await })
    });
    let mut visitors = [gate.visitor().await, gate.visitor().await];
    let mut processes = HashSet::new();
    for visitor in &mut visitors {
        processes.insert(visitor.line().await);
    }

    let refused = function.invoke(call(&json!({}))).await;
    for visitor in &mut visitors {
        visitor.let_through().await;
    }
    for call in busy {
        call.await.unwrap();
    }
    let served = result(&function, json!({})).await;

    assert!(matches!(refused, Err(InvokeError::Throttled { .. })));
    assert_eq!(processes.len(), 2);
    assert!(processes.contains(&served.to_string()));
    function.shutdown().await;
}

#[tokio::test]
async fn a_reserved_concurrency_of_zero_throttles_everything() {
    let folder = folder(&[("app.py", AT_THE_GATE)]);
    let mut settings = python(&folder);
    settings.reserved_concurrency = Some(0);
    let function = local(&settings);

    let refused = function.invoke(call(&json!({}))).await;

    assert!(matches!(refused, Err(InvokeError::Throttled { .. })));
    assert!(function.processes().is_empty());
}

#[tokio::test]
async fn an_event_is_accepted_at_once_and_runs_in_the_background() {
    let folder = folder(&[("app.py", AT_THE_GATE)]);
    let function = local(&python(&folder));
    let gate = Gate::open().await;
    let mut event = call(&json!({"gate": gate.port()}));
    event.invocation_type = InvocationType::Event;

    let outcome = function.invoke(event).await.unwrap();

    assert_eq!((outcome.status, outcome.payload.len()), (202, 0));
    let mut visitor = gate.visitor().await;
    visitor.line().await;
    visitor.let_through().await;
    assert_eq!(visitor.line().await, "done");
    function.shutdown().await;
}

#[tokio::test]
async fn a_caller_that_leaves_does_not_end_the_invocation() {
    let folder = folder(&[("app.py", AT_THE_GATE)]);
    let function = local(&python(&folder));
    let gate = Gate::open().await;
    let caller = tokio::spawn({
        let function = Arc::clone(&function);
        let event = json!({"gate": gate.port()});
        async move { function.invoke(call(&event)).await }
    });
    let mut visitor = gate.visitor().await;
    let process = visitor.line().await;

    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    visitor.let_through().await;

    assert_eq!(visitor.line().await, "done");
    assert_eq!(result(&function, json!({})).await.to_string(), process);
    function.shutdown().await;
}

// --- the Runtime API -----------------------------------------------------------------------

/// A custom runtime of which each event says what it does: a list of raw HTTP requests,
/// `{id}` standing for the request id. Its last result is the list of statuses.
const CUSTOM: &str = r#"
import json, os, socket
host, port = os.environ["AWS_LAMBDA_RUNTIME_API"].split(":")
BASE = "/2018-06-01/runtime/"

def send(raw):
    with socket.create_connection((host, int(port))) as s:
        s.sendall(raw)
        data = b""
        while b"\r\n\r\n" not in data:
            piece = s.recv(65536)
            if not piece:
                return {}, b""
            data += piece
        head, _, body = data.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:])
        headers["status"] = int(lines[0].split()[1])
        while len(body) < int(headers.get("Content-Length", 0)):
            body += s.recv(65536)
        return headers, body

def request(method, path, body=b"", extra=""):
    return ("%s %s HTTP/1.1\r\nHost: x\r\n%sContent-Length: %d\r\n\r\n" % (method, path, extra, len(body))).encode() + body

early = [send(request("POST", BASE + "invocation/x/response", b"1"))[0]["status"]]
while True:
    headers, event = send(request("GET", BASE + "invocation/next"))
    request_id = headers["Lambda-Runtime-Aws-Request-Id"]
    event = json.loads(event)
    statuses = list(early)
    for raw in event.get("raw", []):
        raw = raw.replace("{id}", request_id).replace("{base}", BASE)
        answer, body = send(raw.encode())
        statuses.append([answer["status"], json.loads(body).get("errorType")])
    own = event.get("answer")
    if own is not None:
        extra, size = own.get("extra", ""), own["size"]
        answer, body = send(request("POST", BASE + "invocation/%s/response" % request_id, b"x" * size, extra))
        print("answered", answer["status"])
        early.append(answer["status"])
    elif "raw_answer" in event:
        raw = event["raw_answer"].replace("{id}", request_id).replace("{base}", BASE)
        send(raw.encode())
    else:
        send(request("POST", BASE + "invocation/%s/response" % request_id, json.dumps(statuses).encode()))
    if "linger" in event:
        with socket.create_connection((host, event["linger"])) as gate:
            gate.sendall(b"lingers\n")
            gate.recv(16)
"#;

fn custom(folder: &TempDir) -> FunctionSettings {
    settings(FunctionPlace::Command {
        command: vec!["python3".into(), "runtime.py".into()],
        working_directory: folder.path().to_owned(),
    })
}

#[tokio::test]
async fn a_custom_runtime_that_calls_out_of_turn_is_refused_as_at_aws() {
    let folder = folder(&[("runtime.py", CUSTOM)]);
    let function = local(&custom(&folder));
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    let post = |path: &str, extra: &str| {
        format!("POST {path} HTTP/1.1\r\nHost: x\r\n{extra}Content-Length: 2\r\n\r\n{{}}")
    };

    let statuses = result(
        &function,
        json!({"raw": [
            get("{base}invocation/next"),
            post("{base}invocation/wrong/response", ""),
            post("{base}invocation/wrong/error", ""),
            post("{base}init/error", ""),
            get("{base}invocation/{id}/response"),
            get("{base}nothing"),
            get("/2020-01-01/extension/event/next"),
            post("/2022-07-01/telemetry", ""),
        ]}),
    )
    .await;

    assert_eq!(
        statuses,
        json!([
            403,
            [403, "InvalidStateTransition"],
            [400, "InvalidRequestID"],
            [400, "InvalidRequestID"],
            [403, "InvalidStateTransition"],
            [405, "MethodNotAllowed"],
            [404, "NotFound"],
            [403, "Extension.MissingExtensionIdentifier"],
            [405, "MethodNotAllowed"],
        ])
    );
    function.shutdown().await;
}

#[tokio::test]
async fn a_runtime_that_does_not_ask_again_holds_nobody_up() {
    let folder = folder(&[("runtime.py", CUSTOM)]);
    let function = local(&custom(&folder));
    let gate = Gate::open().await;

    result(&function, json!({"linger": gate.port()})).await;
    let mut visitor = gate.visitor().await;
    visitor.line().await;
    result(&function, json!({})).await;

    assert_eq!(function.processes().len(), 2);
    visitor.let_through().await;
    function.shutdown().await;
}

#[tokio::test]
async fn an_answered_invocation_cannot_be_answered_again() {
    let folder = folder(&[("runtime.py", CUSTOM)]);
    let function = local(&custom(&folder));

    let answer = "POST {base}invocation/{id}/response HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\n\"one\"";
    let first = result(&function, json!({"raw": [answer, answer]})).await;

    // The third answer, the runtime's own, comes too late as well.
    assert_eq!(first, "one");
    assert_eq!(result(&function, json!({})).await, json!([403]));
    function.shutdown().await;
}

#[tokio::test]
async fn results_up_to_lambdas_limit_pass_and_longer_ones_are_an_error() {
    let folder = folder(&[("runtime.py", CUSTOM)]);
    let function = local(&custom(&folder));

    let largest = outcome(&function, json!({"answer": {"size": RESULT_LIMIT}})).await;
    let over = error(&function, json!({"answer": {"size": RESULT_LIMIT + 1}})).await;
    let statuses = result(&function, json!({})).await;

    assert_eq!(largest.payload.len(), RESULT_LIMIT);
    assert_eq!(over["errorType"], "Function.ResponseSizeTooLarge");
    assert_eq!(
        over["errorMessage"],
        "Response payload size exceeded maximum allowed payload size (6291556 bytes)."
    );
    // The runtime was told and went on in the same process.
    assert_eq!(statuses, json!([403, 202, 413]));
    function.shutdown().await;
}

#[tokio::test]
async fn our_own_clients_survive_a_result_that_is_too_long() {
    let folder = folder(&[
        (
            "app.py",
            "def handler(event, context):\n    return 'x' * event\n",
        ),
        (
            "app.js",
            "exports.handler = async (event) => 'x'.repeat(event);\n",
        ),
    ]);
    for settings in [python(&folder), node(&folder)] {
        let function = local(&settings);

        let over = error(&function, json!(RESULT_LIMIT)).await;
        let process = function.processes();
        let small = result(&function, json!(1)).await;

        assert_eq!(over["errorType"], "Function.ResponseSizeTooLarge");
        assert_eq!(small, "x");
        assert_eq!(function.processes(), process);
        function.shutdown().await;
    }
}

#[tokio::test]
async fn chunked_and_streaming_results_are_put_together() {
    let folder = folder(&[("runtime.py", CUSTOM)]);
    let function = local(&custom(&folder));
    let post = |extra: &str, end: &str| {
        format!(
            "POST {{base}}invocation/{{id}}/response HTTP/1.1\r\nHost: x\r\n{extra}Transfer-Encoding: chunked\r\n\r\n2\r\n[1\r\n3\r\n,2]\r\n0\r\n{end}\r\n"
        )
    };
    let mode = "lambda-runtime-function-response-mode: streaming\r\n";
    let trailer =
        "Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\r\n";
    // {"errorType":"Error"}
    let failure = "Lambda-Runtime-Function-Error-Type: Error\r\nLambda-Runtime-Function-Error-Body: eyJlcnJvclR5cGUiOiJFcnJvciJ9\r\n";

    let chunked = result(&function, json!({"raw_answer": post("", "")})).await;
    let streamed = result(&function, json!({"raw_answer": post(mode, "")})).await;
    let failed = error(
        &function,
        json!({"raw_answer": post(&format!("{mode}{trailer}"), failure)}),
    )
    .await;
    let wrong_mode = error(
        &function,
        json!({"answer": {"size": 1, "extra": "Lambda-Runtime-Function-Response-Mode: odd\r\n"}}),
    )
    .await;

    assert_eq!(chunked, json!([1, 2]));
    assert_eq!(streamed, json!([1, 2]));
    assert_eq!(failed, json!({"errorType": "Error"}));
    assert_eq!(wrong_mode["errorType"], "Runtime.InvalidResponseModeHeader");
    function.shutdown().await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_bootstrap_of_the_projects_own_is_run() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder(&[
        ("runtime.py", CUSTOM),
        (
            "bootstrap",
            "#!/bin/sh\nexec python3 \"$LAMBDA_TASK_ROOT/runtime.py\"\n",
        ),
    ]);
    let function = local(&runtime("provided.al2023", "anything", folder.path()));
    assert!(function.check().unwrap_err().contains("chmod +x"));
    let program = folder.path().join("bootstrap");
    std::fs::set_permissions(program, std::fs::Permissions::from_mode(0o755)).unwrap();

    assert_eq!(function.check(), Ok(()));
    assert_eq!(result(&function, json!({})).await, json!([403]));
    function.shutdown().await;
}

#[tokio::test]
async fn code_that_was_saved_just_now_is_what_runs() {
    let folder = folder(&[]);
    for n in 0..4 {
        let code = format!("def handler(event, context):\n    return {n}\n");
        std::fs::write(folder.path().join("app.py"), code).unwrap();
        let function = local(&python(&folder));
        assert_eq!(result(&function, json!({})).await, n);
        function.shutdown().await;
    }
}

#[tokio::test]
async fn a_runtime_that_ends_after_each_answer_loses_no_call() {
    let folder = folder(&[(
        "app.py",
        "import os, threading\ndef handler(event, context):\n    threading.Timer(0, os._exit, [0]).start() if event['last'] else None\n    return event['n']\n",
    )]);
    let function = local(&python(&folder));

    for n in 0..10 {
        let outcome = outcome(&function, json!({"n": n, "last": n % 3 == 2})).await;
        // The thread may be faster than the answer.
        if outcome.function_error.is_none() {
            assert_eq!(outcome.payload, n.to_string());
        } else {
            assert_eq!(n % 3, 2);
        }
    }
    function.shutdown().await;
}

// --- logs -----------------------------------------------------------------------------------

#[tokio::test]
async fn logs_come_in_order_with_lambdas_lines_around_them() {
    let log = log();
    let folder = folder(&[(
        "app.py",
        r#"
import logging, sys
logging.basicConfig(format="not used, as at AWS")
logging.getLogger().setLevel("INFO")
def handler(event, context):
    print("printed")
    sys.stderr.write("in red\rand on\n")
    logging.info("logged")
    raise KeyError("gone")
"#,
    )]);
    let function = LocalFunction::new("logged", &python(&folder), LocalOptions::default());

    error(&function, json!({})).await;
    function.shutdown().await;

    let events = log.of_function("logged");
    let lines: Vec<&str> = events
        .iter()
        .map(|event| event["fields"]["message"].as_str().unwrap())
        .collect();
    let id = events[0]["fields"]["request_id"].as_str().unwrap();
    let place = |start: &str| {
        lines
            .iter()
            .position(|line| line.starts_with(start))
            .unwrap_or_else(|| panic!("{start} in {lines:#?}"))
    };
    assert_eq!(place(&format!("START RequestId: {id} Version: $LATEST")), 0);
    assert!(place("in red") < place("and on"));
    assert!(place("printed") < place("[INFO]\t"));
    assert!(lines[place("[INFO]\t")].ends_with(&format!("{id}\tlogged")));
    let failure = place("KeyError: 'gone'\n");
    assert!(lines[failure].contains("raise KeyError(\"gone\")"));
    assert_eq!(events[failure]["level"], "ERROR");
    assert_eq!(place(&format!("END RequestId: {id}")), failure + 1);
    let report = place(&format!("REPORT RequestId: {id}\tDuration: "));
    assert_eq!(report, failure + 2);
    assert!(lines[report].contains("\tMemory Size: 256 MB\t"));
    assert!(lines[report].contains("\tInit Duration: "));
    assert!(events.iter().all(|e| e["fields"]["request_id"] == id));
}
