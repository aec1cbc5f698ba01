//! The head of a request as it is written, and of an answer as it is read.
//!
//! No I/O: bytes in, bytes out. An answer comes from outside and is held to
//! RFC 9112; where two readings are possible there is none.

use bytes::{Buf, Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use hyper::ext::ReasonPhrase;

use super::address::Origin;
use crate::base::header_lines::{HeaderLines, is_hop_header};

/// The most bytes of an answer's head, its interim answers not counted.
pub const MAX_HEAD_BYTES: usize = 400 * 1024;
/// The most header lines of an answer; hyper's own default is 100.
pub const MAX_HEADERS: usize = 512;
/// As many header lines are read into a table on the stack.
const USUAL_HEADERS: usize = 64;
/// For the request line's own text, the `Host` and the framing of most requests.
const ROOM_BESIDE_LINES: usize = 128;
/// Headers that the gateway adds to most answers, and their bytes.
const ADDED_HEADERS: usize = 4;
const ADDED_BYTES: usize = 64;

/// What is wrong with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// Status line or header lines cannot be read.
    #[error("the answer's head is not HTTP/1.1: {0}")]
    Head(httparse::Error),
    /// The head is over [`MAX_HEAD_BYTES`].
    #[error("the answer's head is over {MAX_HEAD_BYTES} bytes")]
    HeadTooLarge,
    /// A `Content-Length` that is no number, or two that differ.
    #[error("the answer's Content-Length cannot be read")]
    Length,
    /// `Transfer-Encoding` beside `Content-Length`, or in HTTP/1.0.
    #[error("the answer says in two ways where its body ends")]
    Framing,
    /// 101 without an `Upgrade` that was asked for.
    #[error("the answer changes to a protocol that was not asked for")]
    Upgrade,
    /// The chunks cannot be read.
    #[error("the answer's chunks are malformed")]
    Chunk,
}

/// How long a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// So many bytes.
    Length(u64),
    /// Until the chunk of size 0.
    Chunked,
    /// As long as the connection.
    Close,
}

/// Which of an answer's headers are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// All of them.
    All,
    /// Those that are for whomever the answer is passed on to: without the connection's own
    /// (RFC 9110, 7.6.1), and without `Content-Length`, which is made anew.
    EndToEnd,
    /// The same ones, as lines that nobody has to read: [`Head::lines`].
    Lines,
}

/// The head of an answer.
#[derive(Debug)]
pub struct Head {
    /// Not one of the interim ones.
    pub status: StatusCode,
    /// The reason phrase where it is not the usual one.
    pub reason: Option<ReasonPhrase>,
    /// In their order.
    pub headers: HeaderMap,
    /// With [`Kept::Lines`] in place of the headers.
    pub lines: Option<HeaderLines>,
    /// How long the body is.
    pub framing: Framing,
    /// The connection may carry another request after the body.
    pub keep_alive: bool,
}

/// Takes an answer's head off the front of what has come; interim answers are
/// skipped. `None` while there is more to come.
///
/// # Errors
///
/// See [`Malformed`].
pub fn read_head(
    input: &mut BytesMut,
    method: &Method,
    kept: Kept,
) -> Result<Option<Head>, Malformed> {
    loop {
        let Some((length, head)) = parse(input, method, kept)? else {
            let too_large = input.len() > MAX_HEAD_BYTES;
            return if too_large {
                Err(Malformed::HeadTooLarge)
            } else {
                Ok(None)
            };
        };
        input.advance(length);
        if head.is_some() {
            return Ok(head);
        }
    }
}

/// A head with its length in bytes; an interim one has only its length.
fn parse(
    input: &[u8],
    method: &Method,
    kept: Kept,
) -> Result<Option<(usize, Option<Head>)>, Malformed> {
    if input.is_empty() {
        return Ok(None);
    }
    let mut usual = [const { std::mem::MaybeUninit::uninit() }; USUAL_HEADERS];
    let mut answer = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    match config.parse_response_with_uninit_headers(&mut answer, input, &mut usual) {
        Err(httparse::Error::TooManyHeaders) => {
            let mut many = vec![httparse::EMPTY_HEADER; MAX_HEADERS];
            let mut answer = httparse::Response::new(&mut many);
            let status = answer.parse(input).map_err(Malformed::Head)?;
            parsed(input, &answer, status, (method, kept))
        }
        Err(error) => Err(Malformed::Head(error)),
        Ok(status) => parsed(input, &answer, status, (method, kept)),
    }
}

fn parsed(
    input: &[u8],
    answer: &httparse::Response<'_, '_>,
    status: httparse::Status<usize>,
    (method, kept): (&Method, Kept),
) -> Result<Option<(usize, Option<Head>)>, Malformed> {
    let httparse::Status::Complete(length) = status else {
        return Ok(None);
    };
    if length > MAX_HEAD_BYTES {
        return Err(Malformed::HeadTooLarge);
    }
    let status = StatusCode::from_u16(answer.code.unwrap_or_default())
        .map_err(|_| Malformed::Head(httparse::Error::Status))?;
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(Malformed::Upgrade);
    }
    if status.is_informational() {
        return Ok(Some((length, None)));
    }
    let reason = answer
        .reason
        .filter(|reason| Some(*reason) != status.canonical_reason())
        .and_then(|reason| ReasonPhrase::try_from(reason.as_bytes()).ok());
    let mut facts = Facts::default();
    for header in answer.headers.iter() {
        facts.note(header.name, header.value);
    }
    let (headers, lines) = match kept {
        Kept::Lines => {
            let lines = lines(&facts, answer.headers, length)?;
            (HeaderMap::new(), Some(lines))
        }
        Kept::All | Kept::EndToEnd => (map(&facts, answer.headers, kept, &input[..length])?, None),
    };
    let http_11 = answer.version == Some(1);
    let keep_alive = facts.keeps_alive(http_11);
    let framing = facts.framing(status, http_11, method)?;
    Ok(Some((
        length,
        Some(Head {
            status,
            reason,
            headers,
            lines,
            framing,
            keep_alive,
        }),
    )))
}

/// The headers that are passed on, as lines; `room` bytes hold them, and there is more for those
/// that the gateway adds.
fn lines(
    facts: &Facts<'_>,
    headers: &[httparse::Header<'_>],
    room: usize,
) -> Result<HeaderLines, Malformed> {
    let mut lines = HeaderLines::with_capacity(headers.len() + ADDED_HEADERS, room + ADDED_BYTES);
    for header in headers {
        if !facts.is_connections_own(header.name) && !lines.push(header.name, header.value) {
            return Err(Malformed::Head(httparse::Error::HeaderValue));
        }
    }
    Ok(lines)
}

/// The headers that are kept, as a map. `input` is the head that they were read from.
fn map(
    facts: &Facts<'_>,
    headers: &[httparse::Header<'_>],
    kept: Kept,
    input: &[u8],
) -> Result<HeaderMap, Malformed> {
    // One allocation for all values; the connection's buffer stays its own.
    let whole = Bytes::copy_from_slice(input);
    let mut map = HeaderMap::with_capacity(headers.len() + ADDED_HEADERS);
    for header in headers {
        if kept == Kept::EndToEnd && facts.is_connections_own(header.name) {
            continue;
        }
        let name = HeaderName::from_bytes(header.name.as_bytes())
            .map_err(|_| Malformed::Head(httparse::Error::HeaderName))?;
        let value = if header.value.is_empty() {
            HeaderValue::from_static("")
        } else {
            HeaderValue::from_maybe_shared(whole.slice_ref_of(input, header.value))
                .map_err(|_| Malformed::Head(httparse::Error::HeaderValue))?
        };
        map.try_append(name, value)
            .map_err(|_| Malformed::HeadTooLarge)?;
    }
    Ok(map)
}

/// The part of a copy that stands where `part` stands in the original.
trait SliceRefOf {
    fn slice_ref_of(&self, original: &[u8], part: &[u8]) -> Bytes;
}

impl SliceRefOf for Bytes {
    fn slice_ref_of(&self, original: &[u8], part: &[u8]) -> Bytes {
        let start = (part.as_ptr() as usize).wrapping_sub(original.as_ptr() as usize);
        match start.checked_add(part.len()) {
            Some(end) if end <= self.len() => self.slice(start..end),
            _ => Bytes::copy_from_slice(part),
        }
    }
}

/// What the header lines say of framing and connection.
#[derive(Default)]
struct Facts<'h> {
    close: bool,
    keep: bool,
    /// Other options of `Connection`: headers that are this connection's.
    named: Vec<&'h [u8]>,
    /// What all `Content-Length` values agree on.
    length: Option<Result<u64, Malformed>>,
    /// Whether the last coding is `chunked`, once there is one.
    chunked: Option<bool>,
}

impl<'h> Facts<'h> {
    fn note(&mut self, name: &str, value: &'h [u8]) {
        // Names of other lengths need no look.
        match name.len() {
            10 if name.eq_ignore_ascii_case(CONNECTION.as_str()) => {
                for option in value.split(|byte| *byte == b',') {
                    let option = option.trim_ascii();
                    let close = option.eq_ignore_ascii_case(b"close");
                    let keep = option.eq_ignore_ascii_case(b"keep-alive");
                    self.close |= close;
                    self.keep |= keep;
                    if !close && !keep && !option.is_empty() {
                        self.named.push(option);
                    }
                }
            }
            14 if name.eq_ignore_ascii_case(CONTENT_LENGTH.as_str()) => {
                for text in value.split(|byte| *byte == b',') {
                    let length = decimal(text.trim_ascii()).ok_or(Malformed::Length);
                    let agrees = self.length.is_none_or(|agreed| agreed == length);
                    self.length = Some(if agrees {
                        length
                    } else {
                        Err(Malformed::Length)
                    });
                }
            }
            17 if name.eq_ignore_ascii_case(TRANSFER_ENCODING.as_str()) => {
                let last = value.rsplit(|byte| *byte == b',').next();
                let chunked =
                    last.is_some_and(|last| last.trim_ascii().eq_ignore_ascii_case(b"chunked"));
                self.chunked = Some(chunked);
            }
            _ => {}
        }
    }

    /// Whether a header is not passed on.
    fn is_connections_own(&self, name: &str) -> bool {
        name.eq_ignore_ascii_case(CONTENT_LENGTH.as_str())
            || is_hop_header(name)
            || self
                .named
                .iter()
                .any(|option| name.as_bytes().eq_ignore_ascii_case(option))
    }

    /// RFC 9112, 9.3: HTTP/1.1 keeps a connection unless told otherwise, HTTP/1.0 the other way round.
    fn keeps_alive(&self, http_11: bool) -> bool {
        !self.close && (http_11 || self.keep)
    }

    /// RFC 9112, 6.3.
    fn framing(
        &self,
        status: StatusCode,
        http_11: bool,
        method: &Method,
    ) -> Result<Framing, Malformed> {
        let bodiless = status == StatusCode::NO_CONTENT
            || status == StatusCode::NOT_MODIFIED
            || method == Method::HEAD;
        if bodiless {
            return Ok(Framing::Length(0));
        }
        let length = self.length.transpose()?;
        match self.chunked {
            None => Ok(length.map_or(Framing::Close, Framing::Length)),
            Some(_) if length.is_some() || !http_11 => Err(Malformed::Framing),
            Some(true) => Ok(Framing::Chunked),
            Some(false) => Ok(Framing::Close),
        }
    }
}

fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |sum, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })
}

/// Writes a request's head.
///
/// `framing` is how the body goes; `None` is no body at all, where a
/// `Content-Length` of the headers stays as it is. `Host` is the origin's
/// where the headers have none. Framing headers other than that are the
/// writer's own.
pub fn write_head(
    method: &Method,
    origin: &Origin,
    target: &PathAndQuery,
    headers: &HeaderLines,
    framing: Option<Framing>,
) -> Vec<u8> {
    let target = target.as_str();
    let lines = headers.as_bytes();
    let mut output =
        Vec::with_capacity(method.as_str().len() + target.len() + lines.len() + ROOM_BESIDE_LINES);
    output.extend_from_slice(method.as_str().as_bytes());
    output.push(b' ');
    if target.starts_with('?') {
        output.push(b'/');
    }
    output.extend_from_slice(target.as_bytes());
    output.extend_from_slice(b" HTTP/1.1\r\n");
    let is_framing = |name: &[u8]| {
        name == TRANSFER_ENCODING.as_str().as_bytes()
            || (framing.is_some() && name == CONTENT_LENGTH.as_str().as_bytes())
    };
    if headers.names().any(is_framing) {
        let others = headers
            .iter()
            .filter(|(name, _)| !is_framing(name.as_bytes()));
        for (name, value) in others {
            output.extend_from_slice(name.as_bytes());
            output.extend_from_slice(b": ");
            output.extend_from_slice(value);
            output.extend_from_slice(b"\r\n");
        }
    } else {
        output.extend_from_slice(lines);
    }
    if !headers.contains(HOST.as_str()) {
        output.extend_from_slice(origin.host_line().as_bytes());
    }
    match framing {
        Some(Framing::Length(length)) => {
            output.extend_from_slice(b"content-length: ");
            output.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
            output.extend_from_slice(b"\r\n");
        }
        Some(Framing::Chunked) => output.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        Some(Framing::Close) | None => {}
    }
    output.extend_from_slice(b"\r\n");
    output
}
