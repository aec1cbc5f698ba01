//! What functions, resource policies and API keys say, and who is let in by none of it.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use serde_json::{Value as Json, json};
use tollgate::Gateway;
use tollgate::server::Running;

use super::{Answer, echo, echo_http, send};

/// A gateway whose authorizer answers whatever the test puts there.
struct Stage {
    gateway: Running,
    says: Arc<Mutex<(u16, String)>>,
    calls: Arc<Mutex<usize>>,
}

impl Stage {
    async fn set(kind: &str, authorizer: Json) -> Self {
        let integration = if kind == "rest" { echo() } else { echo_http() };
        let operation =
            json!({"security": [{"who": []}], "x-amazon-apigateway-integration": integration});
        let methods = json!({"get": operation, "delete": operation});
        let document = json!({
            "openapi": "3.0.1", "info": {"title": "t", "version": "1"},
            "paths": {"/a": methods, "/a/{id}": methods},
            "components": {"securitySchemes": {"who": {
                "type": "apiKey", "name": "x-token", "in": "header", "x-amazon-apigateway-authtype": "custom",
                "x-amazon-apigateway-authorizer": authorizer,
            }}},
        });
        let says = Arc::new(Mutex::new((200, String::new())));
        let calls = Arc::new(Mutex::new(0));
        let (told, counted) = (Arc::clone(&says), Arc::clone(&calls));
        let handler = move |_: Request<Bytes>| {
            *counted.lock().unwrap() += 1;
            let (status, text) = told.lock().unwrap().clone();
            async move {
                let mut response = Response::new(text);
                *response.status_mut() = StatusCode::from_u16(status).unwrap();
                response
            }
        };
        let gateway = Gateway::builder()
            .openapi_text(document.to_string())
            .config_text(json!({ "apiType": kind }).to_string())
            .handler("who", handler)
            .spawn()
            .await
            .unwrap();
        Self {
            gateway,
            says,
            calls,
        }
    }

    async fn ask(&self, answer: impl Into<String>, method: &str, path: &str) -> Answer {
        *self.says.lock().unwrap() = (200, answer.into());
        send(&self.gateway, method, path, &[("x-token", "t")], b"").await
    }
}

fn rest_authorizer() -> Json {
    json!({"type": "token", "authorizerUri": "local:who", "authorizerResultTtlInSeconds": 0})
}

fn http_authorizer(simple: bool) -> Json {
    json!({
        "type": "request", "authorizerUri": "local:who", "authorizerResultTtlInSeconds": 0,
        "authorizerPayloadFormatVersion": "2.0", "enableSimpleResponses": simple,
        "identitySource": "$request.header.x-token",
    })
}

const INVOKE: &str = "execute-api:Invoke";

/// An answer with these statements.
fn policy(statements: Json) -> String {
    json!({"principalId": "u", "policyDocument": {"Version": "2012-10-17", "Statement": statements}})
        .to_string()
}

fn statement(change: Json) -> Json {
    let mut statement = json!({"Effect": "Allow", "Action": INVOKE, "Resource": "*"});
    for (name, value) in change.as_object().unwrap() {
        match value.as_str() {
            Some("(none)") => {
                statement.as_object_mut().unwrap().remove(name);
            }
            _ => statement[name] = value.clone(),
        }
    }
    statement
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_no_policy_are_errors() {
    let rest = Stage::set("rest", rest_authorizer()).await;
    let http = Stage::set("http", http_authorizer(false)).await;
    let whole =
        |document: Json| json!({"principalId": "u", "policyDocument": document}).to_string();
    let one = |change: Json| policy(json!([statement(change)]));
    let good = one(json!({}));
    for stage in [&rest, &http] {
        assert_eq!(stage.ask(&good, "GET", "/a").await.status, 200);
    }
    for answer in [
        String::new(), "null".to_owned(), "true".to_owned(), "\"Allow\"".to_owned(), "[]".to_owned(), "{}".to_owned(), "Allow".to_owned(),
        "<html>".to_owned(), format!("{good}x"), format!("[{good}]"), format!("{good}{good}"), good[..good.len() - 1].to_owned(),
        json!(good).to_string(),
        good.replace("policyDocument", "PolicyDocument"), good.replace("policyDocument", "policy"),
        good.replacen('{', r#"{"policyDocument":{"Statement":[]},"#, 1),
        good.replacen(r#""Effect""#, r#""Effect":"Deny","Effect""#, 1),
        json!({"isAuthorized": true}).to_string(),
        whole(json!(null)), whole(json!("Allow")), whole(json!([])), whole(json!({})), whole(json!({"Version": "2012-10-17"})),
        whole(json!(json!({"Version": "2012-10-17", "Statement": [statement(json!({}))]}).to_string())),
        whole(json!({"Version": "2012-10-17", "statement": [statement(json!({}))]})),
        whole(json!({"Version": "2012-10-17", "Statement": null})), whole(json!({"Version": "2012-10-17", "Statement": "Allow"})),
        whole(json!({"Version": "2012-10-17", "Statement": [[statement(json!({}))]]})),
        whole(json!({"Version": "2012-10-17", "Statement": [null]})),
        whole(json!({"Version": "2027-01-01", "Statement": [statement(json!({}))]})),
        whole(json!({"Version": 20121017, "Statement": [statement(json!({}))]})),
        one(json!({"Effect": "allow"})), one(json!({"Effect": "ALLOW"})), one(json!({"Effect": "Permit"})), one(json!({"Effect": true})),
        one(json!({"Effect": ["Allow"]})), one(json!({"Effect": "(none)"})), one(json!({"Effect": "Allow "})),
        one(json!({"Action": "(none)"})), one(json!({"Action": null})), one(json!({"Action": []})), one(json!({"Action": [INVOKE, 1]})),
        one(json!({"Action": {"a": INVOKE}})), one(json!({"action": INVOKE})), one(json!({"Action": INVOKE, "NotAction": "s3:*"})),
        one(json!({"Resource": "(none)"})), one(json!({"Resource": null})), one(json!({"Resource": []})), one(json!({"Resource": [null]})),
        one(json!({"Resource": 1})), one(json!({"Resource": "*", "NotResource": "x"})),
        one(json!({"Condition": "x"})), one(json!({"Condition": {"IpAddress": "127.0.0.1"}})),
        one(json!({"Condition": {"IpAddress": {"aws:SourceIp": "127.0.0.0/99"}}})), one(json!({"Condition": {"IsAddress": {"aws:SourceIp": "127.0.0.1"}}})),
        one(json!({"Condition": {"Bool": {"aws:SecureTransport": "perhaps"}}})), one(json!({"Condition": {"DateLessThan": {"aws:CurrentTime": "soon"}}})),
        one(json!({"Condition": {"NumericLessThan": {"aws:EpochTime": "many"}}})), one(json!({"Condition": {"StringLike": {"aws:UserAgent": {"a": 1}}}})),
        one(json!({"Unless": {}})), one(json!({"Conditions": {}})),
        policy(json!([statement(json!({})), {"Effect": "Deny"}])),
        json!({"principalId": {"a": 1}, "policyDocument": {"Version": "2012-10-17", "Statement": [statement(json!({}))]}}).to_string(),
        json!({"principalId": "u", "context": {"claims": "x"}, "policyDocument": {"Version": "2012-10-17", "Statement": [statement(json!({}))]}}).to_string(),
        json!({"principalId": "u", "context": [], "policyDocument": {"Version": "2012-10-17", "Statement": [statement(json!({}))]}}).to_string(),
    ] {
        let refused = rest.ask(answer.clone(), "GET", "/a").await;
        assert_eq!(refused.status, 500, "REST, {answer}: {}", refused.body);
        assert_eq!(refused.body, r#"{"message":null}"#, "{answer}");
        assert_eq!(refused.header("x-amzn-errortype"), Some("AuthorizerConfigurationException"));
        let refused = http.ask(answer.clone(), "GET", "/a").await;
        assert_eq!(refused.status, 500, "HTTP, {answer}: {}", refused.body);
        assert_eq!(refused.body, r#"{"message":"Internal Server Error"}"#, "{answer}");
    }
    // What a function says when it fails.
    for (status, text, expected) in [
        (
            500,
            json!({"errorMessage": "Unauthorized"}).to_string(),
            401,
        ),
        (
            500,
            json!({"errorMessage": "unauthorized"}).to_string(),
            500,
        ),
        (
            500,
            json!({"errorMessage": "Unauthorized."}).to_string(),
            500,
        ),
        (
            500,
            json!({"errorMessage": "Error: Unauthorized"}).to_string(),
            500,
        ),
        (
            500,
            json!({"errorMessage": ["Unauthorized"]}).to_string(),
            500,
        ),
        (500, json!({"message": "Unauthorized"}).to_string(), 500),
        (500, "Unauthorized".to_owned(), 500),
        (500, good.clone(), 500),
        (200, json!("Unauthorized").to_string(), 500),
    ] {
        *rest.says.lock().unwrap() = (status, text.clone());
        let answer = send(&rest.gateway, "GET", "/a", &[("x-token", "t")], b"").await;
        assert_eq!(answer.status, expected, "{text}");
    }
    for stage in [&rest, &http] {
        assert_eq!(stage.ask(&good, "GET", "/a").await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn simple_answers_are_yes_or_no() {
    let stage = Stage::set("http", http_authorizer(true)).await;
    let yes = json!({"isAuthorized": true});
    assert_eq!(stage.ask(yes.to_string(), "GET", "/a").await.status, 200);
    let no = stage
        .ask(json!({"isAuthorized": false}).to_string(), "GET", "/a")
        .await;
    assert_eq!(
        (no.status, no.body.as_str()),
        (403, r#"{"message":"Forbidden"}"#)
    );
    for answer in [
        "true".to_owned(),
        "{}".to_owned(),
        json!({"isAuthorized": "true"}).to_string(),
        json!({"isAuthorized": 1}).to_string(),
        json!({"isAuthorized": null}).to_string(),
        json!({"isAuthorized": [true]}).to_string(),
        json!({"IsAuthorized": true}).to_string(),
        json!({"isauthorized": true}).to_string(),
        r#"{"isAuthorized":false,"isAuthorized":true}"#.to_owned(),
        r#"{"isAuthorized":true,"isAuthorized":false}"#.to_owned(),
        r#"{"isAuthorized":true,"context":{"a":1,"a":2}}"#.to_owned(),
        policy(json!([statement(json!({}))])),
    ] {
        let refused = stage.ask(answer.clone(), "GET", "/a").await;
        assert_eq!(refused.status, 500, "{answer}: {}", refused.body);
        assert_eq!(refused.body, r#"{"message":"Internal Server Error"}"#);
    }
    let calls = *stage.calls.lock().unwrap();
    for headers in [vec![], vec![("x-token", "")], vec![("x-tokens", "t")]] {
        let answer = send(&stage.gateway, "GET", "/a", &headers, b"").await;
        assert_eq!(
            (answer.status, answer.header("www-authenticate")),
            (401, None)
        );
    }
    assert_eq!(
        *stage.calls.lock().unwrap(),
        calls,
        "nobody is asked without an identity"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_say_what_iam_says_they_say() {
    let rest = Stage::set("rest", rest_authorizer()).await;
    let http = Stage::set("http", http_authorizer(false)).await;
    let allow = |change: Json| json!([statement(change)]);
    let deny = |change: Json| {
        let mut change = change;
        change["Effect"] = json!("Deny");
        json!([statement(json!({})), statement(change)])
    };
    let address = |network: &str| json!({"IpAddress": {"aws:SourceIp": network}});
    let not_address = |network: &str| json!({"NotIpAddress": {"aws:SourceIp": network}});
    for (statements, expected) in [
        (json!([]), 403),
        (allow(json!({})), 200),
        (allow(json!({"Action": "EXECUTE-API:invoke"})), 200),
        (allow(json!({"Action": "execute-api:*"})), 200),
        (allow(json!({"Action": "execute-api:Inv?ke"})), 200),
        (allow(json!({"Action": "*"})), 200),
        (allow(json!({"Action": ["s3:*", INVOKE]})), 200),
        (allow(json!({"Action": "execute-api"})), 403),
        (allow(json!({"Action": "execute-api:Invoke "})), 403),
        (allow(json!({"Action": "execute-api:InvokeAll"})), 403),
        (
            allow(json!({"Action": "execute-api:ManageConnections"})),
            403,
        ),
        (allow(json!({"Action": "lambda:Invoke*"})), 403),
        (allow(json!({"Action": ""})), 403),
        (allow(json!({"Action": "(none)", "NotAction": "s3:*"})), 200),
        (
            allow(json!({"Action": "(none)", "NotAction": "execute-api:*"})),
            403,
        ),
        (
            allow(json!({"Resource": "arn:aws:execute-api:*:*:*/*/GET/a"})),
            200,
        ),
        (
            allow(json!({"Resource": "arn:aws:execute-api:us-east-1:123456789012:*/*/GET/?"})),
            200,
        ),
        (
            allow(json!({"Resource": "arn:aws:execute-api:*:*:*/*/get/a"})),
            403,
        ),
        (
            allow(json!({"Resource": "arn:aws:execute-api:*:*:*/*/GET/A"})),
            403,
        ),
        (
            allow(json!({"Resource": "arn:aws:execute-api:*:*:*/*/GET/a/"})),
            403,
        ),
        (
            allow(json!({"Resource": "arn:aws:execute-api:*:*:*/*/GET/a/*"})),
            403,
        ),
        (
            allow(json!({"Resource": "arn:aws:execute-api:*:*:*/*/GET/"})),
            403,
        ),
        (
            allow(json!({"Resource": "arn:aws:execute-api:*:*:*/*/DELETE/a"})),
            403,
        ),
        (
            allow(json!({"Resource": "arn:aws:execute-api:*:999999999999:*/*/GET/a"})),
            403,
        ),
        (
            allow(json!({"Resource": "arn:aws:execute-api:eu-west-1:*:*/*/GET/a"})),
            403,
        ),
        (
            allow(json!({"Resource": "arn:aws-cn:execute-api:*:*:*/*/GET/a"})),
            403,
        ),
        (allow(json!({"Resource": "execute-api:/*"})), 403),
        (allow(json!({"Resource": "arn:aws:s3:::*"})), 403),
        (allow(json!({"Resource": ""})), 403),
        (allow(json!({"Resource": "${aws:SourceIp}"})), 403),
        (
            allow(json!({"Resource": "(none)", "NotResource": "*/GET/b"})),
            200,
        ),
        (
            allow(json!({"Resource": "(none)", "NotResource": "*/GET/a"})),
            403,
        ),
        (
            allow(json!({"Resource": "(none)", "NotResource": ["*/GET/b", "*/a"]})),
            403,
        ),
        (deny(json!({})), 403),
        (deny(json!({"Action": "EXECUTE-API:*"})), 403),
        (deny(json!({"Resource": "*/a"})), 403),
        (deny(json!({"Resource": "*/b"})), 200),
        (deny(json!({"Action": "(none)", "NotAction": "s3:*"})), 403),
        (
            deny(json!({"Action": "(none)", "NotAction": "execute-api:*"})),
            200,
        ),
        (
            deny(json!({"Resource": "(none)", "NotResource": "*/GET/b"})),
            403,
        ),
        (
            deny(json!({"Resource": "(none)", "NotResource": "*/GET/a"})),
            200,
        ),
        (allow(json!({"Condition": address("127.0.0.0/8")})), 200),
        (allow(json!({"Condition": address("10.0.0.0/8")})), 403),
        (allow(json!({"Condition": not_address("127.0.0.0/8")})), 403),
        (deny(json!({"Condition": address("127.0.0.1")})), 403),
        (deny(json!({"Condition": address("10.0.0.0/8")})), 200),
        (deny(json!({"Condition": not_address("10.0.0.0/8")})), 403),
        (
            allow(
                json!({"Condition": {"IpAddress": {"aws:SourceIp": "127.0.0.1"}, "Bool": {"aws:SecureTransport": "true"}}}),
            ),
            403,
        ),
        (
            allow(json!({"Condition": {"Bool": {"aws:SecureTransport": "false"}}})),
            200,
        ),
        (
            allow(json!({"Condition": {"StringEquals": {"aws:SourceVpc": "vpc-1"}}})),
            403,
        ),
        (
            allow(json!({"Condition": {"StringEqualsIfExists": {"aws:SourceVpc": "vpc-1"}}})),
            200,
        ),
        (
            deny(json!({"Condition": {"StringNotEquals": {"aws:SourceVpc": "vpc-1"}}})),
            403,
        ),
        (
            allow(json!({"Condition": {"Null": {"aws:SourceVpc": "false"}}})),
            403,
        ),
        (
            allow(
                json!({"Condition": {"DateGreaterThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"}}}),
            ),
            200,
        ),
        (
            allow(
                json!({"Condition": {"DateLessThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"}}}),
            ),
            403,
        ),
    ] {
        for (kind, stage) in [("REST", &rest), ("HTTP", &http)] {
            let answer = stage.ask(policy(statements.clone()), "GET", "/a").await;
            assert_eq!(
                answer.status, expected,
                "{kind}, {statements}: {}",
                answer.body
            );
            if expected == 403 && kind == "REST" {
                assert_eq!(
                    answer.header("x-amzn-errortype"),
                    Some("AccessDeniedException")
                );
                let denied = statements.to_string().contains("Deny");
                let words = match denied {
                    true => {
                        "User is not authorized to access this resource with an explicit deny in an identity-based policy"
                    }
                    false => "User is not authorized to access this resource",
                };
                assert_eq!(answer.json(), json!({ "Message": words }), "{statements}");
            }
            if expected == 403 && kind == "HTTP" {
                assert_eq!(answer.body, r#"{"message":"Forbidden"}"#);
            }
        }
    }
    // The path as called, and no other.
    let only = policy(json!([statement(json!({"Resource": "*/GET/a/7"}))]));
    for (method, path, expected) in [
        ("GET", "/a/7", 200),
        ("GET", "/a/8", 403),
        ("GET", "/a", 403),
        ("DELETE", "/a/7", 403),
        ("GET", "/a/77", 403),
    ] {
        assert_eq!(
            rest.ask(only.clone(), method, path).await.status,
            expected,
            "{method} {path}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn identities_are_told_apart_in_what_is_kept() {
    let stage = Stage::set(
        "rest",
        json!({
            "type": "request", "authorizerUri": "local:who", "authorizerResultTtlInSeconds": 300,
            "identitySource": "method.request.header.x-token, method.request.querystring.q",
        }),
    )
    .await;
    let allowed = policy(json!([statement(json!({}))]));
    let mut seen = 0;
    for (target, tokens) in [
        ("/a?q=1", vec!["t"]),
        ("/a?q=t", vec!["1"]),
        ("/a?q=1", vec!["T"]),
        ("/a?q=1", vec!["t", "1"]),
        ("/a?q=1", vec!["t,1"]),
        ("/a?q=1", vec!["t, 1"]),
        ("/a?q=1&q=1", vec!["t"]),
        ("/a?q=1%2C1", vec!["t"]),
        ("/a?q=1,t", vec!["1"]),
        ("/a?q=%00", vec!["t"]),
    ] {
        let headers: Vec<(&str, &str)> = tokens.iter().map(|token| ("x-token", *token)).collect();
        *stage.says.lock().unwrap() = (200, allowed.clone());
        for _ in 0..2 {
            assert_eq!(
                send(&stage.gateway, "GET", target, &headers, b"")
                    .await
                    .status,
                200
            );
        }
        seen += 1;
        assert_eq!(*stage.calls.lock().unwrap(), seen, "{target} {tokens:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_of_a_resource_policy_are_not_the_clients_to_tell() {
    let document = |statements: Json| {
        json!({
            "openapi": "3.0.1", "info": {"title": "t", "version": "1"},
            "paths": {"/a": {"get": {"x-amazon-apigateway-integration": echo()}}},
            "x-amazon-apigateway-policy": {"Version": "2012-10-17", "Statement": statements},
        })
    };
    let statement = |effect: &str, condition: Json| json!({"Effect": effect, "Principal": "*", "Action": INVOKE, "Resource": "execute-api:/*", "Condition": condition});
    let serve = async |statements: Json, config: Json| {
        Gateway::builder()
            .openapi_text(document(statements).to_string())
            .config_text(config.to_string())
            .spawn()
            .await
            .unwrap()
    };
    let inside = json!([statement(
        "Allow",
        json!({"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}})
    )]);
    let but = json!([
        statement("Allow", json!({})),
        statement(
            "Deny",
            json!({"NotIpAddress": {"aws:SourceIp": ["10.0.0.0/8"]}})
        ),
    ]);
    let banned = json!([
        statement("Allow", json!({})),
        statement(
            "Deny",
            json!({"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}})
        ),
    ]);
    let forged = [
        ("x-forwarded-for", "10.0.0.1"),
        ("X-Forwarded-For", "10.0.0.1, 127.0.0.1"),
        ("x-real-ip", "10.0.0.1"),
        ("forwarded", "for=10.0.0.1"),
        ("x-client-ip", "10.0.0.1"),
        ("true-client-ip", "10.0.0.1"),
        ("cf-connecting-ip", "10.0.0.1"),
        ("x-cluster-client-ip", "10.0.0.1"),
        ("x-amz-source-ip", "10.0.0.1"),
        ("via", "1.1 10.0.0.1"),
    ];
    // Nobody between is trusted: the connection's address alone counts.
    for statements in [&inside, &but, &banned] {
        let gateway = serve(statements.clone(), json!({})).await;
        for (name, value) in forged {
            let answer = send(&gateway, "GET", "/a", &[(name, value)], b"").await;
            assert_eq!(answer.status, 403, "{name}: {}", answer.body);
            assert_eq!(
                answer.header("x-amzn-errortype"),
                Some("AccessDeniedException")
            );
        }
    }
    // A proxy is trusted: what it adds counts, what the client put in front of it does not.
    let gateway = serve(
        inside,
        json!({"trustedProxies": ["127.0.0.1/32", "192.0.2.0/24"]}),
    )
    .await;
    for (list, expected) in [
        (vec!["10.0.0.1"], 200),
        (vec!["10.0.0.1:1234"], 200),
        (vec!["::ffff:10.0.0.1"], 200),
        (vec!["203.0.113.1, 10.0.0.1"], 200),
        (vec!["10.0.0.1, 192.0.2.9"], 200),
        (vec!["10.0.0.1", "192.0.2.9"], 200),
        (vec![], 403),
        (vec![""], 403),
        (vec!["203.0.113.1"], 403),
        (vec!["10.0.0.1, 203.0.113.1"], 403),
        (vec!["10.0.0.1", "203.0.113.1"], 403),
        (vec!["10.0.0.1, 203.0.113.1, 192.0.2.9"], 403),
        (vec!["10.0.0.1, unknown"], 403),
        (vec!["10.0.0.1,"], 403),
        (vec!["10.0.0.1, 10.0.0.1.evil.example"], 403),
        (vec!["10.0.0.1, 203.0.113.1, "], 403),
        (vec!["010.0.0.1"], 403),
        (vec!["10.1"], 403),
        (vec!["0x0a000001"], 403),
        (vec!["10.0.0.1/32"], 403),
        (vec!["10.0.0.1;"], 403),
    ] {
        let headers: Vec<(&str, &str)> = list
            .iter()
            .map(|value| ("x-forwarded-for", *value))
            .collect();
        let answer = send(&gateway, "GET", "/a", &headers, b"").await;
        assert_eq!(answer.status, expected, "{list:?}: {}", answer.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn api_keys_are_told_in_one_way() {
    let value = "a-key-of-twenty-letters-or-more";
    let keys = json!({
        "apiKeys": [{"name": "one", "value": value}, {"name": "off", "value": "another-key-that-is-switched-off", "enabled": false}, {"name": "free", "value": "a-key-that-is-in-no-plan-at-all"}],
        "usagePlans": [{"name": "plan", "apiKeys": ["one", "off"]}],
    });
    let document = |source: &str| {
        json!({
            "openapi": "3.0.1", "info": {"title": "t", "version": "1"},
            "x-amazon-apigateway-api-key-source": source,
            "paths": {
                "/a": {"get": {"security": [{"key": []}, {"who": []}], "x-amazon-apigateway-integration": echo()}},
                "/b": {"get": {"security": [{"key": []}], "x-amazon-apigateway-integration": echo()}},
            },
            "components": {"securitySchemes": {
                "key": {"type": "apiKey", "name": "x-api-key", "in": "header"},
                "who": {
                    "type": "apiKey", "name": "x-token", "in": "header", "x-amazon-apigateway-authtype": "custom",
                    "x-amazon-apigateway-authorizer": rest_authorizer(),
                },
            }},
        })
    };
    let serve = async |source: &str| {
        Gateway::builder()
            .openapi_text(document(source).to_string())
            .config_text(keys.to_string())
            .handler("who", |request: Request<Bytes>| async move {
                let event: Json = serde_json::from_slice(request.body()).unwrap();
                let mut answer: Json =
                    serde_json::from_str(&policy(json!([statement(json!({}))]))).unwrap();
                if event["authorizationToken"] != "none" {
                    answer["usageIdentifierKey"] = event["authorizationToken"].clone();
                }
                answer.to_string()
            })
            .spawn()
            .await
            .unwrap()
    };
    let by_header = serve("HEADER").await;
    let padded = format!("  {value}\t");
    let twice = format!("{value},{value}");
    let in_query = format!("/b?x-api-key={value}");
    let bearer = format!("Bearer {value}");
    let (longer, upper, shorter) = (
        format!("{value}0"),
        value.to_uppercase(),
        &value[..value.len() - 1],
    );
    let spaced = value.replace('-', " ");
    for (target, headers, expected) in [
        ("/b", vec![("x-api-key", value)], 200),
        ("/b", vec![("X-API-KEY", value)], 200),
        // Blanks around a header's value are no part of it (RFC 9110, 5.5).
        ("/b", vec![("x-api-key", padded.as_str())], 200),
        ("/a", vec![("x-api-key", value), ("x-token", "none")], 200),
        ("/b", vec![], 403),
        ("/b", vec![("x-api-key", "")], 403),
        ("/b", vec![("x-api-key", "   ")], 403),
        ("/b", vec![("x-api-key", upper.as_str())], 403),
        ("/b", vec![("x-api-key", longer.as_str())], 403),
        ("/b", vec![("x-api-key", shorter)], 403),
        ("/b", vec![("x-api-key", spaced.as_str())], 403),
        ("/b", vec![("x-api-key", twice.as_str())], 403),
        ("/b", vec![("x-api-key", value), ("x-api-key", "x")], 403),
        ("/b", vec![("x-api-key", value), ("x-api-key", "")], 403),
        ("/b", vec![("x-api-key", "x"), ("x-api-key", value)], 403),
        ("/b", vec![("x-api-key", "*")], 403),
        ("/b", vec![("x-api-key", "one")], 403),
        (
            "/b",
            vec![("x-api-key", "another-key-that-is-switched-off")],
            403,
        ),
        (
            "/b",
            vec![("x-api-key", "a-key-that-is-in-no-plan-at-all")],
            403,
        ),
        ("/b", vec![("api-key", value)], 403),
        ("/b", vec![("x_api_key", value)], 403),
        ("/b", vec![("authorization", bearer.as_str())], 403),
        (in_query.as_str(), vec![], 403),
        // The authorizer names one, but that is not where keys come from.
        ("/a", vec![("x-token", value)], 403),
    ] {
        let answer = send(&by_header, "GET", target, &headers, b"").await;
        assert_eq!(
            answer.status, expected,
            "{target} {headers:?}: {}",
            answer.body
        );
        if expected == 403 {
            assert_eq!(
                answer.header("x-amzn-errortype"),
                Some("ForbiddenException")
            );
            assert_eq!(answer.body, r#"{"message":"Forbidden"}"#);
        }
    }
    let by_authorizer = serve("AUTHORIZER").await;
    for (target, headers, expected) in [
        ("/a", vec![("x-token", value)], 200),
        ("/a", vec![("x-token", value), ("x-api-key", "x")], 200),
        ("/a", vec![("x-token", "none")], 403),
        ("/a", vec![("x-token", "none"), ("x-api-key", value)], 403),
        ("/a", vec![("x-token", "x"), ("x-api-key", value)], 403),
        (
            "/a",
            vec![("x-token", "another-key-that-is-switched-off")],
            403,
        ),
        ("/b", vec![("x-api-key", value)], 403),
        ("/b", vec![("x-api-key", value), ("x-token", value)], 403),
    ] {
        let answer = send(&by_authorizer, "GET", target, &headers, b"").await;
        assert_eq!(
            answer.status, expected,
            "{target} {headers:?}: {}",
            answer.body
        );
    }
}

/// Whatever is wrong with a protection, a route is never open because of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_protection_that_cannot_be_read_opens_nothing() {
    let scheme = |authorizer: Json| json!({"type": "apiKey", "name": "Authorization", "in": "header", "x-amazon-apigateway-authtype": "custom", "x-amazon-apigateway-authorizer": authorizer});
    let pool = "arn:aws:cognito-idp:us-east-1:123456789012:userpool/us-east-1_example";
    let jwt = |configuration: Json| json!({"type": "jwt", "identitySource": "$request.header.Authorization", "jwtConfiguration": configuration});
    let cases: Vec<(&str, Json)> = vec![
        ("rest", json!(null)),
        ("rest", json!("scheme")),
        ("rest", json!([])),
        (
            "rest",
            json!({"$ref": "#/components/securitySchemes/nowhere"}),
        ),
        ("rest", scheme(json!(null))),
        ("rest", scheme(json!("x"))),
        ("rest", scheme(json!({}))),
        ("rest", scheme(json!({"type": "tokens"}))),
        ("rest", scheme(json!({"type": 1}))),
        ("rest", scheme(json!({"type": "token"}))),
        (
            "rest",
            scheme(json!({"type": "token", "authorizerUri": ""})),
        ),
        (
            "rest",
            scheme(json!({"type": "token", "authorizerUri": "arn:aws:s3:::x"})),
        ),
        (
            "rest",
            scheme(json!({"type": "token", "authorizerUri": "local:nobody"})),
        ),
        (
            "rest",
            scheme(
                json!({"type": "token", "authorizerUri": "local:who", "identityValidationExpression": "("}),
            ),
        ),
        (
            "rest",
            scheme(
                json!({"type": "token", "authorizerUri": "local:who", "identitySource": "method.request.path.id"}),
            ),
        ),
        (
            "rest",
            scheme(
                json!({"type": "token", "authorizerUri": "local:who", "authorizerResultTtlInSeconds": -1}),
            ),
        ),
        (
            "rest",
            scheme(json!({"type": "request", "authorizerUri": "local:who"})),
        ),
        (
            "rest",
            scheme(
                json!({"type": "jwt", "jwtConfiguration": {"issuer": "https://x", "audience": ["a"]}}),
            ),
        ),
        ("rest", scheme(json!({"type": "cognito_user_pools"}))),
        (
            "rest",
            scheme(json!({"type": "cognito_user_pools", "providerARNs": []})),
        ),
        (
            "rest",
            scheme(json!({"type": "cognito_user_pools", "providerARNs": "x"})),
        ),
        (
            "rest",
            scheme(json!({"type": "cognito_user_pools", "providerARNs": ["x"]})),
        ),
        (
            "rest",
            scheme(
                json!({"type": "cognito_user_pools", "providerARNs": [pool, "arn:aws:lambda:x"]}),
            ),
        ),
        (
            "rest",
            scheme(
                json!({"type": "cognito_user_pools", "providerARNs": [pool], "identityValidationExpression": "["}),
            ),
        ),
        ("http", scheme(jwt(json!({})))),
        ("http", scheme(jwt(json!({"audience": ["a"]})))),
        ("http", scheme(jwt(json!({"issuer": "https://x"})))),
        (
            "http",
            scheme(jwt(json!({"issuer": "https://x", "audience": []}))),
        ),
        (
            "http",
            scheme(jwt(json!({"issuer": "x", "audience": ["a"]}))),
        ),
        ("http", scheme(jwt(json!({"issuer": 1, "audience": ["a"]})))),
        (
            "http",
            scheme(jwt(json!({"issuer": "file:///x", "audience": ["a"]}))),
        ),
        (
            "http",
            scheme(json!({"type": "request", "authorizerUri": "local:who"})),
        ),
        (
            "http",
            scheme(json!({"type": "token", "authorizerUri": "local:who"})),
        ),
        (
            "http",
            scheme(
                json!({"type": "request", "authorizerUri": "local:who", "authorizerPayloadFormatVersion": "3.0"}),
            ),
        ),
        (
            "http",
            scheme(
                json!({"type": "request", "authorizerUri": "local:who", "authorizerPayloadFormatVersion": "1.0", "enableSimpleResponses": true}),
            ),
        ),
    ];
    for (kind, scheme) in cases {
        let integration = if kind == "rest" { echo() } else { echo_http() };
        let document = |security: Json| {
            json!({
                "openapi": "3.0.1", "info": {"title": "t", "version": "1"},
                "paths": {"/a": {"get": {"security": security, "x-amazon-apigateway-integration": integration}}},
                "components": {"securitySchemes": {"guard": scheme}},
            })
        };
        opens_nothing(kind, &document(json!([{"guard": []}])), &scheme.to_string()).await;
    }
    // Requirements that say nothing readable of a scheme that is fine.
    let fine = scheme(json!({"type": "cognito_user_pools", "providerARNs": [pool]}));
    for security in [
        json!("guard"),
        json!({"guard": []}),
        json!(["guard"]),
        json!([["guard"]]),
        json!([{"gaurd": []}]),
        json!([{"guard": "x"}]),
        json!([{"guard": {}}]),
        json!([{}, {"guard": []}]),
        json!([{"guard": []}, {}]),
        json!([null]),
        json!([{"guard": [1]}]),
    ] {
        let document = json!({
            "openapi": "3.0.1", "info": {"title": "t", "version": "1"},
            "paths": {"/a": {"get": {"security": security, "x-amazon-apigateway-integration": echo()}}},
            "components": {"securitySchemes": {"guard": fine}},
        });
        opens_nothing("rest", &document, &security.to_string()).await;
    }
}

async fn opens_nothing(kind: &str, document: &Json, name: &str) {
    for lenient in [false, true] {
        let mut builder = Gateway::builder()
            .openapi_text(document.to_string())
            .config_text(json!({ "apiType": kind }).to_string())
            .handler("who", |_: Request<Bytes>| async { "{}".to_owned() });
        if lenient {
            builder = builder.lenient();
        }
        // A document that is not served is open to nobody.
        if let Ok(gateway) = builder.spawn().await {
            for headers in [vec![], vec![("authorization", "Bearer x")]] {
                let answer = send(&gateway, "GET", "/a", &headers, b"").await;
                assert!(
                    [401, 403, 500].contains(&answer.status),
                    "{kind} {name}: {} {}",
                    answer.status,
                    answer.body
                );
            }
        }
    }
}
