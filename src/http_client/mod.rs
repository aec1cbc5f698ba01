//! The connections to HTTP backends: pooled, plain HTTP/1.1, bytes passed on.
//!
//! An exchange runs in the task that waits for it: no task behind a connection,
//! no channel between. Addresses go out as they are given: reqwest and others
//! read them by the URL standard, which resolves `..`, `%2e%2e` and
//! backslashes, so that `/a/../admin` would reach `/admin` although
//! `/a/{proxy+}` was matched.
//!
//! A client sets no time limits but the one on idle connections, and those on
//! connecting and on an answer's head if it is told; who waits does, and drops what took too long.

mod address;
mod connection;
pub mod decoder;
pub mod head;
mod pool;
mod tls;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use http::uri::{PathAndQuery, Scheme};
use http::{Method, Request, Response, Uri};
use http_body::Body as _;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use tokio::time::Instant;
use tower::ServiceExt;

use self::connection::{Connection, Failure, Io, Sending, Sent, answer_body, exchange};
use self::head::{Framing, write_head};
use self::pool::{Host, IDLE, Pool};
use crate::base::{Body, HeaderLines, PassedLines};

pub use self::address::{Address, Origin};
pub use self::head::Kept;

/// Connections to backends. Clones share them.
#[derive(Clone, Default)]
pub struct HttpClient {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    connect_timeout: Option<Duration>,
    plain: OnceLock<Arc<Plain>>,
    // Building one reads the system's root certificates: not before it is needed.
    verified: OnceLock<Arc<Tls>>,
    unverified: OnceLock<Arc<Tls>>,
    // One a name of the configuration: as many as it has.
    named: Mutex<HashMap<String, Arc<Tls>>>,
}

/// One way to connect, and the connections that were made so.
struct Way<C> {
    connector: C,
    pool: Arc<Pool>,
}

type Plain = Way<HttpConnector>;
type Tls = Way<HttpsConnector<HttpConnector>>;

/// A server and the connections to it. Whoever asks the same server often keeps one.
#[derive(Clone)]
pub struct Upstream {
    origin: Arc<Origin>,
    connector: Connector,
    host: Arc<Host>,
}

impl Upstream {
    /// The server.
    pub fn origin(&self) -> &Arc<Origin> {
        &self.origin
    }
}

impl std::fmt::Debug for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Upstream").field(&self.origin).finish()
    }
}

/// Whose certificate a TLS backend must show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust<'t> {
    /// The host's of the address.
    Host,
    /// This name's.
    Name(&'t str),
    /// Anyone's: who signed it is not checked.
    Anyone,
}

/// Why no answer came.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The backend could not be reached.
    #[error("the backend cannot be reached")]
    Connect(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It was reached and broke off, or broke the protocol; or the request's body did.
    #[error("the exchange with the backend failed")]
    Exchange(#[source] ExchangeError),
    /// The system has no usable root certificates.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
    /// The address has no host, a user's name, or another scheme than `http` and `https`.
    #[error("`{0}` is no address of a backend")]
    Address(String),
    /// The answer's head was not there at the deadline.
    #[error("the backend gave no answer in time")]
    TimedOut,
    /// A tunnel, which is nothing to pass on.
    #[error("a backend cannot be sent CONNECT")]
    Tunnel,
}

/// How an exchange on a connection failed.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct ExchangeError(Failure);

impl HttpClient {
    /// A client that gives up a host that takes longer to connect to.
    pub fn with_connect_timeout(timeout: Duration) -> Self {
        let inner = Inner {
            connect_timeout: Some(timeout),
            ..Inner::default()
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Sends a request; its address tells plain or TLS. See [`Upstream::send`].
    ///
    /// # Errors
    ///
    /// When no answer's head came: see [`ClientError`].
    pub async fn send(
        &self,
        request: Request<Body>,
        trust: Trust<'_>,
    ) -> Result<Response<Body>, ClientError> {
        let (parts, body) = request.into_parts();
        if parts.method == Method::CONNECT {
            return Err(ClientError::Tunnel);
        }
        // Without a user's name and password, which no address may have.
        let no_address = || {
            let text = parts.uri.to_string();
            let shown = match text.split_once("://") {
                Some((scheme, rest)) => match rest.rsplit_once('@') {
                    Some((_, rest)) => format!("{scheme}://***@{rest}"),
                    None => text,
                },
                None => text,
            };
            ClientError::Address(shown)
        };
        let origin = Origin::of(&parts.uri).ok_or_else(no_address)?;
        let target = parts.uri.path_and_query().ok_or_else(no_address)?;
        let upstream = self.upstream(&Arc::new(origin), trust)?;
        let headers = HeaderLines::from(&parts.headers);
        upstream
            .send(&parts.method, target, &headers, body, Kept::All, None)
            .await
    }

    /// The connections to a server.
    ///
    /// # Errors
    ///
    /// When TLS cannot be set up.
    pub fn upstream(
        &self,
        origin: &Arc<Origin>,
        trust: Trust<'_>,
    ) -> Result<Upstream, ClientError> {
        let connector = self.connector(origin, trust)?;
        Ok(Upstream {
            host: connector.pool().host(origin.authority()),
            connector,
            origin: Arc::clone(origin),
        })
    }

    fn connector(&self, origin: &Origin, trust: Trust<'_>) -> Result<Connector, ClientError> {
        let inner = &self.inner;
        if *origin.scheme() == Scheme::HTTP {
            let plain = inner.plain.get_or_init(|| Way::new(self.tcp()));
            return Ok(Connector::Plain(Arc::clone(plain)));
        }
        Ok(Connector::Tls(match trust {
            Trust::Host => self.verified()?,
            Trust::Name(name) => self.named(name)?,
            Trust::Anyone => Arc::clone(
                inner
                    .unverified
                    .get_or_init(|| Way::new(tls::unverified(self.tcp()))),
            ),
        }))
    }

    fn verified(&self) -> Result<Arc<Tls>, ClientError> {
        if let Some(pool) = self.inner.verified.get() {
            return Ok(Arc::clone(pool));
        }
        let connector = tls::verified(None, self.tcp()).map_err(ClientError::Tls)?;
        let pool = self.inner.verified.get_or_init(|| Way::new(connector));
        Ok(Arc::clone(pool))
    }

    fn tcp(&self) -> HttpConnector {
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_keepalive(Some(IDLE));
        connector.set_connect_timeout(self.inner.connect_timeout);
        connector
    }

    /// The connections that want a certificate of `name`, whatever the address.
    fn named(&self, name: &str) -> Result<Arc<Tls>, ClientError> {
        let mut named = self
            .inner
            .named
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(pool) = named.get(name) {
            return Ok(Arc::clone(pool));
        }
        let pool = Way::new(tls::verified(Some(name), self.tcp()).map_err(ClientError::Tls)?);
        named.insert(name.to_owned(), Arc::clone(&pool));
        Ok(pool)
    }
}

impl<C> Way<C> {
    fn new(connector: C) -> Arc<Self> {
        Arc::new(Self {
            connector,
            pool: Arc::default(),
        })
    }
}

/// How a host is reached, and the connections that were made so.
#[derive(Clone)]
enum Connector {
    Plain(Arc<Plain>),
    Tls(Arc<Tls>),
}

impl Connector {
    fn pool(&self) -> &Arc<Pool> {
        match self {
            Self::Plain(plain) => &plain.pool,
            Self::Tls(tls) => &tls.pool,
        }
    }

    async fn connect(&self, uri: Uri) -> Result<Connection, ClientError> {
        let io = match self {
            Self::Plain(plain) => {
                let stream = plain
                    .connector
                    .clone()
                    .oneshot(uri)
                    .await
                    .map_err(|error| ClientError::Connect(error.into()))?;
                Io::Plain(stream.into_inner())
            }
            Self::Tls(tls) => {
                let stream = tls
                    .connector
                    .clone()
                    .oneshot(uri)
                    .await
                    .map_err(ClientError::Connect)?;
                Io::Tls(Box::new(TokioIo::new(stream)))
            }
        };
        Ok(Connection::new(io))
    }
}

impl Upstream {
    /// Sends a request. `kept` is about the answer's headers, the deadline about its head.
    ///
    /// The body goes by its length where that is known, else in chunks; one of
    /// unknown length is left out of GET and HEAD. A request is sent again only
    /// when a connection that had been used before was closed without a byte of
    /// an answer, and nothing of the request had gone out or it is a safe one
    /// without a body.
    ///
    /// The answer's body is [`Body::Full`] where all of it came with its head; with
    /// [`Kept::Lines`] its headers are [`PassedLines`].
    ///
    /// # Errors
    ///
    /// When no answer's head came: see [`ClientError`].
    pub async fn send(
        &self,
        method: &Method,
        target: &PathAndQuery,
        headers: &HeaderLines,
        body: Body,
        kept: Kept,
        deadline: Option<Instant>,
    ) -> Result<Response<Body>, ClientError> {
        if *method == Method::CONNECT {
            return Err(ClientError::Tunnel);
        }
        let framing = framing(method, &body);
        let head = write_head(method, &self.origin, target, headers, framing);
        let mut sending = Sending::new(head, framing, body);
        let ends_after = closes(headers);
        loop {
            let idle = self.host.take();
            let reused = idle.is_some();
            let mut connection = match idle {
                Some(connection) => connection,
                // Boxed: large, and rare.
                None => Box::pin(self.connect(target, deadline)).await?,
            };
            let mut sent = Sent::Not;
            let kind = (method, kept);
            let read = exchange(&mut connection, &mut sending, &mut sent, kind, deadline).await;
            let mut head = match read {
                Ok(head) => head,
                Err(Failure::Unanswered(_)) if reused && sending.rewind(method) => continue,
                Err(Failure::Late) => return Err(ClientError::TimedOut),
                Err(failure) => return Err(ClientError::Exchange(ExchangeError(failure))),
            };
            head.keep_alive &= !ends_after;
            let host = Arc::clone(&self.host);
            let mut response = Response::new(answer_body(connection, sending, sent, &head, host));
            *response.status_mut() = head.status;
            *response.headers_mut() = head.headers;
            if let Some(lines) = head.lines {
                response.extensions_mut().insert(PassedLines(lines));
            }
            if let Some(reason) = head.reason {
                response.extensions_mut().insert(reason);
            }
            return Ok(response);
        }
    }

    async fn connect(
        &self,
        target: &PathAndQuery,
        deadline: Option<Instant>,
    ) -> Result<Connection, ClientError> {
        let address = Address {
            origin: Arc::clone(&self.origin),
            target: target.clone(),
        };
        let uri = address
            .uri()
            .map_err(|_| ClientError::Address(address.to_string()))?;
        let connected = self.connector.connect(uri);
        match deadline {
            None => connected.await,
            Some(deadline) => tokio::time::timeout_at(deadline, connected)
                .await
                .unwrap_or(Err(ClientError::TimedOut)),
        }
    }
}

impl std::fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HttpClient")
    }
}

/// How a request's body goes; `None` where there is none.
fn framing(method: &Method, body: &Body) -> Option<Framing> {
    if body.is_end_stream() {
        return None;
    }
    match body.size_hint().exact() {
        Some(length) => Some(Framing::Length(length)),
        None if *method == Method::GET || *method == Method::HEAD => None,
        None => Some(Framing::Chunked),
    }
}

/// Whether a request asks for the connection's end.
fn closes(headers: &HeaderLines) -> bool {
    headers
        .values(http::header::CONNECTION.as_str())
        .flat_map(|value| value.split(|byte| *byte == b','))
        .any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"))
}

#[cfg(test)]
mod tests;
