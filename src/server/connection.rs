//! One connection: from its first byte to the end of its last answer.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST};
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::head::{self, Framing, Head, MOST_HEADER_BYTES, MOST_HEADERS, Refused};
use super::options::Options;
use super::recorder::{Heads, Protocol, Recorder};
use super::stall::StallLimit;
use super::{Service, authority};
use crate::base::{Body, BodyError};
use crate::event::{HeaderList, Malformed, ReceivedRequest, Scheme};
use crate::observe::metrics::{Gauge, Held};

/// Where a connection comes from and arrived.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends {
    pub(super) peer: SocketAddr,
    pub(super) local: SocketAddr,
    pub(super) scheme: Scheme,
}

/// One connection as the accept loop and the connection's own tasks share it.
pub(super) struct Connection {
    /// The accept loop asks the connection to end after its requests in flight.
    finish: Notify,
    in_flight: AtomicUsize,
    begun: Instant,
    /// When the last request came, in milliseconds since `begun`.
    last_request: AtomicU64,
    /// Counts the requests of all connections.
    requests: Arc<Gauge>,
}

impl Connection {
    pub(super) fn new(requests: Arc<Gauge>) -> Self {
        Self {
            requests,
            finish: Notify::new(),
            in_flight: AtomicUsize::new(0),
            begun: Instant::now(),
            last_request: AtomicU64::new(0),
        }
    }

    /// Asks the connection to take no further request.
    pub(super) fn finish(&self) {
        self.finish.notify_one();
    }

    /// For how long there was no request, if none is being answered.
    pub(super) fn idle_for(&self) -> Option<Duration> {
        if self.in_flight.load(Ordering::Relaxed) > 0 {
            return None;
        }
        let last = Duration::from_millis(self.last_request.load(Ordering::Relaxed));
        Some(self.begun.elapsed().saturating_sub(last))
    }

    /// Counts a request until the guard is dropped.
    fn begin_request(self: &Arc<Self>) -> InFlight {
        let now = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_request.store(now, Ordering::Relaxed);
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(Arc::clone(self), self.requests.hold())
    }

    /// Ends once there was no request for `timeout`.
    async fn idle(&self, timeout: Duration) {
        loop {
            let idle = self.idle_for().unwrap_or_default();
            if idle >= timeout {
                return;
            }
            tokio::time::sleep(timeout - idle).await;
        }
    }
}

/// One request in flight.
struct InFlight(
    Arc<Connection>,
    #[expect(dead_code, reason = "it counts until it is dropped")] Held,
);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Serves one connection until it ends by itself, or, once it is asked to
/// finish, until its requests in flight are answered.
pub(super) async fn run<T, S>(
    stream: T,
    ends: Ends,
    service: S,
    options: &Options,
    shared: Arc<Connection>,
) where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service,
{
    let mut recorder = Recorder::new(stream, options);
    let protocol = tokio::select! {
        protocol = poll_fn(|context| recorder.poll_protocol(context)) => protocol,
        () = shared.finish.notified() => return,
    };
    let ended = match protocol {
        Ok(Some(Protocol::Http1)) => run_http1(recorder, ends, service, shared).await,
        Ok(Some(Protocol::Http2)) => run_http2(recorder, ends, service, options, shared).await,
        Ok(None) => return,
        Err(error) => {
            tracing::debug!(peer = %ends.peer, %error, "connection failed");
            return;
        }
    };
    if let Err(error) = ended {
        tracing::debug!(
            peer = %ends.peer,
            error = &error as &dyn std::error::Error,
            "connection ended early"
        );
    }
}

async fn run_http1<T, S>(
    recorder: Recorder<T>,
    ends: Ends,
    service: S,
    shared: Arc<Connection>,
) -> hyper::Result<()>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service,
{
    let heads = recorder.heads();
    let answer = {
        let shared = Arc::clone(&shared);
        service_fn(move |request| {
            let in_flight = shared.begin_request();
            // Boxed: hyper keeps room for one in each connection, idle or not.
            let answer = answer_http1(request, ends, service.clone(), heads.clone(), in_flight);
            Box::pin(answer.map(Ok::<_, Infallible>))
        })
    };
    let connection = hyper::server::conn::http1::Builder::new()
        // A client may close its side once its request is sent.
        .half_close(true)
        // The recorder keeps time.
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(recorder), answer);
    let mut connection = pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return ended,
        () = shared.finish.notified() => {}
    }
    connection.as_mut().graceful_shutdown();
    connection.await
}

async fn answer_http1<S: Service>(
    request: Request<Incoming>,
    ends: Ends,
    service: S,
    heads: Heads,
    _in_flight: InFlight,
) -> Response<Body> {
    let number = request
        .uri()
        .path()
        .get(1..)
        .and_then(|text| text.parse().ok());
    let received = match heads.take(number) {
        Some(Ok(head)) if head.method == *request.method() => {
            of_head(head, request, ends, heads.clone())
        }
        Some(Err(refused)) => of_refused(refused, ends),
        // Cannot be, as hyper sees the recorder's own heads only. Should it be all
        // the same, nothing on this connection can be trusted.
        Some(Ok(_)) | None => {
            tracing::error!(peer = %ends.peer, "two readings of one request");
            of_refused(Refused::unread(Malformed::Framing), ends)
        }
    };
    let must_close = received.malformed.is_some();
    let mut response = answer(service, received).await;
    // hyper closes the connection when the body is not read to its end, but says
    // so only if it knows before the answer.
    if must_close || heads.is_body_pending() {
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

fn of_head(head: Head, request: Request<Incoming>, ends: Ends, heads: Heads) -> ReceivedRequest {
    let body = match head.framing {
        Framing::None | Framing::Length(0) => Body::Empty,
        Framing::Length(_) => Body::Incoming(request.into_body()),
        Framing::Chunked => Body::stream(ChunkedRequest {
            body: request.into_body(),
            heads,
        }),
    };
    ReceivedRequest {
        method: head.method,
        path: head.path,
        query: head.query,
        headers: head.headers,
        version: head.version,
        scheme: ends.scheme,
        host: head.host,
        peer: ends.peer,
        local: ends.local,
        malformed: None,
        body,
    }
}

fn of_refused(refused: Refused, ends: Ends) -> ReceivedRequest {
    tracing::debug!(peer = %ends.peer, why = %refused.why, "request refused");
    ReceivedRequest {
        method: refused.method,
        path: refused.path,
        query: refused.query,
        headers: HeaderList::default(),
        version: refused.version,
        scheme: ends.scheme,
        host: String::new(),
        peer: ends.peer,
        local: ends.local,
        malformed: Some(refused.why),
        body: Body::Empty,
    }
}

/// A chunked body that tells when it was read to its end.
struct ChunkedRequest {
    body: Incoming,
    heads: Heads,
}

impl http_body::Body for ChunkedRequest {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if frame.is_none() {
            self.heads.body_ended();
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Calls the service; a panic in it ends this request and nothing else.
async fn answer<S: Service>(service: S, request: ReceivedRequest) -> Response<Body> {
    let (method, path) = (request.method.clone(), request.path.clone());
    let called = AssertUnwindSafe(async move { service.call(request).await }).catch_unwind();
    called.await.unwrap_or_else(|panic| {
        tracing::error!(%method, path, panic = panic_text(panic.as_ref()), "a request panicked");
        internal_error()
    })
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    if let Some(text) = panic.downcast_ref::<&str>() {
        text
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text
    } else {
        "a panic without text"
    }
}

fn internal_error() -> Response<Body> {
    let mut response = Response::new(Body::from(r#"{"message": "Internal server error"}"#));
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

async fn run_http2<T, S>(
    recorder: Recorder<T>,
    ends: Ends,
    service: S,
    options: &Options,
    shared: Arc<Connection>,
) -> hyper::Result<()>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service,
{
    /// Silence after which a peer is asked whether it is still there, and how long it may take.
    const PING_INTERVAL: Duration = Duration::from_secs(30);
    const PING_TIMEOUT: Duration = Duration::from_secs(20);
    /// h2 counts 32 bytes a field on top of names and values; above this it
    /// answers 431 itself, below we judge as in HTTP/1.
    const HEADER_LIST_SIZE: u32 = (MOST_HEADER_BYTES + 32 * MOST_HEADERS) as u32;

    let body_timeout = options.body_timeout;
    let answer = {
        let shared = Arc::clone(&shared);
        service_fn(move |request| {
            let in_flight = shared.begin_request();
            let service = service.clone();
            Box::pin(async move {
                let _in_flight = in_flight;
                let received = of_http2(request, ends, body_timeout);
                Ok::<_, Infallible>(answer(service, received).await)
            })
        })
    };
    let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(options.max_concurrent_streams)
        .max_header_list_size(HEADER_LIST_SIZE)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .serve_connection(TokioIo::new(recorder), answer);
    let mut connection = pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return ended,
        () = shared.finish.notified() => {}
        () = shared.idle(options.idle_timeout) => {}
    }
    connection.as_mut().graceful_shutdown();
    connection.await
}

fn of_http2(request: Request<Incoming>, ends: Ends, body_timeout: Duration) -> ReceivedRequest {
    let (parts, body) = request.into_parts();
    let target = parts
        .uri
        .path_and_query()
        .map_or("/", |target| target.as_str());
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query.to_owned())),
        None => (target, None),
    };
    let authority = parts
        .uri
        .authority()
        .map(|authority| authority.as_str().as_bytes());
    let host = authority.or_else(|| Some(parts.headers.get(HOST)?.as_bytes()));
    let malformed = judge_http2(&parts, target, authority);
    let body = if body.is_end_stream() {
        Body::Empty
    } else {
        Body::stream(StallLimit::new(body, body_timeout))
    };
    ReceivedRequest {
        path: if path.is_empty() { "/" } else { path }.to_owned(),
        query,
        headers: http2_headers(&parts.headers, host),
        version: Version::HTTP_2,
        scheme: ends.scheme,
        host: String::from_utf8_lossy(host.unwrap_or_default()).into_owned(),
        peer: ends.peer,
        local: ends.local,
        body: if malformed.is_some() {
            Body::Empty
        } else {
            body
        },
        method: parts.method,
        malformed,
    }
}

/// What HTTP/1 heads are refused for, as far as HTTP/2 leaves it possible.
fn judge_http2(
    parts: &http::request::Parts,
    target: &str,
    authority: Option<&[u8]>,
) -> Option<Malformed> {
    let headers = &parts.headers;
    let size: usize = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum();
    let mut hosts = headers.get_all(HOST).iter();
    let host = hosts.next().map(HeaderValue::as_bytes);
    let host_is_bad = match (authority, host) {
        (None, None) => true,
        (Some(authority), None) => !authority::is_valid(authority),
        (None, Some(host)) => !authority::is_valid(host),
        (Some(authority), Some(host)) => {
            !authority::is_valid(authority) || !authority::agree(authority, host, b"80")
        }
    };
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let length_is_bad = lengths.next().is_some_and(|length| {
        lengths.next().is_some() || head::read_length(length.as_bytes()).is_none()
    });
    if parts.method == Method::CONNECT {
        Some(Malformed::Connect)
    } else if target.len() > head::LONGEST_TARGET {
        Some(Malformed::TargetTooLong)
    } else if !target.bytes().all(head::is_target) {
        Some(Malformed::RequestLine)
    } else if size > MOST_HEADER_BYTES || headers.len() > MOST_HEADERS {
        Some(Malformed::HeadersTooLarge)
    } else if length_is_bad {
        Some(Malformed::Framing)
    } else if host_is_bad || hosts.next().is_some() {
        Some(Malformed::Host)
    } else {
        None
    }
}

/// The headers as HTTP/1 would have them: `:authority` as `host`, and the pieces
/// of `cookie` in one (RFC 9113, 8.2.3).
fn http2_headers(map: &http::HeaderMap, host: Option<&[u8]>) -> HeaderList {
    let cookies: Vec<&[u8]> = map
        .get_all(COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if cookies.len() < 2 && (map.contains_key(HOST) || host.is_none()) {
        return HeaderList::from_map(map);
    }
    let cookie = Bytes::from(cookies.join(&b"; "[..]));
    let host = host
        .filter(|_| !map.contains_key(HOST))
        .map(|host| ("host", host));
    host.into_iter()
        .chain(
            map.iter()
                .filter(|(name, _)| **name != COOKIE)
                .map(|(name, value)| (name.as_str(), value.as_bytes())),
        )
        .chain((!cookies.is_empty()).then_some(("cookie", &cookie[..])))
        .collect()
}
