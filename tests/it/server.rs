//! The server on real sockets: what a client may send, byte by byte, and what
//! reaches the service.
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::BodyExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use tollgate::base::{Body, BodyFault};
use tollgate::event::ReceivedRequest;
use tollgate::server::{Ended, Listeners, Options, serve};

/// No test waits as long; it only keeps a broken server from hanging the suite.
const WATCHDOG: Duration = Duration::from_secs(20);

/// A server whose service notes every well-formed request whose body came whole.
struct TestServer {
    addresses: Vec<SocketAddr>,
    served: Arc<Mutex<Vec<String>>>,
    /// A permit for each answer to `/wait`.
    gate: Arc<Semaphore>,
    /// A permit for each request for `/wait` that arrived.
    arrived: Arc<Semaphore>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Ended>,
}

impl TestServer {
    async fn start() -> Self {
        Self::start_with(Options::default()).await
    }

    async fn start_with(options: Options) -> Self {
        let listeners = Listeners::bind(None, 0).await.unwrap();
        let addresses = listeners.addresses().to_vec();
        let served = Arc::new(Mutex::new(Vec::new()));
        let gate = Arc::new(Semaphore::new(0));
        let arrived = Arc::new(Semaphore::new(0));
        let service = {
            let served = Arc::clone(&served);
            let gates = [Arc::clone(&arrived), Arc::clone(&gate)];
            move |request| answer(request, Arc::clone(&served), gates.clone())
        };
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(serve(listeners, service, options, async {
            let _ = stopped.await;
        }));
        Self {
            addresses,
            served,
            gate,
            arrived,
            stop: Some(stop),
            task,
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.addresses[0]).await.unwrap()
    }

    /// Sends `bytes` and returns all that comes until the server ends the connection.
    async fn exchange(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut stream = self.connect().await;
        send(&mut stream, bytes).await;
        read_to_end(&mut stream).await
    }

    /// `METHOD PATH BODY` of each request that was served.
    fn served(&self) -> Vec<String> {
        self.served.lock().unwrap().clone()
    }

    /// Waits until a request for `/wait` is in the service's hands.
    async fn arrival(&self) {
        timeout(WATCHDOG, self.arrived.acquire())
            .await
            .unwrap()
            .unwrap()
            .forget();
    }

    fn stop(&mut self) {
        let _ = self.stop.take().unwrap().send(());
    }

    async fn ended(self) -> Ended {
        timeout(WATCHDOG, self.task).await.unwrap().unwrap()
    }
}

async fn answer(
    request: Box<ReceivedRequest>,
    served: Arc<Mutex<Vec<String>>>,
    [arrived, gate]: [Arc<Semaphore>; 2],
) -> Response<Body> {
    if let Some(why) = request.malformed {
        return response(why.status(), "refused");
    }
    let target = match &request.query {
        Some(query) => format!("{}?{query}", request.path),
        None => request.path.clone(),
    };
    match request.path.as_str() {
        "/panic" => panic!("the service panics"),
        "/ignore-body" => {
            served
                .lock()
                .unwrap()
                .push(format!("{} {target}", request.method));
            return response(StatusCode::OK, "ignored");
        }
        "/wait" => {
            arrived.add_permits(1);
            gate.acquire().await.unwrap().forget();
        }
        "/headers" => {
            let mut text = format!("host={}\n", request.host);
            for (name, value) in request.headers.iter_text() {
                text.push_str(&format!("{name}={value}\n"));
            }
            return response(StatusCode::OK, text);
        }
        _ => {}
    }
    let body = match request.body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => {
            return match BodyFault::of(&error) {
                Some(BodyFault::Stalled) => response(StatusCode::REQUEST_TIMEOUT, "stalled"),
                _ => response(StatusCode::BAD_REQUEST, "broken body"),
            };
        }
    };
    let line = if body.len() > 64 {
        format!("{} {target} {} bytes", request.method, body.len())
    } else {
        format!(
            "{} {target} {}",
            request.method,
            String::from_utf8_lossy(&body)
        )
    };
    served.lock().unwrap().push(line.clone());
    response(StatusCode::OK, line)
}

fn response(status: StatusCode, text: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::from(text.into()));
    *response.status_mut() = status;
    response
}

async fn send(stream: &mut TcpStream, bytes: impl AsRef<[u8]>) {
    timeout(WATCHDOG, stream.write_all(bytes.as_ref()))
        .await
        .unwrap()
        .unwrap();
}

async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    timeout(WATCHDOG, stream.read_to_end(&mut answer))
        .await
        .expect("the server ends the connection")
        .unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

/// Reads until `end` was seen.
async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut answer = Vec::new();
    while !String::from_utf8_lossy(&answer).contains(end) {
        let read = timeout(WATCHDOG, stream.read_buf(&mut answer))
            .await
            .expect("an answer")
            .unwrap();
        assert_ne!(
            read,
            0,
            "ended after {:?}",
            String::from_utf8_lossy(&answer)
        );
    }
    String::from_utf8_lossy(&answer).into_owned()
}

/// The status of each answer in `text`.
fn statuses(text: &str) -> Vec<u16> {
    text.split("HTTP/1.")
        .skip(1)
        // Not a request line that a body shows.
        .filter(|answer| answer[1..].starts_with(' '))
        .map(|answer| answer[2..5].parse().unwrap())
        .collect()
}

/// `head` with its line ends, and a request after it that no one may ever serve.
async fn assert_refused(server: &TestServer, head: &[u8], status: u16) {
    let smuggled = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let answer = server.exchange([head, smuggled].concat()).await;
    let shown = String::from_utf8_lossy(&head[..head.len().min(200)]);
    assert_eq!(statuses(&answer), [status], "{shown:?} got {answer:?}");
    assert!(
        answer.to_ascii_lowercase().contains("connection: close"),
        "{shown:?}"
    );
    assert_eq!(server.served(), [""; 0], "{shown:?}");
}

#[tokio::test]
async fn serves_a_request_with_names_as_sent_and_bytes_as_sent() {
    let server = TestServer::start().await;

    let answer = server
        .exchange("GET /headers HTTP/1.1\r\nHoSt: Example.COM:80\r\nX-MiXed:  two  words \r\nx-mixed:\r\nCaf: caf\u{e9}\r\nConnection: close\r\n\r\n")
        .await;

    assert_eq!(statuses(&answer), [200]);
    assert!(answer.ends_with(
        "\r\n\r\nhost=Example.COM:80\nHoSt=Example.COM:80\nX-MiXed=two  words\nx-mixed=\nCaf=caf\u{e9}\nConnection=close\n"
    ), "{answer}");
}

#[tokio::test]
async fn a_head_that_two_readers_could_read_differently_is_refused() {
    let server = TestServer::start().await;
    for (head, status) in [
        // Two lengths, or one in two ways.
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nX",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n1\r\nX\r\n0\r\n\r\n",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nX",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\ncontent-length: 1\r\n\r\nX",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\nX",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1,2\r\n\r\nX",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\nX",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\nX",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n\r\nX",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1 1\r\n\r\nX",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1.0\r\n\r\nX",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \"1\"\r\n\r\nX",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: a\r\n\r\nX",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\nX",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\nX",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551617\r\n\r\nX",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 1\r\n\r\nX",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n 2\r\n\r\nX",
            400,
        ),
        // Transfer codings.
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunkedx\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: 'chunked'\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunk\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked,\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\tchunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\t\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:  chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked \r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\t1\r\n\r\nX",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\x0c\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \0chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: ch\u{fc}nked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\n chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nX: y\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nX: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            501,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
            400,
        ),
        // Lines.
        ("GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n folded\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\tfolded\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n X: y\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX y\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\n: y\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX(): y\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX\0: y\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX\u{e9}: y\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: y\0z\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: y\x1bz\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: y\x7fz\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: y\rz\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: y\r\r\n\r\n", 400),
        ("GET / HTTP/1.1\nHost: a\n\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\n\n", 400),
        ("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        // The request line.
        ("GET /\r\n\r\n", 400),
        ("GET / HTTP/0.9\r\nHost: a\r\n\r\n", 505),
        ("GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        ("GET / HTTP/1.10\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1\r\nHost: a\r\n\r\n", 400),
        ("GET / http/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400),
        ("GET / XHTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /  HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (" GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET\t/\tHTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /a\tb HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /a\0b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /a\x7fb HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /a\rb HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /caf\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("G@T / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET ?a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET \\a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 405),
        ("CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        // The host.
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost:\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        ("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: http://a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        ("GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET http://a:81/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET http://a/ HTTP/1.1\r\n\r\n", 400),
        ("GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET http:/x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET http://a\\@b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        // Not HTTP at all: the beginning of a TLS handshake.
        ("\x16\x03\x01\x02", 400),
    ] {
        assert_refused(&server, head.as_bytes(), status).await;
    }
}

#[tokio::test]
async fn targets_arrive_byte_for_byte() {
    let server = TestServer::start().await;
    let targets = [
        "/a/../b",
        "/a/./b",
        "//a//b",
        "/%2e%2e/b",
        "/a%2Fb",
        "/a%2fb",
        "/a;b=c/d",
        "/a\\..\\b",
        "/%",
        "/%zz",
        "/%00",
        "/a?b?c",
        "/?",
        "/a??",
        "/~a'(b)*!$&,;=:@",
        "/\"<>^`{|}",
        "/a%5c..",
        "/?q=%F0%9F%98%80&q=&&=",
        "/..",
        "/.",
        "//evil.example/x",
        "/a?http://b/",
    ];

    for target in targets {
        let answer = server
            .exchange(format!(
                "GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
            ))
            .await;
        assert_eq!(statuses(&answer), [200], "{target}");
    }

    let expected: Vec<String> = targets
        .iter()
        .map(|target| format!("GET {target} "))
        .collect();
    assert_eq!(server.served(), expected);
}

#[tokio::test]
async fn absolute_targets_name_the_host() {
    let server = TestServer::start().await;
    for (line, host, expected) in [
        (
            "GET http://Example.com/headers HTTP/1.1",
            "example.COM",
            "host=Example.com",
        ),
        ("GET http://a:80/headers HTTP/1.1", "a", "host=a:80"),
        ("GET HTTPS://a/headers HTTP/1.1", "a:443", "host=a"),
    ] {
        let answer = server
            .exchange(format!(
                "{line}\r\nHost: {host}\r\nConnection: close\r\n\r\n"
            ))
            .await;
        assert!(
            answer.contains(&format!("\r\n\r\n{expected}\n")),
            "{answer}"
        );
    }
    for (line, path) in [
        ("GET http://a HTTP/1.1", "GET / "),
        ("GET http://a?x HTTP/1.1", "GET /?x "),
        ("GET http://a/b/../c?x HTTP/1.1", "GET /b/../c?x "),
        ("OPTIONS * HTTP/1.1", "OPTIONS * "),
    ] {
        server
            .exchange(format!("{line}\r\nHost: a\r\nConnection: close\r\n\r\n"))
            .await;
        assert_eq!(server.served().last().unwrap(), path);
    }
    let answer = server
        .exchange("GET http://a/headers HTTP/1.0\r\n\r\n")
        .await;
    assert!(answer.contains("\r\n\r\nhost=a\n"), "{answer}");
}

#[tokio::test]
async fn sizes_have_limits() {
    let server = TestServer::start().await;
    let close = "Host: a\r\nConnection: close\r\n";
    let target = |length: usize| format!("/{}", "x".repeat(length - 1));
    // `Host: a` and `Connection: close` are 20 bytes.
    let header = |bytes: usize| format!("X: {}\r\n", "y".repeat(bytes - 20 - 1));
    let count = |count: usize| "a:\r\n".repeat(count - 2);
    for (head, status) in [
        (
            format!("GET {} HTTP/1.1\r\n{close}\r\n", target(10_240)),
            200,
        ),
        (
            format!("GET {} HTTP/1.1\r\n{close}\r\n", target(10_241)),
            414,
        ),
        (
            format!("GET {} HTTP/1.1\r\n{close}\r\n", target(200_000)),
            414,
        ),
        (format!("GET {}", target(1_000_000)), 414),
        (
            format!("GET / HTTP/1.1\r\n{close}{}\r\n", header(20_480)),
            200,
        ),
        (
            format!("GET / HTTP/1.1\r\n{close}{}\r\n", header(20_481)),
            431,
        ),
        (
            format!("GET / HTTP/1.1\r\n{close}{}\r\n", header(1_000_000)),
            431,
        ),
        (
            format!("GET / HTTP/1.1\r\n{close}X: {}", "y".repeat(4_000_000)),
            431,
        ),
        (
            format!("GET / HTTP/1.1\r\n{close}{}", "y".repeat(1_000_000)),
            431,
        ),
        (format!("GET / HTTP/1.1\r\n{close}{}\r\n", count(256)), 200),
        (format!("GET / HTTP/1.1\r\n{close}{}\r\n", count(257)), 431),
        (
            format!("GET / HTTP/1.1\r\n{close}{}\r\n", count(100_000)),
            431,
        ),
        (
            format!(
                "GET / HTTP/1.1\r\n{close}X:{}y\r\n\r\n",
                " ".repeat(100_000)
            ),
            431,
        ),
        (format!("{} / HTTP/1.1\r\n{close}\r\n", "M".repeat(33)), 400),
        (
            format!("{} / HTTP/1.1\r\n{close}\r\n", "M".repeat(100_000)),
            414,
        ),
    ] {
        let answer = server.exchange(&head).await;
        assert_eq!(
            statuses(&answer),
            [status],
            "{} bytes of {:.60}",
            head.len(),
            head
        );
    }
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order_up_to_the_refused_one() {
    let server = TestServer::start().await;

    let answer = server
        .exchange(
            "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc\
             POST /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ndef\r\n0\r\n\r\n\
             \r\nGET /3 HTTP/1.1\r\nHost: a\r\n\r\n\
             GET /4 HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n\
             GET /5 HTTP/1.1\r\nHost: a\r\n\r\n",
        )
        .await;

    assert_eq!(statuses(&answer), [200, 200, 200, 400]);
    assert_eq!(server.served(), ["POST /1 abc", "POST /2 def", "GET /3 "]);
}

#[tokio::test]
async fn the_order_holds_when_the_first_answer_takes_its_time() {
    let server = TestServer::start().await;
    let mut stream = server.connect().await;

    send(
        &mut stream,
        "GET /wait HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost : a\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
    )
    .await;
    server.gate.add_permits(1);
    let answer = read_to_end(&mut stream).await;

    assert_eq!(statuses(&answer), [200, 400]);
    assert_eq!(server.served(), ["GET /wait "]);
}

#[tokio::test]
async fn what_follows_connection_close_is_not_read() {
    let server = TestServer::start().await;

    let answer = server
        .exchange("GET /1 HTTP/1.1\r\nHost: a\r\nConnection: foo, Close\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
        .await;

    assert_eq!(statuses(&answer), [200]);
    assert_eq!(server.served(), ["GET /1 "]);
}

#[tokio::test]
async fn a_body_in_a_get_is_its_own_and_not_the_next_request() {
    let server = TestServer::start().await;
    let inner = "GET /inner HTTP/1.1\r\nHost: a\r\n\r\n";

    let answer = server
        .exchange(format!(
            "GET /1 HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{inner}GET /2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            inner.len()
        ))
        .await;

    assert_eq!(statuses(&answer), [200, 200]);
    assert_eq!(
        server.served(),
        [format!("GET /1 {inner}"), "GET /2 ".to_owned()]
    );
}

#[tokio::test]
async fn an_ignored_body_is_not_read_as_a_request() {
    let server = TestServer::start().await;
    let inner = "GET /inner HTTP/1.1\r\nHost: a\r\n\r\n";
    let next = "GET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let chunks = format!("{:x}\r\n{inner}\r\n0\r\n\r\n", inner.len());
    let long = "x".repeat(2_000_000);

    let small = server
        .exchange(format!(
            "POST /ignore-body HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{inner}{next}",
            inner.len()
        ))
        .await;
    let chunked = server
        .exchange(format!("POST /ignore-body HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}{next}"))
        .await;
    let large = server
        .exchange(format!(
            "POST /ignore-body HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{long}{next}",
            long.len()
        ))
        .await;

    assert_eq!(statuses(&small), [200, 200]);
    assert_eq!(statuses(&chunked), [200, 200]);
    assert_eq!(statuses(&large), [200]);
    assert!(large.contains("connection: close"));
    assert!(!server.served().iter().any(|line| line.contains("/inner")));
}

#[tokio::test]
async fn chunked_bodies_are_joined() {
    let server = TestServer::start().await;
    let mut stream = server.connect().await;
    let request = "POST /c HTTP/1.1\r\nHost: a\r\ntransfer-encoding: CHUNKED\r\nConnection: close\r\n\r\n\
                   3;ext=\"a b\"\r\nabc\r\n00A\r\n0123456789\r\n0\r\nX-Trailer: 1\r\nContent-Length: 5\r\n\r\n";

    // Byte by byte, so that every place is once the end of a read.
    for byte in request.as_bytes() {
        send(&mut stream, [*byte]).await;
        tokio::task::yield_now().await;
    }
    let answer = read_to_end(&mut stream).await;

    assert_eq!(statuses(&answer), [200]);
    assert_eq!(server.served(), ["POST /c abc0123456789"]);
}

#[tokio::test]
async fn a_malformed_chunk_fails_the_body_and_ends_the_connection() {
    let server = TestServer::start().await;
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    for chunks in [
        "0x3\r\nabc\r\n0\r\n\r\n",
        "-3\r\nabc\r\n0\r\n\r\n",
        "3 \r\nabc\r\n0\r\n\r\n",
        " 3\r\nabc\r\n0\r\n\r\n",
        "3\nabc\n0\n\n",
        "3\r\nabc\n0\r\n\r\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "2\r\nabc\r\n0\r\n\r\n",
        "3\r\nabc0\r\n\r\n",
        "3;a\nb\r\nabc\r\n0\r\n\r\n",
        "3;a\rb\r\nabc\r\n0\r\n\r\n",
        "FFFFFFFFFFFFFFFFF\r\nabc\r\n0\r\n\r\n",
        "10000000000000003\r\nabc\r\n0\r\n\r\n",
        "3\r\nabc\r\n0\r\n: x\r\n\r\n",
        "3\r\nabc\r\n0\r\nX: y\r\n z\r\n\r\n",
        "3\r\nabc\r\n0\r\nX : y\r\n\r\n",
        "3\r\nabc\r\n0\r\n\n",
        "g\r\nabc\r\n0\r\n\r\n",
        "\r\n0\r\n\r\n",
        "3\r\nabc\r\n\r\n0\r\n\r\n",
    ] {
        let answer = server
            .exchange(format!("POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}{smuggled}"))
            .await;
        assert_eq!(statuses(&answer), [400], "{chunks:?} got {answer:?}");
        assert_eq!(server.served(), [""; 0], "{chunks:?}");
    }
    let bomb = format!("3;{}\r\nabc\r\n0\r\n\r\n", "x".repeat(1_000_000));
    let answer = server
        .exchange(format!(
            "POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{bomb}"
        ))
        .await;
    assert_eq!(statuses(&answer), [400]);
}

#[tokio::test]
async fn http_1_0_stays_open_only_when_asked() {
    let server = TestServer::start().await;

    let closed = server
        .exchange("GET /1 HTTP/1.0\r\n\r\nGET /2 HTTP/1.0\r\n\r\n")
        .await;
    let kept = server
        .exchange("GET /3 HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /4 HTTP/1.0\r\n\r\n")
        .await;

    assert!(closed.starts_with("HTTP/1.0 200"), "{closed}");
    assert_eq!(statuses(&closed), [200]);
    assert_eq!(statuses(&kept), [200, 200]);
    assert_eq!(server.served(), ["GET /1 ", "GET /3 ", "GET /4 "]);
}

#[tokio::test]
async fn a_client_that_expects_100_gets_it_before_it_sends_the_body() {
    let server = TestServer::start().await;
    let mut stream = server.connect().await;

    send(&mut stream, "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 2\r\nConnection: close\r\n\r\n").await;
    let before = read_until(&mut stream, "\r\n\r\n").await;
    send(&mut stream, "ok").await;
    let after = read_to_end(&mut stream).await;

    assert_eq!(before, "HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(statuses(&after), [200]);
    assert_eq!(server.served(), ["POST / ok"]);
}

#[tokio::test]
async fn a_refused_body_is_not_asked_for() {
    let server = TestServer::start().await;
    let mut stream = server.connect().await;

    send(&mut stream, "POST /ignore-body HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n").await;
    let answer = read_to_end(&mut stream).await;

    assert_eq!(statuses(&answer), [200]);
    assert!(answer.contains("connection: close"), "{answer}");
}

#[tokio::test]
async fn the_answer_to_head_has_no_body_also_when_it_is_a_refusal() {
    let server = TestServer::start().await;

    let answer = server
        .exchange("HEAD / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
        .await;

    assert_eq!(statuses(&answer), [400]);
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn an_upgrade_is_an_offer_that_is_not_taken() {
    let server = TestServer::start().await;
    for upgrade in [
        "Connection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
        "Connection: Upgrade, close\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
    ] {
        let answer = server
            .exchange(format!("GET / HTTP/1.1\r\nHost: a\r\n{upgrade}\r\n"))
            .await;
        assert_eq!(statuses(&answer), [200], "{upgrade}");
    }
}

#[tokio::test]
async fn a_connection_stays_for_many_requests_of_all_kinds() {
    let server = TestServer::start().await;
    let mut stream = server.connect().await;
    for round in 0..50 {
        for request in [
            format!("GET /g{round} HTTP/1.1\r\nHost: a\r\n\r\n"),
            format!("POST /p{round} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"),
            format!(
                "POST /c{round} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
            ),
        ] {
            let path = request.split(' ').nth(1).unwrap();
            send(&mut stream, &request).await;
            let answer = read_until(&mut stream, &format!("{path} ")).await;
            assert_eq!(statuses(&answer), [200]);
            assert!(!answer.contains("connection: close"), "{answer}");
        }
    }
}

#[tokio::test]
async fn large_bodies_pass() {
    let server = TestServer::start().await;
    let body = "b".repeat(5_000_000);
    let chunks = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());

    let plain = server
        .exchange(format!(
            "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        ))
        .await;
    let chunked = server
        .exchange(format!("POST /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n{chunks}"))
        .await;

    assert_eq!(statuses(&plain), [200]);
    assert_eq!(statuses(&chunked), [200]);
    assert_eq!(
        server.served(),
        ["POST /1 5000000 bytes", "POST /2 5000000 bytes"]
    );
}

#[tokio::test]
async fn a_client_may_close_its_side_after_its_request() {
    let server = TestServer::start().await;
    for request in [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nok",
        "POST /wait HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    ] {
        let mut stream = server.connect().await;
        send(&mut stream, request).await;
        stream.shutdown().await.unwrap();
        server.gate.add_permits(1);
        let answer = read_to_end(&mut stream).await;
        assert_eq!(statuses(&answer), [200], "{request:?}");
    }
}

#[tokio::test]
async fn a_request_that_breaks_off_is_never_served() {
    let mut server = TestServer::start().await;
    for request in [
        "GET / HTTP/1.1\r\nHost: a\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\r",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabc",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n",
    ] {
        let mut half_closed = server.connect().await;
        send(&mut half_closed, request).await;
        half_closed.shutdown().await.unwrap();
        let answer = read_to_end(&mut half_closed).await;
        assert!(matches!(statuses(&answer)[..], [] | [400]), "{answer}");

        let mut vanished = server.connect().await;
        send(&mut vanished, request).await;
        drop(vanished);
    }
    assert_eq!(server.served(), [""; 0]);

    // Nothing of them is left: shutdown has nothing to wait for.
    server.stop();
    assert_eq!(server.ended().await, Ended { cut_off: 0 });
}

fn impatient() -> Options {
    Options {
        head_timeout: Duration::from_millis(150),
        idle_timeout: Duration::from_millis(300),
        body_timeout: Duration::from_millis(150),
        write_timeout: Duration::from_millis(150),
        ..Options::default()
    }
}

#[tokio::test]
async fn a_head_that_does_not_end_in_time_gets_408() {
    let server = TestServer::start_with(impatient()).await;

    for head in [
        "G",
        "GET / HTTP/1.1\r\nHost: a\r\nX: ",
        "\r\n",
        "PRI * HTTP/2.0\r\n",
    ] {
        let answer = server.exchange(head).await;
        assert_eq!(statuses(&answer), [408], "{head:?}");
    }
    let after_another = server
        .exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HT")
        .await;
    assert_eq!(statuses(&after_another), [200, 408]);
}

#[tokio::test]
async fn a_dripping_head_is_not_waited_for_any_longer() {
    let server = TestServer::start_with(impatient()).await;
    let stream = server.connect().await;
    let (mut from, mut to) = stream.into_split();

    let drip = tokio::spawn(async move {
        while to.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let mut answer = [0; 12];
    timeout(WATCHDOG, from.read_exact(&mut answer))
        .await
        .unwrap()
        .unwrap();
    drip.abort();

    assert_eq!(&answer, b"HTTP/1.1 408");
}

#[tokio::test]
async fn a_body_that_stalls_fails() {
    let server = TestServer::start_with(impatient()).await;

    let plain = server
        .exchange("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabc")
        .await;
    let chunked = server
        .exchange("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab")
        .await;

    assert_eq!(statuses(&plain), [408]);
    assert_eq!(statuses(&chunked), [408]);
    assert!(plain.contains("connection: close"), "{plain}");
    assert_eq!(server.served(), [""; 0]);
}

#[tokio::test]
async fn an_idle_connection_is_closed_without_a_word() {
    let server = TestServer::start_with(impatient()).await;

    let silent = server.exchange("").await;
    let after_one = server.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;

    assert_eq!(silent, "");
    assert_eq!(statuses(&after_one), [200]);
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_let_go() {
    let listeners = Listeners::bind(Some("127.0.0.1"), 0).await.unwrap();
    let address = listeners.addresses()[0];
    let service = |_| async { Response::new(Body::from(Bytes::from(vec![b'x'; 64 << 20]))) };
    let (stop, stopped) = oneshot::channel::<()>();
    let server = tokio::spawn(serve(listeners, service, impatient(), async {
        let _ = stopped.await;
    }));
    let mut stream = TcpStream::connect(address).await.unwrap();

    send(&mut stream, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut first = [0; 12];
    timeout(WATCHDOG, stream.read_exact(&mut first))
        .await
        .unwrap()
        .unwrap();
    let _ = stop.send(());

    let ended = timeout(WATCHDOG, server).await.unwrap().unwrap();
    assert_eq!(ended, Ended { cut_off: 0 });
}

#[tokio::test]
async fn a_panic_ends_its_request_only() {
    let server = TestServer::start().await;

    let answer = server
        .exchange("GET /panic HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .await;

    assert_eq!(statuses(&answer), [500, 200]);
    assert!(answer.contains(r#"{"message": "Internal server error"}"#));
}

#[tokio::test]
async fn listens_on_both_loopback_addresses() {
    let server = TestServer::start().await;

    for address in &server.addresses {
        let mut stream = TcpStream::connect(address).await.unwrap();
        send(
            &mut stream,
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        )
        .await;
        assert_eq!(
            statuses(&read_to_end(&mut stream).await),
            [200],
            "{address}"
        );
    }
}

#[tokio::test]
async fn shutdown_lets_requests_in_flight_end_and_closes_idle_connections() {
    let mut server = TestServer::start().await;
    let mut idle = server.connect().await;
    let mut kept = server.connect().await;
    send(&mut kept, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    read_until(&mut kept, "GET / ").await;
    let mut partial = server.connect().await;
    send(&mut partial, "GET / HTTP/1.1\r\nHost").await;
    let mut busy = server.connect().await;
    send(
        &mut busy,
        "POST /wait HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n",
    )
    .await;
    server.arrival().await;

    server.stop();
    for stream in [&mut idle, &mut kept, &mut partial] {
        assert_eq!(read_to_end(stream).await, "");
    }
    let refused = TcpStream::connect(server.addresses[0]).await;
    server.gate.add_permits(1);
    send(&mut busy, "ok").await;
    let answer = read_to_end(&mut busy).await;

    assert!(refused.is_err());
    assert_eq!(statuses(&answer), [200]);
    assert!(answer.contains("connection: close"), "{answer}");
    assert_eq!(server.served().last().unwrap(), "POST /wait ok");
    assert_eq!(server.ended().await, Ended { cut_off: 0 });
}

#[tokio::test]
async fn shutdown_cuts_off_what_does_not_end_in_time() {
    let options = Options {
        drain_timeout: Duration::from_millis(100),
        ..Options::default()
    };
    let mut server = TestServer::start_with(options).await;
    let mut stuck = server.connect().await;
    send(&mut stuck, "GET /wait HTTP/1.1\r\nHost: a\r\n\r\n").await;
    server.arrival().await;

    server.stop();

    assert_eq!(server.ended().await, Ended { cut_off: 1 });
}

#[tokio::test]
async fn an_idle_connection_makes_place_for_a_new_one() {
    let options = Options {
        max_connections: 8,
        ..Options::default()
    };
    let server = TestServer::start_with(options).await;
    let close = "Host: a\r\nConnection: close\r\n\r\n";
    let mut busy = server.connect().await;
    send(&mut busy, format!("GET /wait HTTP/1.1\r\n{close}")).await;
    server.arrival().await;
    let mut idle = Vec::new();
    for _ in 0..20 {
        idle.push(server.connect().await);
    }

    let answer = server
        .exchange(format!("GET /new HTTP/1.1\r\n{close}"))
        .await;
    server.gate.add_permits(1);

    assert_eq!(statuses(&answer), [200]);
    assert_eq!(statuses(&read_to_end(&mut busy).await), [200]);
    assert_eq!(server.served(), ["GET /new ", "GET /wait "]);
}

#[tokio::test]
async fn a_new_connection_waits_while_all_are_busy() {
    let options = Options {
        max_connections: 1,
        ..Options::default()
    };
    let server = TestServer::start_with(options).await;
    let mut streams = Vec::new();
    for _ in 0..2 {
        let mut stream = server.connect().await;
        send(
            &mut stream,
            "GET /wait HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        )
        .await;
        server.arrival().await;
        streams.push(stream);
    }
    let mut third = server.connect().await;
    send(
        &mut third,
        "GET /third HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    )
    .await;

    server.gate.add_permits(2);
    let answer = read_to_end(&mut third).await;

    assert_eq!(statuses(&answer), [200]);
    assert_eq!(server.served().len(), 3);
}

mod http2 {
    //! HTTP/2 with prior knowledge.

    use http::{Request, Version};
    use http_body_util::Full;
    use hyper::client::conn::http2::{SendRequest, handshake};
    use hyper_util::rt::{TokioExecutor, TokioIo};

    use super::*;

    async fn client(server: &TestServer) -> SendRequest<Full<Bytes>> {
        let (client, connection) =
            handshake(TokioExecutor::new(), TokioIo::new(server.connect().await))
                .await
                .unwrap();
        tokio::spawn(connection);
        client
    }

    async fn fetch(
        client: &mut SendRequest<Full<Bytes>>,
        request: http::request::Builder,
        body: &'static str,
    ) -> (StatusCode, String) {
        let request = request
            .version(Version::HTTP_2)
            .body(Full::from(body))
            .unwrap();
        let answer = timeout(WATCHDOG, client.send_request(request))
            .await
            .unwrap()
            .unwrap();
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    #[tokio::test]
    async fn serves_requests_with_authority_as_host_and_cookies_joined() {
        let server = TestServer::start().await;
        let mut client = client(&server).await;

        let echoed = fetch(
            &mut client,
            Request::post("http://a.example:81//x/../%2e?q=1"),
            "body",
        )
        .await;
        let request = Request::get("http://a.example:81/headers")
            .header("cookie", "a=1")
            .header("x", "y")
            .header("cookie", "b=2");
        let headers = fetch(&mut client, request, "").await;

        assert_eq!(
            echoed,
            (StatusCode::OK, "POST //x/../%2e?q=1 body".to_owned())
        );
        assert_eq!(
            headers.1,
            "host=a.example:81\nhost=a.example:81\nx=y\ncookie=a=1; b=2\n"
        );
    }

    #[tokio::test]
    async fn refuses_what_http_1_refuses() {
        let server = TestServer::start().await;
        let long = "x".repeat(10_240);
        let big = "y".repeat(20_480);
        for (request, status) in [
            (Request::get(format!("http://a/{long}")), 414),
            (Request::get("http://a/").header("x", &big), 431),
            (Request::get("http://a/").header("host", "b"), 400),
            (Request::get("http://u@a/"), 400),
        ] {
            let mut client = client(&server).await;
            let answer = fetch(&mut client, request, "").await;
            assert_eq!(answer.0, status);
        }
        assert_eq!(server.served(), [""; 0]);
    }

    #[tokio::test]
    async fn a_panic_ends_its_request_only() {
        let server = TestServer::start().await;
        let mut client = client(&server).await;

        let panicked = fetch(&mut client, Request::get("http://a/panic"), "").await;
        let after = fetch(&mut client, Request::get("http://a/"), "").await;

        assert_eq!(panicked.0, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(after.0, StatusCode::OK);
    }

    #[tokio::test]
    async fn shutdown_lets_streams_end() {
        let mut server = TestServer::start().await;
        let mut first = client(&server).await;
        let mut second = first.clone();

        fetch(&mut first, Request::get("http://a/"), "").await;
        let waiting =
            tokio::spawn(
                async move { fetch(&mut second, Request::get("http://a/wait"), "").await },
            );
        server.arrival().await;
        server.stop();
        server.gate.add_permits(1);
        let answer = waiting.await.unwrap();

        assert_eq!(answer.0, StatusCode::OK);
        assert_eq!(server.ended().await, Ended { cut_off: 0 });
    }

    #[tokio::test]
    async fn an_idle_connection_is_closed() {
        let server = TestServer::start_with(impatient()).await;
        let mut client = client(&server).await;
        fetch(&mut client, Request::get("http://a/"), "").await;

        timeout(WATCHDOG, async {
            while client.ready().await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await
            }
        })
        .await
        .expect("the server closes the connection");
    }
}
