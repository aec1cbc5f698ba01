//! Lambda authorizers: what is kept of their answers, and when they are asked.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use serde_json::{Value as Json, json};
use tollgate::Gateway;
use tollgate::base::Clock;
use tollgate::base::clock::HandClock;
use tollgate::server::Running;

use super::{echo, get, send};

/// A gateway whose authorizer is a closure, and how often that was called.
struct Stage {
    gateway: Running,
    calls: Arc<AtomicUsize>,
    events: Arc<Mutex<Vec<Json>>>,
    clock: HandClock,
}

fn policy(effect: &str, resource: &str) -> Json {
    json!({"Version": "2012-10-17", "Statement": [
        {"Action": "execute-api:Invoke", "Effect": effect, "Resource": resource},
    ]})
}

/// Answers by the token: `deny`, `fail`, `unauthorized`, `nothing`, `own` (this
/// method alone), `slow`; everything else is allowed.
fn decide(event: &Json) -> (u16, Json) {
    let token = event["authorizationToken"]
        .as_str()
        .or_else(|| event["headers"]["x-token"].as_str())
        .unwrap_or_default();
    let arn = event["methodArn"].as_str().unwrap_or_default();
    match token {
        "fail" => (500, json!({"errorMessage": "boom", "errorType": "Error"})),
        "unauthorized" => (500, json!({"errorMessage": "Unauthorized"})),
        "nothing" => (200, json!({})),
        "nested" => (
            200,
            json!({"principalId": "u", "policyDocument": policy("Allow", "*"), "context": {"a": [1]}}),
        ),
        "deny" => (
            200,
            json!({"principalId": "u", "policyDocument": policy("Deny", "*")}),
        ),
        "own" => (
            200,
            json!({"principalId": "u", "policyDocument": policy("Allow", arn)}),
        ),
        "but-admin" => (
            200,
            json!({"principalId": "u", "policyDocument": {"Version": "2012-10-17", "Statement": [
                {"Action": "*", "Effect": "Allow", "Resource": "*"},
                {"Action": "*", "Effect": "Deny", "Resource": "*/GET/admin"},
                {"Action": "*", "Effect": "Deny", "Resource": "*/GET/things/7"},
            ]}}),
        ),
        _ => (
            200,
            json!({"principalId": "u", "policyDocument": policy("Allow", "*"), "context": {"n": 1}}),
        ),
    }
}

impl Stage {
    async fn set(authorizer: Json) -> Self {
        Self::with(authorizer, json!({})).await
    }

    async fn with(authorizer: Json, document: Json) -> Self {
        let calls = Arc::new(AtomicUsize::new(0));
        let events = Arc::new(Mutex::new(Vec::new()));
        let operation =
            json!({"get": {"security": [{"lam": []}], "x-amazon-apigateway-integration": echo()}});
        let mut whole = json!({
            "openapi": "3.0.1", "info": {"title": "t", "version": "1"},
            "paths": {"/a": operation, "/b": operation, "/admin": operation, "/things/{id}": operation},
            "components": {"securitySchemes": {"lam": {
                "type": "apiKey", "name": "X-Token", "in": "header", "x-amazon-apigateway-authtype": "custom",
                "x-amazon-apigateway-authorizer": authorizer,
            }}},
        });
        for (name, value) in document.as_object().unwrap() {
            whole[name] = value.clone();
        }
        let (counted, noted) = (Arc::clone(&calls), Arc::clone(&events));
        let handler = move |request: Request<Bytes>| {
            counted.fetch_add(1, Ordering::SeqCst);
            let event: Json = serde_json::from_slice(request.body()).unwrap();
            let (status, answer) = decide(&event);
            noted.lock().unwrap().push(event.clone());
            async move {
                if event.to_string().contains("slow") {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                let mut response = Response::new(answer.to_string());
                *response.status_mut() = StatusCode::from_u16(status).unwrap();
                response
            }
        };
        let clock = HandClock::at(Duration::from_secs(1_800_000_000));
        let gateway = Gateway::builder()
            .openapi_text(whole.to_string())
            .handler("authorizer", handler)
            .clock(Clock::Hand(clock.clone()))
            .spawn()
            .await
            .unwrap();
        Self {
            gateway,
            calls,
            events,
            clock,
        }
    }

    async fn token(ttl: u32) -> Self {
        Self::set(json!({"type": "token", "authorizerUri": "local:authorizer", "authorizerResultTtlInSeconds": ttl})).await
    }

    async fn status(&self, path: &str, token: &str) -> u16 {
        let headers = [("x-token", token)];
        send(&self.gateway, "GET", path, &headers, b"").await.status
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_kept_for_its_time() {
    let stage = Stage::token(60).await;

    for _ in 0..3 {
        assert_eq!(stage.status("/a", "one").await, 200);
    }
    assert_eq!(stage.calls(), 1);
    stage.clock.advance(Duration::from_secs(59));
    assert_eq!(stage.status("/b", "one").await, 200);
    assert_eq!(stage.calls(), 1);
    stage.clock.advance(Duration::from_secs(1));
    assert_eq!(stage.status("/a", "one").await, 200);
    assert_eq!(stage.calls(), 2);
    // A clock that is set back keeps nothing alive.
    stage.clock.set(Duration::from_secs(1_700_000_000));
    assert_eq!(stage.status("/a", "one").await, 200);
    assert_eq!(stage.calls(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn denials_are_kept_and_errors_are_not() {
    let stage = Stage::token(60).await;

    for (token, status, calls) in [
        ("deny", 403, 1),
        ("fail", 500, 2),
        ("unauthorized", 401, 2),
        ("nothing", 500, 2),
        ("nested", 500, 2),
    ] {
        let before = stage.calls();
        for _ in 0..2 {
            assert_eq!(stage.status("/a", token).await, status, "{token}");
        }
        assert_eq!(stage.calls() - before, calls, "{token}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_policy_is_asked_for_each_method() {
    let stage = Stage::token(60).await;

    assert_eq!(stage.status("/a", "own").await, 200);
    assert_eq!(stage.status("/b", "own").await, 403);
    assert_eq!(stage.calls(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_spelling_of_a_path_is_no_way_round_a_deny() {
    let stage = Stage::token(60).await;

    for path in [
        "/admin",
        "/admin/",
        "//admin",
        "/%61dmin",
        "/%61%64min/",
        "/things/7",
        "/things/%37",
        "/things/7/",
    ] {
        assert_eq!(stage.status(path, "but-admin").await, 403, "{path}");
    }
    for path in ["/a", "/%61", "/things/8"] {
        assert_eq!(stage.status(path, "but-admin").await, 200, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_ask_once() {
    let stage = Arc::new(Stage::token(60).await);
    let tasks = (0..30).map(|_| {
        let stage = Arc::clone(&stage);
        tokio::spawn(async move { stage.status("/a", "slow").await })
    });

    for task in tasks.collect::<Vec<_>>() {
        assert_eq!(task.await.unwrap(), 200);
    }

    assert_eq!(stage.calls(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_time_nothing_is_kept() {
    let stage = Stage::token(0).await;

    for _ in 0..3 {
        assert_eq!(stage.status("/a", "one").await, 200);
    }

    assert_eq!(stage.calls(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_not_of_the_form_asks_nobody() {
    let stage = Stage::set(json!({
        "type": "token", "authorizerUri": "local:authorizer", "authorizerResultTtlInSeconds": 0,
        "identityValidationExpression": "^x-[a-z]+",
    }))
    .await;

    assert_eq!(stage.status("/a", "x-abc").await, 200);
    for token in ["", "abc", "x-", "x-abc1", "x-abc x-abc", " y", "X-ABC"] {
        assert_eq!(stage.status("/a", token).await, 401, "{token:?}");
    }
    assert_eq!(stage.calls(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn identity_sources_make_the_key_together() {
    let stage = Stage::set(json!({
        "type": "request", "authorizerUri": "local:authorizer", "authorizerResultTtlInSeconds": 60,
        "identitySource": "method.request.header.X-Token, method.request.querystring.q, context.httpMethod",
    }))
    .await;

    assert_eq!(stage.status("/a?q=1", "t").await, 200);
    assert_eq!(stage.status("/b?q=1&more=1", "t").await, 200);
    assert_eq!(stage.calls(), 1);
    assert_eq!(stage.status("/a?q=2", "t").await, 200);
    assert_eq!(stage.status("/a?q=1", "u").await, 200);
    assert_eq!(stage.calls(), 3);
    for (path, token) in [("/a", "t"), ("/a?q=", "t"), ("/a?q=1", "")] {
        assert_eq!(stage.status(path, token).await, 401, "{path} {token:?}");
    }
    assert_eq!(stage.calls(), 3);
    let event = stage.events.lock().unwrap()[0].clone();
    let keys: Vec<&str> = event
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(
        keys,
        [
            "type",
            "methodArn",
            "resource",
            "path",
            "httpMethod",
            "headers",
            "multiValueHeaders",
            "queryStringParameters",
            "multiValueQueryStringParameters",
            "pathParameters",
            "stageVariables",
            "requestContext"
        ]
    );
    assert_eq!(event["pathParameters"], json!({}));
    assert_eq!(event["stageVariables"], json!({}));
    assert_eq!(event["requestContext"]["authorizer"], Json::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_arn_that_is_too_long_is_told_so() {
    let stage = Stage::token(0).await;
    let long = format!("/things/{}", "x".repeat(2000));

    assert_eq!(stage.status(&long, "one").await, 414);
    assert_eq!(stage.calls(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resource_policy_and_an_authorizer_together() {
    let statement = |effect: &str, resource: &str| json!({"Effect": effect, "Principal": "*", "Action": "execute-api:Invoke", "Resource": resource});
    let stage = Stage::with(
        json!({"type": "token", "authorizerUri": "local:authorizer", "authorizerResultTtlInSeconds": 0}),
        json!({"x-amazon-apigateway-policy": {"Version": "2012-10-17", "Statement": [
            statement("Allow", "execute-api:/dev/GET/a"),
            statement("Deny", "execute-api:/dev/GET/b"),
        ]}}),
    )
    .await;

    // The authorizer's policy, the path, the outcome, and whether the function was asked.
    for (token, path, status, calls) in [
        ("one", "/a", 200, 1),
        ("one", "/b", 403, 0),
        ("one", "/things/1", 200, 1),
        ("deny", "/a", 403, 1),
        ("deny", "/b", 403, 0),
        ("own", "/b", 403, 0),
    ] {
        let before = stage.calls();
        assert_eq!(stage.status(path, token).await, status, "{token} {path}");
        assert_eq!(stage.calls() - before, calls, "{token} {path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resource_policy_alone_must_allow() {
    let document = json!({
        "openapi": "3.0.1", "info": {"title": "t", "version": "1"},
        "paths": HashMap::from([("/a", json!({"get": {"x-amazon-apigateway-integration": echo()}})), ("/b", json!({"get": {"x-amazon-apigateway-integration": echo()}}))]),
        "x-amazon-apigateway-policy": {"Version": "2012-10-17", "Statement": {
            "Effect": "Allow", "Principal": "*", "Action": "execute-api:Invoke", "Resource": "execute-api:/dev/GET/a",
            "Condition": {"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}},
        }},
    });
    let gateway = super::serve(&document).await;

    assert_eq!(get(&gateway, "/a", "x").await.status, 200);
    assert_eq!(get(&gateway, "/%61", "x").await.status, 200);
    let refused = get(&gateway, "/b", "x").await;
    assert_eq!(refused.status, 403);
    assert!(refused.body.starts_with(r#"{"Message":"User: anonymous is not authorized to perform: execute-api:Invoke on resource: arn:aws:execute-api:us-east-1:********9012:"#), "{}", refused.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_method_that_a_header_changes_is_guarded_as_that_method() {
    let operation = json!({"x-amazon-apigateway-integration": echo()});
    let mut guarded = operation.clone();
    guarded["security"] = json!([{"lam": []}]);
    let document = json!({"paths": {"/a": {"get": operation, "delete": guarded}}});
    let stage = Stage::with(
        json!({"type": "token", "authorizerUri": "local:authorizer", "authorizerResultTtlInSeconds": 0}),
        document,
    )
    .await;
    let ask = async |told: &[&str], token: &str| {
        let mut headers = vec![("x-token", token)];
        headers.extend(told.iter().map(|told| ("X-HTTP-Method-Override", *told)));
        send(&stage.gateway, "GET", "/a", &headers, b"").await
    };

    assert_eq!(ask(&["DELETE"], "").await.status, 401);
    assert_eq!(ask(&["DELETE"], "deny").await.status, 403);
    assert_eq!(stage.calls(), 1);
    let passed = ask(&["DELETE"], "one").await;
    assert_eq!(
        (passed.status, &passed.json()["method"]),
        (200, &json!("DELETE")),
        "{}",
        passed.body
    );
    // There is no POST; and what is no method changes nothing.
    assert_eq!(ask(&["POST"], "one").await.status, 403);
    for told in [
        &["FOO"][..],
        &["delete"],
        &["DELETE,DELETE"],
        &["DELETE", "DELETE"],
        &["GET", "DELETE"],
    ] {
        let passed = ask(told, "deny").await;
        assert_eq!(passed.json()["method"], "GET", "{told:?}");
    }
}
