//! The two ways of one connection: heads and bodies in, bytes of answers out.
//!
//! It reads one head at a time and not one byte of the next before the body's
//! end; keeps time for every kind of waiting; and closes so that the client gets
//! the last answer. An idle connection holds no buffer.
//!
//! After HTTP/2's preface it is a plain stream that keeps time of writing.

use std::future::Future;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::chunked::ChunkedBody;
use super::head::{Framing, Head, HeadReader, Refused};
use super::options::Options;
use crate::base::BodyFault;
use crate::base::alarm::Alarm;
use crate::event::Malformed;

/// What HTTP/2 connections begin with (RFC 9113, 3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// How much is read at once while a head is awaited.
const READ_SIZE: usize = 8 * 1024;
/// How much of a body is read at once.
const BODY_READ_SIZE: u64 = 64 * 1024;

/// A socket closed with bytes unread resets the connection, and the client may
/// lose the answer. So a client that still sends is listened to after the last
/// answer, within these bounds. nginx calls it lingering.
const LINGER_TIME: Duration = Duration::from_secs(5);
const LINGER_PAUSE: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 32 * 1024 * 1024;

/// What a connection turned out to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// A head that was read: served or refused.
pub(super) type Recorded = Result<Head, Refused>;

/// A connection's stream and what was read of it.
pub(super) struct Link<S> {
    stream: S,
    /// Read from the stream and not taken yet.
    received: BytesMut,
    state: State,
    reader: HeadReader,
    /// Which request this is: an answer may hold an earlier one's body.
    number: u64,
    /// What is left to send of `100 Continue`, once the body is asked for.
    interim: &'static [u8],
    /// The first bytes did not come in time.
    is_slow: bool,
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

/// What was received of a chunked body.
enum Chunk {
    Data(Bytes),
    End,
    /// Nothing that makes a piece; or nothing that can be read.
    Unread,
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
    /// Our side is closed; what still comes is dropped.
    Lingering {
        read: usize,
        until: Instant,
    },
    Done,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Link<S> {
    pub(super) fn new(stream: S, options: &Options) -> Self {
        Self {
            stream,
            received: BytesMut::new(),
            state: State::Head,
            reader: HeadReader::default(),
            number: 0,
            interim: b"",
            is_slow: false,
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
                    self.is_slow = wait == Wait::RestOfHead;
                    return Poll::Ready(Ok((wait != Wait::Request).then_some(Protocol::Http1)));
                }
            }
        }
    }

    /// Reads more into `received`.
    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if !self.received.is_empty() {
            self.received.reserve(READ_SIZE / 2);
            return pin!(self.stream.read_buf(&mut self.received)).poll(context);
        }
        // Most reads find a whole request, and most waits none: so only what came takes memory.
        let mut space = [const { MaybeUninit::uninit() }; READ_SIZE];
        let mut buffer = ReadBuf::uninit(&mut space);
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer))?;
        self.received = BytesMut::from(buffer.filled());
        Poll::Ready(Ok(self.received.len()))
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

    /// Reads the next head; `None` when no request comes any more.
    ///
    /// To be called after the request before it is settled.
    pub(super) fn poll_head(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<Option<Recorded>>> {
        if !matches!(self.state, State::Head) {
            return Poll::Ready(Ok(None));
        }
        if self.is_slow {
            return Poll::Ready(Ok(Some(Err(self.abandon()))));
        }
        loop {
            if !self.received.is_empty() {
                match self.reader.read(&mut self.received) {
                    Ok(None) => {}
                    Ok(Some(head)) => {
                        self.accept(&head);
                        return Poll::Ready(Ok(Some(Ok(head))));
                    }
                    Err(refused) => return Poll::Ready(Ok(Some(Err(self.refuse(refused))))),
                }
            }
            match self.poll_receive(context)? {
                Poll::Ready(0) => {
                    // Also in the middle of a head: nobody waits for an answer to half a request.
                    self.state = State::Ended;
                    return Poll::Ready(Ok(None));
                }
                Poll::Ready(_) => {}
                Poll::Pending => {
                    let (wait, timeout) = self.head_wait();
                    ready!(self.poll_wait(wait, timeout, context));
                    if wait == Wait::Request {
                        self.state = State::Closed;
                        return Poll::Ready(Ok(None));
                    }
                    return Poll::Ready(Ok(Some(Err(self.abandon()))));
                }
            }
        }
    }

    fn accept(&mut self, head: &Head) {
        self.number += 1;
        self.state = match head.framing {
            Framing::None | Framing::Length(0) => State::Head,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Chunked(ChunkedBody::new()),
        };
        self.interim = match head.expects_continue {
            true => CONTINUE,
            false => b"",
        };
        self.stop_waiting();
    }

    fn refuse(&mut self, refused: Refused) -> Refused {
        self.number += 1;
        self.state = State::Closed;
        self.stop_waiting();
        refused
    }

    fn abandon(&mut self) -> Refused {
        let refused = self.reader.abandon(Malformed::Slow, &self.received);
        self.refuse(refused)
    }

    /// The number of the request whose head was read last.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// The next bytes of the body of request `number`; `None` at its end.
    pub(super) fn poll_body(
        &mut self,
        number: u64,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Bytes>>> {
        if self.number != number {
            return Poll::Ready(Some(Err(io::ErrorKind::NotConnected.into())));
        }
        let piece = loop {
            let read = match &mut self.state {
                State::Length(left) => {
                    let left = *left;
                    match self.received.is_empty() {
                        true => self.poll_length(left, context),
                        false => Poll::Ready(Ok(Some(self.take_length(left)))),
                    }
                }
                State::Chunked(_) => match self.take_chunk() {
                    Chunk::Data(piece) => break Some(piece),
                    Chunk::End => break None,
                    Chunk::Unread => self.poll_more(context).map_ok(|()| None),
                },
                State::Broken(fault) => return Poll::Ready(Some(Err((*fault).into()))),
                State::Closed | State::Ended => {
                    return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into())));
                }
                State::Head | State::Passthrough => return Poll::Ready(None),
            };
            match read {
                Poll::Ready(Ok(None)) => {}
                Poll::Ready(Ok(Some(piece))) => break Some(piece),
                Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(error))),
                Poll::Pending => {
                    ready!(self.poll_wait(Wait::Body, self.body_timeout, context));
                    self.state = State::Broken(BodyFault::Stalled);
                }
            }
        };
        self.stop_waiting();
        Poll::Ready(piece.map(Ok))
    }

    /// What is there of a body with a length.
    fn take_length(&mut self, left: u64) -> Bytes {
        let step =
            usize::try_from(left).map_or(self.received.len(), |left| left.min(self.received.len()));
        let piece = take(&mut self.received, step);
        self.came(left, step);
        piece
    }

    fn came(&mut self, left: u64, step: usize) {
        self.state = match left - step as u64 {
            0 => State::Head,
            left => State::Length(left),
        };
    }

    /// Reads bytes of a body with a length: not one of what follows it.
    fn poll_length(
        &mut self,
        left: u64,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<Option<Bytes>>> {
        ready!(self.poll_interim(context))?;
        let mut piece = BytesMut::with_capacity(left.min(BODY_READ_SIZE) as usize);
        let step = {
            let mut limited = (&mut self.stream).take(left);
            ready!(pin!(limited.read_buf(&mut piece)).poll(context))?
        };
        if step == 0 {
            self.state = State::Ended;
            return Poll::Ready(Ok(None));
        }
        self.came(left, step);
        Poll::Ready(Ok(Some(piece.freeze())))
    }

    /// The next data of a chunked body, as far as it was received.
    fn take_chunk(&mut self) -> Chunk {
        let State::Chunked(body) = &mut self.state else {
            return Chunk::Unread;
        };
        match body.framing(&self.received) {
            Ok(used) => self.received.advance(used),
            Err(_) => {
                self.state = State::Broken(BodyFault::MalformedChunk);
                return Chunk::Unread;
            }
        }
        if body.is_over() {
            self.state = State::Head;
            return Chunk::End;
        }
        match body.data(self.received.len()) {
            0 => Chunk::Unread,
            step => Chunk::Data(take(&mut self.received, step)),
        }
    }

    /// Receives more of a chunked body.
    fn poll_more(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if matches!(self.state, State::Broken(_)) {
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_interim(context))?;
        if ready!(self.poll_receive(context))? == 0 {
            self.state = State::Ended;
        }
        Poll::Ready(Ok(()))
    }

    /// Sends `100 Continue`, where the client waits for it before it sends the body.
    fn poll_interim(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.interim.is_empty() {
            let sent = ready!(Pin::new(&mut self.stream).poll_write(context, self.interim))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.interim = &self.interim[sent..];
        }
        Poll::Ready(Ok(()))
    }

    /// Before an answer's first byte: whether the request was read to its end, so that
    /// another may follow it. What was received of a body that nobody reads is dropped.
    pub(super) fn settle(&mut self, is_body_held: bool) -> bool {
        if self.interim.len() == CONTINUE.len() {
            // It was not asked to go on, and will not.
            self.interim = b"";
        }
        if !is_body_held {
            match &self.state {
                State::Length(left) if *left <= self.received.len() as u64 => {
                    self.take_length(*left);
                }
                State::Chunked(_) => while let Chunk::Data(_) = self.take_chunk() {},
                _ => {}
            }
        }
        matches!(self.state, State::Head)
    }

    /// Sends pieces of an answer, one after the other; they are advanced by what was sent.
    pub(super) fn poll_send(
        &mut self,
        pieces: &mut impl Buf,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.interim.is_empty() {
            let sent = self.poll_interim(context);
            ready!(self.poll_written(sent, context))?;
        }
        while pieces.has_remaining() {
            let first = pieces.chunk();
            let sent = if first.len() == pieces.remaining() {
                Pin::new(&mut self.stream).poll_write(context, first)
            } else {
                let mut slices = [IoSlice::new(&[]); 4];
                let count = pieces.chunks_vectored(&mut slices);
                Pin::new(&mut self.stream).poll_write_vectored(context, &slices[..count])
            };
            let sent = ready!(self.poll_written(sent, context))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            pieces.advance(sent);
        }
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

    /// Closes our side, and the whole once the client has done so.
    pub(super) fn poll_close(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match self.ending {
                Ending::NotYet => {
                    let closed = Pin::new(&mut self.stream).poll_shutdown(context);
                    ready!(self.poll_written(closed, context))?;
                    self.read_alarm.clear();
                    self.ending = if self.has_unread(context) {
                        Ending::Lingering {
                            read: 0,
                            until: Instant::now() + LINGER_TIME,
                        }
                    } else {
                        Ending::Done
                    };
                }
                Ending::Lingering { read, until } => {
                    self.received.clear();
                    match self.poll_receive(context) {
                        Poll::Ready(Ok(step))
                            if step > 0 && read < LINGER_BYTES && Instant::now() < until =>
                        {
                            self.read_alarm.clear();
                            self.ending = Ending::Lingering {
                                read: read + step,
                                until,
                            };
                        }
                        Poll::Ready(_) => self.ending = Ending::Done,
                        Poll::Pending => {
                            ready!(self.read_alarm.poll_after(LINGER_PAUSE, context));
                            self.ending = Ending::Done;
                        }
                    }
                }
                Ending::Done => return Poll::Ready(Ok(())),
            }
        }
    }
}

/// Takes the first bytes out of a buffer, without a copy.
fn take(buffer: &mut BytesMut, length: usize) -> Bytes {
    if length == buffer.len() {
        std::mem::take(buffer).freeze()
    } else {
        buffer.split_to(length).freeze()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Link<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.received.is_empty() {
            return Pin::new(&mut this.stream).poll_read(context, buffer);
        }
        let step = this.received.len().min(buffer.remaining());
        buffer.put_slice(&this.received[..step]);
        this.received.advance(step);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Link<S> {
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

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_close(context)
    }
}
