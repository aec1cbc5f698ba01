//! The server on real sockets: what a client may send, byte by byte, and what
//! reaches the service.

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
        let service = {
            let (served, gate) = (Arc::clone(&served), Arc::clone(&gate));
            move |request| answer(request, Arc::clone(&served), Arc::clone(&gate))
        };
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(serve(listeners, service, options, async {
            let _ = stopped.await;
        }));
        Self {
            addresses,
            served,
            gate,
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

    fn stop(&mut self) {
        let _ = self.stop.take().unwrap().send(());
    }

    async fn ended(self) -> Ended {
        timeout(WATCHDOG, self.task).await.unwrap().unwrap()
    }
}

async fn answer(
    request: ReceivedRequest,
    served: Arc<Mutex<Vec<String>>>,
    gate: Arc<Semaphore>,
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
        "/wait" => gate.acquire().await.unwrap().forget(),
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
