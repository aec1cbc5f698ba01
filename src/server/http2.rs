//! HTTP/2: hyper runs the protocol, and requests are judged as in HTTP/1.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, COOKIE, HOST};
use http::{HeaderValue, Method, Request, Version};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};

use super::connection::{Connection, Ends, answer};
use super::head::{self, MOST_HEADER_BYTES, MOST_HEADERS};
use super::link::Link;
use super::options::Options;
use super::stall::StallLimit;
use super::{Service, authority};
use crate::base::{Body, PassedLines};
use crate::event::{HeaderList, Malformed, ReceivedRequest};

/// Serves one HTTP/2 connection until it ends.
///
/// # Errors
///
/// Where the peer breaks the protocol or goes away.
pub(super) async fn run<T, S>(
    link: Link<T>,
    ends: Ends,
    service: S,
    options: &Options,
    shared: &Arc<Connection>,
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
        let shared = Arc::clone(shared);
        service_fn(move |request| {
            let in_flight = Connection::begin_request(Arc::clone(&shared));
            let service = service.clone();
            Box::pin(async move {
                let _in_flight = in_flight;
                let received = Box::new(of_http2(request, ends, body_timeout));
                let mut response = answer(&service, received).await;
                PassedLines::spread(&mut response);
                Ok::<_, Infallible>(response)
            })
        })
    };
    let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(options.max_concurrent_streams)
        .max_header_list_size(HEADER_LIST_SIZE)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .serve_connection(TokioIo::new(link), answer);
    let mut connection = pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return ended,
        () = shared.finishing() => {}
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
