use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::time::Instant;

use super::*;
use crate::base::BodyFault;
use crate::event::Scheme;
use crate::event::headers::text_of;
use crate::server::connection;
use crate::server::head::tests::head_text;
use crate::server::options::Options;

type Log = Arc<Mutex<Vec<String>>>;

/// Starts serving the other end of a stream in memory.
fn serve(log: &Log) -> (DuplexStream, Arc<Connection>) {
    let (client, server) = duplex(64 * 1024);
    let shared = Arc::new(Connection::new(Arc::default()));
    let its_own = Arc::clone(&shared);
    let address = ([127, 0, 0, 1], 1).into();
    let ends = Ends {
        peer: address,
        local: address,
        scheme: Scheme::Http,
    };
    let log = Arc::clone(log);
    let service = move |request| answer(request, Arc::clone(&log));
    tokio::spawn(async move {
        connection::run(server, ends, service, &Options::default(), its_own).await;
    });
    (client, shared)
}

async fn answer(request: Box<ReceivedRequest>, log: Log) -> Response<Body> {
    let mut line = format!("{} {}", request.method, request.path);
    if let Some(query) = &request.query {
        line.push_str(&format!("?{query}"));
    }
    line.push_str(&fields(request.headers.iter()));
    let status = match (request.malformed, request.body.collect().await) {
        (Some(why), _) => {
            line = format!("refused: {why}");
            why.status()
        }
        (None, Ok(body)) => {
            line.push_str(&format!("|{}", String::from_utf8_lossy(&body.to_bytes())));
            http::StatusCode::OK
        }
        (None, Err(error)) => {
            line.push_str("|broken body");
            match BodyFault::of(&error) {
                Some(BodyFault::Stalled) => http::StatusCode::REQUEST_TIMEOUT,
                _ => http::StatusCode::BAD_REQUEST,
            }
        }
    };
    log.lock().unwrap().push(line);
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = status;
    response
}

/// Headers sorted by name: hyper's map keeps the order of values only.
fn fields<'a>(headers: impl Iterator<Item = (&'a str, &'a [u8])>) -> String {
    let mut fields: Vec<_> = headers
        .map(|(name, value)| (name.to_ascii_lowercase(), value))
        .collect();
    fields.sort_by(|a, b| a.0.cmp(&b.0));
    fields
        .iter()
        .map(|(name, value)| format!("|{name}={}", text_of(value)))
        .collect()
}

/// Sends the pieces and says what the service saw, and the answers' statuses.
async fn exchange(pieces: &[&[u8]]) -> (Vec<String>, String) {
    let log = Log::default();
    let (client, _stop) = serve(&log);
    let (mut from, mut to) = tokio::io::split(client);
    let send = async {
        for piece in pieces {
            if to.write_all(piece).await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
        let _ = to.shutdown().await;
    };
    let mut text = Vec::new();
    let receive = async {
        let _ = from.read_to_end(&mut text).await;
    };
    tokio::join!(send, receive);
    let statuses = String::from_utf8_lossy(&text)
        .lines()
        // An interim answer is spared where the body is there already.
        .filter(|line| line.starts_with("HTTP/1") && !line.contains(" 100 "))
        .collect::<Vec<_>>()
        .join(",");
    let seen = std::mem::take(&mut *log.lock().unwrap());
    (seen, statuses)
}

/// What hyper alone sees in the same bytes, in the same form.
async fn hyper_alone(bytes: &[u8]) -> Vec<String> {
    let log = Log::default();
    let (mut client, server) = duplex(64 * 1024);
    let service = service_fn(|request: http::Request<hyper::body::Incoming>| {
        let log = Arc::clone(&log);
        async move {
            let (parts, body) = request.into_parts();
            let target = parts
                .uri
                .path_and_query()
                .map_or("/", |target| target.as_str());
            let mut line = format!("{} {target}", parts.method);
            let headers = parts.headers.iter();
            line.push_str(&fields(
                headers.map(|(name, value)| (name.as_str(), value.as_bytes())),
            ));
            match body.collect().await {
                Ok(body) => {
                    line.push_str(&format!("|{}", String::from_utf8_lossy(&body.to_bytes())))
                }
                Err(_) => line.push_str("|broken body"),
            }
            log.lock().unwrap().push(line);
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
        }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .half_close(true)
        .serve_connection(TokioIo::new(server), service);
    let send = async {
        let _ = client.write_all(bytes).await;
        let _ = client.shutdown().await;
        let mut rest = Vec::new();
        let _ = client.read_to_end(&mut rest).await;
    };
    let _ = tokio::join!(connection, send);
    std::mem::take(&mut *log.lock().unwrap())
}

fn run<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(future)
}

fn body_text() -> impl Strategy<Value = &'static [u8]> {
    prop_oneof![
        3 => Just(&b""[..]),
        3 => Just(&b"abc"[..]),
        3 => Just(&b"3\r\nabc\r\n0\r\n\r\n"[..]),
        1 => Just(&b"3;x=y\r\nabc\r\n0\r\nT: u\r\n\r\n"[..]),
        1 => Just(&b"3\r\nabc\r\n0\r\n\r"[..]),
        1 => Just(&b"3\nabc\n0\n\n"[..]),
        1 => Just(&b"0x3\r\nabc\r\n0\r\n\r\n"[..]),
    ]
}

fn stream_text() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec((head_text(), body_text()), 1..5).prop_map(|requests| {
        requests
            .into_iter()
            .flat_map(|(head, body)| [&head[..], body].concat())
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn how_a_connections_bytes_are_split_does_not_matter(
        bytes in stream_text(),
        step in 1..40_usize,
    ) {
        let whole = run(exchange(&[&bytes]));
        let pieces: Vec<&[u8]> = bytes.chunks(step).collect();

        prop_assert_eq!(run(exchange(&pieces)), whole);
    }

    /// hyper repairs what we refuse, so it may see more; what we serve it must
    /// see the same way, one after the other from the first on.
    #[test]
    fn what_is_served_is_what_hyper_alone_would_read(bytes in stream_text()) {
        let (seen, _) = run(exchange(&[&bytes]));
        let served: Vec<&String> = seen
            .iter()
            .take_while(|line| !line.starts_with("refused") && !line.ends_with("broken body"))
            .collect();
        let alone = run(hyper_alone(&bytes));

        prop_assert!(alone.len() >= served.len(), "{served:?} but {alone:?}");
        for (ours, theirs) in served.iter().zip(&alone) {
            prop_assert_eq!(*ours, theirs);
        }
    }

    #[test]
    fn no_bytes_make_a_connection_panic(bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
        run(exchange(&[&bytes]));
    }
}

/// How long the server keeps a connection on which this was sent, and what it says at last.
async fn patience(bytes: &str) -> (Duration, String) {
    let log = Log::default();
    let (mut client, _stop) = serve(&log);
    let begin = Instant::now();
    client.write_all(bytes.as_bytes()).await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    let status = answer.lines().next().unwrap_or_default().to_owned();
    (begin.elapsed(), status)
}

#[tokio::test(start_paused = true)]
async fn each_kind_of_waiting_has_its_limit() {
    for (sent, seconds, status) in [
        ("", 310, ""),
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 310, "HTTP/1.1 200 OK"),
        ("GET / HTTP/1.1\r\nHost", 10, "HTTP/1.1 408 Request Timeout"),
        ("PRI * HTT", 10, "HTTP/1.1 408 Request Timeout"),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nx",
            30,
            "HTTP/1.1 408 Request Timeout",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2",
            30,
            "HTTP/1.1 408 Request Timeout",
        ),
    ] {
        let (waited, answered) = patience(sent).await;

        assert_eq!(
            (waited.as_secs(), answered.as_str()),
            (seconds, status),
            "{sent:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_moves_may_take_long() {
    let log = Log::default();
    let (mut client, _stop) = serve(&log);

    client
        .write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    for byte in b"abcde" {
        tokio::time::sleep(Duration::from_secs(29)).await;
        client.write_all(&[*byte]).await.unwrap();
    }
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();

    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_on_sending_after_a_refusal_is_listened_to_for_a_while() {
    let log = Log::default();
    let (client, _stop) = serve(&log);
    let (mut from, mut to) = tokio::io::split(client);
    let begin = Instant::now();

    to.write_all(b"GET / HTTP/1.1\r\nX : y\r\n").await.unwrap();
    let mut answer = String::new();
    from.read_to_string(&mut answer).await.unwrap();
    while to.write_all(&[b'x'; 1000]).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(500)).await;
    }

    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert_eq!(begin.elapsed().as_secs(), 5);
}

#[test]
fn an_idle_connection_takes_little() {
    let (_client, server) = duplex(1);
    let shared = Arc::new(Connection::new(Arc::default()));
    let address = ([127, 0, 0, 1], 1).into();
    let ends = Ends {
        peer: address,
        local: address,
        scheme: Scheme::Http,
    };
    let options = Options::default();
    let service = |request| answer(request, Log::default());

    let served = connection::run(server, ends, service, &options, shared);

    let taken = std::mem::size_of_val(&served) + std::mem::size_of::<Mutex<Link<DuplexStream>>>();
    assert!(taken <= 2048, "{taken} bytes");
}
