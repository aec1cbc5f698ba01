//! `aws_proxy` with `responseTransferMode: STREAM`: status and headers first,
//! then eight NUL bytes, then the payload as it comes.
//!
//! Source: API Gateway developer guide, "Lambda proxy integration with response
//! streaming in API Gateway".

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use serde_json::Value as Json;
use tokio::time::{Instant, Sleep};

use crate::base::Body;
use crate::base::body::BodyError;

/// What stands between the metadata and the payload.
const DELIMITER: [u8; 8] = [0; 8];
/// Where the delimiter must have come: within the first 16 KB.
const LONGEST_METADATA: usize = 16 * 1024;
/// A stream without a byte for so long ends (Regional and private endpoints).
const LONGEST_SILENCE: Duration = Duration::from_secs(300);
/// No stream takes longer ("Amazon API Gateway quotas").
const LONGEST_STREAM: Duration = Duration::from_secs(900);

/// Metadata and payload of a streamed result.
#[derive(Debug)]
pub struct Parts {
    /// `{statusCode, headers, multiValueHeaders}` as a proxy answer has them.
    pub metadata: Bytes,
    /// `cookies`: a `Set-Cookie` header each.
    pub cookies: Vec<String>,
    /// The payload.
    pub payload: Body,
}

/// Reads a streamed result up to its payload.
///
/// # Errors
///
/// What is wrong with the format.
pub async fn split(mut body: Body) -> Result<Parts, String> {
    let mut head = BytesMut::new();
    let (at, rest) = loop {
        if let Some(at) = delimiter(&head) {
            break (at, body);
        }
        if head.len() >= LONGEST_METADATA + DELIMITER.len() {
            return Err("there are no eight NUL bytes within the first 16 KB".to_owned());
        }
        match body.frame().await {
            None => return Err("the result ended before eight NUL bytes".to_owned()),
            Some(Err(error)) => return Err(error.to_string()),
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    head.extend_from_slice(data);
                }
            }
        }
    };
    let head = head.freeze();
    let (metadata, cookies) = read_metadata(&head[..at])?;
    let first = head.slice(at + DELIMITER.len()..);
    Ok(Parts {
        metadata,
        cookies,
        payload: Body::stream(Chained {
            first: Some(first).filter(|first| !first.is_empty()),
            rest,
        }),
    })
}

/// Where the delimiter begins.
fn delimiter(head: &[u8]) -> Option<usize> {
    memchr::memmem::find(head, &DELIMITER).filter(|at| *at <= LONGEST_METADATA)
}

/// What a buffered call makes of a streaming function's result: its metadata
/// arrives, its payload does not. `None` where the result is no stream.
pub fn buffered(payload: &Bytes) -> Option<Bytes> {
    let head = &payload[..payload.len().min(LONGEST_METADATA + DELIMITER.len())];
    let (metadata, _) = read_metadata(&payload[..delimiter(head)?]).ok()?;
    Some(metadata)
}

fn read_metadata(text: &[u8]) -> Result<(Bytes, Vec<String>), String> {
    let json: Json = serde_json::from_slice(text)
        .map_err(|error| format!("the metadata is no JSON: {error}"))?;
    let Json::Object(mut members) = json else {
        return Err("the metadata is no JSON object".to_owned());
    };
    let cookies = match members.shift_remove("cookies") {
        None | Some(Json::Null) => Vec::new(),
        Some(Json::Array(items)) => items
            .into_iter()
            .map(|item| match item {
                Json::String(text) => Ok(text),
                _ => Err("`cookies` is no list of texts".to_owned()),
            })
            .collect::<Result<_, _>>()?,
        Some(_) => return Err("`cookies` is no list of texts".to_owned()),
    };
    if let Some(key) = ["body", "isBase64Encoded"]
        .into_iter()
        .find(|key| members.contains_key(*key))
    {
        return Err(format!("`{key}` does not belong into the metadata"));
    }
    Ok((Json::Object(members).to_string().into(), cookies))
}

/// A body after bytes that were read already.
struct Chained {
    first: Option<Bytes>,
    rest: Body,
}

impl http_body::Body for Chained {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.first.take() {
            Some(first) => Poll::Ready(Some(Ok(Frame::data(first)))),
            None => Pin::new(&mut self.rest).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.rest.is_end_stream()
    }
}

/// A streamed answer with AWS's bounds on silence and on the whole.
pub struct Timed {
    inner: Body,
    silence: Pin<Box<Sleep>>,
    end: Pin<Box<Sleep>>,
}

/// A streamed answer that took too long.
#[derive(Debug, thiserror::Error)]
#[error("the streamed answer was silent for 5 minutes, or took longer than 15")]
struct TooSlow;

impl Timed {
    /// The bounds count from now.
    pub fn new(inner: Body) -> Self {
        Self {
            inner,
            silence: Box::pin(tokio::time::sleep(LONGEST_SILENCE)),
            end: Box::pin(tokio::time::sleep(LONGEST_STREAM)),
        }
    }
}

impl http_body::Body for Timed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(context) {
            self.silence
                .as_mut()
                .reset(Instant::now() + LONGEST_SILENCE);
            return Poll::Ready(frame);
        }
        let late = self.silence.as_mut().poll(context).is_ready()
            || self.end.as_mut().poll(context).is_ready();
        if late {
            return Poll::Ready(Some(Err(Box::new(TooSlow))));
        }
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use http_body_util::StreamBody;

    use super::*;

    /// A body in pieces of `size` bytes.
    fn pieces(text: &[u8], size: usize) -> Body {
        let pieces: Vec<Result<Frame<Bytes>, BodyError>> = text
            .chunks(size)
            .map(|piece| Ok(Frame::data(Bytes::copy_from_slice(piece))))
            .collect();
        Body::stream(StreamBody::new(stream::iter(pieces)))
    }

    #[tokio::test]
    async fn metadata_and_payload_are_told_apart_wherever_the_pieces_end() {
        let text = b"{\"statusCode\":201,\"cookies\":[\"a=1\"]}\0\0\0\0\0\0\0\0\0payload";
        for size in 1..text.len() {
            let parts = split(pieces(text, size)).await.unwrap();

            assert_eq!(parts.metadata, r#"{"statusCode":201}"#);
            assert_eq!(parts.cookies, ["a=1"]);
            let payload = parts.payload.collect().await.unwrap().to_bytes();
            assert_eq!(payload, b"\0payload"[..]);
        }
    }

    #[tokio::test]
    async fn a_wrong_format_is_told() {
        for text in [
            &b"{\"statusCode\":200,\"body\":\"x\"}"[..],
            b"text\0\0\0\0\0\0\0\0",
            b"[]\0\0\0\0\0\0\0\0",
            b"{\"body\":\"x\"}\0\0\0\0\0\0\0\0",
            b"{\"cookies\":\"x\"}\0\0\0\0\0\0\0\0",
            &[b' '; LONGEST_METADATA + 100],
        ] {
            assert!(split(pieces(text, 1000)).await.is_err());
        }
    }

    #[test]
    fn a_buffered_call_gets_the_metadata_alone() {
        let streamed = Bytes::from_static(b"{\"statusCode\":200}\0\0\0\0\0\0\0\0text");

        assert_eq!(buffered(&streamed).unwrap(), "{\"statusCode\":200}");
        assert!(buffered(&Bytes::from_static(b"{}")).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_a_stream() {
        let silent = StreamBody::new(stream::pending::<Result<Frame<Bytes>, BodyError>>());
        let began = Instant::now();

        let error = Timed::new(Body::stream(silent)).collect().await;

        assert!(error.is_err());
        assert_eq!(began.elapsed().as_secs(), LONGEST_SILENCE.as_secs());
    }
}
