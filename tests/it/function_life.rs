//! What surrounds local functions: zip files, layers, extensions, retries, and many
//! calls at once to functions that misbehave. `python3` must be on PATH.

use std::collections::HashSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tollgate::function::local::{LocalFunction, LocalOptions};
use tollgate::function::{InvocationType, InvokeError};
use tollgate::model::Spanned;
use tollgate::model::settings::{FunctionPlace, FunctionSettings};
use tollgate::source::Span;

use crate::functions::{Reports, call, code, node, outcome, python, result};

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// A function whose own folder of the gateway's is in `folder`.
fn local(settings: &FunctionSettings, folder: &TempDir) -> Arc<LocalFunction> {
    let options = LocalOptions {
        cache: folder.path().join(".tollgate"),
        retry_delay: Duration::from_millis(1),
        ..LocalOptions::default()
    };
    LocalFunction::new("pets", settings, options)
}

fn zip(path: &Path, files: &[(&str, &str)]) -> PathBuf {
    let mut archive = zip::ZipWriter::new(fs::File::create(path).unwrap());
    for (name, text) in files {
        let options = zip::write::SimpleFileOptions::default();
        archive.start_file(*name, options).unwrap();
        archive.write_all(text.as_bytes()).unwrap();
    }
    archive.finish().unwrap();
    path.to_owned()
}

#[cfg(unix)]
fn make_executable(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test]
async fn code_and_layers_come_from_folders_and_zip_files() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let app = "import os, first, second, third\ndef handler(event, context):\n    return [first.NAME, second.NAME, third.NAME, os.environ['LAMBDA_TASK_ROOT'], os.environ['LAMBDA_RUNTIME_DIR'], os.environ['PATH']]\n";
    let mut settings = python(zip(&at("code.zip"), &[("app.py", app)]));
    write(&at("layer/python/first.py"), "NAME = 'folder'\n");
    write(&at("layer/python/third.py"), "NAME = 'overwritten'\n");
    settings.life.layers = vec![
        at("layer"),
        zip(
            &at("layer.zip"),
            &[
                ("python/second.py", "NAME = 'zip'\n"),
                ("python/third.py", "NAME = 'the last one wins'\n"),
            ],
        ),
    ];
    let function = local(&settings, &folder);

    function.check().unwrap();
    let seen = result(&function, json!({})).await;

    assert_eq!(seen[0], "folder");
    assert_eq!(seen[1], "zip");
    assert_eq!(seen[2], "the last one wins");
    let cache = folder.path().join(".tollgate");
    assert!(
        seen[3]
            .as_str()
            .unwrap()
            .starts_with(cache.to_str().unwrap())
    );
    assert_eq!(seen[4], cache.join("runtime").to_str().unwrap());
    assert!(seen[5].as_str().unwrap().ends_with("/bin"));
    function.shutdown().await;
}

#[tokio::test]
async fn a_zip_that_leaves_its_folder_keeps_the_function_from_starting() {
    let folder = tempfile::tempdir().unwrap();
    let archive = zip(&folder.path().join("evil.zip"), &[("../evil.py", "")]);
    let function = local(&python(&archive), &folder);

    let error = function.invoke(call(&json!({}))).await.unwrap_err();

    assert!(error.to_string().contains("leaves its folder"), "{error}");
    assert!(!folder.path().join("evil.py").exists());
}

/// An extension in Python's standard library: registers, subscribes to telemetry, and
/// reports each event and each batch to the port in `REPORTS`.
#[cfg(unix)]
const EXTENSION: &str = r#"#!/usr/bin/env python3
import http.client, http.server, json, os, socket, sys, threading

def report(kind, value):
    with socket.create_connection(("127.0.0.1", int(os.environ["REPORTS"]))) as s:
        s.sendall(json.dumps([kind, value]).encode())

class Sink(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        batch = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()
        self.wfile.flush()
        report("telemetry", batch)
    def log_message(self, *_):
        pass

sink = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Sink)
threading.Thread(target=sink.serve_forever, daemon=True).start()
connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])

def call(method, path, body, headers):
    connection.request(method, path, body and json.dumps(body), headers)
    answer = connection.getresponse()
    return answer.status, dict((k.lower(), v) for k, v in answer.getheaders()), answer.read()

name = os.path.basename(sys.argv[0])
status, headers, body = call("POST", "/2020-01-01/extension/register",
    {"events": ["INVOKE", "SHUTDOWN"]}, {"Lambda-Extension-Name": name, "Lambda-Extension-Accept-Feature": "accountId"})
identifier = {"Lambda-Extension-Identifier": headers["lambda-extension-identifier"]}
report("registered", json.loads(body))
status, _, body = call("PUT", "/2022-07-01/telemetry", {
    "schemaVersion": "2022-12-13", "types": ["platform", "function"], "buffering": {"timeoutMs": 25},
    "destination": {"protocol": "HTTP", "URI": "http://sandbox.localdomain:%d" % sink.server_port}}, identifier)
report("subscribed", [status, "_HANDLER" in os.environ])
while True:
    status, _, body = call("GET", "/2020-01-01/extension/event/next", None, identifier)
    event = json.loads(body)
    report(event["eventType"], event)
    if event["eventType"] == "SHUTDOWN":
        break
"#;

#[cfg(unix)]
#[tokio::test]
async fn an_external_extension_registers_hears_of_invocations_and_of_the_end() {
    let reports = Reports::open().await;
    let folder = code(
        "def handler(event, context):\n    print('said', event['n'])\n    return context.aws_request_id\n",
    );
    let layer = folder.path().join("layer");
    write(&layer.join("extensions/agent"), EXTENSION);
    make_executable(&layer.join("extensions/agent"));
    let mut settings = python(folder.path());
    settings.life.layers = vec![layer];
    settings
        .environment
        .insert("REPORTS".to_owned(), reports.port().to_string());
    let function = local(&settings, &folder);

    let (called, seen) = tokio::join!(result(&function, json!({"n": 1})), async {
        let mut seen: Vec<Value> = Vec::new();
        // Until the log of the invocation has come; what comes when is not ordered.
        while !seen
            .iter()
            .any(|one| one.to_string().contains("platform.report"))
        {
            seen.push(serde_json::from_str(&reports.next().await).unwrap());
        }
        seen
    });
    let (_, last) = tokio::join!(function.shutdown(), async {
        loop {
            let report: Value = serde_json::from_str(&reports.next().await).unwrap();
            if report[0] == "SHUTDOWN" {
                break report;
            }
        }
    });

    let of = |kind: &str| seen.iter().find(|one| one[0] == kind).unwrap();
    assert_eq!(of("registered")[1]["functionName"], "pets");
    assert_eq!(of("registered")[1]["handler"], "app.handler");
    assert_eq!(of("registered")[1]["accountId"], "123456789012");
    assert_eq!(of("subscribed")[1], json!([200, false]));
    assert_eq!(of("INVOKE")[1]["requestId"], called);
    let records: Vec<&Value> = seen
        .iter()
        .filter(|one| one[0] == "telemetry")
        .flat_map(|one| one[1].as_array().unwrap())
        .collect();
    let kinds: HashSet<&str> = records
        .iter()
        .map(|one| one["type"].as_str().unwrap())
        .collect();
    for kind in [
        "platform.initStart",
        "platform.telemetrySubscription",
        "platform.initRuntimeDone",
        "platform.start",
        "platform.runtimeDone",
        "platform.report",
        "function",
    ] {
        assert!(kinds.contains(kind), "{kind} is not among {kinds:?}");
    }
    let line = records
        .iter()
        .find(|one| one["type"] == "function")
        .unwrap();
    assert_eq!(line["record"], "said 1\n");
    assert_eq!(last[1]["shutdownReason"], "spindown");
    assert!(function.processes().is_empty());
}

#[cfg(unix)]
#[tokio::test]
async fn an_extension_that_crashes_ends_the_environment() {
    let folder = code("import time\ndef handler(event, context):\n    time.sleep(600)\n");
    let layer = folder.path().join("layer");
    let script = EXTENSION
        .replace("report(", "print(")
        .replace("def print(", "def _(")
        .replace(
            "    if event[\"eventType\"] == \"SHUTDOWN\":\n        break",
            "    sys.exit(7)",
        );
    write(&layer.join("extensions/agent"), &script);
    make_executable(&layer.join("extensions/agent"));
    let mut settings = python(folder.path());
    settings.life.layers = vec![layer];
    let function = local(&settings, &folder);

    let outcome = outcome(&function, json!({})).await;

    let error: Value = serde_json::from_slice(&outcome.payload).unwrap();
    assert_eq!(error["errorType"], "Extension.Crash", "{error}");
    let message = error["errorMessage"].as_str().unwrap();
    assert!(message.contains("agent ended: exit status 7"), "{message}");
    function.shutdown().await;
}

#[tokio::test]
async fn an_event_that_fails_is_tried_twice_again() {
    let reports = Reports::open().await;
    let folder = code(
        "import json, socket\ndef handler(event, context):\n    with socket.create_connection(('127.0.0.1', event['port'])) as s:\n        s.sendall(json.dumps([event['n'], context.aws_request_id]).encode())\n    if event['n'] == 'fails':\n        raise ValueError('no')\n",
    );
    let function = local(&python(folder.path()), &folder);
    let send = async |n: &str| {
        let mut invocation = call(&json!({"n": n, "port": reports.port()}));
        invocation.invocation_type = InvocationType::Event;
        assert_eq!(function.invoke(invocation).await.unwrap().status, 202);
    };

    send("fails").await;
    let mut tries: Vec<Value> = Vec::new();
    for _ in 0..3 {
        tries.push(serde_json::from_str(&reports.next().await).unwrap());
    }
    // A fourth try would come before this, which waits its turn behind it.
    send("works").await;
    let last: Value = serde_json::from_str(&reports.next().await).unwrap();

    assert!(
        tries
            .iter()
            .all(|one| one[0] == "fails" && one[1] == tries[0][1]),
        "{tries:?}"
    );
    assert_eq!(last[0], "works");
    function.shutdown().await;
}

#[tokio::test]
async fn a_thousand_calls_at_once_to_four_processes_are_each_answered_once() {
    let folder = code(
        "import os\nran = []\ndef handler(event, context):\n    ran.append(event['n'])\n    return [event['n'], os.getpid(), len(ran)]\n",
    );
    let mut settings = python(folder.path());
    settings.reserved_concurrency = Some(4);
    let function = local(&settings, &folder);

    let calls = (0..1_000).map(|n| {
        let function = Arc::clone(&function);
        tokio::spawn(async move { (n, function.invoke(call(&json!({"n": n}))).await) })
    });
    let calls: Vec<_> = calls.collect();
    let (mut answered, mut throttled, mut processes) = (0, 0, IndexMap::new());
    for call in calls {
        match call.await.unwrap() {
            (n, Ok(outcome)) => {
                let answer: Value = serde_json::from_slice(&outcome.payload).unwrap();
                assert_eq!(answer[0], n, "an answer went to another caller");
                let ran = answer[2].as_u64().unwrap();
                let most = processes.entry(answer[1].to_string()).or_insert(0);
                *most = ran.max(*most);
                answered += 1;
            }
            (_, Err(InvokeError::Throttled { .. })) => throttled += 1,
            (_, Err(other)) => panic!("{other}"),
        }
    }

    assert_eq!(answered + throttled, 1_000);
    assert!(
        answered >= 4 && processes.len() <= 4,
        "{answered} by {processes:?}"
    );
    // Each process counts what it ran: nothing ran that was not answered, nothing twice.
    assert_eq!(processes.values().sum::<u64>(), answered);
    function.shutdown().await;
    assert!(function.processes().is_empty());
}

#[tokio::test]
async fn a_function_that_crashes_every_third_time_loses_no_other_call() {
    let folder = code(
        "import os\nran = []\ndef handler(event, context):\n    with open(event['file'], 'a') as f:\n        f.write('%d\\n' % event['n'])\n    ran.append(1)\n    if len(ran) == 3:\n        os._exit(9)\n    return event['n']\n",
    );
    let file = folder.path().join("ran");
    let mut settings = python(folder.path());
    settings.reserved_concurrency = Some(4);
    let function = local(&settings, &folder);

    let (mut crashed, mut answered) = (0, 0);
    for round in 0..6 {
        let calls = (0..4).map(|n| outcome(&function, json!({"n": round * 4 + n, "file": file})));
        for (n, outcome) in futures_util::future::join_all(calls)
            .await
            .into_iter()
            .enumerate()
        {
            let payload: Value = serde_json::from_slice(&outcome.payload).unwrap();
            match outcome.function_error {
                None => {
                    assert_eq!(payload, round * 4 + n as u64);
                    answered += 1;
                }
                Some(_) => {
                    assert_eq!(payload["errorType"], "Runtime.ExitError");
                    crashed += 1;
                }
            }
        }
    }

    assert_eq!(crashed + answered, 24);
    // Each ran once: none is lost with a crash, and none is tried again behind the caller's back.
    let mut ran: Vec<u64> = fs::read_to_string(&file)
        .unwrap()
        .lines()
        .map(|line| line.parse().unwrap())
        .collect();
    ran.sort_unstable();
    assert_eq!(ran, (0..24).collect::<Vec<u64>>());
    // Of every three calls of a process one crashes; those of the last processes are not full.
    assert!((4..=8).contains(&crashed), "{crashed}");
    function.shutdown().await;
    assert!(function.processes().is_empty());
}

/// Whether a process is gone, or waits for its parent to look at its end.
#[cfg(target_os = "linux")]
fn is_gone(process: &str) -> bool {
    fs::read_to_string(format!("/proc/{process}/stat")).map_or(true, |stat| stat.contains(") Z "))
}

/// Waits for a killed process's end: on a busy machine the kernel takes its time. One that was
/// not killed sleeps for ten minutes.
#[cfg(target_os = "linux")]
async fn ends(process: &str) {
    let gone = async {
        while !is_gone(process) {
            tokio::task::yield_now().await;
        }
    };
    let gone = tokio::time::timeout(Duration::from_secs(120), gone).await;
    assert!(gone.is_ok(), "{process} is left over");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn what_a_function_forks_is_gone_when_it_never_returns_or_the_gateway_ends() {
    let folder = code(
        "import os, time\ndef handler(event, context):\n    child = os.fork()\n    if child == 0:\n        time.sleep(600)\n        os._exit(0)\n    open(event['file'], 'w').write('%d %d' % (os.getpid(), child))\n    if event.get('hangs'):\n        time.sleep(600)\n    return 1\n",
    );
    let file = folder.path().join("processes");
    let mut settings = python(folder.path());
    settings.timeout = Duration::from_secs(2);
    let function = local(&settings, &folder);

    let late = outcome(&function, json!({"file": file, "hangs": true})).await;
    let first = fs::read_to_string(&file).unwrap();
    let fine = result(&function, json!({"file": file})).await;
    let second = fs::read_to_string(&file).unwrap();
    function.shutdown().await;

    let late = String::from_utf8_lossy(&late.payload).into_owned();
    assert!(late.contains("Task timed out after 2.00 seconds"), "{late}");
    assert_eq!(fine, 1);
    for process in first.split(' ').chain(second.split(' ')) {
        ends(process).await;
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_daemon_that_a_function_leaves_behind_ends_with_its_process() {
    let folder = code(
        "import os, subprocess\ndef handler(event, context):\n    daemon = subprocess.Popen(['sleep', '600'], start_new_session=True)\n    if event.get('crashes'):\n        open(event['file'], 'w').write(str(daemon.pid))\n        os._exit(3)\n    return daemon.pid\n",
    );
    let file = folder.path().join("daemon");
    let function = local(&python(folder.path()), &folder);

    outcome(&function, json!({"file": file, "crashes": true})).await;
    let first = fs::read_to_string(&file).unwrap();
    let second = result(&function, json!({})).await.to_string();
    let was_there = !is_gone(&second);
    function.shutdown().await;

    assert!(was_there);
    ends(&first).await;
    ends(&second).await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn memory_is_limited_where_that_is_asked_for() {
    let folder = code(
        "def handler(event, context):\n    return len(bytearray(event['mb'] * 1024 * 1024))\n",
    );
    let script =
        "exports.handler = async (event) => Buffer.alloc(event.mb * 1024 * 1024).length;\n";
    write(&folder.path().join("app.js"), script);
    for (mut settings, memory, least, most, words) in [
        (python(&folder), 128, 64, 600, "MemoryError"),
        (node(&folder), 512, 64, 1500, "allocation failed"),
    ] {
        settings.memory_size = memory;
        let open = local(&settings, &folder);
        settings.life.enforce_memory = true;
        let bounded = local(&settings, &folder);

        let unlimited = result(&open, json!({"mb": most})).await;
        let fits = result(&bounded, json!({"mb": least})).await;
        let over = outcome(&bounded, json!({"mb": most})).await;

        assert_eq!(unlimited, most * 1024 * 1024);
        assert_eq!(fits, least * 1024 * 1024);
        let over = String::from_utf8_lossy(&over.payload).into_owned();
        assert!(over.contains(words), "{over}");
        open.shutdown().await;
        bounded.shutdown().await;
    }
}

#[cfg(unix)]
#[tokio::test]
async fn modules_and_programs_of_a_layer_are_found_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let script = "const { execFileSync } = require('child_process');\nexports.handler = async () => [require('shared'), require('own'), execFileSync('from-the-layer').toString()];\n";
    write(&at("src/app.js"), script);
    // What the project has itself goes before the layer's.
    write(
        &at("node_modules/own/index.js"),
        "module.exports = 'the project';\n",
    );
    let layer = "layer/nodejs/node_modules";
    write(
        &at(&format!("{layer}/own/index.js")),
        "module.exports = 'the layer';\n",
    );
    write(
        &at(&format!("{layer}/shared/index.js")),
        "module.exports = 'the layer';\n",
    );
    write(
        &at("layer/bin/from-the-layer"),
        "#!/bin/sh\nprintf program\n",
    );
    make_executable(&at("layer/bin/from-the-layer"));
    let mut settings = node(at("src"));
    settings.life.layers = vec![at("layer")];
    let function = local(&settings, &folder);

    let seen = result(&function, json!({})).await;

    assert_eq!(seen, json!(["the layer", "the project", "program"]));
    function.shutdown().await;
}

/// Stands for a project's esbuild: takes the types off and writes where it is told.
#[cfg(unix)]
const ESBUILD: &str = r#"#!/bin/sh
for word in "$@"; do
    case "$word" in
        --outdir=*) out="${word#--outdir=}" ;;
        --*) ;;
        *) entry="$word" ;;
    esac
done
grep -q BROKEN "$entry" && { echo "error: $entry is broken" >&2; exit 1; }
name=$(basename "$entry" .ts)
sed 's/: any//g; s/^export const handler/exports.handler/' "$entry" > "$out/$name.js"
"#;

#[cfg(unix)]
#[tokio::test]
async fn typescript_is_built_by_the_projects_own_esbuild() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    write(
        &at("app.ts"),
        "export const handler = async (event: any) => ({ built: event.n });\n",
    );
    let mut settings = python(folder.path());
    let FunctionPlace::Runtime { runtime, .. } = &mut settings.place else {
        panic!("it is a runtime's");
    };
    runtime.value = "nodejs20.x".to_owned();

    let without = local(&settings, &folder).check().unwrap_err();
    write(&at("node_modules/.bin/esbuild"), ESBUILD);
    make_executable(&at("node_modules/.bin/esbuild"));
    let function = local(&settings, &folder);
    let built = result(&function, json!({"n": 7})).await;
    function.shutdown().await;
    write(&at("app.ts"), "BROKEN\n");
    let broken = local(&settings, &folder)
        .invoke(call(&json!({})))
        .await
        .unwrap_err();

    assert!(
        without.contains("npm install --save-dev esbuild"),
        "{without}"
    );
    assert_eq!(built, json!({"built": 7}));
    assert!(broken.to_string().contains("app.ts is broken"), "{broken}");
}

#[cfg(unix)]
#[tokio::test]
async fn a_wrapper_script_of_a_layer_starts_the_runtime() {
    let folder =
        code("import os\ndef handler(event, context):\n    return os.environ['WRAPPED']\n");
    let wrapper = folder.path().join("layer/wrap");
    write(
        &wrapper,
        "#!/bin/sh\nexport WRAPPED=\"$(basename \"$2\")\"\nexec \"$@\"\n",
    );
    make_executable(&wrapper);
    let mut settings = python(folder.path());
    settings.life.layers = vec![folder.path().join("layer")];
    let name = "AWS_LAMBDA_EXEC_WRAPPER".to_owned();
    settings.environment.insert(name, "/opt/wrap".to_owned());
    let function = local(&settings, &folder);

    assert_eq!(result(&function, json!({})).await, "bootstrap.py");
    function.shutdown().await;
}

/// Answers one connection with `answers` in turn, and gives the request lines that came.
async fn endpoint(answers: Vec<Vec<u8>>) -> (String, tokio::task::JoinHandle<Vec<String>>) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let task = tokio::spawn(async move {
        let mut lines = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"{}") {
                assert_ne!(stream.read_buf(&mut head).await.unwrap(), 0);
            }
            let head = String::from_utf8(head).unwrap();
            lines.push(head.lines().next().unwrap().to_owned());
            stream.write_all(&answer).await.unwrap();
        }
        lines
    });
    (url, task)
}

fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n"
    );
    [head.as_bytes(), body].concat()
}

fn placed(url: String) -> tollgate::function::FunctionRef {
    let mut settings = python(Path::new("/"));
    settings.place = FunctionPlace::Endpoint {
        url: Spanned {
            value: url,
            span: Span::default(),
        },
    };
    let functions = tollgate::function::Functions::new(
        &IndexMap::from([("far".to_owned(), settings)]),
        tollgate::function::handler::Handlers::default(),
        tollgate::function::FunctionsOptions::default(),
    );
    functions.resolve(&tollgate::base::FunctionArn {
        partition: "aws".to_owned(),
        region: String::new(),
        account: String::new(),
        name: "far".to_owned(),
        qualifier: None,
    })
}

async fn streamed(function: &tollgate::function::FunctionRef) -> (Option<String>, String) {
    use http_body_util::BodyExt;

    let opened = function.open_stream(call(&json!({}))).await.unwrap();
    let tollgate::function::Streamed::Body(body) = opened.streamed else {
        panic!("it failed");
    };
    let bytes = body.collect().await.unwrap().to_bytes();
    (
        opened.content_type,
        String::from_utf8(bytes.to_vec()).unwrap(),
    )
}

#[tokio::test]
async fn an_endpoint_is_asked_for_a_stream() {
    use aws_smithy_types::event_stream::{Header, HeaderValue, Message};

    let mut stream = Vec::new();
    for (kind, payload) in [
        ("PayloadChunk", "one "),
        ("PayloadChunk", "two"),
        ("InvokeComplete", "{}"),
    ] {
        let text = |text: &str| HeaderValue::String(text.to_owned().into());
        let message = Message::new(payload)
            .add_header(Header::new(":message-type", text("event")))
            .add_header(Header::new(":event-type", text(kind)));
        aws_smithy_eventstream::frame::write_message_to(&message, &mut stream).unwrap();
    }
    let headers = "content-type: application/vnd.amazon.eventstream\r\nx-amzn-remapped-content-type: text/x\r\n";
    let (url, seen) = endpoint(vec![answer("200 OK", headers, &stream)]).await;

    let (kind, text) = streamed(&placed(url)).await;

    assert_eq!(kind.as_deref(), Some("text/x"));
    assert_eq!(text, "one two");
    assert_eq!(
        seen.await.unwrap(),
        ["POST /2021-11-15/functions/far/response-streaming-invocations HTTP/1.1"]
    );
}

#[tokio::test]
async fn an_endpoint_that_knows_no_streams_is_asked_for_the_whole_and_then_at_once() {
    let whole = || answer("200 OK", "", b"\"whole\"");
    let answers = vec![
        answer("404 Not Found", "", b"404 page not found"),
        whole(),
        whole(),
    ];
    let (url, seen) = endpoint(answers).await;
    let function = placed(url);

    for _ in 0..2 {
        assert_eq!(streamed(&function).await, (None, "\"whole\"".to_owned()));
    }

    let lines = seen.await.unwrap();
    assert!(lines[0].contains("response-streaming-invocations"));
    assert!(
        lines[1..]
            .iter()
            .all(|line| line.contains("/2015-03-31/functions/far/invocations"))
    );
}
