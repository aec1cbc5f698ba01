//! The stream between a client and hyper: reads each head itself and hands on a plain one.
//!
//! For each request hyper gets `METHOD /NUMBER HTTP/1.x` with the framing,
//! `connection` and `expect` headers that it needs, all written here. The head as
//! the client sent it waits under the same number in [`Heads`], where the service
//! picks it up. The body's bytes pass through untouched, but not one byte beyond
//! the body's end before the next head was read.
//!
//! For a head that is refused hyper gets a plain request with `connection:
//! close`, so the refusal is answered in its turn after what was pipelined
//! before it, and nothing that follows it is ever read as a request.

use std::collections::VecDeque;
use std::future::Future;
use std::io::{self, IoSlice, Write as _};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use http::{Method, Version};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use super::alarm::Alarm;
use super::chunked::ChunkedBody;
use super::head::{Framing, Head, HeadReader, Refused};
use super::options::Options;
use crate::base::BodyFault;
use crate::event::Malformed;

/// What HTTP/2 connections begin with (RFC 9113, 3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How much room there is to read a head into.
const READ_SIZE: usize = 8 * 1024;

/// For how long, and for how many bytes, a client that still sends is listened
/// to after the last answer: a socket closed with bytes unread resets the
/// connection, and the client may lose the answer. nginx calls it lingering.
const LINGER_TIME: Duration = Duration::from_secs(5);
const LINGER_BYTES: usize = 32 * 1024 * 1024;

/// What a connection turned out to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// A head that was read: served or refused.
pub(super) type Recorded = Result<Head, Refused>;

/// The heads that hyper has not asked about yet; the recorder puts them in, the
/// connection's service takes them out. Both run in the connection's task.
#[derive(Clone, Default)]
pub(super) struct Heads {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    waiting: VecDeque<(u32, Recorded)>,
    /// Whether the body of the last head was handed on whole.
    body_pending: bool,
}

impl Heads {
    /// The next head, if it is the one with this number.
    pub(super) fn take(&self, number: Option<u32>) -> Option<Recorded> {
        let (next, head) = self.lock().waiting.pop_front()?;
        (Some(next) == number).then_some(head)
    }

    /// Whether the client has more to send before the next request can be read.
    pub(super) fn is_body_pending(&self) -> bool {
        self.lock().body_pending
    }

    fn push(&self, number: u32, head: Recorded) {
        self.lock().waiting.push_back((number, head));
    }

    fn set_body_pending(&self, pending: bool) {
        self.lock().body_pending = pending;
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream whose heads are read before hyper sees them.
pub(super) struct Recorder<S> {
    stream: S,
    /// Read from the stream and not handed on yet.
    received: BytesMut,
    /// The plain head for hyper, and how much of it was handed on.
    plain: Vec<u8>,
    plain_sent: usize,
    state: State,
    reader: HeadReader,
    heads: Heads,
    number: u32,
    wait: Wait,
    read_alarm: Alarm,
    write_alarm: Alarm,
    ending: Ending,
    head_timeout: Duration,
    idle_timeout: Duration,
    body_timeout: Duration,
    write_timeout: Duration,
}

#[derive(Debug)]
enum State {
    /// Between requests or within a head.
    Head,
    /// Within a body with this many bytes to come.
    Length(u64),
    Chunked(ChunkedBody),
    /// The body cannot be read on.
    Broken(BodyFault),
    /// Nothing more is read as a request: a head was refused, or the client was idle.
    Closed,
    /// The client ended its side.
    Ended,
    /// HTTP/2: everything passes.
    Passthrough,
}

/// What the read alarm is set for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    Nothing,
    Request,
    RestOfHead,
    Body,
}

#[derive(Debug)]
enum Ending {
    NotYet,
    /// Our side is closed; this many bytes were read and dropped since.
    Lingering(usize),
    Done,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Recorder<S> {
    pub(super) fn new(stream: S, options: &Options) -> Self {
        Self {
            stream,
            received: BytesMut::new(),
            plain: Vec::new(),
            plain_sent: 0,
            state: State::Head,
            reader: HeadReader::default(),
            heads: Heads::default(),
            number: 0,
            wait: Wait::Nothing,
            read_alarm: Alarm::default(),
            write_alarm: Alarm::default(),
            ending: Ending::NotYet,
            head_timeout: options.head_timeout,
            idle_timeout: options.idle_timeout,
            body_timeout: options.body_timeout,
            write_timeout: options.write_timeout,
        }
    }

    pub(super) fn heads(&self) -> Heads {
        self.heads.clone()
    }

    /// Tells the protocol by the first bytes; `None` when the client goes away before.
    pub(super) fn poll_protocol(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<Option<Protocol>>> {
        loop {
            let length = self.received.len().min(HTTP2_PREFACE.len());
            if self.received[..length] != HTTP2_PREFACE[..length] {
                return Poll::Ready(Ok(Some(Protocol::Http1)));
            }
            if length == HTTP2_PREFACE.len() {
                self.state = State::Passthrough;
                self.read_alarm.clear();
                return Poll::Ready(Ok(Some(Protocol::Http2)));
            }
            match self.poll_receive(context)? {
                Poll::Ready(0) => return Poll::Ready(Ok(None)),
                Poll::Ready(_) => {}
                Poll::Pending => {
                    let (wait, timeout) = self.head_wait();
                    ready!(self.poll_wait(wait, timeout, context));
                    return Poll::Ready(Ok(None));
                }
            }
        }
    }

    /// Reads more into `received`.
    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.received.reserve(READ_SIZE / 2);
        pin!(self.stream.read_buf(&mut self.received)).poll(context)
    }

    fn head_wait(&self) -> (Wait, Duration) {
        if self.received.is_empty() {
            (Wait::Request, self.idle_timeout)
        } else {
            (Wait::RestOfHead, self.head_timeout)
        }
    }

    /// Ready when `timeout` has passed since this wait began.
    fn poll_wait(&mut self, wait: Wait, timeout: Duration, context: &mut Context<'_>) -> Poll<()> {
        if self.wait != wait {
            self.wait = wait;
            self.read_alarm.clear();
        }
        self.read_alarm.poll_after(timeout, context)
    }

    fn stop_waiting(&mut self) {
        self.wait = Wait::Nothing;
    }

    /// Reads a head, or finds that none comes. Ready when there is something else to do.
    fn poll_head(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match self.reader.read(&mut self.received) {
                Ok(Some(head)) => {
                    self.accept(head);
                    return Poll::Ready(Ok(()));
                }
                Ok(None) => {}
                Err(refused) => {
                    self.refuse(refused);
                    return Poll::Ready(Ok(()));
                }
            }
            match self.poll_receive(context)? {
                Poll::Ready(0) => {
                    // Also in the middle of a head: nobody waits for an answer to half a request.
                    self.state = State::Ended;
                    return Poll::Ready(Ok(()));
                }
                Poll::Ready(_) => {}
                Poll::Pending => {
                    let (wait, timeout) = self.head_wait();
                    ready!(self.poll_wait(wait, timeout, context));
                    if wait == Wait::Request {
                        self.state = State::Closed;
                    } else {
                        let refused = self.reader.abandon(Malformed::Slow, &self.received);
                        self.refuse(refused);
                    }
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }

    fn accept(&mut self, head: Head) {
        self.begin_plain(&head.method, head.version);
        match head.framing {
            Framing::None => self.state = State::Head,
            Framing::Length(length) => {
                let _ = write!(self.plain, "content-length: {length}\r\n");
                self.state = match length {
                    0 => State::Head,
                    length => State::Length(length),
                };
            }
            Framing::Chunked => {
                self.plain
                    .extend_from_slice(b"transfer-encoding: chunked\r\n");
                self.state = State::Chunked(ChunkedBody::new());
            }
        }
        match head.keep_alive {
            None => {}
            Some(true) => self.plain.extend_from_slice(b"connection: keep-alive\r\n"),
            Some(false) => self.plain.extend_from_slice(b"connection: close\r\n"),
        }
        if head.expects_continue {
            self.plain.extend_from_slice(b"expect: 100-continue\r\n");
        }
        self.plain.extend_from_slice(b"\r\n");
        self.heads.push(self.number, Ok(head));
        self.heads
            .set_body_pending(!matches!(self.state, State::Head));
        self.stop_waiting();
    }

    fn refuse(&mut self, refused: Refused) {
        // The answer to HEAD has no body, also when it is a refusal.
        let method = match refused.method {
            Method::HEAD => Method::HEAD,
            _ => Method::GET,
        };
        self.begin_plain(&method, refused.version);
        self.plain.extend_from_slice(b"connection: close\r\n\r\n");
        self.state = State::Closed;
        self.heads.push(self.number, Err(refused));
        self.stop_waiting();
    }

    fn begin_plain(&mut self, method: &Method, version: Version) {
        self.number = self.number.wrapping_add(1);
        self.plain.clear();
        self.plain_sent = 0;
        let version = if version == Version::HTTP_10 { 0 } else { 1 };
        // Writing to a `Vec` cannot fail.
        let _ = write!(self.plain, "{method} /{} HTTP/1.{version}\r\n", self.number);
    }

    /// Hands on what is left of the plain head.
    fn send_plain(&mut self, buffer: &mut ReadBuf<'_>) {
        let rest = &self.plain[self.plain_sent..];
        let step = rest.len().min(buffer.remaining());
        buffer.put_slice(&rest[..step]);
        self.plain_sent += step;
    }

    /// Hands on bytes of a body with a length.
    fn poll_length(
        &mut self,
        left: u64,
        buffer: &mut ReadBuf<'_>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if self.received.is_empty() {
            let mut limited = (&mut self.stream).take(left);
            ready!(Pin::new(&mut limited).poll_read(context, buffer))?;
        } else {
            let step = usize::try_from(left)
                .unwrap_or(usize::MAX)
                .min(self.received.len())
                .min(buffer.remaining());
            buffer.put_slice(&self.received[..step]);
            self.received.advance(step);
        }
        let step = buffer.filled().len() - before;
        self.state = if step == 0 {
            State::Ended
        } else if step as u64 == left {
            self.heads.set_body_pending(false);
            State::Head
        } else {
            State::Length(left - step as u64)
        };
        Poll::Ready(Ok(()))
    }

    /// Hands on bytes of a chunked body.
    fn poll_chunked(
        &mut self,
        buffer: &mut ReadBuf<'_>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let State::Chunked(body) = &mut self.state else {
            return Poll::Ready(Ok(()));
        };
        let before = buffer.filled().len();
        let followed = if self.received.is_empty() {
            ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
            let read = &buffer.filled()[before..];
            if read.is_empty() {
                self.state = State::Ended;
                return Poll::Ready(Ok(()));
            }
            let followed = body.follow(read);
            let used = followed.unwrap_or(0);
            // What follows the body is the next head's.
            self.received.extend_from_slice(&read[used..]);
            buffer.set_filled(before + used);
            followed
        } else {
            let room = self.received.len().min(buffer.remaining());
            let followed = body.follow(&self.received[..room]);
            let used = followed.unwrap_or(0);
            buffer.put_slice(&self.received[..used]);
            self.received.advance(used);
            followed
        };
        if followed.is_err() {
            self.state = State::Broken(BodyFault::MalformedChunk);
        } else if body.is_over() {
            self.state = State::Head;
            self.heads.set_body_pending(false);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_body(
        &mut self,
        buffer: &mut ReadBuf<'_>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let progress = match self.state {
            State::Length(left) => self.poll_length(left, buffer, context),
            _ => self.poll_chunked(buffer, context),
        };
        if progress.is_ready() {
            self.stop_waiting();
            return progress;
        }
        ready!(self.poll_wait(Wait::Body, self.body_timeout, context));
        self.state = State::Broken(BodyFault::Stalled);
        Poll::Ready(Ok(()))
    }

    /// Whether the client may still be sending what nobody will read.
    fn has_unread(&mut self, context: &mut Context<'_>) -> bool {
        match self.state {
            State::Head => {
                !self.received.is_empty()
                    || matches!(self.poll_receive(context), Poll::Ready(Ok(1..)))
            }
            State::Length(_) | State::Chunked(_) | State::Broken(_) | State::Closed => true,
            State::Ended | State::Passthrough => false,
        }
    }

    fn poll_written<T>(
        &mut self,
        written: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.write_alarm.clear();
            return written;
        }
        ready!(self.write_alarm.poll_after(self.write_timeout, context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Recorder<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        loop {
            this.send_plain(buffer);
            let handed_on = buffer.filled().len() > before;
            if buffer.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            match this.state {
                // One head at a time: the next is read when hyper asks for it.
                State::Head if handed_on => return Poll::Ready(Ok(())),
                State::Head => ready!(this.poll_head(context))?,
                State::Length(_) | State::Chunked(_) => {
                    if handed_on && this.received.is_empty() {
                        return Poll::Ready(Ok(()));
                    }
                    ready!(this.poll_body(buffer, context))?;
                    // A chunked body can end with the first byte read, the state tells.
                    if buffer.filled().len() > before {
                        return Poll::Ready(Ok(()));
                    }
                }
                State::Broken(fault) => {
                    return if handed_on {
                        Poll::Ready(Ok(()))
                    } else {
                        Poll::Ready(Err(fault.into()))
                    };
                }
                State::Closed | State::Ended => return Poll::Ready(Ok(())),
                State::Passthrough => {
                    if this.received.is_empty() {
                        return Pin::new(&mut this.stream).poll_read(context, buffer);
                    }
                    let step = this.received.len().min(buffer.remaining());
                    buffer.put_slice(&this.received[..step]);
                    this.received.advance(step);
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Recorder<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.poll_written(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.poll_written(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.poll_written(flushed, context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            match this.ending {
                Ending::NotYet => {
                    let closed = Pin::new(&mut this.stream).poll_shutdown(context);
                    ready!(this.poll_written(closed, context))?;
                    this.read_alarm.clear();
                    this.ending = if this.has_unread(context) {
                        Ending::Lingering(0)
                    } else {
                        Ending::Done
                    };
                }
                Ending::Lingering(read) => {
                    this.received.clear();
                    match this.poll_receive(context) {
                        Poll::Ready(Ok(step)) if step > 0 && read < LINGER_BYTES => {
                            this.ending = Ending::Lingering(read + step);
                        }
                        Poll::Ready(_) => this.ending = Ending::Done,
                        Poll::Pending => {
                            ready!(this.read_alarm.poll_after(LINGER_TIME, context));
                            this.ending = Ending::Done;
                        }
                    }
                }
                Ending::Done => return Poll::Ready(Ok(())),
            }
        }
    }
}
