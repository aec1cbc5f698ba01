//! The server: listeners, the accept loop, and strict reading of HTTP/1 heads.
//!
//! A client's bytes take this way: [`Listeners`] accept a connection, `connection`
//! tells HTTP/1 from HTTP/2 by its first bytes. HTTP/1 is ours, since a gateway must
//! know one way only in which a request can be understood, and keep the header names
//! as the client spelt them: [`head`] reads and refuses, `link` finds where bodies end
//! and keeps time, `http1` takes turns of requests and answers. HTTP/2 is hyper's.
//!
//! What a request means is the service's business: it gets a
//! [`ReceivedRequest`], also for a head that was
//! refused (`malformed` is set then, and the connection ends after the answer).

mod accept;
mod assemble;
mod authority;
mod beside;
mod chunked;
mod connection;
mod embed;
pub mod head;
mod http1;
mod http2;
mod link;
mod listen;
mod options;
mod stall;
pub mod watch;

pub use accept::{Ended, serve};
pub use assemble::{Extras, assemble, open_limits, place};
pub use beside::Beside;
pub use embed::{BuildError, Builder, Running, service};
pub use listen::{BindError, Listeners};
pub use options::Options;

use std::future::Future;

use http::Response;

use crate::base::Body;
use crate::event::ReceivedRequest;

/// What answers requests: any `Fn(Box<ReceivedRequest>) -> impl Future<Output = Response<Body>>`
/// that can be cloned, once for each connection and request.
pub trait Service: Clone + Send + Sync + 'static {
    /// The answer to come.
    type Future: Future<Output = Response<Body>> + Send;

    /// Answers one request. An answer may have [`PassedLines`](crate::base::PassedLines).
    fn call(&self, request: Box<ReceivedRequest>) -> Self::Future;
}

impl<S, F> Service for S
where
    S: Fn(Box<ReceivedRequest>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send,
{
    type Future = F;

    fn call(&self, request: Box<ReceivedRequest>) -> F {
        self(request)
    }
}
