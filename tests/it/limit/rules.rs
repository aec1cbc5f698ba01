//! Rate limits that AWS does not have: by address, user, key, header, endpoint.

use serde_json::json;
use tollgate::Gateway;
use tollgate::base::{Clock, HandClock};
use tollgate::server::Builder;

use super::{ALICE, KEY, NOON, client, get, many, refused, status};

fn with_rules(document: &str, path: &str, operation: &str, config: &str) -> Builder {
    let text = format!(
        r#"
openapi: 3.0.1
info: {{title: ruled, version: '1'}}
{document}
paths:
  /a:
    {path}
    get:
      {operation}
      x-amazon-apigateway-integration: &mock
        type: mock
        requestTemplates: {{application/json: '{{"statusCode": 200}}'}}
        responses: {{default: {{statusCode: '200'}}}}
    post: {{x-amazon-apigateway-integration: *mock}}
  /b:
    get: {{x-amazon-apigateway-integration: *mock}}
"#
    );
    let hand = HandClock::at(NOON);
    Gateway::builder()
        .openapi_text(text)
        .config_text(format!("{config}\n"))
        .clock(Clock::Hand(hand))
}

#[tokio::test]
async fn a_rule_of_the_document_is_shared_by_its_routes_and_one_of_an_operation_is_not() {
    let by_header =
        "x-tollgate-rate-limit: {key: 'header:x-client', limit: 60, period: 60, burst: 2}";
    let shared = with_rules(by_header, "", "", "").spawn().await.unwrap();
    let own = with_rules("", "", by_header, "").spawn().await.unwrap();
    let (one, two) = ([("x-client", "1")], [("x-client", "2")]);

    assert_eq!(status(&shared, "/a", &one).await, 200);
    assert_eq!(status(&shared, "/b", &one).await, 200);
    assert_eq!(status(&shared, "/a", &one).await, 429);
    assert_eq!(status(&shared, "/a", &two).await, 200);
    for _ in 0..2 {
        assert_eq!(status(&own, "/a", &one).await, 200);
    }
    assert_eq!(status(&own, "/a", &one).await, 429);
    assert_eq!(status(&own, "/b", &one).await, 200);
}

#[tokio::test]
async fn leaving_the_header_out_does_not_pass_by_a_rule() {
    let rule = "x-tollgate-rate-limit: [{key: 'header:x-client', limit: 1, period: 60}]";
    let gateway = with_rules("", rule, "", "").spawn().await.unwrap();

    assert_eq!(status(&gateway, "/a", &[]).await, 200);
    assert_eq!(status(&gateway, "/a", &[]).await, 429);
    let post = client().post(format!("{}/a", gateway.url()));
    assert_eq!(post.send().await.unwrap().status(), 429);
}

#[tokio::test]
async fn the_forwarded_address_counts_only_behind_a_trusted_proxy() {
    let rule = "rateLimits: [{key: ip, limit: 1, period: 60}]";
    let trusting = format!("{rule}\ntrustedProxies: [127.0.0.0/8, '198.51.100.7']");
    let alone = with_rules("", "", "", rule).spawn().await.unwrap();
    let behind = with_rules("", "", "", &trusting).spawn().await.unwrap();
    let from = |address| [("x-forwarded-for", address)];

    assert_eq!(status(&alone, "/a", &from("192.0.2.1")).await, 200);
    assert_eq!(status(&alone, "/a", &from("192.0.2.2")).await, 429);

    assert_eq!(status(&behind, "/a", &from("192.0.2.1")).await, 200);
    assert_eq!(status(&behind, "/b", &from("192.0.2.1")).await, 429);
    assert_eq!(status(&behind, "/a", &from("192.0.2.2")).await, 200);
    // What the client itself put in front does not count; what another trusted proxy noted does.
    let forged = from("192.0.2.99, 192.0.2.2, 198.51.100.7");
    assert_eq!(status(&behind, "/a", &forged).await, 429);
}

#[tokio::test]
async fn an_endpoint_rule_gives_each_route_a_bucket() {
    let rule = "rateLimits: [{key: endpoint, limit: 2, period: 60}]";
    let gateway = with_rules("", "", "", rule).spawn().await.unwrap();
    let urls = [gateway.url()];

    assert_eq!(many(&urls, "/a", 6).await[&200], 2);
    assert_eq!(many(&urls, "/b", 6).await[&200], 2);
    let refused = get(&gateway.url(), "/b", &[]).await;
    assert_eq!(
        refused.headers()["ratelimit-policy"],
        "\"rate-limit\";q=2;w=60"
    );
    assert_eq!(refused.headers()["retry-after"], "30");
}

#[tokio::test]
async fn a_rule_that_cannot_be_read_is_named() {
    let refused = with_rules(
        "",
        "",
        "",
        "rateLimits: [{key: cookie, limit: 2, period: 60}]",
    )
    .spawn()
    .await
    .unwrap_err()
    .to_string();

    assert!(refused.contains("E0827"), "{refused}");
    assert!(refused.contains("claim:sub"), "{refused}");
}

#[tokio::test]
async fn users_are_told_apart_by_what_the_authorizer_says_of_them() {
    let operation = json!({"get": {"security": [{"who": []}], "x-amazon-apigateway-integration": {
        "type": "aws_proxy", "httpMethod": "POST", "uri": "local:echo"}}});
    let document = json!({
        "openapi": "3.0.1", "info": {"title": "t", "version": "1"},
        "x-tollgate-rate-limit": {"key": "claim:sub", "limit": 2, "period": 3600},
        "paths": {"/a": operation, "/b": operation},
        "components": {"securitySchemes": {"who": {
            "type": "apiKey", "name": "x-user", "in": "header", "x-amazon-apigateway-authtype": "custom",
            "x-amazon-apigateway-authorizer": {"type": "token", "authorizerUri": "local:who"},
        }}},
    });
    let gateway = Gateway::builder()
        .openapi_text(document.to_string())
        .handler("who", |request: http::Request<bytes::Bytes>| async move {
            let event: serde_json::Value = serde_json::from_slice(request.body()).unwrap();
            let statement = json!({"Action": "*", "Effect": "Allow", "Resource": "*"});
            json!({
                "principalId": "everybody",
                "policyDocument": {"Version": "2012-10-17", "Statement": [statement]},
                "context": {"sub": event["authorizationToken"]},
            })
            .to_string()
        })
        .clock(Clock::Hand(HandClock::at(NOON)))
        .spawn()
        .await
        .unwrap();
    let (alice, bob) = ([("x-user", "alice")], [("x-user", "bob")]);

    assert_eq!(status(&gateway, "/a", &alice).await, 200);
    assert_eq!(status(&gateway, "/b", &alice).await, 200);
    assert_eq!(status(&gateway, "/a", &alice).await, 429);
    assert_eq!(status(&gateway, "/a", &bob).await, 200);
    assert_eq!(refused(&gateway), [("rate-limit", 1)]);
}

#[tokio::test]
async fn a_key_of_somebody_has_a_bucket_of_its_own_and_made_up_ones_share_one() {
    let rule = format!("{ALICE}rateLimits: [{{key: apiKey, limit: 1, period: 3600}}]");
    let rest = with_rules("", "", "", &rule).spawn().await.unwrap();
    let http = Gateway::builder()
        .openapi_text(
            r#"
openapi: 3.0.1
info: {title: orders, version: '1'}
paths:
  /a: {get: {x-amazon-apigateway-integration: {type: http_proxy, uri: "local:echo", payloadFormatVersion: '1.0'}}}
"#,
        )
        .config_text(format!("apiType: http\n{rule}"))
        .clock(Clock::Hand(HandClock::at(NOON)))
        .spawn()
        .await
        .unwrap();

    for gateway in [&rest, &http] {
        assert_eq!(
            status(gateway, "/a", &[("x-api-key", "made-up-1")]).await,
            200
        );
        assert_eq!(
            status(gateway, "/a", &[("x-api-key", "made-up-2")]).await,
            429
        );
        assert_eq!(status(gateway, "/a", &[]).await, 429);
        assert_eq!(status(gateway, "/a", &[("x-api-key", KEY)]).await, 200);
        assert_eq!(status(gateway, "/a", &[("x-api-key", KEY)]).await, 429);
    }
}
