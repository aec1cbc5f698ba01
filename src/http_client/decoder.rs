//! The body of an answer, taken off the bytes of its connection. No I/O.

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::head::{Framing, Malformed};

/// The longest line with a chunk's size, its extensions included.
const MAX_SIZE_LINE: usize = 16 * 1024;
/// The most bytes of all trailers.
const MAX_TRAILERS: usize = 16 * 1024;
/// The most trailer lines.
const MAX_TRAILER_LINES: usize = 64;

/// Where in a body the reader is.
#[derive(Debug)]
pub struct Decoder {
    state: State,
}

#[derive(Debug)]
enum State {
    Length(u64),
    Close,
    ChunkSize,
    ChunkData(u64),
    ChunkEnd,
    Trailers,
    Ended,
}

/// A step through a body.
#[derive(Debug)]
pub enum Decoded {
    /// Bytes of the body, at least one.
    Data(Bytes),
    /// What follows the last chunk.
    Trailers(HeaderMap),
    /// There is nothing to take before more has come.
    More,
    /// The body is complete.
    End,
}

impl Decoder {
    /// Begins a body.
    pub fn new(framing: Framing) -> Self {
        let state = match framing {
            Framing::Length(0) => State::Ended,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::ChunkSize,
            Framing::Close => State::Close,
        };
        Self { state }
    }

    /// Whether the body is complete.
    pub fn ended(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    /// How many bytes are still to come, where that is known.
    pub fn left(&self) -> Option<u64> {
        match self.state {
            State::Length(left) => Some(left),
            State::Ended => Some(0),
            _ => None,
        }
    }

    /// How many bytes the next piece has at most, where that is known.
    pub fn piece(&self) -> Option<u64> {
        match self.state {
            State::Length(left) | State::ChunkData(left) => Some(left),
            _ => None,
        }
    }

    /// The connection ended. Whether the body is complete by that.
    pub fn at_close(&mut self) -> bool {
        if matches!(self.state, State::Close) {
            self.state = State::Ended;
        }
        self.ended()
    }

    /// Takes what it can off the front of `input`.
    ///
    /// # Errors
    ///
    /// [`Malformed::Chunk`].
    pub fn decode(&mut self, input: &mut BytesMut) -> Result<Decoded, Malformed> {
        loop {
            match self.state {
                State::Ended => return Ok(Decoded::End),
                State::Close if input.is_empty() => return Ok(Decoded::More),
                State::Close => return Ok(Decoded::Data(input.split().freeze())),
                State::Length(left) => {
                    let Some((data, left)) = take(input, left) else {
                        return Ok(Decoded::More);
                    };
                    self.state = if left == 0 {
                        State::Ended
                    } else {
                        State::Length(left)
                    };
                    return Ok(Decoded::Data(data));
                }
                State::ChunkSize => {
                    let Some(line) = line(input, MAX_SIZE_LINE)? else {
                        return Ok(Decoded::More);
                    };
                    let size = chunk_size(&line)?;
                    self.state = if size == 0 {
                        State::Trailers
                    } else {
                        State::ChunkData(size)
                    };
                }
                State::ChunkData(left) => {
                    let Some((data, left)) = take(input, left) else {
                        return Ok(Decoded::More);
                    };
                    self.state = if left == 0 {
                        State::ChunkEnd
                    } else {
                        State::ChunkData(left)
                    };
                    return Ok(Decoded::Data(data));
                }
                State::ChunkEnd => {
                    match &input[..input.len().min(2)] {
                        b"\r\n" => input.advance(2),
                        b"" | b"\r" => return Ok(Decoded::More),
                        _ => return Err(Malformed::Chunk),
                    }
                    self.state = State::ChunkSize;
                }
                State::Trailers => {
                    let Some(trailers) = trailers(input)? else {
                        return Ok(Decoded::More);
                    };
                    self.state = State::Ended;
                    if !trailers.is_empty() {
                        return Ok(Decoded::Trailers(trailers));
                    }
                }
            }
        }
    }
}

/// At most `left` bytes, and how many are left after them.
fn take(input: &mut BytesMut, left: u64) -> Option<(Bytes, u64)> {
    if input.is_empty() {
        return None;
    }
    let most = usize::try_from(left).unwrap_or(usize::MAX);
    let data = input.split_to(input.len().min(most)).freeze();
    let taken = data.len() as u64;
    Some((data, left - taken))
}

/// A line without its CRLF. A line feed alone ends none.
fn line(input: &mut BytesMut, limit: usize) -> Result<Option<BytesMut>, Malformed> {
    let Some(end) = memchr::memchr(b'\n', input) else {
        return if input.len() > limit {
            Err(Malformed::Chunk)
        } else {
            Ok(None)
        };
    };
    if end > limit || end == 0 || input[end - 1] != b'\r' {
        return Err(Malformed::Chunk);
    }
    let mut line = input.split_to(end + 1);
    line.truncate(end - 1);
    Ok(Some(line))
}

/// The size in front of a chunk's extensions (RFC 9112, 7.1).
fn chunk_size(line: &[u8]) -> Result<u64, Malformed> {
    if line.contains(&b'\r') {
        return Err(Malformed::Chunk);
    }
    let digits = line
        .iter()
        .take_while(|byte| byte.is_ascii_hexdigit())
        .count();
    let (digits, rest) = line.split_at(digits);
    let rest = rest.trim_ascii_start();
    if digits.is_empty() || !(rest.is_empty() || rest[0] == b';') {
        return Err(Malformed::Chunk);
    }
    digits.iter().try_fold(0u64, |size, digit| {
        let digit = char::from(*digit).to_digit(16).ok_or(Malformed::Chunk)?;
        let size = size.checked_mul(16).ok_or(Malformed::Chunk)?;
        size.checked_add(u64::from(digit)).ok_or(Malformed::Chunk)
    })
}

/// The trailers, once their last line is there.
fn trailers(input: &mut BytesMut) -> Result<Option<HeaderMap>, Malformed> {
    // The usual end, before a table is laid out.
    if input.starts_with(b"\r\n") {
        input.advance(2);
        return Ok(Some(HeaderMap::new()));
    }
    if input.first() == Some(&b'\n') {
        return Err(Malformed::Chunk);
    }
    let mut lines = [httparse::EMPTY_HEADER; MAX_TRAILER_LINES];
    match httparse::parse_headers(input, &mut lines).map_err(|_| Malformed::Chunk)? {
        httparse::Status::Partial if input.len() > MAX_TRAILERS => Err(Malformed::Chunk),
        httparse::Status::Partial => Ok(None),
        httparse::Status::Complete((length, _)) if length > MAX_TRAILERS => Err(Malformed::Chunk),
        httparse::Status::Complete((length, lines)) => {
            let mut trailers = HeaderMap::with_capacity(lines.len());
            for line in lines {
                let name = HeaderName::from_bytes(line.name.as_bytes());
                let value = HeaderValue::from_bytes(line.value);
                if let (Ok(name), Ok(value)) = (name, value) {
                    trailers.append(name, value);
                }
            }
            input.advance(length);
            Ok(Some(trailers))
        }
    }
}
