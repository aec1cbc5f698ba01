//! The head of an answer, and how its body's end is told.
//!
//! Source: RFC 9110, 6.4.1 and 8.6; RFC 9112, 6.

use std::cell::RefCell;
use std::io::{self, Write as _};
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, DATE, HeaderName, TRAILER, TRANSFER_ENCODING};
use http::response::Parts;
use http::{HeaderMap, StatusCode};
use http_body::Body as _;

use super::outgoing::Outgoing;
use crate::base::{Body, Clock, PassedLines};
use crate::server::head::read_length;

/// What an answer must know of its request, and whether another may follow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    /// The answer has no body, but speaks of one.
    pub(super) is_head: bool,
    /// HTTP/1.0: no chunks, and the connection ends unless both sides want it to stay.
    pub(super) is_old: bool,
    pub(super) keep_alive: bool,
}

/// How the end of an answer's body is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ends {
    /// There is none to send.
    NoBody,
    /// By its length; so much is left.
    Length(u64),
    Chunked,
    /// By the end of the connection.
    Close,
}

/// A body that ended before its length.
#[derive(Debug, thiserror::Error)]
#[error("an answer's body is {0} bytes shorter than its content-length")]
pub(super) struct TooShort(u64);

impl Ends {
    /// Adds a piece of the body; says whether it was the last one.
    pub(super) fn put(&mut self, mut piece: Bytes, outgoing: &mut Outgoing) -> bool {
        match self {
            Self::NoBody => return true,
            Self::Length(left) => {
                // More than was said would be read as the next answer.
                let length =
                    usize::try_from(*left).map_or(piece.len(), |left| left.min(piece.len()));
                piece.truncate(length);
                *left -= length as u64;
                outgoing.put(piece, b"");
                return *left == 0;
            }
            Self::Chunked if piece.is_empty() => {}
            Self::Chunked => {
                // Writing to a `Vec` cannot fail.
                let _ = write!(outgoing.buffer(), "{:x}\r\n", piece.len());
                outgoing.put(piece, b"\r\n");
            }
            Self::Close => outgoing.put(piece, b""),
        }
        false
    }

    /// The body is over.
    ///
    /// # Errors
    ///
    /// Where it was shorter than it was said to be.
    pub(super) fn end(self, outgoing: &mut Outgoing) -> Result<(), TooShort> {
        match self {
            Self::NoBody | Self::Close | Self::Length(0) => {}
            Self::Length(left) => return Err(TooShort(left)),
            Self::Chunked => outgoing.buffer().extend_from_slice(b"0\r\n\r\n"),
        }
        Ok(())
    }
}

/// Writes an answer's head. `turn.keep_alive` is what holds afterwards.
pub(super) fn head(turn: &mut Turn, head: &Parts, body: &Body, out: &mut Vec<u8>) -> Ends {
    const ROOM: usize = 1024;
    let status = match head.status {
        // An interim answer would leave the client waiting for the real one.
        status if status.is_informational() => {
            tracing::error!(%status, "an answer cannot have this status");
            turn.keep_alive = false;
            StatusCode::INTERNAL_SERVER_ERROR
        }
        status => status,
    };
    let exact = match body.is_end_stream() {
        true => Some(0),
        false => body.size_hint().exact(),
    };
    let small = exact.and_then(|length| usize::try_from(length).ok());
    out.reserve(ROOM + small.filter(|length| *length <= 4 * ROOM).unwrap_or(0));
    status_line(turn, status, out);

    let bodiless = matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let said = said_length(&head.headers);
    let length = match exact {
        _ if bodiless => None,
        Some(length) if turn.is_head => said.or((length > 0).then_some(length)),
        Some(length) => Some(length),
        None => said,
    };
    let framing = match length {
        _ if turn.is_head || bodiless => Ends::NoBody,
        Some(0) => Ends::NoBody,
        Some(length) => Ends::Length(length),
        None if turn.is_old => {
            turn.keep_alive = false;
            Ends::Close
        }
        None => Ends::Chunked,
    };
    let passed = head.extensions.get::<PassedLines>();
    if let Some(PassedLines(lines)) = passed {
        out.extend_from_slice(lines.as_bytes());
    }
    fields(turn, &head.headers, out);
    match length {
        Some(length) => {
            out.extend_from_slice(b"content-length: ");
            out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        None if framing == Ends::Chunked => {
            out.extend_from_slice(b"transfer-encoding: chunked\r\n")
        }
        None => {}
    }
    let has_date = head.headers.contains_key(DATE)
        || passed.is_some_and(|PassedLines(lines)| lines.contains(DATE.as_str()));
    if !has_date {
        out.extend_from_slice(b"date: ");
        date(out);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    framing
}

fn status_line(turn: &Turn, status: StatusCode, out: &mut Vec<u8>) {
    if !turn.is_old && status == StatusCode::OK {
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
        return;
    }
    out.extend_from_slice(if turn.is_old {
        b"HTTP/1.0 "
    } else {
        b"HTTP/1.1 "
    });
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    // Many clients expect a phrase.
    out.extend_from_slice(status.canonical_reason().unwrap_or("<none>").as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// The length that an answer's headers tell: the one, or several times the same.
fn said_length(headers: &HeaderMap) -> Option<u64> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let length = read_length(lengths.next()?.as_bytes())?;
    lengths
        .all(|other| read_length(other.as_bytes()) == Some(length))
        .then_some(length)
}

/// All headers but those of framing, and what becomes of the connection.
fn fields(turn: &mut Turn, headers: &HeaderMap, out: &mut Vec<u8>) {
    let (mut says_close, mut says_keep_alive) = (false, false);
    for (name, value) in headers {
        if is_framing(name) {
            continue;
        }
        if name == CONNECTION {
            let named = |wanted: &str| {
                let mut parts = value.as_bytes().split(|byte| *byte == b',');
                parts.any(|part| part.trim_ascii().eq_ignore_ascii_case(wanted.as_bytes()))
            };
            says_close |= named("close");
            says_keep_alive |= named("keep-alive");
        }
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    turn.keep_alive &= !says_close;
    if !turn.keep_alive && !says_close {
        out.extend_from_slice(b"connection: close\r\n");
    } else if turn.keep_alive && !says_keep_alive && turn.is_old {
        out.extend_from_slice(b"connection: keep-alive\r\n");
    }
}

/// Headers that this end decides.
fn is_framing(name: &HeaderName) -> bool {
    name == CONTENT_LENGTH || name == TRANSFER_ENCODING || name == TRAILER
}

/// The time, as RFC 9110, 5.6.7 writes it. Formatted once a second and thread.
fn date(out: &mut Vec<u8>) {
    thread_local! {
        static LAST: RefCell<(u64, Vec<u8>)> = const { RefCell::new((u64::MAX, Vec::new())) };
    }
    let second = Clock::System.since_epoch().as_secs();
    LAST.with_borrow_mut(|(last, text)| {
        if *last != second {
            *last = second;
            text.clear();
            let time = UNIX_EPOCH + Duration::from_secs(second);
            // Writing to a `Vec` cannot fail.
            let _: io::Result<()> = write!(text, "{}", httpdate::HttpDate::from(time));
        }
        out.extend_from_slice(text);
    });
}
