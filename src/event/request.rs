//! A request as the listener received it, before anything was decided about it.

use std::net::SocketAddr;

use super::HeaderList;
use crate::base::Body;

/// A request as received. Path and query are the bytes the client sent: nothing
/// is decoded, resolved or joined.
#[derive(Debug)]
pub struct ReceivedRequest {
    /// The method.
    pub method: ::http::Method,
    /// The path as sent, `/` at least.
    pub path: String,
    /// The query as sent, without `?`; `None` where there is no `?`.
    pub query: Option<String>,
    /// Headers as sent.
    pub headers: HeaderList,
    /// HTTP/1.0, 1.1 or 2.
    pub version: ::http::Version,
    /// Whether the connection is encrypted.
    pub scheme: Scheme,
    /// Host and port as the client names them (`Host`, or HTTP/2's `:authority`); empty without one.
    pub host: String,
    /// The client's address.
    pub peer: SocketAddr,
    /// The address it came in on.
    pub local: SocketAddr,
    /// Set when the request may not be served: the answer is an error and the connection ends.
    pub malformed: Option<Malformed>,
    /// The body.
    pub body: Body,
}

/// `http` or `https`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Plain.
    Http,
    /// Over TLS.
    Https,
}

impl Scheme {
    /// As in a URL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// Why a request may not be served. `Display` is the log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// The request line cannot be read, or its target has characters no target may have.
    #[error("the request line is malformed")]
    RequestLine,
    /// A header line that cannot be read, folded lines and spaces before the colon included.
    #[error("a header line is malformed")]
    HeaderLine,
    /// Two ways to tell where the body ends, or none that is clear.
    #[error("the body's length is ambiguous")]
    Framing,
    /// The body went through a transfer coding that nobody here can undo.
    #[error("the transfer coding is not supported")]
    TransferCoding,
    /// Another version than HTTP/1.0 and HTTP/1.1.
    #[error("the HTTP version is not supported")]
    Version,
    /// A gateway is no tunnel.
    #[error("CONNECT is not supported")]
    Connect,
    /// No `Host`, two of them, or one that is no host.
    #[error("the Host header is missing, repeated or malformed")]
    Host,
    /// The target is longer than AWS takes ("Amazon API Gateway quotas": 10,240 bytes).
    #[error("the URL is too long")]
    TargetTooLong,
    /// The headers are larger than AWS takes.
    #[error("the headers are too large")]
    HeadersTooLarge,
    /// The head did not come in time.
    #[error("the request's head did not arrive in time")]
    Slow,
}

impl Malformed {
    /// The status that the client gets.
    pub fn status(self) -> ::http::StatusCode {
        match self {
            Self::RequestLine | Self::HeaderLine | Self::Framing | Self::Host => {
                ::http::StatusCode::BAD_REQUEST
            }
            // RFC 9112, 6.1.
            Self::TransferCoding => ::http::StatusCode::NOT_IMPLEMENTED,
            Self::Version => ::http::StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            // As nginx answers it.
            Self::Connect => ::http::StatusCode::METHOD_NOT_ALLOWED,
            Self::TargetTooLong => ::http::StatusCode::URI_TOO_LONG,
            Self::HeadersTooLarge => ::http::StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Slow => ::http::StatusCode::REQUEST_TIMEOUT,
        }
    }
}
