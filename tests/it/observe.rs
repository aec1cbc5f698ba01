//! What the gateway tells of requests: lines of access logs, counts, readiness.

use std::path::Path;

use tollgate::Gateway;
use tollgate::admin::AdminPort;
use tollgate::server::Running;

const REST: &str = r#"
openapi: 3.0.1
info: {title: watched, version: '1'}
components:
  securitySchemes:
    judge:
      type: apiKey
      name: Authorization
      in: header
      x-amazon-apigateway-authtype: custom
      x-amazon-apigateway-authorizer: {type: token, authorizerUri: 'local:judge', authorizerResultTtlInSeconds: 60}
paths:
  /pets/{id}:
    get:
      responses: &ok {'200': {description: OK}, '201': {description: made}}
      x-amazon-apigateway-integration:
        type: mock
        requestTemplates: {application/json: '{"statusCode": 200}'}
        responses: {default: {statusCode: '201', responseTemplates: {application/json: '{"ok": true}'}}}
  /fn:
    get:
      x-amazon-apigateway-integration: {type: aws_proxy, httpMethod: POST, uri: 'arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/arn:aws:lambda:us-east-1:123456789012:function:fn/invocations'}
  /broken:
    get:
      x-amazon-apigateway-integration: {type: aws_proxy, httpMethod: POST, uri: 'arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/arn:aws:lambda:us-east-1:123456789012:function:broken/invocations'}
  /gone:
    get:
      x-amazon-apigateway-integration: {type: http_proxy, httpMethod: GET, uri: 'http://127.0.0.1:1/'}
  /judged:
    get:
      security: [{judge: []}]
      responses: *ok
      x-amazon-apigateway-integration:
        type: mock
        requestTemplates: {application/json: '{"statusCode": 200}'}
        responses: {default: {statusCode: '200'}}
"#;

const HTTP: &str = r#"
openapi: 3.0.1
info: {title: watched, version: '1'}
paths:
  /stream/{id}:
    get:
      x-amazon-apigateway-integration: {type: http_proxy, httpMethod: GET, uri: 'BACKEND/static', payloadFormatVersion: '1.0'}
"#;

/// An endpoint that speaks Lambda's Invoke API.
async fn lambda() -> Running {
    Gateway::builder()
        .openapi_text(
            "openapi: 3.0.1\ninfo: {title: lambda, version: '1'}\npaths: {'/{proxy+}': {post: {parameters: [{name: proxy, in: path, required: true, schema: {type: string}}], x-amazon-apigateway-integration: {type: http_proxy, httpMethod: POST, uri: 'local:lambda'}}}}",
        )
        .handler("lambda", |request: http::Request<bytes::Bytes>| async move {
            match request.uri().path().contains("/fn/") {
                true => r#"{"statusCode": 418, "body": "tea"}"#,
                false => "no answer",
            }
        })
        .spawn()
        .await
        .unwrap()
}

async fn rest(folder: &Path, format: &str) -> Running {
    rest_with(folder, format, "http://127.0.0.1:1").await
}

async fn rest_with(folder: &Path, format: &str, lambda: &str) -> Running {
    let log = folder.join("access.log");
    Gateway::builder()
        .openapi_text(REST)
        .config_text(format!(
            "stage: {{accessLogSettings: {{destination: {}, format: '{format}'}}}}\n\
             functions: {{fn: {{endpoint: '{lambda}'}}, broken: {{endpoint: '{lambda}'}}}}\n",
            log.display()
        ))
        .handler("judge", |request: http::Request<bytes::Bytes>| async move {
            let event: serde_json::Value = serde_json::from_slice(request.body()).unwrap();
            let effect = event["authorizationToken"].as_str().unwrap();
            serde_json::json!({
                "principalId": "evil \"user\"\nsecond line",
                "policyDocument": {"Version": "2012-10-17", "Statement": [
                    {"Effect": effect, "Action": "execute-api:Invoke", "Resource": "*"},
                ]},
            })
            .to_string()
        })
        .admin_port(AdminPort::Exactly(0))
        .spawn()
        .await
        .unwrap()
}

async fn get(url: &str, headers: &[(&str, &str)]) -> (u16, String) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut request = client.get(url).header("user-agent", "test \"agent\"");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

/// The lines of the access log once the gateway has ended.
async fn ended(gateway: Running, folder: &Path) -> Vec<String> {
    gateway.shutdown().await;
    let text = std::fs::read_to_string(folder.join("access.log")).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn variables_of_access_logs_tell_how_a_request_went() {
    let folder = tempfile::tempdir().unwrap();
    let format = "$context.httpMethod $context.path $context.resourcePath $context.status \
                  $context.responseLength $context.integration.status $context.integrationStatus \
                  $context.error.responseType $context.error.messageString $context.integration.error \
                  $context.endpointType $context.extendedRequestId";
    let lambda = lambda().await;
    let gateway = rest_with(folder.path(), format, &lambda.url()).await;
    let url = gateway.url();
    for path in ["/pets/7", "/fn", "/broken", "/gone", "/nowhere"] {
        get(&format!("{url}{path}"), &[]).await;
    }

    let lines = ended(gateway, folder.path()).await;

    let shown: Vec<&str> = lines
        .iter()
        .map(|line| line.rsplit_once(" REGIONAL ").unwrap().0)
        .collect();
    assert_eq!(
        shown,
        [
            "GET /dev/pets/7 /pets/{id} 201 12 - - - - -",
            "GET /dev/fn /fn 418 3 418 200 - - -",
            "GET /dev/broken /broken 502 36 - 200 DEFAULT_5XX \"Internal server error\" \
             function broken gave a wrong answer: malformed Lambda proxy response: not JSON: expected ident at line 1 column 2",
            "GET /dev/gone /gone 504 56 - - INTEGRATION_FAILURE \"Network error communicating with endpoint\" \
             the integration's backend failed",
            "GET /dev/nowhere - 403 42 - - MISSING_AUTHENTICATION_TOKEN \"Missing Authentication Token\" -",
        ]
    );
}

#[tokio::test]
async fn no_value_breaks_a_line_of_json() {
    let folder = tempfile::tempdir().unwrap();
    let format = r#"{"requestId":"$context.requestId","agent":"$context.identity.userAgent","who":"$context.authorizer.principalId","latency":$context.responseLatency,"none":"$context.waf.status"}"#;
    let gateway = rest(folder.path(), format).await;
    let url = format!("{}/judged", gateway.url());
    let answer = get(&url, &[("authorization", "Allow")]).await;
    assert_eq!(answer.0, 200);

    let lines = ended(gateway, folder.path()).await;

    assert_eq!(lines.len(), 1);
    let line: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!(line["agent"], "test \"agent\"");
    assert_eq!(line["who"], "evil \"user\"\nsecond line");
    assert_eq!(line["none"], "-");
    assert!(line["latency"].is_u64(), "{line}");
}

#[tokio::test]
async fn an_answer_that_streams_is_logged_with_all_its_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let backend = Gateway::builder()
        .openapi_text(
            "openapi: 3.0.1\ninfo: {title: backend, version: '1'}\npaths: {/static: {get: {x-amazon-apigateway-integration: {type: http_proxy, uri: 'local:large'}}}}",
        )
        .handler("large", |_: http::Request<bytes::Bytes>| async {
            "x".repeat(300_000)
        })
        .spawn()
        .await
        .unwrap();
    let log = folder.path().join("access.log");
    let gateway = Gateway::builder()
        .openapi_text(HTTP.replace("BACKEND", &backend.url()))
        .config_text(format!(
            "apiType: http\nstage: {{accessLogSettings: {{destination: {}, format: CLF}}}}\n",
            log.display()
        ))
        .spawn()
        .await
        .unwrap();
    let url = format!("{}/stream/1", gateway.url());
    let (status, body) = get(&url, &[]).await;
    assert_eq!((status, body.len()), (200, 300_000));
    let head = reqwest::Client::builder().no_proxy().build().unwrap();
    head.get(format!("{}/no", gateway.url()))
        .send()
        .await
        .unwrap();

    let lines = ended(gateway, folder.path()).await;

    let line = |text: &str| lines.iter().any(|line| line.contains(text));
    assert!(
        line("\"GET GET /stream/{id} HTTP/1.1\" 200 300000 "),
        "{lines:?}"
    );
    assert!(line("\"GET - HTTP/1.1\" 404 23 "), "{lines:?}");
    backend.shutdown().await;
}

/// The value of a series, 0 where it is not there.
fn value(metrics: &str, series: &str) -> f64 {
    metrics
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))
        .map_or(0.0, |value| value.parse().unwrap())
}

#[tokio::test]
async fn counts_are_cloudwatchs_by_route_and_the_authorizers_and_functions_own() {
    let folder = tempfile::tempdir().unwrap();
    let lambda = lambda().await;
    let gateway = rest_with(folder.path(), "CLF", &lambda.url()).await;
    let url = gateway.url();
    for _ in 0..3 {
        get(&format!("{url}/pets/7"), &[]).await;
    }
    get(&format!("{url}/broken"), &[]).await;
    for token in ["Allow", "Allow", "Deny"] {
        get(&format!("{url}/judged"), &[("authorization", token)]).await;
    }
    get(&format!("{url}/judged"), &[]).await;
    get(&format!("{url}/nowhere"), &[]).await;

    let admin = gateway.admin_url().unwrap();
    let (_, metrics) = get(&format!("{admin}/metrics"), &[]).await;

    let api = &gateway.gateway().plan().apis[0].facts.api_id.clone();
    let route = |name: &str, method: &str, resource: &str| {
        let labels =
            format!(r#"{{api="{api}",stage="dev",method="{method}",resource="{resource}"}}"#);
        value(&metrics, &format!("{name}{labels}"))
    };
    for (name, method, resource, expected) in [
        ("tollgate_count_total", "GET", "/pets/{id}", 3.0),
        ("tollgate_latency_seconds_count", "GET", "/pets/{id}", 3.0),
        (
            "tollgate_integration_latency_seconds_count",
            "GET",
            "/pets/{id}",
            3.0,
        ),
        ("tollgate_5xx_error_total", "GET", "/broken", 1.0),
        ("tollgate_4xx_error_total", "GET", "/judged", 2.0),
        ("tollgate_4xx_error_total", "-", "-", 1.0),
    ] {
        assert_eq!(route(name, method, resource), expected, "{name} {resource}");
    }
    let verdict = |verdict: &str| {
        let labels =
            format!(r#"{{api="{api}",stage="dev",authorizer="judge",verdict="{verdict}"}}"#);
        value(
            &metrics,
            &format!("tollgate_authorizer_requests_total{labels}"),
        )
    };
    let verdicts = ["allow", "deny", "unauthorized", "error"].map(verdict);
    assert_eq!(verdicts, [2.0, 1.0, 1.0, 0.0]);
    let kept = format!(
        r#"tollgate_authorizer_cache_hits_total{{api="{api}",stage="dev",authorizer="judge"}}"#
    );
    assert_eq!(value(&metrics, &kept), 1.0);
    let calls = r#"tollgate_function_duration_seconds_count{function="judge"}"#;
    assert_eq!(value(&metrics, calls), 2.0);
    let lines = format!(
        r#"tollgate_access_log_dropped_total{{destination="{}"}}"#,
        folder.path().join("access.log").display()
    );
    assert!(metrics.contains(&lines), "{metrics}");
    gateway.shutdown().await;
}

#[tokio::test]
async fn readiness_ends_when_the_gateway_stops() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = rest(folder.path(), "CLF").await;
    let admin = gateway.admin_url().unwrap();
    let ask = |path: &'static str| {
        let url = format!("{admin}{path}");
        async move { get(&url, &[]).await }
    };

    assert_eq!(ask("/healthz").await, (200, "ok\n".to_owned()));
    assert_eq!(ask("/readyz").await, (200, "ready\n".to_owned()));
    gateway.gateway().plan().observer.metrics.stop();
    assert_eq!(ask("/readyz").await, (503, "stopping\n".to_owned()));
    assert_eq!(ask("/healthz").await.0, 200);
    gateway.shutdown().await;
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_logged_with_what_went_out() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.log");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let backend = format!("http://{}", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = [0; 4096];
        let _ = stream.read(&mut head).await.unwrap();
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n12345";
        stream.write_all(answer).await.unwrap();
    });
    let gateway = Gateway::builder()
        .openapi_text(HTTP.replace("BACKEND", &backend))
        .config_text(format!(
            "apiType: http\nstage: {{accessLogSettings: {{destination: {}, format: CLF}}}}\n",
            log.display()
        ))
        .spawn()
        .await
        .unwrap();
    let address = gateway.url().replace("http://", "");
    let mut client = tokio::net::TcpStream::connect(&address).await.unwrap();
    client
        .write_all(b"GET /stream/1 HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    let mut seen = Vec::new();
    // The gateway breaks off, as the backend did.
    let _ = client.read_to_end(&mut seen).await;
    assert!(seen.ends_with(b"12345"));
    serving.await.unwrap();

    let lines = ended(gateway, folder.path()).await;

    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("\" 200 5 "), "{lines:?}");
}
