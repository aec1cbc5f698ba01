//! A message's body: whole, or in pieces as they come.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use sync_wrapper::SyncWrapper;

/// What went wrong while a body was read: the peer went away or broke the protocol.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// What the server found wrong with a request's body while it was being read.
///
/// It is the source of the [`BodyError`] that the reader gets: [`BodyFault::of`] finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BodyFault {
    /// The chunks cannot be read: status 400.
    #[error("the body's chunks are malformed")]
    MalformedChunk,
    /// Nothing came for too long: status 408.
    #[error("the body did not arrive in time")]
    Stalled,
}

impl BodyFault {
    /// The fault behind an error of reading a body, if it is one of these.
    pub fn of(error: &BodyError) -> Option<Self> {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error.as_ref());
        while let Some(error) = cause {
            if let Some(fault) = error.downcast_ref::<Self>() {
                return Some(*fault);
            }
            // `io::Error` gives its content's source, not its content.
            if let Some(fault) = error
                .downcast_ref::<std::io::Error>()
                .and_then(|error| error.get_ref())
                .and_then(|content| content.downcast_ref::<Self>())
            {
                return Some(*fault);
            }
            cause = error.source();
        }
        None
    }
}

impl From<BodyFault> for std::io::Error {
    fn from(fault: BodyFault) -> Self {
        let kind = match fault {
            BodyFault::MalformedChunk => std::io::ErrorKind::InvalidData,
            BodyFault::Stalled => std::io::ErrorKind::TimedOut,
        };
        Self::new(kind, fault)
    }
}

/// A request's or response's body.
#[derive(Default)]
pub enum Body {
    /// Nothing.
    #[default]
    Empty,
    /// All of it, in memory.
    Full(Bytes),
    /// Pieces as a connection delivers them.
    Incoming(hyper::body::Incoming),
    /// Pieces from elsewhere: a limit around another body, a function that streams.
    /// Wrapped, so that a request that holds a body can be borrowed while it waits.
    Stream(Pieces),
}

/// The body behind [`Body::Stream`], and what it last said of its length.
pub struct Pieces {
    body: SyncWrapper<Pin<Box<dyn http_body::Body<Data = Bytes, Error = BodyError> + Send>>>,
    hint: SizeHint,
    ended: bool,
}

impl Body {
    /// A body of other pieces.
    pub fn stream(
        body: impl http_body::Body<Data = Bytes, Error = BodyError> + Send + 'static,
    ) -> Self {
        let (hint, ended) = (body.size_hint(), body.is_end_stream());
        Self::Stream(Pieces {
            body: SyncWrapper::new(Box::pin(body)),
            hint,
            ended,
        })
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Empty => f.write_str("Empty"),
            Self::Full(bytes) => write!(f, "Full({} bytes)", bytes.len()),
            Self::Incoming(_) => f.write_str("Incoming"),
            Self::Stream(_) => f.write_str("Stream"),
        }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        if bytes.is_empty() {
            Self::Empty
        } else {
            Self::Full(bytes)
        }
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Bytes::from_static(text.as_bytes()).into()
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut *self {
            Self::Empty => Poll::Ready(None),
            Self::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                *self = Self::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Self::Incoming(incoming) => Pin::new(incoming).poll_frame(context).map_err(Into::into),
            Self::Stream(pieces) => {
                let body = pieces.body.get_mut();
                let frame = body.as_mut().poll_frame(context);
                pieces.hint = body.size_hint();
                pieces.ended = body.is_end_stream();
                frame
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Full(_) => false,
            Self::Incoming(incoming) => incoming.is_end_stream(),
            Self::Stream(pieces) => pieces.ended,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Incoming(incoming) => incoming.size_hint(),
            Self::Stream(pieces) => pieces.hint,
        }
    }
}
