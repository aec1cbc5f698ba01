//! Content codings: a request's undone before anything reads it, an answer's
//! put on for a client that asks for it.
//!
//! Source: API Gateway developer guide, "Payload compression for REST APIs in
//! API Gateway".

use std::io::Read;

use bytes::Bytes;
use flate2::Compression;
use flate2::read::{DeflateDecoder, GzEncoder, MultiGzDecoder, ZlibDecoder, ZlibEncoder};
use http::Response;
use http::header::{ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_LENGTH, HeaderValue};

use super::rejection::Rejection;
use crate::base::Body;
use crate::event::HeaderList;
use crate::integration::IntegrationError;
use crate::integration::bounded_body::{PAYLOAD_LIMIT, read_whole};

/// More codings than this on one body is no client's mistake.
const MOST_CODINGS: usize = 4;

/// A coding that AWS knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Gzip,
    Deflate,
}

impl Coding {
    fn named(name: &str) -> Option<Self> {
        match name {
            _ if name.eq_ignore_ascii_case("gzip") => Some(Self::Gzip),
            _ if name.eq_ignore_ascii_case("deflate") => Some(Self::Deflate),
            _ => None,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
        }
    }
}

/// Whether a request names a content coding that has to be undone.
pub(super) fn is_coded(headers: &HeaderList) -> bool {
    names(headers).any(|name| !name.eq_ignore_ascii_case("identity"))
}

fn names(headers: &HeaderList) -> impl Iterator<Item = String> {
    let values: Vec<String> = headers
        .all("content-encoding")
        .map(|value| value.into_owned())
        .collect();
    values
        .into_iter()
        .flat_map(|value| {
            value
                .split(',')
                .map(|name| name.trim().to_owned())
                .collect::<Vec<_>>()
        })
        .filter(|name| !name.is_empty())
}

/// Undoes the codings of a request's body, the last one first.
///
/// # Errors
///
/// A coding that AWS does not know, or a body that is not in it: 415; more than
/// 10 MB in the end: 413.
pub(super) fn undo(headers: &HeaderList, body: Bytes) -> Result<Bytes, Rejection> {
    let named: Vec<String> = names(headers)
        .filter(|name| !name.eq_ignore_ascii_case("identity"))
        .collect();
    if named.len() > MOST_CODINGS {
        return Err(Rejection::ContentCoding(format!(
            "{} codings on one body",
            named.len()
        )));
    }
    // An unknown coding is refused whatever the body is.
    let codings = named
        .iter()
        .map(|name| {
            Coding::named(name)
                .ok_or_else(|| Rejection::ContentCoding(format!("`{name}` is unknown")))
        })
        .collect::<Result<Vec<_>, _>>()?;
    if body.is_empty() {
        return Ok(body);
    }
    codings.into_iter().rev().try_fold(body, decode)
}

fn decode(body: Bytes, coding: Coding) -> Result<Bytes, Rejection> {
    let bad = |error: std::io::Error| {
        Rejection::ContentCoding(format!("the body is no {}: {error}", coding.as_str()))
    };
    match coding {
        Coding::Gzip => bounded(MultiGzDecoder::new(&body[..])).map_err(bad)?,
        // "deflate" is the zlib format, but some clients leave its frame out.
        Coding::Deflate => match bounded(ZlibDecoder::new(&body[..])) {
            Ok(decoded) => decoded,
            Err(_) => bounded(DeflateDecoder::new(&body[..])).map_err(bad)?,
        },
    }
    .ok_or_else(|| IntegrationError::PayloadTooLarge.into())
}

/// All that a decoder gives; `None` when that is more than a payload may be.
fn bounded(decoder: impl Read) -> std::io::Result<Option<Bytes>> {
    let mut decoded = Vec::new();
    decoder
        .take(PAYLOAD_LIMIT as u64 + 1)
        .read_to_end(&mut decoded)?;
    Ok((decoded.len() <= PAYLOAD_LIMIT).then(|| decoded.into()))
}

/// Compresses an answer of at least `minimum` bytes for a client that asks for
/// it. An answer that has a coding already, or that streams, stays as it is.
///
/// # Errors
///
/// What goes wrong while the backend's answer is read.
pub(super) async fn compress(
    response: Response<Body>,
    accept_encoding: Option<&str>,
    minimum: u32,
) -> Result<Response<Body>, Rejection> {
    use http_body::Body as _;

    let Some(coding) = accept_encoding.and_then(preferred) else {
        return Ok(response);
    };
    let small = response
        .body()
        .size_hint()
        .exact()
        .is_some_and(|bytes| bytes < u64::from(minimum));
    if small || response.body().is_end_stream() || response.headers().contains_key(CONTENT_ENCODING)
    {
        return Ok(response);
    }
    let (mut parts, body) = response.into_parts();
    let whole = read_whole(body, PAYLOAD_LIMIT)
        .await
        .map_err(|error| IntegrationError::BrokenAnswer(error.to_string()))?;
    if whole.is_empty() || whole.len() < minimum as usize {
        return Ok(Response::from_parts(parts, whole.into()));
    }
    let encoded = encode(&whole, coding)
        .map_err(|error| Rejection::Internal(format!("an answer was not compressed: {error}")))?;
    parts
        .headers
        .insert(CONTENT_ENCODING, HeaderValue::from_static(coding.as_str()));
    parts.headers.remove(CONTENT_LENGTH);
    // Ranges would be those of the body as it was.
    parts.headers.remove(ACCEPT_RANGES);
    Ok(Response::from_parts(parts, encoded.into()))
}

fn encode(whole: &[u8], coding: Coding) -> std::io::Result<Bytes> {
    let mut encoded = Vec::with_capacity(whole.len() / 3);
    match coding {
        Coding::Gzip => GzEncoder::new(whole, Compression::fast()).read_to_end(&mut encoded)?,
        Coding::Deflate => {
            ZlibEncoder::new(whole, Compression::fast()).read_to_end(&mut encoded)?
        }
    };
    Ok(encoded.into())
}

/// The coding with the highest priority, if it is one that AWS knows. `*` alone
/// asks for nothing; among equals a known one goes before an unknown one.
fn preferred(accept_encoding: &str) -> Option<Coding> {
    let mut best: Option<(f32, Option<Coding>)> = None;
    for entry in accept_encoding.split(',') {
        let mut parts = entry.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        if name.is_empty() || name == "*" {
            continue;
        }
        let quality = parts
            .find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")))
            .map_or(1.0, |text| text.trim().parse::<f32>().unwrap_or(0.0));
        if quality <= 0.0 || !quality.is_finite() {
            continue;
        }
        let coding = Coding::named(name);
        let better = match best {
            None => true,
            Some((other, known)) => {
                quality > other || quality == other && known.is_none() && coding.is_some()
            }
        };
        if better {
            best = Some((quality, coding));
        }
    }
    best.and_then(|(_, coding)| coding)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn coded(coding: &str) -> HeaderList {
        [("Content-Encoding", coding.as_bytes())]
            .into_iter()
            .collect()
    }

    #[test]
    fn the_highest_priority_decides() {
        for (header, expected) in [
            ("gzip", Some(Coding::Gzip)),
            ("deflate;q=1.0,gzip;q=0.5", Some(Coding::Deflate)),
            ("gzip, deflate, br", Some(Coding::Gzip)),
            ("br, gzip", Some(Coding::Gzip)),
            ("br;q=1.0, gzip;q=0.8", None),
            ("identity, gzip;q=0.5", None),
            ("gzip;q=0", None),
            ("*", None),
            ("*;q=1, gzip;q=0.1", Some(Coding::Gzip)),
            ("", None),
            ("GZIP;Q=0.3", Some(Coding::Gzip)),
        ] {
            assert_eq!(preferred(header), expected, "{header}");
        }
    }

    #[test]
    fn what_was_encoded_is_undone() {
        let body = Bytes::from_static(b"some text, some text, some text");
        for coding in [Coding::Gzip, Coding::Deflate] {
            let encoded = encode(&body, coding).unwrap();
            assert_eq!(undo(&coded(coding.as_str()), encoded).unwrap(), body);
        }
        let both = encode(&encode(&body, Coding::Deflate).unwrap(), Coding::Gzip).unwrap();
        assert_eq!(undo(&coded("deflate, gzip"), both).unwrap(), body);
        assert_eq!(undo(&coded("identity"), body.clone()).unwrap(), body);
    }

    #[test]
    fn unknown_codings_and_bad_data_are_refused() {
        let body = Bytes::from_static(b"not compressed");
        for coding in ["gzip", "deflate", "br", "gzip, x"] {
            assert!(
                matches!(
                    undo(&coded(coding), body.clone()),
                    Err(Rejection::ContentCoding(_))
                ),
                "{coding}"
            );
        }
    }

    #[test]
    fn a_body_that_unfolds_over_the_limit_is_refused() {
        let bomb = encode(&vec![0; PAYLOAD_LIMIT + 1], Coding::Gzip).unwrap();

        assert!(bomb.len() < 100_000);
        assert!(matches!(
            undo(&coded("gzip"), bomb),
            Err(Rejection::Integration(IntegrationError::PayloadTooLarge))
        ));
    }
}
