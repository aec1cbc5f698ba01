//! The head of an HTTP/1 request, read strictly and kept as it was sent.
//!
//! Request smuggling lives on two readers who see two requests in the same
//! bytes. So everything that RFC 9112 lets a recipient repair is refused here:
//! bare LF, folded lines, spaces before the colon, repeated or listed
//! `Content-Length`, any `Transfer-Encoding` but exactly `chunked`, both of them
//! together, `Host` missing or twice. What a request says otherwise (which
//! methods exist, what a path may contain) is left to the gateway; the path is
//! passed on byte for byte, `..`, `%2e`, `//` and `\` included.
//!
//! Source of the rules: RFC 9112; sizes from "Amazon API Gateway quotas".

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use http::{Method, Version};

use super::authority;
use crate::base::header_lines::{is_field_value, is_token};
use crate::event::{HeaderList, Malformed};

/// "Amazon API Gateway quotas": length of a Regional API's URL.
pub(super) const LONGEST_TARGET: usize = 10_240;
/// "Amazon API Gateway quotas": header names and values together.
pub(super) const MOST_HEADER_BYTES: usize = 20_480;
/// AWS names no number of headers; this one bounds the work per request.
pub(super) const MOST_HEADERS: usize = 256;
/// What all header lines may take with their colons, spaces and line ends.
const LARGEST_HEADER_SECTION: usize = 32 * 1024;
/// No registered method is longer than 17 letters.
const LONGEST_METHOD: usize = 32;
/// A line this long cannot hold a target that is short enough.
const LONGEST_REQUEST_LINE: usize = LONGEST_TARGET + LONGEST_METHOD + " HTTP/1.1\r\n ".len();
/// RFC 9112, 2.2: a server should ignore an empty line or so before the request line.
const MOST_BLANK_LINES: u8 = 4;

/// A request's head: well-formed, and with one way to tell where its body ends.
#[derive(Debug)]
pub struct Head {
    /// The method; any token.
    pub method: Method,
    /// HTTP/1.0 or HTTP/1.1.
    pub version: Version,
    /// The path as sent; `/` where an absolute target has none, `*` for `OPTIONS *`.
    pub path: String,
    /// What follows the first `?`.
    pub query: Option<String>,
    /// The target's authority, else the `Host` header; empty in HTTP/1.0 without one.
    pub host: String,
    /// The headers as sent.
    pub headers: HeaderList,
    /// How the body's end is told.
    pub framing: Framing,
    /// Whether the client wants the connection to stay; `None` when it says nothing.
    pub keep_alive: Option<bool>,
    /// Whether the client waits for `100 Continue`.
    pub expects_continue: bool,
}

/// How a body's end is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    None,
    /// By its length in bytes.
    Length(u64),
    /// By chunks.
    Chunked,
}

/// A head that was refused, with what was read of it for the log.
#[derive(Debug)]
pub struct Refused {
    /// Why.
    pub why: Malformed,
    /// The method, or `GET` when the request line could not be read.
    pub method: Method,
    /// The path, or `/`.
    pub path: String,
    /// The query, if it was read.
    pub query: Option<String>,
    /// HTTP/1.1 unless the client said HTTP/1.0.
    pub version: Version,
}

impl Refused {
    /// A refusal of which nothing is known but the reason.
    pub(super) fn unread(why: Malformed) -> Self {
        Self {
            why,
            method: Method::GET,
            path: "/".to_owned(),
            query: None,
            version: Version::HTTP_11,
        }
    }
}

/// Reads heads from a buffer that grows, each line once.
#[derive(Debug, Default)]
pub struct HeadReader {
    /// Up to where line ends were looked for.
    scanned: usize,
    line_start: usize,
    headers_start: usize,
    blank_lines: u8,
    request_line: Option<RequestLine>,
    fields: Vec<(Range<u32>, Range<u32>)>,
    field_bytes: usize,
    facts: Facts,
}

#[derive(Debug)]
struct RequestLine {
    method: Method,
    version: Version,
    /// Empty for an absolute target without a path.
    path: Range<usize>,
    query: Option<Range<usize>>,
    /// Of an absolute target, with its scheme's port.
    authority: Option<(Range<usize>, &'static [u8])>,
}

/// What the headers say about framing, host and connection.
#[derive(Debug, Default)]
struct Facts {
    host: Option<Range<usize>>,
    content_length: Option<u64>,
    transfer_encoding: Option<TransferEncoding>,
    close: bool,
    keep_alive: bool,
    expects_continue: bool,
    /// The first fault that does not end the reading at once: it is told after
    /// the lines' own faults, so that it does not matter how the bytes arrive.
    fault: Option<Malformed>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TransferEncoding {
    Chunked,
    /// Ends in `chunked`, but something else was done before: 501 (RFC 9112, 6.1).
    Unsupported,
    /// Where the body ends cannot be told: 400 (RFC 9112, 6.3).
    Ambiguous,
}

impl HeadReader {
    /// Reads on in `buffer`, which holds everything from the head's beginning.
    ///
    /// `None` when the head is not complete yet. A complete head is taken from
    /// the buffer, and the reader is ready for the next one. After a refusal the
    /// connection can only be ended.
    ///
    /// # Errors
    ///
    /// Why the head is refused, as soon as that is known.
    pub fn read(&mut self, buffer: &mut BytesMut) -> Result<Option<Head>, Refused> {
        match self.read_lines(buffer) {
            Ok(None) => Ok(None),
            Ok(Some(length)) => {
                let done = std::mem::take(self);
                // The whole buffer goes without a copy or a count of who shares it.
                let head = if length == buffer.len() {
                    std::mem::take(buffer)
                } else {
                    buffer.split_to(length)
                };
                let head = head.freeze();
                done.finish(head).map(Some)
            }
            Err(why) => Err(std::mem::take(self).refuse(why, buffer)),
        }
    }

    /// Gives up on a head that is not complete.
    pub(super) fn abandon(&mut self, why: Malformed, buffer: &BytesMut) -> Refused {
        std::mem::take(self).refuse(why, buffer)
    }

    /// The head's length, once its last line is there.
    fn read_lines(&mut self, bytes: &[u8]) -> Result<Option<usize>, Malformed> {
        loop {
            if self.request_line.is_none() {
                check_first_bytes(&bytes[self.line_start..])?;
            }
            let found = memchr::memchr(b'\n', &bytes[self.scanned..]);
            let end = found.map_or(bytes.len(), |at| self.scanned + at + 1);
            // Length goes before content: a long line is refused for its length,
            // whether or not its end has come.
            if self.request_line.is_none() {
                if end - self.line_start > LONGEST_REQUEST_LINE {
                    return Err(Malformed::TargetTooLong);
                }
            } else if end - self.headers_start > LARGEST_HEADER_SECTION {
                return Err(Malformed::HeadersTooLarge);
            }
            self.scanned = end;
            if found.is_none() {
                return Ok(None);
            }
            let start = std::mem::replace(&mut self.line_start, end);
            let Some(line) = bytes[start..end].strip_suffix(b"\r\n") else {
                return Err(if self.request_line.is_none() {
                    Malformed::RequestLine
                } else {
                    Malformed::HeaderLine
                });
            };
            if self.request_line.is_some() {
                if line.is_empty() {
                    return Ok(Some(end));
                }
                self.read_field(line, start)?;
            } else if line.is_empty() {
                self.blank_lines += 1;
                if self.blank_lines > MOST_BLANK_LINES {
                    return Err(Malformed::RequestLine);
                }
            } else {
                self.request_line = Some(RequestLine::read(line, start)?);
                self.headers_start = end;
            }
        }
    }

    fn read_field(&mut self, line: &[u8], start: usize) -> Result<(), Malformed> {
        // A folded line begins with a space and a name cannot, nor end with one.
        let colon = memchr::memchr(b':', line).ok_or(Malformed::HeaderLine)?;
        let (name, after) = (&line[..colon], &line[colon + 1..]);
        if name.is_empty() || !name.iter().all(|byte| is_token(*byte)) || !is_field_value(after) {
            return Err(Malformed::HeaderLine);
        }
        let leading = after.len() - trim_start(after).len();
        let value = trim_end(&after[leading..]);
        let value_start = start + colon + 1 + leading;

        self.field_bytes += name.len() + value.len();
        if self.field_bytes > MOST_HEADER_BYTES || self.fields.len() == MOST_HEADERS {
            return Err(Malformed::HeadersTooLarge);
        }
        if self.fields.capacity() == 0 {
            self.fields.reserve(16);
        }
        let value_end = value_start + value.len();
        // The buffer is bounded by the limits above, so `u32` holds every place in it.
        self.fields.push((
            start as u32..(start + colon) as u32,
            value_start as u32..value_end as u32,
        ));
        self.facts.note(name, value, after, value_start);
        Ok(())
    }

    fn finish(self, head: Bytes) -> Result<Head, Refused> {
        let framing = match self.check(&head) {
            Ok(framing) => framing,
            Err(why) => return Err(self.refuse(why, &head)),
        };
        let Some(line) = self.request_line else {
            return Err(Refused::unread(Malformed::RequestLine));
        };
        let host = match (line.authority, self.facts.host) {
            (Some((range, _)), _) | (None, Some(range)) => ascii(&head[range]),
            (None, None) => String::new(),
        };
        Ok(Head {
            method: line.method,
            version: line.version,
            path: path_of(&head[line.path]),
            query: line.query.map(|range| ascii(&head[range])),
            host,
            framing,
            keep_alive: match (self.facts.close, self.facts.keep_alive) {
                (true, _) => Some(false),
                (false, true) => Some(true),
                (false, false) => None,
            },
            expects_continue: self.facts.expects_continue && line.version == Version::HTTP_11,
            headers: HeaderList::from_ranges(head, self.fields),
        })
    }

    /// What can be judged only when all lines are there.
    fn check(&self, head: &[u8]) -> Result<Framing, Malformed> {
        let facts = &self.facts;
        let Some(line) = &self.request_line else {
            return Err(Malformed::RequestLine);
        };
        if let Some(fault) = facts.fault {
            return Err(fault);
        }
        let framing = match (facts.transfer_encoding, facts.content_length) {
            (None, None) => Framing::None,
            (None, Some(length)) => Framing::Length(length),
            (Some(_), Some(_)) => return Err(Malformed::Framing),
            // RFC 9112, 6.1: HTTP/1.0 has no transfer codings; such a message's framing is faulty.
            (Some(_), None) if line.version == Version::HTTP_10 => return Err(Malformed::Framing),
            (Some(TransferEncoding::Chunked), None) => Framing::Chunked,
            (Some(TransferEncoding::Unsupported), None) => {
                return Err(Malformed::TransferCoding);
            }
            (Some(TransferEncoding::Ambiguous), None) => return Err(Malformed::Framing),
        };
        match &facts.host {
            None if line.version == Version::HTTP_10 => {}
            None => return Err(Malformed::Host),
            Some(host) => {
                let host = &head[host.clone()];
                if !authority::is_valid(host) {
                    return Err(Malformed::Host);
                }
                // RFC 9112, 3.2.2 lets the target win silently; two hosts in one
                // request are how one front end is made to differ from the next.
                if let Some((named, port)) = &line.authority
                    && !authority::agree(host, &head[named.clone()], port)
                {
                    return Err(Malformed::Host);
                }
            }
        }
        Ok(framing)
    }

    fn refuse(self, why: Malformed, bytes: &[u8]) -> Refused {
        let Some(line) = self.request_line else {
            return Refused::unread(why);
        };
        Refused {
            why,
            path: path_of(&bytes[line.path]),
            query: line.query.map(|range| ascii(&bytes[range])),
            method: line.method,
            version: line.version,
        }
    }
}

/// Refuses what cannot become a request line, without waiting for the line's
/// end: a TLS handshake on the plain port has none.
fn check_first_bytes(line: &[u8]) -> Result<(), Malformed> {
    match line {
        [] | [b'\r'] | [b'\r', b'\n', ..] => Ok(()),
        [first, ..] if is_token(*first) => Ok(()),
        _ => Err(Malformed::RequestLine),
    }
}

impl RequestLine {
    /// `line` stands at `start` of the head.
    fn read(line: &[u8], start: usize) -> Result<Self, Malformed> {
        let first = memchr::memchr(b' ', line).ok_or(Malformed::RequestLine)?;
        let last = memchr::memrchr(b' ', line).ok_or(Malformed::RequestLine)?;
        if first == last {
            // `GET /`: HTTP/0.9.
            return Err(Malformed::RequestLine);
        }
        let (method, target) = (&line[..first], &line[first + 1..last]);
        if method.len() > LONGEST_METHOD {
            return Err(Malformed::RequestLine);
        }
        let method = Method::from_bytes(method).map_err(|_| Malformed::RequestLine)?;
        if target.len() > LONGEST_TARGET {
            return Err(Malformed::TargetTooLong);
        }
        if target.is_empty() || !target.iter().all(|byte| is_target(*byte)) {
            return Err(Malformed::RequestLine);
        }
        let version = match &line[last + 1..] {
            b"HTTP/1.1" => Version::HTTP_11,
            b"HTTP/1.0" => Version::HTTP_10,
            [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => {
                return Err(Malformed::Version);
            }
            _ => return Err(Malformed::RequestLine),
        };
        if method == Method::CONNECT {
            return Err(Malformed::Connect);
        }
        Self::read_target(method, version, target, start + first + 1)
    }

    /// RFC 9112, 3.2: origin form, absolute form of `http` and `https`, `*` for OPTIONS.
    fn read_target(
        method: Method,
        version: Version,
        target: &[u8],
        start: usize,
    ) -> Result<Self, Malformed> {
        let end = start + target.len();
        let is_asterisk = target == b"*" && method == Method::OPTIONS;
        let (authority, path_start) = if target.starts_with(b"/") || is_asterisk {
            (None, start)
        } else {
            let (scheme, port): (usize, &'static [u8]) = if starts_with(target, b"http://") {
                (b"http://".len(), b"80")
            } else if starts_with(target, b"https://") {
                (b"https://".len(), b"443")
            } else {
                return Err(Malformed::RequestLine);
            };
            let rest = &target[scheme..];
            let length = memchr::memchr2(b'/', b'?', rest).unwrap_or(rest.len());
            if !authority::is_valid(&rest[..length]) {
                return Err(Malformed::Host);
            }
            let authority = start + scheme..start + scheme + length;
            let path_start = authority.end;
            (Some((authority, port)), path_start)
        };
        let rest = &target[path_start - start..];
        let (path, query) = match memchr::memchr(b'?', rest) {
            Some(mark) => (
                path_start..path_start + mark,
                Some(path_start + mark + 1..end),
            ),
            None => (path_start..end, None),
        };
        Ok(Self {
            method,
            version,
            path,
            query,
            authority,
        })
    }
}

impl Facts {
    /// `after` is the value with the space around it.
    fn note(&mut self, name: &[u8], value: &[u8], after: &[u8], value_start: usize) {
        let named = |wanted: &str| name.eq_ignore_ascii_case(wanted.as_bytes());
        match name.len() {
            4 if named("host") => {
                let range = value_start..value_start + value.len();
                if self.host.replace(range).is_some() {
                    self.fault(Malformed::Host);
                }
            }
            6 if named("expect") => {
                // Another expectation is passed over, as nginx does; AWS drops the header.
                self.expects_continue |= value.eq_ignore_ascii_case(b"100-continue");
            }
            10 if named("connection") => {
                for option in value.split(|byte| *byte == b',') {
                    let option = trim_end(trim_start(option));
                    self.close |= option.eq_ignore_ascii_case(b"close");
                    self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                }
            }
            14 if named("content-length") => match read_length(value) {
                Some(length) if self.content_length.is_none() && !after.contains(&b'\t') => {
                    self.content_length = Some(length);
                }
                // A second one is refused even when it says the same; a tab as below.
                _ => self.fault(Malformed::Framing),
            },
            17 if named("transfer-encoding") => {
                // Tabs and rows of spaces around the coding are allowed, and what nobody
                // sends who does not look for a reader that takes them for the value.
                let coding = match after.strip_prefix(b" ").unwrap_or(after) {
                    plain if plain == value => TransferEncoding::read(value),
                    _ => TransferEncoding::Ambiguous,
                };
                if self.transfer_encoding.replace(coding).is_some() {
                    self.fault(Malformed::Framing);
                }
            }
            _ => {}
        }
    }

    fn fault(&mut self, why: Malformed) {
        self.fault.get_or_insert(why);
    }
}

impl TransferEncoding {
    fn read(value: &[u8]) -> Self {
        if value.eq_ignore_ascii_case(b"chunked") {
            return Self::Chunked;
        }
        let mut codings = value
            .split(|byte| *byte == b',')
            .map(|coding| trim_end(trim_start(coding)));
        let last = codings.next_back().unwrap_or_default();
        let known = |coding: &[u8]| {
            [
                &b"gzip"[..],
                b"x-gzip",
                b"deflate",
                b"compress",
                b"x-compress",
            ]
            .iter()
            .any(|known| coding.eq_ignore_ascii_case(known))
        };
        if last.eq_ignore_ascii_case(b"chunked") && codings.all(known) {
            Self::Unsupported
        } else {
            Self::Ambiguous
        }
    }
}

/// Digits and nothing else; 18 of them cannot overflow.
pub(super) fn read_length(value: &[u8]) -> Option<u64> {
    const MOST_DIGITS: usize = 18;
    if value.is_empty() || value.len() > MOST_DIGITS || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}

fn starts_with(target: &[u8], scheme: &[u8]) -> bool {
    target
        .get(..scheme.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
}

fn trim_start(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    bytes
}

fn trim_end(mut bytes: &[u8]) -> &[u8] {
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// Bytes that were checked to be ASCII.
fn ascii(bytes: &[u8]) -> String {
    std::str::from_utf8(bytes).unwrap_or_default().to_owned()
}

fn path_of(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        "/".to_owned()
    } else {
        ascii(bytes)
    }
}

/// What a target may have.
static TARGET: [bool; 256] = target_bytes();

const fn target_bytes() -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        // Visible ASCII without `#`. RFC 3986 also forbids `"<>\^`{|}` and the
        // backtick: nginx and browsers' servers take them, clients send them, and
        // they go on as they are, so nobody reads another path than we matched.
        table[byte] = byte > 0x20 && byte < 0x7f && byte != b'#' as usize;
        byte += 1;
    }
    table
}

/// Whether a request's target may have this byte.
pub(super) fn is_target(byte: u8) -> bool {
    TARGET[byte as usize]
}

#[cfg(test)]
pub(super) mod tests;
