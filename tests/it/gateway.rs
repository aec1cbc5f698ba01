//! Whole gateways: a definition in, requests over a socket, a backend that notes what reaches it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use tollgate::Gateway;
use tollgate::server::{Builder, Running};

/// An HTTP backend that notes the head of whatever reaches it, and answers as told.
pub(super) struct Backend {
    pub(super) address: String,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Backend {
    /// Answers every request with `answer`, a whole response.
    pub(super) async fn start(answer: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(one_connection(stream, answer, Arc::clone(&noted)));
            }
        });
        Self { address, seen }
    }

    pub(super) fn heads(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    /// The request lines.
    pub(super) fn seen(&self) -> Vec<String> {
        self.heads()
            .iter()
            .map(|head| head.lines().next().unwrap_or_default().to_owned())
            .collect()
    }
}

async fn one_connection(mut stream: TcpStream, answer: &str, seen: Arc<Mutex<Vec<String>>>) {
    let mut read = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        while let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&read[..end]).into_owned();
            let length = head
                .lines()
                .find_map(|line| {
                    line.to_ascii_lowercase()
                        .strip_prefix("content-length: ")?
                        .parse::<usize>()
                        .ok()
                })
                .unwrap_or(0);
            let chunked = head
                .to_ascii_lowercase()
                .contains("transfer-encoding: chunked");
            if read.len() < end + 4 + length || chunked && !read.ends_with(b"\r\n0\r\n\r\n") {
                break;
            }
            let length = if chunked {
                read.len() - end - 4
            } else {
                length
            };
            seen.lock().unwrap().push(head.clone());
            read.drain(..end + 4 + length);
            if !answer.is_empty() && stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
        match stream.read(&mut chunk).await {
            Ok(count) if count > 0 => read.extend_from_slice(&chunk[..count]),
            _ => return,
        }
    }
}

pub(super) const OK: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nok";

fn rest(paths: &str) -> Builder {
    Gateway::builder().openapi_text(format!(
        "openapi: 3.0.1\ninfo: {{title: t, version: '1'}}\npaths:\n{paths}"
    ))
}

fn proxy_to(backend: &Backend) -> Builder {
    rest(&format!(
        r#"
  /open/{{proxy+}}:
    x-amazon-apigateway-any-method:
      parameters: [{{name: proxy, in: path, required: true, schema: {{type: string}}}}]
      x-amazon-apigateway-integration:
        type: http_proxy
        httpMethod: ANY
        uri: http://{}/base/{{proxy}}
        timeoutInMillis: 2000
        requestParameters: {{integration.request.path.proxy: method.request.path.proxy}}
"#,
        backend.address
    ))
}

/// Sends bytes and reads until the gateway closes or `end` was read.
pub(super) async fn raw(gateway: &Running, request: &str) -> String {
    let address = gateway.url().replace("http://", "");
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n")
}

#[tokio::test]
async fn what_was_matched_is_byte_for_byte_what_is_sent() {
    let backend = Backend::start(OK).await;
    let gateway = proxy_to(&backend).spawn().await.unwrap();
    let tails = [
        "a/../../admin",
        "%2e%2e/admin",
        "a//b",
        "./x",
        "..;/x",
        "%2F",
        "a%20b?q=%2e&r=a+b",
        "x;y=z?a=1&a=2",
    ];

    for tail in tails {
        let answer = raw(&gateway, &get(&format!("/open/{tail}"))).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{tail}: {answer}");
    }

    let expected: Vec<String> = tails
        .iter()
        .map(|tail| format!("GET /base/{tail} HTTP/1.1"))
        .collect();
    assert_eq!(backend.seen(), expected);
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_method_is_changed_here_and_not_again_at_the_backend() {
    let backend = Backend::start(OK).await;
    let gateway = proxy_to(&backend).spawn().await.unwrap();

    for told in ["DELETE", "FOO"] {
        let request = format!(
            "GET /open/x HTTP/1.1\r\nhost: h\r\nx-http-method-override: {told}\r\nconnection: close\r\n\r\n"
        );
        let answer = raw(&gateway, &request).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{told}: {answer}");
    }

    assert_eq!(
        backend.seen(),
        ["DELETE /base/x HTTP/1.1", "GET /base/x HTTP/1.1"]
    );
    for head in backend.heads() {
        assert!(!head.to_lowercase().contains("override"), "{head}");
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn paths_that_no_two_readers_agree_on_reach_no_backend() {
    let backend = Backend::start(OK).await;
    let gateway = proxy_to(&backend).spawn().await.unwrap();

    for tail in ["%zz", "%", "%4", "a%00b", "a\\b", "a#b"] {
        let answer = raw(&gateway, &get(&format!("/open/{tail}"))).await;
        let status = answer.split(' ').nth(1).unwrap_or_default();
        assert!(["400", "500"].contains(&status), "{tail}: {answer}");
    }

    assert_eq!(backend.seen(), Vec::<String>::new());
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_rest_apis_vpc_link_leads_to_its_target_and_keeps_the_host() {
    let backend = Backend::start(OK).await;
    let gateway = rest(
        r#"
  /orders/{id}:
    get:
      parameters: [{name: id, in: path, required: true, schema: {type: string}}]
      x-amazon-apigateway-integration:
        type: http_proxy
        httpMethod: GET
        connectionType: VPC_LINK
        connectionId: ${stageVariables.link}
        uri: http://orders.internal/v1/{id}
        requestParameters: {integration.request.path.id: method.request.path.id}
"#,
    )
    .config_text(format!(
        "stage: {{variables: {{link: abc123}}}}\nvpcLinks: {{abc123: {{targets: ['http://{}']}}}}\n",
        backend.address
    ))
    .spawn()
    .await
    .unwrap();

    let answer = raw(&gateway, &get("/orders/7?x=1")).await;

    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(backend.seen(), ["GET /v1/7?x=1 HTTP/1.1"]);
    assert!(
        backend.heads()[0]
            .lines()
            .any(|line| line.eq_ignore_ascii_case("host: orders.internal"))
    );
}

#[tokio::test]
async fn smuggled_requests_reach_no_backend() {
    let backend = Backend::start(OK).await;
    let gateway = proxy_to(&backend).spawn().await.unwrap();
    let hidden = "GET /open/hidden HTTP/1.1\r\nhost: h\r\n\r\n";
    let framings = [
        format!(
            "content-length: {}\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{hidden}",
            hidden.len() + 5
        ),
        format!("transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n{hidden}"),
        format!(
            "content-length: 0\r\ncontent-length: {}\r\n\r\n{hidden}",
            hidden.len()
        ),
        format!("transfer-encoding: xchunked\r\n\r\n{hidden}"),
        format!("transfer-encoding : chunked\r\n\r\n0\r\n\r\n{hidden}"),
        format!("content-length: 0\r\n x: y\r\n\r\n{hidden}"),
        format!("content-length: +0\r\n\r\n{hidden}"),
    ];

    for framing in framings {
        let answer = raw(
            &gateway,
            &format!("POST /open/x HTTP/1.1\r\nhost: h\r\n{framing}"),
        )
        .await;
        assert_eq!(
            answer.matches("HTTP/1.1 ").count(),
            1,
            "{framing:?}: {answer}"
        );
        assert!(
            answer.starts_with("HTTP/1.1 4") || answer.starts_with("HTTP/1.1 501"),
            "{framing:?}: {answer}"
        );
    }

    assert_eq!(backend.seen(), Vec::<String>::new());
    gateway.shutdown().await;
}

#[tokio::test]
async fn headers_that_belong_to_the_clients_connection_go_no_further() {
    let backend = Backend::start(OK).await;
    let gateway = proxy_to(&backend).spawn().await.unwrap();
    let request = "GET /open/x HTTP/1.1\r\nhost: h\r\nconnection: close, X-Secret\r\nx-secret: 1\r\nx-kept: 2\r\n\r\n";

    raw(&gateway, request).await;

    let head = backend.heads().remove(0);
    assert!(head.contains("x-kept: 2"), "{head}");
    assert!(!head.contains("x-secret"), "{head}");
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_backend_that_does_not_answer_gives_504_within_the_integration_timeout() {
    let backend = Backend::start("").await;
    let paths = format!(
        "  /slow: {{get: {{x-amazon-apigateway-integration: {{type: http_proxy, httpMethod: GET, uri: 'http://{}/x', timeoutInMillis: 50}}}}}}",
        backend.address
    );
    let gateway = rest(&paths).spawn().await.unwrap();

    let answer = raw(&gateway, &get("/slow")).await;

    assert!(answer.starts_with("HTTP/1.1 504"), "{answer}");
    assert!(
        answer.ends_with(r#"{"message": "Endpoint request timed out"}"#),
        "{answer}"
    );
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_body_over_ten_megabytes_gets_413_whether_its_length_is_told_or_not() {
    let backend = Backend::start(OK).await;
    let gateway = proxy_to(&backend).spawn().await.unwrap();
    let client = reqwest::Client::new();
    let url = format!("{}/open/x", gateway.url());
    let big = vec![b'x'; 10 * 1024 * 1024 + 1];

    let counted = client.post(&url).body(big.clone()).send().await.unwrap();
    let pieces = futures_util::stream::iter(
        big.chunks(1 << 20)
            .map(|piece| Ok::<_, std::io::Error>(piece.to_vec()))
            .collect::<Vec<_>>(),
    );
    let chunked = client
        .post(&url)
        .body(reqwest::Body::wrap_stream(pieces))
        .send()
        .await
        .unwrap();

    assert_eq!(
        (counted.status().as_u16(), chunked.status().as_u16()),
        (413, 413)
    );
    gateway.shutdown().await;
}

#[tokio::test]
async fn several_definitions_answer_by_their_hosts() {
    let one = |title: &str, answer: &str| {
        format!(
            "openapi: 3.0.1\ninfo: {{title: {title}, version: '1'}}\npaths:\n  /x: {{get: {{responses: {{'200': {{description: d}}}}, x-amazon-apigateway-integration: {{type: mock, requestTemplates: {{application/json: '{{\"statusCode\": 200}}'}}, responses: {{default: {{statusCode: '200', responseTemplates: {{application/json: '{answer}'}}}}}}}}}}}}"
        )
    };
    let gateway = Gateway::builder()
        .openapi_text(one("a", "first"))
        .openapi_text(one("b", "second"))
        .spawn()
        .await
        .unwrap();
    let ids: Vec<String> = gateway
        .gateway()
        .plan()
        .apis
        .iter()
        .map(|api| api.facts.api_id.clone())
        .collect();
    let ask = async |host: String, path: &str| {
        raw(
            &gateway,
            &format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n"),
        )
        .await
    };

    assert!(ask("localhost:1".into(), "/x").await.ends_with("first"));
    assert!(
        ask(format!("{}.execute-api.localhost:1", ids[0]), "/dev/x")
            .await
            .ends_with("first")
    );
    assert!(
        ask(format!("{}.execute-api.localhost:1", ids[1]), "/dev/x")
            .await
            .ends_with("second")
    );
    let unstaged = ask(format!("{}.execute-api.localhost", ids[1]), "/x").await;
    assert!(unstaged.starts_with("HTTP/1.1 403"), "{unstaged}");
    let unknown = ask("nosuchapi0.execute-api.localhost".into(), "/dev/x").await;
    assert!(
        unknown.starts_with("HTTP/1.1 403") && unknown.contains("Forbidden"),
        "{unknown}"
    );
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_handler_that_panics_costs_only_its_own_request() {
    let gateway = rest("  /p: {get: {x-amazon-apigateway-integration: {type: http_proxy, uri: 'local:p'}}}\n  /h: {get: {x-amazon-apigateway-integration: {type: http_proxy, uri: 'local:health'}}}")
        .handler("p", |_: Request<Bytes>| async move {
            if true {
                panic!("on purpose");
            }
        })
        .spawn()
        .await
        .unwrap();

    assert!(raw(&gateway, &get("/p")).await.starts_with("HTTP/1.1 502"));
    assert!(raw(&gateway, &get("/h")).await.starts_with("HTTP/1.1 200"));
    gateway.shutdown().await;
}

#[tokio::test]
async fn requests_under_way_end_before_the_gateway_does() {
    let (entered, mut waiting) = tokio::sync::mpsc::channel::<()>(1);
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let held = Arc::clone(&gate);
    let gateway =
        rest("  /w: {get: {x-amazon-apigateway-integration: {type: http_proxy, uri: 'local:w'}}}")
            .handler("w", move |_: Request<Bytes>| {
                let (entered, held) = (entered.clone(), Arc::clone(&held));
                async move {
                    entered.send(()).await.unwrap();
                    held.acquire().await.unwrap().forget();
                    "done"
                }
            })
            .spawn()
            .await
            .unwrap();
    let url = format!("{}/w", gateway.url());
    let asked = tokio::spawn(async move { reqwest::get(url).await.unwrap().text().await.unwrap() });
    waiting.recv().await.unwrap();

    let ending = tokio::spawn(gateway.shutdown());
    gate.add_permits(1);

    assert_eq!(asked.await.unwrap(), "done");
    tokio::time::timeout(Duration::from_secs(60), ending)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn a_wrong_definition_is_told_with_its_line() {
    let error = Gateway::builder()
        .openapi_text(
            "openapi: 3.0.1\ninfo: {title: t, version: '1'}\npaths:\n  /a/b{c}: {get: {}}\n",
        )
        .spawn()
        .await
        .unwrap_err()
        .to_string();

    assert!(error.contains("openapi.yaml:4"), "{error}");
}
