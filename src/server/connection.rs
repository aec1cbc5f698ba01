//! One connection: from its first byte to the end of its last answer.

use std::future::{Future as _, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::time::Instant;

use super::link::{Link, Protocol};
use super::options::Options;
use super::{Service, http1, http2};
use crate::base::Body;
use crate::event::{ReceivedRequest, Scheme};
use crate::observe::metrics::Gauge;

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

    /// Ready once the connection is asked to take no further request.
    pub(super) fn finishing(&self) -> Notified<'_> {
        self.finish.notified()
    }

    /// Counts a request until the guard is dropped, which holds the connection in its own way.
    pub(super) fn begin_request<C: Deref<Target = Self>>(shared: C) -> InFlight<C> {
        let now = u64::try_from(shared.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        shared.last_request.store(now, Ordering::Relaxed);
        shared.in_flight.fetch_add(1, Ordering::Relaxed);
        shared.requests.more();
        InFlight(shared)
    }

    /// Ends once there was no request for `timeout`.
    pub(super) async fn idle(&self, timeout: Duration) {
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
pub(super) struct InFlight<C: Deref<Target = Connection>>(C);

impl<C: Deref<Target = Connection>> Drop for InFlight<C> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.0.requests.less();
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
    let mut link = Link::new(stream, options);
    let protocol = tokio::select! {
        protocol = poll_fn(|context| link.poll_protocol(context)) => protocol,
        () = shared.finish.notified() => return,
    };
    // Boxed: what waits for its first byte needs no room for either.
    let ended: io::Result<()> = match protocol {
        Ok(Some(Protocol::Http1)) => http1::run(link, ends, service, &shared).await,
        Ok(Some(Protocol::Http2)) => {
            let served = http2::run(link, ends, service, options, &shared);
            Box::pin(served).await.map_err(io::Error::other)
        }
        Ok(None) => return,
        Err(error) => Err(error),
    };
    if let Err(error) = ended {
        tracing::debug!(
            peer = %ends.peer,
            error = &error as &dyn std::error::Error,
            "connection ended early"
        );
    }
}

/// Calls the service; a panic in it ends this request and nothing else.
pub(super) async fn answer<S: Service>(
    service: &S,
    request: Box<ReceivedRequest>,
) -> Response<Body> {
    let (method, path) = (request.method.clone(), request.path.clone());
    let mut called = pin!(async move { service.call(request).await });
    poll_fn(
        |context| match catch_unwind(AssertUnwindSafe(|| called.as_mut().poll(context))) {
            Ok(polled) => polled,
            Err(panic) => {
                let panic = panic_text(panic.as_ref());
                tracing::error!(%method, path, panic, "a request panicked");
                Poll::Ready(internal_error())
            }
        },
    )
    .await
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
