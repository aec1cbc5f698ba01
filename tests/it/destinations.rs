//! Destinations of asynchronous invocations: functions that get the records of others.
//! `python3` must be on PATH.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use indexmap::IndexMap;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tollgate::base::FunctionArn;
use tollgate::function::handler::Handlers;
use tollgate::function::{Functions, FunctionsOptions, InvocationType};
use tollgate::model::Spanned;
use tollgate::model::settings::{EventInvokeSettings, FunctionSettings};
use tollgate::source::Span;

use crate::functions::{Reports, call, code, log, python};

/// Tells the port in the event, or in the record's event, what it gets; fails if it is asked to.
const TELLS: &str = "
import json, os, socket
def handler(event, context):
    asked = event
    while 'requestPayload' in asked:
        asked = asked['requestPayload']
    report = {'name': context.function_name, 'arn': context.invoked_function_arn, 'id': context.aws_request_id,
              'trace': os.environ.get('_X_AMZN_TRACE_ID'), 'word': os.environ.get('WORD'), 'event': event}
    with socket.create_connection(('127.0.0.1', asked['port'])) as s:
        s.sendall(json.dumps(report).encode())
    if asked.get('fails'):
        raise ValueError('asked to')
    return {'made': asked.get('n')}
";

fn to(target: &str) -> Option<Spanned<String>> {
    Some(Spanned {
        value: target.to_owned(),
        span: Span::default(),
    })
}

/// A function of that code which is not tried again.
fn function(place: &Path, success: Option<&str>, failure: Option<&str>) -> FunctionSettings {
    let mut settings = python(place);
    settings.life.event_invoke = EventInvokeSettings {
        maximum_retry_attempts: 0,
        on_success: success.and_then(to),
        on_failure: failure.and_then(to),
        ..EventInvokeSettings::default()
    };
    settings
}

fn options(folder: &TempDir) -> FunctionsOptions {
    let mut options = FunctionsOptions {
        account_id: "123456789012".to_owned(),
        directory: folder.path().to_owned(),
        ..FunctionsOptions::default()
    };
    options.aws.region = "us-east-1".to_owned();
    options
}

fn place(folder: &TempDir, settings: &[(&str, FunctionSettings)]) -> Functions {
    let settings = settings.iter();
    let settings: IndexMap<String, FunctionSettings> = settings
        .map(|(name, settings)| ((*name).to_owned(), settings.clone()))
        .collect();
    Functions::new(&settings, Handlers::default(), options(folder))
}

async fn send(functions: &Functions, arn: &str, value: Value) {
    let function = functions.find(&FunctionArn::parse(arn).unwrap()).unwrap();
    let mut invocation = call(&value);
    invocation.invocation_type = InvocationType::Event;
    invocation.qualifier.clone_from(&function.qualifier);
    assert_eq!(function.invoke(invocation).await.unwrap().status, 202);
}

async fn report(reports: &Reports) -> Value {
    serde_json::from_str(&reports.next().await).unwrap()
}

fn is_timestamp(value: &Value) -> bool {
    let text = value.as_str().unwrap();
    text.len() == "2019-11-14T18:16:05.568Z".len() && text.parse::<jiff::Timestamp>().is_ok()
}

#[tokio::test]
async fn a_destination_gets_the_record_that_lambda_documents() {
    let reports = Reports::open().await;
    let folder = code(TELLS);
    let arn = |name: &str| format!("arn:aws:lambda:us-east-1:123456789012:function:{name}");
    let source = function(folder.path(), Some(&arn("good")), Some("bad:live"));
    let sink = function(folder.path(), None, None);
    let functions = place(
        &folder,
        &[("source", source), ("good", sink.clone()), ("bad", sink)],
    );

    for (fails, qualifier) in [(false, ""), (true, ":7")] {
        let asked = json!({"port": reports.port(), "n": 1, "fails": fails});
        send(&functions, &format!("source{qualifier}"), asked.clone()).await;
        let run = report(&reports).await;
        // The record's event asks to fail, too; that one has no destination.
        let mut got = report(&reports).await;

        let record = &mut got["event"];
        assert!(is_timestamp(&record["timestamp"].take()), "{record}");
        let (condition, name) = match fails {
            false => ("Success", "good"),
            true => ("RetriesExhausted", "bad"),
        };
        let qualified = match fails {
            false => format!("{}:$LATEST", arn("source")),
            true => format!("{}:7", arn("source")),
        };
        let mut expected = json!({
            "version": "1.0",
            "timestamp": null,
            "requestContext": {
                "requestId": run["id"],
                "functionArn": qualified,
                "condition": condition,
                "approximateInvokeCount": 1,
            },
            "requestPayload": asked,
            "responseContext": {"statusCode": 200, "executedVersion": "$LATEST"},
            "responsePayload": {"made": 1},
        });
        if fails {
            let error = record["responsePayload"].take();
            assert_eq!(error["errorType"], "ValueError", "{error}");
            assert_eq!(error["errorMessage"], "asked to", "{error}");
            expected["responseContext"]["executedVersion"] = json!("7");
            expected["responseContext"]["functionError"] = json!("Unhandled");
            expected["responsePayload"] = Value::Null;
            assert_eq!(got["arn"], format!("{}:live", arn("bad")));
        }
        assert_eq!(got["event"], expected);
        assert_eq!(got["name"], name);
        assert_ne!(got["id"], run["id"]);
    }
    functions.shutdown().await;
}

#[tokio::test]
async fn records_that_lead_in_a_circle_end_after_sixteen() {
    let reports = Reports::open().await;
    let folder = code(TELLS);
    let itself = function(folder.path(), None, Some("itself"));
    let functions = place(&folder, &[("itself", itself)]);
    let port = reports.port();

    send(&functions, "itself", json!({"port": port, "fails": true})).await;
    let mut counts = Vec::new();
    for _ in 0..17 {
        let report = report(&reports).await;
        let trace = report["trace"].as_str().unwrap_or_default();
        let count = trace.rsplit_once(":").map_or("0", |(_, count)| count);
        counts.push(count.parse::<u32>().unwrap());
    }
    // An eighteenth would report before these, which wait behind it.
    for n in 1..3 {
        send(&functions, "itself", json!({"port": port, "n": n})).await;
        assert_eq!(report(&reports).await["event"]["n"], n);
    }

    assert_eq!(counts, (0..17).collect::<Vec<_>>());
    functions.shutdown().await;
}

#[tokio::test]
async fn records_go_to_the_functions_of_the_plan_in_force() {
    let reports = Reports::open().await;
    let folder = code(TELLS);
    let source = function(folder.path(), Some("sink"), None);
    let sink = |word: &str| {
        let mut sink = function(folder.path(), None, None);
        sink.environment.insert("WORD".to_owned(), word.to_owned());
        sink
    };
    let first = place(
        &folder,
        &[("source", source.clone()), ("sink", sink("first"))],
    );
    let later = |word: &str| {
        let settings = [
            ("source".to_owned(), source.clone()),
            ("sink".to_owned(), sink(word)),
        ];
        let settings = settings.into_iter().collect();
        let handlers = Handlers::default();
        Functions::after(Some(&first), &settings, handlers, options(&folder))
    };
    // A plan that never was in force, since something was wrong with it.
    let faulty = later("faulty");
    drop(faulty);
    let port = reports.port();
    let word = async |functions: &Functions| {
        send(functions, "source", json!({"port": port})).await;
        assert_eq!(report(&reports).await["name"], "source");
        let got = report(&reports).await;
        assert_eq!(got["name"], "sink");
        got["word"].clone()
    };

    assert_eq!(word(&first).await, "first");
    let second = later("second");
    assert_eq!(word(&first).await, "first");
    second.take_over();
    assert_eq!(word(&second).await, "second");
    // A process that an earlier plan started sends to today's functions.
    assert_eq!(word(&first).await, "second");
    second.shutdown().await;
}

#[tokio::test]
async fn events_that_never_run_leave_a_record_without_a_response() {
    let reports = Reports::open().await;
    let folder = code(TELLS);
    let mut closed = function(folder.path(), None, Some("sink"));
    closed.reserved_concurrency = Some(0);
    let mut hasty = function(folder.path(), None, Some("sink"));
    hasty.life.event_invoke.maximum_event_age = Duration::ZERO;
    let sink = function(folder.path(), None, None);
    let functions = place(
        &folder,
        &[("closed", closed), ("hasty", hasty), ("sink", sink)],
    );

    let mut seen = BTreeMap::new();
    for name in ["closed", "hasty"] {
        send(&functions, name, json!({"port": reports.port()})).await;
        let got = report(&reports).await;
        assert_eq!(got["name"], "sink");
        let record = got["event"].as_object().unwrap();
        assert!(!record.contains_key("responseContext") && !record.contains_key("responsePayload"));
        let context = &record["requestContext"];
        assert_eq!(context["approximateInvokeCount"], 0);
        seen.insert(name, context["condition"].as_str().unwrap().to_owned());
    }

    assert_eq!(seen["closed"], "ZeroReservedConcurrency");
    assert_eq!(seen["hasty"], "EventAgeExceeded");
    functions.shutdown().await;
}

#[tokio::test]
async fn what_is_meant_for_queues_and_topics_is_a_line_of_json_in_the_log() {
    const QUEUE: &str = "arn:aws:sqs:us-east-1:123456789012:failed";
    const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:done";
    const LETTERS: &str = "arn:aws:sqs:us-east-1:123456789012:letters";
    let log = log();
    let reports = Reports::open().await;
    let folder = code(TELLS);
    let mut source = function(folder.path(), Some(TOPIC), Some(QUEUE));
    source.life.dead_letter = to(LETTERS);
    // One process: what a second event reports comes after the end of the first.
    source.reserved_concurrency = Some(1);
    let functions = place(&folder, &[("to-queues", source)]);

    for asked in [json!({"fails": true}), json!({"n": 2}), json!({"n": 3})] {
        let mut asked = asked;
        asked["port"] = json!(reports.port());
        send(&functions, "to-queues", asked).await;
        report(&reports).await;
    }
    functions.shutdown().await;

    let logged = log.of_function("to-queues");
    let of = |destination: &str| {
        let mut lines = logged
            .iter()
            .filter(|line| line["fields"]["destination"] == destination);
        lines
            .next()
            .unwrap_or_else(|| panic!("{destination} in {logged:#?}"))
    };
    let read = |line: &Value, field: &str| -> Value {
        serde_json::from_str(line["fields"][field].as_str().unwrap()).unwrap()
    };
    let failed = read(of(QUEUE), "record");
    assert_eq!(failed["requestContext"]["condition"], "RetriesExhausted");
    assert_eq!(failed["responsePayload"]["errorMessage"], "asked to");
    assert_eq!(of(QUEUE)["level"], "ERROR");
    let done = read(of(TOPIC), "record");
    assert_eq!(done["requestContext"]["condition"], "Success");
    assert_eq!(done["responsePayload"], json!({"made": 2}));
    assert_eq!(of(TOPIC)["level"], "INFO");
    let letter = read(of(LETTERS), "letter");
    assert_eq!(letter["body"]["fails"], true);
    let attributes = json!({
        "RequestID": failed["requestContext"]["requestId"],
        "ErrorCode": "200",
        "ErrorMessage": "asked to",
    });
    assert_eq!(letter["attributes"], attributes);
}

#[tokio::test]
async fn a_function_that_is_its_own_destination_ends_with_its_plan() {
    // Open as long as the process lives.
    const STAYS: &str = "
import socket
open_ones = []
def handler(event, context):
    if 'port' in event:
        open_ones.append(socket.create_connection(('127.0.0.1', event['port'])))
        open_ones[-1].sendall(b'here\\n')
";
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let folder = code(STAYS);
    let itself = function(folder.path(), Some("itself"), Some("itself"));
    let functions = place(&folder, &[("itself", itself)]);

    let port = listener.local_addr().unwrap().port();
    send(&functions, "itself", json!({"port": port})).await;
    let mut lines = BufReader::new(listener.accept().await.unwrap().0).lines();
    assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("here"));
    // Nobody else holds it: what is left is its processes, which end without work.
    drop(functions);

    // The end of the process, by which a kept one would never come.
    assert!(matches!(lines.next_line().await, Ok(None) | Err(_)));
}
