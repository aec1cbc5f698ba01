//! REST APIs whole: what their definition promises beyond the conformance cases.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tollgate::Gateway;
use tollgate::server::{Builder, Running};

/// A gateway for the paths of a document.
fn rest(paths: &str) -> Builder {
    Gateway::builder().openapi_text(format!(
        "openapi: 3.0.1\ninfo: {{title: rest, version: \"1\"}}\n{paths}"
    ))
}

async fn get(gateway: &Running, path: &str) -> (u16, String) {
    let answer = reqwest::get(format!("{}{path}", gateway.url()))
        .await
        .unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

/// A mock that answers 200 with a template.
fn mock(template: &str) -> String {
    format!(
        "{{type: mock, requestTemplates: {{application/json: '{{\"statusCode\": 200}}'}}, responses: {{default: {{statusCode: '200', responseTemplates: {{application/json: '{template}'}}}}}}}}"
    )
}

const VALIDATED: &str = r##"
x-amazon-apigateway-request-validators: {all: {validateRequestBody: true, validateRequestParameters: true}}
x-amazon-apigateway-request-validator: all
x-amazon-apigateway-gateway-responses:
  BAD_REQUEST_BODY:
    responseTemplates: {application/json: '{"detail": "$context.error.validationErrorString"}'}
components:
  schemas:
    Pet: {type: object, required: [name], properties: {name: {type: string}, age: {type: integer}}}
paths:
  /pets:
    post:
      requestBody:
        content:
          application/json: {schema: {$ref: '#/components/schemas/Pet'}}
          $default: {schema: {type: array}}
      responses: {'200': {description: ok}}
      x-amazon-apigateway-integration: {type: mock, passthroughBehavior: never, requestTemplates: {application/json: '{"statusCode": 200}', text/plain: '{"statusCode": 200}'}, responses: {default: {statusCode: '200'}}}
"##;

async fn post(gateway: &Running, content_type: &str, body: &'static str) -> (u16, String) {
    let answer = reqwest::Client::new()
        .post(format!("{}/pets", gateway.url()))
        .header("content-type", content_type)
        .body(body)
        .send()
        .await
        .unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test]
async fn what_is_wrong_with_a_body_can_be_told_as_json() {
    let gateway = rest(VALIDATED).spawn().await.unwrap();

    let (status, body) = post(&gateway, "application/json; charset=utf-8", r#"{"age": 1}"#).await;

    assert_eq!(status, 400);
    let json: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        json["detail"],
        r#"[object has missing required properties (["name"])]"#
    );
    gateway.shutdown().await;
}

#[tokio::test]
async fn the_default_model_is_for_every_other_content_type() {
    let gateway = rest(VALIDATED).spawn().await.unwrap();

    assert_eq!(post(&gateway, "text/plain", "[1]").await.0, 200);
    assert_eq!(post(&gateway, "text/plain", "{}").await.0, 400);
    assert_eq!(
        post(&gateway, "application/json", r#"{"name": "x"}"#)
            .await
            .0,
        200
    );
    gateway.shutdown().await;
}

#[tokio::test]
async fn models_are_found_by_every_address_that_aws_takes() {
    for (reference, body, status) in [
        ("#/definitions/Pet", r#"{"age": 1}"#, 400),
        ("#/definitions/Empty", "[]", 400),
        ("#/definitions/Error", r#"{"message": 1}"#, 400),
        (
            "https://apigateway.amazonaws.com/restapis/x/models/Pet",
            r#"{"age": 1}"#,
            400,
        ),
        ("#/definitions/Pet", r#"{"name": "Rex"}"#, 200),
    ] {
        let document = VALIDATED.replace(
            "{$ref: '#/components/schemas/Pet'}",
            &format!("{{$ref: '{reference}'}}"),
        );
        let gateway = rest(&document).spawn().await.unwrap();

        assert_eq!(
            post(&gateway, "application/json", body).await.0,
            status,
            "{reference} {body}"
        );
        gateway.shutdown().await;
    }
}

#[tokio::test]
async fn a_model_that_leads_nowhere_stops_the_start() {
    let document = VALIDATED.replace(
        "properties: {name: {type: string}",
        "properties: {name: {type: text}",
    );

    let error = rest(&document).spawn().await.unwrap_err().to_string();

    assert!(error.contains("E0909"), "{error}");
}

#[tokio::test]
async fn a_canary_gets_its_share_and_its_variables() {
    let document = format!(
        "paths:\n  /v:\n    get:\n      responses: {{'200': {{description: ok}}}}\n      x-amazon-apigateway-integration: {}\n",
        mock("$stageVariables.v $context.isCanaryRequest")
    );
    let gateway = rest(&document)
        .config_text("stage: {variables: {v: old}, canarySettings: {percentTraffic: 50, stageVariableOverrides: {v: new}}}")
        .spawn()
        .await
        .unwrap();

    let mut seen = std::collections::BTreeMap::new();
    for _ in 0..200 {
        *seen.entry(get(&gateway, "/v").await.1).or_insert(0) += 1;
    }

    assert_eq!(seen.keys().collect::<Vec<_>>(), ["new true", "old false"]);
    assert!(seen.values().all(|times| *times > 50), "{seen:?}");
    gateway.shutdown().await;
}

/// A cached route whose handler counts its calls.
async fn cached(config: &str) -> (Running, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let gateway = rest(
        r#"
paths:
  /n:
    get:
      parameters: [{name: key, in: query, schema: {type: string}}]
      x-amazon-apigateway-integration: {type: http_proxy, uri: "local:count", cacheKeyParameters: [method.request.querystring.key]}
"#,
    )
    .config_text(config)
    .handler("count", move |request: http::Request<bytes::Bytes>| {
        let number = counted.fetch_add(1, Ordering::SeqCst) + 1;
        let failing = request.uri().query().unwrap_or_default().contains("fail");
        async move {
            let status = if failing { 503 } else { 200 };
            (axum_status(status), number.to_string())
        }
    })
    .spawn()
    .await
    .unwrap();
    (gateway, calls)
}

fn axum_status(status: u16) -> http::StatusCode {
    http::StatusCode::from_u16(status).unwrap()
}

async fn fresh(gateway: &Running, path: &str) -> (u16, String, Option<String>) {
    let answer = reqwest::Client::new()
        .get(format!("{}{path}", gateway.url()))
        .header("cache-control", "max-age=0")
        .send()
        .await
        .unwrap();
    let warning = answer
        .headers()
        .get("warning")
        .map(|value| value.to_str().unwrap().to_owned());
    let status = answer.status().as_u16();
    (status, answer.text().await.unwrap(), warning)
}

#[tokio::test]
async fn any_client_refreshes_a_cache_that_asks_for_no_authorization() {
    let (gateway, calls) = cached(
        "stage: {cacheClusterEnabled: true, methodSettings: {'*/*': {cachingEnabled: true}}}",
    )
    .await;

    assert_eq!(get(&gateway, "/n?key=a").await.1, "1");
    assert_eq!(get(&gateway, "/n?key=a&other=b").await.1, "1");
    assert_eq!(fresh(&gateway, "/n?key=a").await.1, "2");
    assert_eq!(get(&gateway, "/n?key=a").await.1, "2");
    assert_eq!(calls.load(Ordering::SeqCst), 2);
    gateway.shutdown().await;
}

#[tokio::test]
async fn errors_are_not_cached() {
    let (gateway, calls) = cached(
        "stage: {cacheClusterEnabled: true, methodSettings: {'*/*': {cachingEnabled: true}}}",
    )
    .await;

    assert_eq!(get(&gateway, "/n?key=fail").await.0, 503);
    assert_eq!(get(&gateway, "/n?key=fail").await.0, 503);
    assert_eq!(calls.load(Ordering::SeqCst), 2);
    gateway.shutdown().await;
}

#[tokio::test]
async fn an_unauthorized_refresh_gets_what_the_strategy_says() {
    for (strategy, status, warned) in [
        ("FAIL_WITH_403", 403, false),
        ("SUCCEED_WITH_RESPONSE_HEADER", 200, true),
        ("SUCCEED_WITHOUT_RESPONSE_HEADER", 200, false),
    ] {
        let (gateway, calls) = cached(&format!(
            "stage: {{cacheClusterEnabled: true, methodSettings: {{'*/*': {{cachingEnabled: true, requireAuthorizationForCacheControl: true, unauthorizedCacheControlHeaderStrategy: {strategy}}}}}}}"
        ))
        .await;
        get(&gateway, "/n?key=a").await;

        let (got, _, warning) = fresh(&gateway, "/n?key=a").await;

        assert_eq!((got, warning.is_some()), (status, warned), "{strategy}");
        assert_eq!(calls.load(Ordering::SeqCst), 1, "{strategy}");
        gateway.shutdown().await;
    }
}

#[tokio::test]
async fn a_response_type_that_nobody_may_customize_stays() {
    let document = format!(
        "x-amazon-apigateway-gateway-responses: {{REQUEST_TOO_LARGE: {{statusCode: 499}}, DEFAULT_4XX: {{statusCode: 498}}}}\npaths:\n  /v:\n    post:\n      responses: {{'200': {{description: ok}}}}\n      x-amazon-apigateway-integration: {}\n",
        mock("x")
    );
    let gateway = rest(&document).spawn().await.unwrap();

    let answer = reqwest::Client::new()
        .post(format!("{}/v", gateway.url()))
        .body(vec![b'x'; 10 * 1024 * 1024 + 1])
        .send()
        .await;

    // The gateway may close while the body is still on its way.
    if let Ok(answer) = answer {
        assert_eq!(answer.status(), 413);
    }
    assert_eq!(get(&gateway, "/none").await.0, 498);
    gateway.shutdown().await;
}

/// A REST API whose routes stream from a Node.js function, and one that does not.
async fn streaming() -> (Running, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let code = r#"
exports.handler = awslambda.streamifyResponse(async (event, stream) => {
  const { mode } = event.queryStringParameters || {};
  if (mode === 'early') throw new Error('early');
  if (mode === 'raw') { stream.write('no metadata'); stream.end(); return; }
  stream = awslambda.HttpResponseStream.from(stream, {
    statusCode: 201, headers: { 'x-own': '1', 'content-type': 'text/plain' }, cookies: ['a=1', 'b=2'],
  });
  stream.write('one ');
  await new Promise((done) => setImmediate(done));
  if (mode === 'late') throw new Error('late');
  stream.write('two');
  stream.end();
});
"#;
    std::fs::write(folder.path().join("app.js"), code).unwrap();
    let arn = "arn:aws:lambda:us-east-1:123456789012:function:flow";
    let gateway = rest(&format!(
        "paths:
  /stream:
    get:
      x-amazon-apigateway-integration: {{type: aws_proxy, httpMethod: POST, responseTransferMode: STREAM, uri: 'arn:aws:apigateway:us-east-1:lambda:path/2021-11-15/functions/{arn}/response-streaming-invocations'}}
  /buffered:
    get:
      x-amazon-apigateway-integration: {{type: aws_proxy, httpMethod: POST, uri: 'arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/{arn}/invocations'}}
"
    ))
    .config_text(format!(
        "functions: {{flow: {{runtime: nodejs20.x, handler: app.handler, codeUri: '{}', timeout: 20}}}}",
        folder.path().display()
    ))
    .spawn()
    .await
    .unwrap();
    (gateway, folder)
}

#[tokio::test]
async fn a_function_streams_status_headers_cookies_and_payload() {
    let (gateway, _folder) = streaming().await;

    for _ in 0..3 {
        let answer = reqwest::get(format!("{}/stream", gateway.url()))
            .await
            .unwrap();

        assert_eq!(answer.status(), 201);
        assert_eq!(answer.headers()["x-own"], "1");
        assert_eq!(answer.headers()["transfer-encoding"], "chunked");
        assert_eq!(answer.headers().get_all("set-cookie").iter().count(), 2);
        assert_eq!(answer.text().await.unwrap(), "one two");
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn what_goes_wrong_with_a_stream_shows_by_when_it_does() {
    let (gateway, _folder) = streaming().await;

    assert_eq!(get(&gateway, "/stream?mode=early").await.0, 502);
    assert_eq!(get(&gateway, "/stream?mode=raw").await.0, 500);
    let late = reqwest::get(format!("{}/stream?mode=late", gateway.url()))
        .await
        .unwrap();
    assert_eq!(late.status(), 201);
    assert!(
        late.bytes().await.is_err(),
        "the answer ended as if it were whole"
    );
    gateway.shutdown().await;
}

#[tokio::test]
async fn of_a_stream_a_buffered_route_passes_status_and_headers_alone() {
    let (gateway, _folder) = streaming().await;

    let answer = reqwest::get(format!("{}/buffered", gateway.url()))
        .await
        .unwrap();

    assert_eq!(
        (
            answer.status().as_u16(),
            answer.headers()["x-own"].to_str().unwrap()
        ),
        (201, "1")
    );
    assert_eq!(answer.text().await.unwrap(), "");
    gateway.shutdown().await;
}
