//! Where a chunked body ends: RFC 9112, section 7.1, read strictly.
//!
//! What it lets through is the part of the grammar on which all readers agree: no
//! space around the size, no bare CR or LF, no size that overflows, extensions and
//! trailers within bounds. Both mean nothing here and are dropped.

use crate::base::header_lines::is_token;

/// How long one size line may be, extensions included.
const LONGEST_SIZE_LINE: u32 = 1024;
/// How much all extensions of one body may take.
const MOST_EXTENSION_BYTES: u32 = 8 * 1024;
/// How much all trailers of one body may take.
const MOST_TRAILER_BYTES: u32 = 8 * 1024;
/// How many trailers one body may have.
const MOST_TRAILERS: u32 = 64;

/// The chunked body's framing is malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MalformedChunk;

/// Follows one chunked body.
#[derive(Debug)]
pub(super) struct ChunkedBody {
    state: State,
    /// The size as read so far, then what is left of the chunk.
    size: u64,
    digits: u32,
    line: u32,
    extension_bytes: u32,
    trailer_bytes: u32,
    trailers: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Size,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// At the start of a trailer line or of the line that ends the body.
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
    End,
}

impl ChunkedBody {
    pub(super) fn new() -> Self {
        Self {
            state: State::Size,
            size: 0,
            digits: 0,
            line: 0,
            extension_bytes: 0,
            trailer_bytes: 0,
            trailers: 0,
        }
    }

    /// Whether the body's last byte was read.
    pub(super) fn is_over(&self) -> bool {
        self.state == State::End
    }

    /// Reads framing up to the next data or the body's end, and says how many of `bytes` that takes.
    pub(super) fn framing(&mut self, bytes: &[u8]) -> Result<usize, MalformedChunk> {
        let mut at = 0;
        while at < bytes.len() && !matches!(self.state, State::Data | State::End) {
            self.state = self.step(bytes[at])?;
            at += 1;
        }
        Ok(at)
    }

    /// Takes up to `available` bytes of data, and says how many; 0 outside of data.
    pub(super) fn data(&mut self, available: usize) -> usize {
        if self.state != State::Data {
            return 0;
        }
        let step = usize::try_from(self.size).map_or(available, |size| size.min(available));
        self.size -= step as u64;
        if self.size == 0 {
            self.state = State::DataCr;
        }
        step
    }

    fn step(&mut self, byte: u8) -> Result<State, MalformedChunk> {
        match (self.state, byte) {
            (State::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                // 15 digits are a petabyte, and no sum of them overflows.
                const MOST_DIGITS: u32 = 15;
                self.digits += 1;
                if self.digits > MOST_DIGITS {
                    return Err(MalformedChunk);
                }
                let digit = char::from(byte).to_digit(16).ok_or(MalformedChunk)?;
                self.size = self.size << 4 | u64::from(digit);
                Ok(State::Size)
            }
            (State::Size, b'\r') if self.digits > 0 => Ok(State::SizeLf),
            (State::Size, b';') if self.digits > 0 => self.extension(),
            (State::Extension, b'\r') => Ok(State::SizeLf),
            (State::Extension, b'\t' | b' '..=b'~' | 0x80..) => self.extension(),
            (State::SizeLf, b'\n') => {
                self.digits = 0;
                self.line = 0;
                Ok(if self.size == 0 {
                    State::TrailerStart
                } else {
                    State::Data
                })
            }
            (State::DataCr, b'\r') => Ok(State::DataLf),
            (State::DataLf, b'\n') => Ok(State::Size),
            (State::TrailerStart, b'\r') => Ok(State::EndLf),
            (State::TrailerStart, _) => {
                self.trailers += 1;
                if self.trailers > MOST_TRAILERS || !is_token(byte) {
                    return Err(MalformedChunk);
                }
                self.trailer(State::TrailerName)
            }
            (State::TrailerName, b':') => self.trailer(State::TrailerValue),
            (State::TrailerName, _) if is_token(byte) => self.trailer(State::TrailerName),
            (State::TrailerValue, b'\r') => Ok(State::TrailerLf),
            (State::TrailerValue, b'\t' | b' '..=b'~' | 0x80..) => {
                self.trailer(State::TrailerValue)
            }
            (State::TrailerLf, b'\n') => Ok(State::TrailerStart),
            (State::EndLf, b'\n') => Ok(State::End),
            _ => Err(MalformedChunk),
        }
    }

    fn extension(&mut self) -> Result<State, MalformedChunk> {
        self.line += 1;
        self.extension_bytes += 1;
        if self.line > LONGEST_SIZE_LINE || self.extension_bytes > MOST_EXTENSION_BYTES {
            return Err(MalformedChunk);
        }
        Ok(State::Extension)
    }

    fn trailer(&mut self, next: State) -> Result<State, MalformedChunk> {
        self.trailer_bytes += 1;
        if self.trailer_bytes > MOST_TRAILER_BYTES {
            return Err(MalformedChunk);
        }
        Ok(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How much of `bytes` is the body, read in steps of `step` bytes; `None` when it does not end.
    fn read(bytes: &[u8], step: usize) -> Result<Option<usize>, MalformedChunk> {
        let mut body = ChunkedBody::new();
        let mut used = 0;
        for piece in bytes.chunks(step) {
            let mut rest = piece;
            while !rest.is_empty() && !body.is_over() {
                let step = body.framing(rest)?;
                let step = step + body.data(rest.len() - step);
                used += step;
                rest = &rest[step..];
            }
            if body.is_over() {
                return Ok(Some(used));
            }
        }
        Ok(None)
    }

    #[test]
    fn finds_the_end_however_the_bytes_arrive() {
        for body in [
            "0\r\n\r\n",
            "5\r\nhello\r\n0\r\n\r\n",
            "5;a=b;c=\"d e\"\r\nhello\r\n000\r\n\r\n",
            "A\r\n0123456789\r\na\r\n0\r\n\r\n56789\r\n0\r\nX-Sum: 1\r\nY:\r\n\r\n",
        ] {
            let with_next = format!("{body}GET / HTTP/1.1\r\n");
            for step in 1..=with_next.len() {
                assert_eq!(
                    read(with_next.as_bytes(), step),
                    Ok(Some(body.len())),
                    "{body:?} by {step}"
                );
            }
        }
    }

    #[test]
    fn refuses_what_readers_disagree_on() {
        let long_extension = format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(2000));
        let many_trailers = format!("0\r\n{}\r\n", "a:b\r\n".repeat(65));
        for body in [
            "\r\n",
            "x\r\n",
            "0x5\r\nhello\r\n",
            "-5\r\nhello\r\n",
            "+5\r\nhello\r\n",
            " 5\r\nhello\r\n",
            "5 \r\nhello\r\n",
            "5\t\r\nhello\r\n",
            "5\nhello\r\n",
            "5\r\nhello\n0\r\n\r\n",
            "5\r\nhello0\r\n\r\n",
            "5\r\nhelloXX0\r\n\r\n",
            "5;a\nb\r\nhello\r\n",
            "5;a\rb\r\nhello\r\n",
            "5;\0\r\nhello\r\n",
            ";a\r\n",
            "FFFFFFFFFFFFFFFF0\r\n",
            "10000000000000000\r\n",
            "0000000000000005\r\nhello\r\n",
            "5,5\r\nhello\r\n",
            "5\r\rhello",
            "0\r\n\n",
            "0\r\n folded: x\r\n\r\n",
            "0\r\nname : x\r\n\r\n",
            "0\r\nname\r\n\r\n",
            "0\r\na: b\nc: d\r\n\r\n",
            "0\r\na: \0\r\n\r\n",
            "0\r\n: x\r\n\r\n",
            &long_extension,
            &many_trailers,
        ] {
            assert_eq!(
                read(body.as_bytes(), body.len()),
                Err(MalformedChunk),
                "{body:?}"
            );
        }
    }

    #[test]
    fn many_small_extensions_are_too_much_together() {
        let body = format!("1;{}\r\nx\r\n", "e".repeat(500)).repeat(30);

        assert_eq!(read(body.as_bytes(), 4096), Err(MalformedChunk));
    }
}
