//! Function URLs whole: hosts, events, answers, signatures, CORS and streams, over real sockets.

use serde_json::Value;
use tollgate::Gateway;
use tollgate::server::Running;

use super::gateway::raw;

const API: &str = "openapi: 3.0.1\ninfo: {title: t, version: '1'}\npaths: {}\n";

const PYTHON: &str = r#"
def handler(event, context):
    path = event["rawPath"]
    if path == "/fails":
        raise ValueError("no")
    if path == "/plain":
        return {"hello": "world"}
    return {"statusCode": 201, "headers": {"x-own": "1"}, "cookies": ["a=1"],
            "body": __import__("json").dumps(event)}
"#;

const NODE: &str = r#"
exports.handler = awslambda.streamifyResponse(async (event, stream) => {
  if (event.rawPath === '/text') {
    stream.setContentType('text/plain');
  } else {
    stream = awslambda.HttpResponseStream.from(stream, { statusCode: 418, headers: { 'content-type': 'text/x', 'x-own': '2' }, cookies: ['b=2'] });
  }
  stream.write('one ');
  await new Promise((done) => setImmediate(done));
  stream.write('two');
  stream.end();
});
"#;

/// A gateway with a function of each kind. The folder must live as long.
async fn start(extra: &str) -> (Running, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("app.py"), PYTHON).unwrap();
    std::fs::write(folder.path().join("app.js"), NODE).unwrap();
    let place = folder.path().display();
    let config = format!(
        "iam: {{users: [{{accessKeyId: AKIDEXAMPLE, secretAccessKey: secret, userArn: 'arn:aws:iam::123456789012:user/alice'}}]}}\nfunctions:\n  open: {{runtime: python3.11, handler: app.handler, codeUri: '{place}', timeout: 60, functionUrl: {{authType: NONE, id: open{extra}}}}}\n  signed: {{runtime: python3.11, handler: app.handler, codeUri: '{place}', functionUrl: {{authType: AWS_IAM, id: signed}}}}\n  stream: {{runtime: nodejs20.x, handler: app.handler, codeUri: '{place}', timeout: 60, functionUrl: {{authType: NONE, invokeMode: RESPONSE_STREAM, id: stream}}}}\n  whole: {{runtime: nodejs20.x, handler: app.handler, codeUri: '{place}', timeout: 60, functionUrl: {{authType: NONE, id: whole}}}}\n  none: {{runtime: python3.11, handler: app.handler, codeUri: '{place}', reservedConcurrency: 0, functionUrl: {{authType: NONE, id: none}}}}\n"
    );
    let gateway = Gateway::builder().openapi_text(API).config_text(config);
    (gateway.spawn().await.unwrap(), folder)
}

async fn send(gateway: &Running, host: &str, line: &str, headers: &str) -> String {
    let request = format!("{line} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{headers}\r\n");
    raw(gateway, &request).await
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").unwrap().1
}

#[tokio::test]
async fn a_url_sends_format_2_events_and_answers_as_lambda() {
    let (gateway, _folder) = start("").await;

    let host = "open.lambda-url.us-east-1.on.aws";
    let full = send(&gateway, host, "GET /a%20b?x=1&x=2", "cookie: c=3\r\n").await;
    let plain = send(&gateway, "open.lambda-url.localhost", "GET /plain", "").await;
    let failed = send(&gateway, "open.lambda-url.localhost:80", "GET /fails", "").await;
    let unknown = send(&gateway, "nobody.lambda-url.localhost", "GET /", "").await;
    let throttled = send(&gateway, "none.lambda-url.localhost", "GET /", "").await;

    assert!(full.starts_with("HTTP/1.1 201 "), "{full}");
    let head = full.split("\r\n\r\n").next().unwrap().to_ascii_lowercase();
    for line in [
        "x-own: 1",
        "set-cookie: a=1",
        "content-type: application/json",
        "x-amzn-requestid: ",
    ] {
        assert!(head.contains(line), "{line}: {head}");
    }
    let event: Value = serde_json::from_str(body(&full)).unwrap();
    assert_eq!(event["version"], "2.0");
    assert_eq!(event["routeKey"], "$default");
    assert_eq!(event["rawPath"], "/a b");
    assert_eq!(event["rawQueryString"], "x=1&x=2");
    assert_eq!(event["cookies"][0], "c=3");
    let context = &event["requestContext"];
    assert_eq!(context["accountId"], "anonymous");
    assert_eq!(context["apiId"], "open");
    assert_eq!(context["domainName"], host);
    assert_eq!(context["domainPrefix"], "open");
    assert_eq!(context["stage"], "$default");
    assert_eq!(context["http"]["method"], "GET");
    assert!(context.get("authorizer").is_none());
    assert_eq!(body(&plain), r#"{"hello": "world"}"#);
    assert!(failed.starts_with("HTTP/1.1 502 "), "{failed}");
    assert_eq!(body(&failed), "Internal Server Error");
    assert!(unknown.starts_with("HTTP/1.1 403 "), "{unknown}");
    assert_eq!(body(&unknown), r#"{"Message":"Forbidden"}"#);
    assert!(throttled.starts_with("HTTP/1.1 429 "), "{throttled}");
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_url_with_iam_is_closed_to_whoever_does_not_sign_for_lambda() {
    let (gateway, _folder) = start("").await;
    let host = "signed.lambda-url.localhost";
    let scope = |service: &str| {
        format!(
            "authorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/{service}/aws4_request, SignedHeaders=host;x-amz-date, Signature=00\r\nx-amz-date: 20150830T123600Z\r\n"
        )
    };

    for headers in [String::new(), scope("lambda"), scope("execute-api")] {
        let answer = send(&gateway, host, "GET /plain", &headers).await;

        assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
        assert_eq!(body(&answer), r#"{"Message":"Forbidden"}"#);
        assert!(answer.contains("AccessDeniedException"), "{answer}");
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn whoever_signs_for_lambda_is_let_in_and_named_to_the_function() {
    use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};

    let (gateway, _folder) = start("").await;
    let host = "signed.lambda-url.localhost";
    let identity =
        aws_credential_types::Credentials::new("AKIDEXAMPLE", "secret", None, None, "test").into();
    let now = std::time::UNIX_EPOCH + tollgate::base::Clock::System.since_epoch();
    let params = aws_sigv4::sign::v4::SigningParams::builder()
        .identity(&identity)
        .region("us-east-1")
        .name("lambda")
        .time(now)
        .settings(SigningSettings::default())
        .build()
        .unwrap()
        .into();
    let uri = format!("http://{host}/x");
    let headers = [("host", host)];
    let request =
        SignableRequest::new("GET", &uri, headers.into_iter(), SignableBody::Bytes(b"")).unwrap();
    let (signed, _) = sign(request, &params).unwrap().into_parts();
    let headers: String = signed
        .headers()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();

    let answer = send(&gateway, host, "GET /x", &headers).await;

    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    let event: Value = serde_json::from_str(body(&answer)).unwrap();
    let context = &event["requestContext"];
    assert_eq!(context["accountId"], "123456789012");
    let iam = &context["authorizer"]["iam"];
    assert_eq!(iam["accessKey"], "AKIDEXAMPLE");
    assert_eq!(iam["userArn"], "arn:aws:iam::123456789012:user/alice");
    gateway.shutdown().await;
}

#[tokio::test]
async fn cors_of_a_url_is_answered_by_lambda_itself() {
    let cors = ", cors: {allowOrigins: ['https://shop.test'], allowMethods: [GET], maxAge: 60}";
    let (gateway, _folder) = start(cors).await;
    let host = "open.lambda-url.localhost";

    let preflight = send(
        &gateway,
        host,
        "OPTIONS /",
        "origin: https://shop.test\r\naccess-control-request-method: GET\r\n",
    )
    .await;
    let actual = send(
        &gateway,
        host,
        "GET /plain",
        "origin: https://shop.test\r\n",
    )
    .await;
    let foreign = send(
        &gateway,
        host,
        "GET /plain",
        "origin: https://evil.test\r\n",
    )
    .await;

    assert!(preflight.starts_with("HTTP/1.1 200 "), "{preflight}");
    assert!(
        preflight.contains("access-control-allow-methods: GET"),
        "{preflight}"
    );
    assert!(
        preflight.contains("access-control-max-age: 60"),
        "{preflight}"
    );
    assert!(
        actual.contains("access-control-allow-origin: https://shop.test"),
        "{actual}"
    );
    assert!(
        !foreign.contains("access-control-allow-origin"),
        "{foreign}"
    );
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_streaming_url_passes_status_headers_and_payload_on() {
    let (gateway, _folder) = start("").await;

    let with_head = send(&gateway, "stream.lambda-url.localhost", "GET /", "").await;
    let text = send(&gateway, "stream.lambda-url.localhost", "GET /text", "").await;
    let whole = send(&gateway, "whole.lambda-url.localhost", "GET /", "").await;

    for answer in [&with_head, &whole] {
        assert!(answer.starts_with("HTTP/1.1 418 "), "{answer}");
        for part in [
            "content-type: text/x",
            "x-own: 2",
            "set-cookie: b=2",
            "one ",
            "two",
        ] {
            assert!(answer.contains(part), "{part}: {answer}");
        }
        assert!(!answer.contains('\0'), "{answer}");
    }
    assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
    assert!(text.contains("content-type: text/plain"), "{text}");
    assert!(text.contains("one ") && text.contains("two"), "{text}");
    gateway.shutdown().await;
}
