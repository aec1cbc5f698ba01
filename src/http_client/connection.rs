//! One connection to a backend and the one exchange that is on it.
//!
//! There is no task behind a connection: who waits for the answer drives it,
//! and one that is dropped in the midst is closed.

use std::future::Future;
use std::io::{Error as IoError, ErrorKind, IoSlice};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes, BytesMut};
use http::Method;
use http_body::{Body as _, Frame, SizeHint};
use hyper_rustls::MaybeHttpsStream;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::decoder::{Decoded, Decoder};
use super::head::{Framing, Head, Kept, Malformed, read_head};
use super::pool::Host;
use crate::base::Body;
use crate::base::alarm::Alarm;
use crate::base::body::BodyError;

/// Room for what a read may bring, if nothing better is known.
const READ_BYTES: usize = 8 * 1024;
/// The most room for one read.
const MOST_READ_BYTES: usize = 128 * 1024;

/// The two ends of the socket, plain or within TLS.
pub(super) enum Io {
    Plain(TcpStream),
    Tls(Box<TokioIo<MaybeHttpsStream<TokioIo<TcpStream>>>>),
}

impl Io {
    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        input: &mut BytesMut,
    ) -> Poll<Result<usize, IoError>> {
        // The future of a read keeps nothing between polls.
        match self {
            Self::Plain(stream) => pin!(stream.read_buf(input)).poll(context),
            Self::Tls(stream) => pin!(stream.read_buf(input)).poll(context),
        }
    }

    fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<Result<usize, IoError>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(context, pieces),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(context, pieces),
        }
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), IoError>> {
        match self {
            Self::Plain(_) => Poll::Ready(Ok(())),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }
}

/// A connection to a backend.
pub(super) struct Connection {
    io: Io,
    input: BytesMut,
    /// For the deadline of the exchange; it stays with the connection from one to the next.
    alarm: Alarm,
}

impl Connection {
    pub(super) fn new(io: Io) -> Self {
        Self {
            io,
            input: BytesMut::new(),
            alarm: Alarm::default(),
        }
    }

    /// Gives up the room that a large answer took.
    pub(super) fn shrink(&mut self) {
        if self.input.capacity() > 2 * READ_BYTES {
            self.input = BytesMut::new();
        }
    }

    /// Whether an idle connection can carry another request: neither closed nor spoken on.
    pub(super) fn is_quiet(&mut self) -> bool {
        if let Io::Plain(stream) = &self.io {
            let nothing = stream.try_read(&mut [0; 1]);
            return nothing.is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
        }
        // Records of TLS itself, such as session tickets, are taken in on the way.
        let mut context = Context::from_waker(Waker::noop());
        self.input.reserve(1);
        self.io
            .poll_read(&mut context, &mut self.input)
            .is_pending()
    }
}

/// A request on its way out.
pub(super) struct Sending {
    /// The head, later the sizes of chunks, before `piece`.
    text: Vec<u8>,
    written: usize,
    piece: Bytes,
    body: Body,
    rest: Rest,
    has_body: bool,
    untouched: bool,
}

/// What of the body is still to be asked for.
#[derive(Clone, Copy)]
enum Rest {
    Length(u64),
    Chunks,
    /// The line end of a chunk stands out, and then the next.
    ChunkEnd,
    Nothing,
}

/// Why a request could not be sent.
enum SendError {
    Io(IoError),
    Body(BodyError),
}

impl Sending {
    /// `head` is complete and says how `body` goes.
    pub(super) fn new(head: Vec<u8>, framing: Option<Framing>, body: Body) -> Self {
        let (piece, body, rest) = match (framing, body) {
            (None, _) => (Bytes::new(), Body::Empty, Rest::Nothing),
            (Some(Framing::Length(_)), Body::Full(bytes)) => (bytes, Body::Empty, Rest::Nothing),
            (Some(Framing::Length(length)), body) => (Bytes::new(), body, Rest::Length(length)),
            (Some(Framing::Chunked | Framing::Close), body) => (Bytes::new(), body, Rest::Chunks),
        };
        Self {
            text: head,
            written: 0,
            piece,
            body,
            rest,
            has_body: framing.is_some(),
            untouched: true,
        }
    }

    /// Goes back to the start, where another connection may be tried: nothing
    /// has gone out, or it is a safe request (RFC 9110, 9.2.1) without a body.
    pub(super) fn rewind(&mut self, method: &Method) -> bool {
        if !self.untouched && (self.has_body || !method.is_safe()) {
            return false;
        }
        self.written = 0;
        self.untouched = true;
        true
    }

    fn poll(&mut self, io: &mut Io, context: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        loop {
            let out = self.written == self.text.len();
            // A first piece that is there already goes out with the head.
            if self.piece.is_empty() && !self.is_over() && (out || self.untouched) {
                if out {
                    self.text.clear();
                    self.written = 0;
                }
                if self.poll_piece(context)?.is_pending() {
                    ready!(self.poll_out(io, context)).map_err(SendError::Io)?;
                    ready!(io.poll_flush(context)).map_err(SendError::Io)?;
                    return Poll::Pending;
                }
            }
            ready!(self.poll_out(io, context)).map_err(SendError::Io)?;
            if self.is_over() {
                return io.poll_flush(context).map_err(SendError::Io);
            }
        }
    }

    /// Whether nothing is left to be asked of the body.
    fn is_over(&self) -> bool {
        matches!(self.rest, Rest::Nothing)
    }

    /// Writes `text` and `piece`.
    fn poll_out(&mut self, io: &mut Io, context: &mut Context<'_>) -> Poll<Result<(), IoError>> {
        while self.written < self.text.len() || !self.piece.is_empty() {
            let head = &self.text[self.written..];
            let pieces = [IoSlice::new(head), IoSlice::new(&self.piece)];
            let from = usize::from(head.is_empty());
            let to = if self.piece.is_empty() { 1 } else { 2 };
            let count = ready!(io.poll_write(context, &pieces[from..to]))?;
            if count == 0 {
                return Poll::Ready(Err(ErrorKind::WriteZero.into()));
            }
            self.untouched = false;
            let of_head = count.min(head.len());
            self.written += of_head;
            self.piece.advance(count - of_head);
        }
        Poll::Ready(Ok(()))
    }

    /// Gets the next piece of the body.
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        loop {
            let frame = match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(frame) => frame.map_err(SendError::Body)?,
                None => return Poll::Ready(self.end()),
            };
            // The names of trailers would have to stand in the head: a `Trailer` goes no further.
            let Ok(data) = frame.into_data() else {
                continue;
            };
            if data.is_empty() {
                continue;
            }
            match self.rest {
                Rest::Length(left) => {
                    let left = left
                        .checked_sub(data.len() as u64)
                        .ok_or_else(wrong_length)?;
                    self.rest = if left == 0 {
                        Rest::Nothing
                    } else {
                        Rest::Length(left)
                    };
                }
                Rest::Chunks | Rest::ChunkEnd => {
                    self.end_chunk();
                    self.text
                        .extend_from_slice(format!("{:x}\r\n", data.len()).as_bytes());
                    self.rest = Rest::ChunkEnd;
                }
                Rest::Nothing => {}
            }
            self.piece = data;
            return Poll::Ready(Ok(()));
        }
    }

    fn end_chunk(&mut self) {
        if matches!(self.rest, Rest::ChunkEnd) {
            self.text.extend_from_slice(b"\r\n");
        }
    }

    fn end(&mut self) -> Result<(), SendError> {
        match self.rest {
            Rest::Length(left) if left > 0 => return Err(wrong_length()),
            Rest::Chunks | Rest::ChunkEnd => {
                self.end_chunk();
                self.text.extend_from_slice(b"0\r\n\r\n");
            }
            Rest::Length(_) | Rest::Nothing => {}
        }
        self.rest = Rest::Nothing;
        Ok(())
    }
}

fn wrong_length() -> SendError {
    SendError::Body("the body is not as long as it was announced".into())
}

/// Why an exchange failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The connection ended or failed before a byte of the answer came.
    #[error("the connection was closed before an answer came")]
    Unanswered(#[source] Option<IoError>),
    /// It ended or failed in the midst of the answer.
    #[error("the connection was closed in the midst of the answer")]
    BrokeOff(#[source] Option<IoError>),
    #[error(transparent)]
    Malformed(Malformed),
    /// The request's own body broke off.
    #[error("the request's body broke off")]
    Body(#[source] BodyError),
    /// The answer's head was not there at the deadline.
    #[error("no answer came in time")]
    Late,
}

/// Sends a request and reads up to the end of the answer's head.
///
/// `sent` is set when all of the request is out; an answer may come before.
pub(super) async fn exchange(
    connection: &mut Connection,
    sending: &mut Sending,
    sent: &mut Sent,
    (method, kept): (&Method, Kept),
    deadline: Option<Instant>,
) -> Result<Head, Failure> {
    let mut answered = false;
    let mut broken = None;
    std::future::poll_fn(|context| {
        if *sent == Sent::Not {
            match sending.poll(&mut connection.io, context) {
                Poll::Pending => {}
                Poll::Ready(Ok(())) => *sent = Sent::All,
                Poll::Ready(Err(SendError::Body(error))) => {
                    return Poll::Ready(Err(Failure::Body(error)));
                }
                // Its answer may be there all the same: `413`, then closed.
                Poll::Ready(Err(SendError::Io(error))) => {
                    *sent = Sent::Broken;
                    broken = Some(error);
                }
            }
        }
        loop {
            connection.input.reserve(READ_BYTES);
            let before = connection.input.len();
            match connection.io.poll_read(context, &mut connection.input) {
                Poll::Pending => {
                    if let Some(deadline) = deadline {
                        ready!(connection.alarm.poll_at(deadline, context));
                        return Poll::Ready(Err(Failure::Late));
                    }
                    return Poll::Pending;
                }
                Poll::Ready(Ok(count)) if count > 0 => {}
                Poll::Ready(end) => {
                    let error = end.err().or_else(|| broken.take());
                    return Poll::Ready(Err(if answered {
                        Failure::BrokeOff(error)
                    } else {
                        Failure::Unanswered(error)
                    }));
                }
            }
            // A head that drips in is not read again for every byte.
            let line_came = memchr::memchr(b'\n', &connection.input[before..]).is_some();
            if answered && !line_came && connection.input.len() <= super::head::MAX_HEAD_BYTES {
                continue;
            }
            answered = true;
            match read_head(&mut connection.input, method, kept) {
                Ok(Some(head)) => return Poll::Ready(Ok(head)),
                Ok(None) => {}
                Err(malformed) => return Poll::Ready(Err(Failure::Malformed(malformed))),
            }
        }
    })
    .await
}

/// How far the request is out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    Not,
    All,
    Broken,
}

/// An answer's body on the connection it comes by. Read to its end, the
/// connection goes back to its host's pool; dropped before, it is closed.
pub(super) struct Incoming {
    live: Option<Live>,
    decoder: Decoder,
    /// The last poll gave a piece.
    gave: bool,
    /// The error that is given next.
    failed: Option<BodyError>,
}

struct Live {
    connection: Connection,
    /// The rest of the request, where the answer came before it was out.
    sending: Option<Sending>,
    keep: bool,
    host: Arc<Host>,
}

/// Makes the body of an answer whose head was read.
pub(super) fn answer_body(
    mut connection: Connection,
    sending: Sending,
    sent: Sent,
    head: &Head,
    host: Arc<Host>,
) -> Body {
    let keep = head.keep_alive && sent != Sent::Broken;
    if let (Framing::Length(length), Sent::All) = (head.framing, sent)
        && let Ok(length) = usize::try_from(length)
        && length <= connection.input.len()
    {
        let body = Bytes::copy_from_slice(&connection.input[..length]);
        connection.input.advance(length);
        if keep && connection.input.is_empty() {
            host.put(connection);
        }
        return Body::from(body);
    }
    let decoder = Decoder::new(head.framing);
    if decoder.ended() {
        return Body::Empty;
    }
    Body::stream(Incoming {
        decoder,
        gave: false,
        failed: None,
        live: Some(Live {
            connection,
            sending: (sent == Sent::Not).then_some(sending),
            keep,
            host,
        }),
    })
}

/// Why a body broke off.
#[derive(Debug, thiserror::Error)]
enum BrokenBody {
    #[error("the connection was closed before the end of the body")]
    Closed,
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("the connection failed")]
    Io(#[from] IoError),
}

impl Incoming {
    fn finish(&mut self) {
        if let Some(live) = self.live.take()
            && live.keep
            && live.sending.is_none()
            && live.connection.input.is_empty()
        {
            live.host.put(live.connection);
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            let Some(live) = &mut self.live else {
                return Poll::Ready(None);
            };
            match self
                .decoder
                .decode(&mut live.connection.input)
                .map_err(BrokenBody::from)?
            {
                Decoded::Data(data) => {
                    if self.decoder.ended() {
                        self.finish();
                    }
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Decoded::Trailers(trailers) => {
                    self.finish();
                    return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
                }
                Decoded::End => {
                    self.finish();
                    return Poll::Ready(None);
                }
                Decoded::More => {}
            }
            if let Some(sending) = &mut live.sending {
                match sending.poll(&mut live.connection.io, context) {
                    Poll::Pending => {}
                    Poll::Ready(Ok(())) => live.sending = None,
                    Poll::Ready(Err(SendError::Body(error))) => {
                        return Poll::Ready(Some(Err(error)));
                    }
                    Poll::Ready(Err(SendError::Io(_))) => {
                        live.sending = None;
                        live.keep = false;
                    }
                }
            }
            let wanted = self.decoder.piece().map_or(READ_BYTES, |piece| {
                usize::try_from(piece)
                    .unwrap_or(usize::MAX)
                    .min(MOST_READ_BYTES)
            });
            live.connection.input.reserve(wanted.max(READ_BYTES));
            match ready!(
                live.connection
                    .io
                    .poll_read(context, &mut live.connection.input)
            ) {
                Ok(0) if self.decoder.at_close() => {
                    self.live = None;
                    return Poll::Ready(None);
                }
                Ok(0) => return Poll::Ready(Some(Err(BrokenBody::Closed.into()))),
                Ok(_) => {}
                Err(error) => return Poll::Ready(Some(Err(BrokenBody::Io(error).into()))),
            }
        }
    }
}

impl http_body::Body for Incoming {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(error) = self.failed.take() {
            return Poll::Ready(Some(Err(error)));
        }
        let polled = self.poll(context);
        let gave = std::mem::replace(&mut self.gave, matches!(polled, Poll::Ready(Some(Ok(_)))));
        match polled {
            Poll::Ready(Some(Err(error))) => {
                self.live = None;
                if !gave {
                    return Poll::Ready(Some(Err(error)));
                }
                // Who passes the body on drops what it holds when it fails: what
                // came before the failure has to go out first.
                self.failed = Some(error);
                context.waker().wake_by_ref();
                Poll::Pending
            }
            polled => polled,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.decoder.ended()
    }

    fn size_hint(&self) -> SizeHint {
        self.decoder
            .left()
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
