//! HTTP APIs whole: CORS, parameter mapping, private integrations, stages and
//! their errors, with real sockets on both sides.

use tollgate::Gateway;
use tollgate::server::{Builder, Running};

use super::gateway::{Backend, OK, raw};

/// An HTTP API whose integrations lead to `http://BACKEND`.
fn api(backend: &Backend, text: &str) -> Builder {
    Gateway::builder().openapi_text(format!(
        "openapi: 3.0.1\ninfo: {{title: t, version: '1'}}\n{}",
        text.replace("BACKEND", &backend.address)
    ))
}

async fn send(gateway: &Running, line: &str, headers: &[&str]) -> String {
    let headers: String = headers
        .iter()
        .map(|header| format!("{header}\r\n"))
        .collect();
    raw(
        gateway,
        &format!("{line} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n{headers}\r\n"),
    )
    .await
}

/// The values of an answer's header.
fn header<'a>(answer: &'a str, name: &str) -> Vec<&'a str> {
    answer
        .lines()
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_once(": "))
        .filter(|(own, _)| own.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
        .collect()
}

/// The headers of an answer by HTTP/2.
async fn http2_headers(gateway: &Running, path: &str) -> http::HeaderMap {
    let address = gateway.url().replace("http://", "");
    let stream = tokio::net::TcpStream::connect(&address).await.unwrap();
    let (mut client, connection) = hyper::client::conn::http2::handshake(
        hyper_util::rt::TokioExecutor::new(),
        hyper_util::rt::TokioIo::new(stream),
    )
    .await
    .unwrap();
    tokio::spawn(connection);
    let request = http::Request::get(format!("http://h{path}"))
        .body(http_body_util::Empty::<bytes::Bytes>::new())
        .unwrap();
    client
        .send_request(request)
        .await
        .unwrap()
        .into_parts()
        .0
        .headers
}

const CORS_API: &str = r#"
x-amazon-apigateway-cors:
  allowOrigins: ["https://shop.test", "http://*"]
  allowMethods: [GET, POST]
  allowHeaders: [content-type, x-token]
  exposeHeaders: [x-total, x-page]
  maxAge: 300
  allowCredentials: true
paths:
  /$default:
    x-amazon-apigateway-any-method:
      isDefaultRoute: true
      x-amazon-apigateway-integration:
        {type: http_proxy, httpMethod: ANY, uri: "http://BACKEND", payloadFormatVersion: "1.0"}
"#;

#[tokio::test]
async fn a_preflight_is_the_gateways_own_even_beside_a_default_route() {
    let backend = Backend::start(OK).await;
    let gateway = api(&backend, CORS_API).spawn().await.unwrap();
    let preflight = ["access-control-request-method: PUT"];

    let allowed = send(
        &gateway,
        "OPTIONS /x",
        &["origin: https://shop.test", preflight[0]],
    )
    .await;
    let by_scheme = send(
        &gateway,
        "OPTIONS /x",
        &["Origin: http://a.test:81", preflight[0]],
    )
    .await;
    let foreign = send(
        &gateway,
        "OPTIONS /x",
        &["origin: https://evil.test", preflight[0]],
    )
    .await;
    assert!(backend.seen().is_empty());
    let plain = send(&gateway, "OPTIONS /x", &["origin: https://shop.test"]).await;

    assert!(allowed.starts_with("HTTP/1.1 204"), "{allowed}");
    assert!(allowed.ends_with("\r\n\r\n"));
    for (name, value) in [
        ("access-control-allow-origin", "https://shop.test"),
        ("access-control-allow-methods", "GET,POST"),
        ("access-control-allow-headers", "content-type,x-token"),
        ("access-control-max-age", "300"),
        ("access-control-allow-credentials", "true"),
        ("vary", "origin"),
    ] {
        assert_eq!(header(&allowed, name), [value], "{name}");
    }
    assert!(header(&allowed, "access-control-expose-headers").is_empty());
    assert_eq!(
        header(&by_scheme, "access-control-allow-origin"),
        ["http://a.test:81"]
    );
    assert!(foreign.starts_with("HTTP/1.1 204"));
    assert!(!foreign.contains("access-control"));
    // Without the method it is a request like any other.
    assert!(plain.starts_with("HTTP/1.1 200"));
    assert_eq!(backend.seen(), ["OPTIONS /x HTTP/1.1"]);
}

#[tokio::test]
async fn the_backends_own_cors_headers_are_replaced() {
    let backend = Backend::start(
        "HTTP/1.1 200 OK\r\naccess-control-allow-origin: *\r\naccess-control-allow-methods: TRACE\r\nvary: accept\r\n\
         x-total: 1\r\ncontent-length: 0\r\n\r\n",
    )
    .await;
    let gateway = api(&backend, CORS_API).spawn().await.unwrap();

    let allowed = send(&gateway, "GET /x", &["origin: https://shop.test"]).await;
    let without = send(&gateway, "GET /x", &[]).await;

    assert_eq!(
        header(&allowed, "access-control-allow-origin"),
        ["https://shop.test"]
    );
    assert_eq!(
        header(&allowed, "access-control-expose-headers"),
        ["x-total,x-page"]
    );
    assert_eq!(
        header(&allowed, "access-control-allow-credentials"),
        ["true"]
    );
    assert!(header(&allowed, "access-control-allow-methods").is_empty());
    assert_eq!(header(&allowed, "vary"), ["accept", "origin"]);
    assert!(!without.contains("access-control"), "{without}");
}

/// HTTP/1.1 and HTTP/2 write an answer's headers by different hands, and so does an API with CORS.
#[tokio::test]
async fn the_backends_headers_pass_in_their_order_but_for_the_gateways_own() {
    let backend = Backend::start(
        "HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nX-Name: caf\u{e9}\r\n\
         Set-Cookie: b=2\r\nApigw-RequestId: mine\r\nConnection: x-hop\r\nX-Hop: 1\r\nContent-Length: 0\r\n\r\n",
    )
    .await;
    let gateway = api(
        &backend,
        "paths:\n  /x:\n    get:\n      x-amazon-apigateway-integration: \
         {type: http_proxy, httpMethod: GET, uri: 'http://BACKEND/x', payloadFormatVersion: '1.0'}\n",
    )
    .spawn()
    .await
    .unwrap();

    let plain = send(&gateway, "GET /x", &[]).await;
    let second = http2_headers(&gateway, "/x").await;

    assert_eq!(header(&plain, "set-cookie"), ["a=1", "b=2"]);
    assert_eq!(header(&plain, "date"), ["Sun, 06 Nov 1994 08:49:37 GMT"]);
    assert_eq!(header(&plain, "x-name"), ["caf\u{e9}"]);
    assert_eq!(header(&plain, "content-length"), ["0"]);
    // What the client asked for, nothing of the backend's.
    assert_eq!(header(&plain, "connection"), ["close"]);
    assert!(header(&plain, "x-hop").is_empty());
    let id = header(&plain, "apigw-requestid");
    assert!(id.len() == 1 && id[0] != "mine", "{plain}");
    let values = |name: &str| -> Vec<_> {
        let all = second.get_all(name).iter();
        all.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
            .collect()
    };
    assert_eq!(values("set-cookie"), ["a=1", "b=2"]);
    assert_eq!(values("date"), ["Sun, 06 Nov 1994 08:49:37 GMT"]);
    assert_eq!(values("x-name"), ["caf\u{e9}"]);
    assert!(values("x-hop").is_empty());
    assert!(values("apigw-requestid").len() == 1 && values("apigw-requestid") != ["mine"]);
}

#[tokio::test]
async fn the_gateways_errors_carry_cors_headers_too() {
    let backend = Backend::start(OK).await;
    let gateway = api(
        &backend,
        "x-amazon-apigateway-cors: {allowOrigins: ['*'], exposeHeaders: [x-a]}\n\
         paths:\n  /a:\n    get:\n      x-amazon-apigateway-integration: \
         {type: http_proxy, httpMethod: GET, uri: 'http://BACKEND/a', payloadFormatVersion: '1.0'}\n",
    )
    .spawn()
    .await
    .unwrap();

    let missing = send(&gateway, "GET /b", &["origin: https://any.test"]).await;
    let preflight = send(
        &gateway,
        "OPTIONS /b",
        &["origin: null", "access-control-request-method: GET"],
    )
    .await;

    assert!(missing.starts_with("HTTP/1.1 404"));
    assert!(missing.ends_with(r#"{"message":"Not Found"}"#));
    assert_eq!(header(&missing, "access-control-allow-origin"), ["*"]);
    assert_eq!(header(&missing, "access-control-expose-headers"), ["x-a"]);
    assert!(preflight.starts_with("HTTP/1.1 204"));
    assert_eq!(header(&preflight, "access-control-allow-origin"), ["*"]);
}

#[tokio::test]
async fn requests_are_mapped_from_every_source() {
    let backend = Backend::start(OK).await;
    let gateway = api(
        &backend,
        r#"
paths:
  /owners/{owner}/{proxy+}:
    post:
      x-amazon-apigateway-integration:
        type: http_proxy
        httpMethod: POST
        uri: http://BACKEND/base/{proxy}?own=1
        payloadFormatVersion: "1.0"
        requestParameters:
          overwrite:path: "/v2/${request.path.owner}/${stageVariables.tier}/x y"
          append:querystring.by: "${context.stage}-${context.httpMethod}"
          overwrite:querystring.page: $request.querystring.p
          remove:querystring.debug: "''"
          overwrite:header.x-tenant: $request.header.X-Source
          overwrite:header.x-user: $request.header.x-absent
          append:header.x-list: third
          append:header.x-none: $request.querystring.none
          overwrite:header.x-id: $request.body.order.items[1].id
          overwrite:header.x-whole: $request.body.order
          overwrite:header.x-path: $request.path
          overwrite:header.Host: other.test
          remove:header.x-secret: ""
"#,
    )
    .config_text("apiType: http\nstage: {variables: {tier: gold}}\n")
    .spawn()
    .await
    .unwrap();
    let body = r#"{"order":{"items":[{"id":1},{"id":"two"}]}}"#;

    let answer = raw(
        &gateway,
        &format!(
            "POST /owners/a%2Fb/c/d?page=1&debug=1&p=3&p=4&keep=%41 HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\
             x-source: acme\r\nX-Source: corp\r\nX-Tenant: evil\r\nx-user: spoofed\r\nx-list: first\r\nx-list: second\r\n\
             x-secret: s\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ),
    )
    .await;

    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let head = backend.heads().remove(0);
    assert!(
        head.starts_with(
            "POST /v2/a%2Fb/gold/x%20y?own=1&p=3&p=4&keep=%41&by=%24default-POST&page=3%2C4 HTTP/1.1"
        ),
        "{head}"
    );
    for (name, values) in [
        ("x-tenant", vec!["acme,corp"]),
        ("x-user", vec![]),
        ("x-list", vec!["first", "second", "third"]),
        ("x-none", vec![]),
        ("x-id", vec!["two"]),
        ("x-whole", vec![r#"{"items":[{"id":1},{"id":"two"}]}"#]),
        ("x-path", vec!["/owners/a/b/c/d"]),
        ("host", vec!["other.test"]),
        ("x-secret", vec![]),
    ] {
        assert_eq!(header(&head, name), values, "{name} in {head}");
    }
}

#[tokio::test]
async fn answers_are_mapped_by_the_status_that_the_backend_sent() {
    let backend = Backend::start(
        "HTTP/1.1 500 Oops\r\ncontent-type: application/json\r\nx-a: 1\r\nx-b: 2\r\nserver: s\r\ncontent-length: 34\r\n\r\n\
         {\"code\":\"E7\",\"retry\":true,\"s\":418}",
    )
    .await;
    let gateway = api(
        &backend,
        r#"
paths:
  /mapped:
    get:
      x-amazon-apigateway-integration: &mapped
        type: http_proxy
        httpMethod: GET
        uri: http://BACKEND/
        payloadFormatVersion: "1.0"
        responseParameters:
          "500":
            append:header.x-code: "code ${response.body.code}, retry ${response.body.retry}"
            overwrite:header.x-a: $response.header.X-B
            remove:header.x-b: "''"
            append:header.x-request: $context.requestId
            overwrite:statuscode: $response.body.s
          "200": {overwrite:statuscode: "201"}
"#,
    )
    .spawn()
    .await
    .unwrap();

    let answer = send(&gateway, "GET /mapped", &[]).await;

    assert!(answer.starts_with("HTTP/1.1 418"), "{answer}");
    assert_eq!(header(&answer, "x-code"), ["code E7, retry true"]);
    assert_eq!(header(&answer, "x-a"), ["2"]);
    assert!(header(&answer, "x-b").is_empty());
    assert_eq!(
        header(&answer, "x-request"),
        header(&answer, "apigw-requestid")
    );
    assert!(answer.ends_with(r#"{"code":"E7","retry":true,"s":418}"#));
}

#[tokio::test]
async fn a_field_of_a_body_is_looked_up_in_its_first_100_kb() {
    let backend = Backend::start(OK).await;
    let gateway = api(
        &backend,
        r#"
paths:
  /a:
    post:
      x-amazon-apigateway-integration:
        type: http_proxy
        httpMethod: POST
        uri: http://BACKEND/
        payloadFormatVersion: "1.0"
        requestParameters: {append:header.x-early: $request.body.early.id, append:header.x-late: $request.body.late}
"#,
    )
    .spawn()
    .await
    .unwrap();
    let body = format!(
        r#"{{"early":{{"id":"é1"}},"filler":"{}","late":"x"}}"#,
        "f".repeat(110 * 1024)
    );

    let request = format!(
        "POST /a HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = raw(&gateway, &request).await;

    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let head = backend.heads().remove(0);
    assert_eq!(header(&head, "x-early"), ["é1"]);
    assert!(header(&head, "x-late").is_empty());
}

#[tokio::test]
async fn targets_of_a_vpc_link_take_turns_and_see_the_stage() {
    let (one, two) = (Backend::start(OK).await, Backend::start(OK).await);
    let listener = "arn:aws:elasticloadbalancing:us-east-1:123456789012:listener/app/x/1/2";
    let gateway = api(
        &one,
        &format!(
            r#"
paths:
  /orders/{{id}}:
    get:
      x-amazon-apigateway-integration:
        {{type: http_proxy, httpMethod: GET, connectionType: VPC_LINK, connectionId: abc123,
         uri: "{listener}", payloadFormatVersion: "1.0", tlsConfig: {{serverNameToVerify: orders.internal}}}}
  /plain:
    get:
      x-amazon-apigateway-integration:
        {{type: http_proxy, httpMethod: GET, connectionType: VPC_LINK, connectionId: abc123,
         uri: "{listener}", payloadFormatVersion: "1.0", requestParameters: {{"overwrite:path": $request.path}}}}
  /named:
    get:
      x-amazon-apigateway-integration:
        {{type: http_proxy, httpMethod: GET, connectionType: VPC_LINK, connectionId: abc123,
         uri: "http://orders.internal/v1/named", payloadFormatVersion: "1.0"}}
"#
        ),
    )
    .config_text(format!(
        "apiType: http\nstage: {{name: dev}}\nvpcLinks: {{abc123: {{targets: ['http://{}', 'http://{}/two']}}}}\n",
        one.address, two.address
    ))
    .spawn()
    .await
    .unwrap();

    for path in [
        "/dev/orders/7?x=1",
        "/dev/orders/a%2Fb",
        "/dev/plain",
        "/dev/named",
        "/dev/named",
    ] {
        let answer = send(&gateway, &format!("GET {path}"), &[]).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    // Each integration takes its own turns.
    assert_eq!(
        one.seen(),
        [
            "GET /dev/orders/7?x=1 HTTP/1.1",
            "GET /plain HTTP/1.1",
            "GET /v1/named HTTP/1.1"
        ]
    );
    assert_eq!(
        two.seen(),
        [
            "GET /two/dev/orders/a%2Fb HTTP/1.1",
            "GET /two/v1/named HTTP/1.1"
        ]
    );
    let hosts = |backend: &Backend| -> Vec<String> {
        let heads = backend.heads();
        let hosts = heads.iter().flat_map(|head| header(head, "host"));
        hosts.map(str::to_owned).collect()
    };
    assert_eq!(
        hosts(&one),
        [one.address.as_str(), &one.address, "orders.internal"]
    );
    assert_eq!(hosts(&two), [two.address.as_str(), "orders.internal"]);
}

#[tokio::test]
async fn errors_have_the_bodies_of_an_http_api() {
    let backend = Backend::start("").await;
    let gateway = api(
        &backend,
        r#"
paths:
  /slow:
    get:
      x-amazon-apigateway-integration:
        {type: http_proxy, httpMethod: GET, uri: "http://BACKEND/", payloadFormatVersion: "1.0", timeoutInMillis: 60}
  /gone:
    get:
      x-amazon-apigateway-integration:
        {type: http_proxy, httpMethod: GET, uri: "http://127.0.0.1:1/", payloadFormatVersion: "1.0"}
"#,
    )
    .config_text("apiType: http\nstage: {name: dev}\n")
    .spawn()
    .await
    .unwrap();
    let long = format!("x-long: {}", "v".repeat(10_240));

    for (line, extra, status, message) in [
        ("GET /dev/slow", "a: b", 503, "Service Unavailable"),
        ("GET /dev/gone", "a: b", 503, "Service Unavailable"),
        ("GET /dev/none", "a: b", 404, "Not Found"),
        ("POST /dev/slow", "a: b", 404, "Not Found"),
        ("GET /slow", "a: b", 404, "Not Found"),
        ("GET /device/slow", "a: b", 404, "Not Found"),
        ("GET /dev/%zz", "a: b", 400, "Bad Request"),
        (
            "GET /dev/slow",
            "content-length: 11000000",
            413,
            "Request Entity Too Large",
        ),
        (
            "GET /dev/slow",
            long.as_str(),
            431,
            "Request Header Fields Too Large",
        ),
    ] {
        let answer = send(&gateway, line, &[extra]).await;

        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{line}: {answer}"
        );
        assert!(
            answer.ends_with(&format!(r#"{{"message":"{message}"}}"#)),
            "{line}: {answer}"
        );
        assert_eq!(
            header(&answer, "content-type"),
            ["application/json"],
            "{line}"
        );
        assert_eq!(header(&answer, "apigw-requestid").len(), 1, "{line}");
        assert!(header(&answer, "x-amzn-requestid").is_empty());
    }
}

#[tokio::test]
async fn reserved_headers_and_unknown_parameters_are_refused_at_load() {
    let backend = Backend::start(OK).await;
    let service =
        "type: aws_proxy, integrationSubtype: SQS-SendMessage, payloadFormatVersion: '1.0'";
    for (integration, wanted) in [
        (
            "{type: http_proxy, httpMethod: GET, uri: 'http://BACKEND/', payloadFormatVersion: '1.0', \
             requestParameters: {'overwrite:header.Authorization': x}}",
            "reserved",
        ),
        (
            "{type: http_proxy, httpMethod: GET, uri: 'http://BACKEND/', payloadFormatVersion: '1.0', \
             responseParameters: {'200': {'append:header.access-control-allow-origin': '*'}}}",
            "reserved",
        ),
        (
            &format!(
                "{{{service}, requestParameters: {{QueueUrl: q, MesageBody: b, MessageBody: b}}}}"
            ),
            "MesageBody",
        ),
        (
            &format!(
                "{{{service}, requestParameters: {{QueueUrl: q, MessageBody: $request.boddy}}}}"
            ),
            "boddy",
        ),
    ] {
        let text = format!(
            "paths:\n  /a:\n    get:\n      x-amazon-apigateway-integration: {integration}\n"
        );

        let error = api(&backend, &text)
            .config_text("apiType: http\n")
            .spawn()
            .await
            .unwrap_err();

        assert!(error.to_string().contains(wanted), "{wanted}: {error}");
    }
}
