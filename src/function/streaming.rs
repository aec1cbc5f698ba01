//! Results that arrive in pieces while the function runs.
//!
//! Source: Lambda developer guide, "Response streaming for Lambda functions".

use std::future::Future;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use futures_util::stream;
use http_body::Frame;
use http_body_util::StreamBody;
use tokio::sync::mpsc;

use super::{InvokeError, Outcome};
use crate::base::Body;
use crate::base::body::BodyError;

/// Where a function's pieces go: from whoever reads them (a Runtime API, the
/// SDK) to [`Streamed::Body`]. All of them dropped means that no more will come;
/// whether the function ended well is then told by the call's outcome.
#[derive(Clone, Debug)]
pub(super) struct Sink {
    pieces: mpsc::Sender<Bytes>,
    content_type: Arc<OnceLock<String>>,
}

impl Sink {
    /// Says what kind of stream it is, before the first piece.
    pub(super) fn begin(&self, content_type: &str) {
        // A second call of the same function would be another stream.
        let _ = self.content_type.set(content_type.to_owned());
    }

    /// Passes a piece on. A reader that went away makes no difference: the function
    /// still ends in its own time.
    pub(super) async fn send(&self, piece: Bytes) {
        let _ = self.pieces.send(piece).await;
    }
}

/// The kind of a stream that begins with status and headers.
pub const WITH_METADATA: &str = "application/vnd.awslambda.http-integration-response";

/// A streaming call, up to its first piece.
#[derive(Debug)]
pub struct Opened {
    /// What it gave.
    pub streamed: Streamed,
    /// What kind of stream the function says it is; none for a function that does not stream.
    pub content_type: Option<String>,
}

/// Pieces that wait for a slow client before the function has to wait, too.
const PIECES: usize = 16;

/// What a streaming call gave.
#[derive(Debug)]
pub enum Streamed {
    /// The result as it comes; it breaks off when the function fails in its midst.
    Body(Body),
    /// The function failed before its first byte.
    Failed(Outcome),
}

/// Why a result broke off.
#[derive(Debug, thiserror::Error)]
#[error("the function failed while it streamed: {0}")]
pub struct BrokenOff(pub String);

type Call = tokio::task::JoinHandle<Result<Outcome, InvokeError>>;

/// Runs a call that sends pieces, up to its first piece or its end.
///
/// A result without pieces (a function that does not stream) comes whole.
pub(super) async fn run<F>(call: impl FnOnce(Sink) -> F) -> Result<Opened, InvokeError>
where
    F: Future<Output = Result<Outcome, InvokeError>> + Send + 'static,
{
    let (sender, mut pieces) = mpsc::channel(PIECES);
    let content_type = Arc::new(OnceLock::new());
    let sink = Sink {
        pieces: sender,
        content_type: Arc::clone(&content_type),
    };
    let opened = |streamed| Opened {
        streamed,
        content_type: content_type.get().cloned(),
    };
    // A task of its own: the function runs on although nobody reads for a while.
    let call: Call = tokio::spawn(call(sink));
    if let Some(first) = pieces.recv().await {
        let rest = Rest {
            first: Some(first),
            pieces,
            call: Some(call),
        };
        return Ok(opened(Streamed::Body(rest.into_body())));
    }
    let outcome = call.await.map_err(|error| InvokeError::Unreachable {
        name: String::new(),
        detail: error.to_string(),
    })??;
    Ok(opened(match outcome.function_error {
        Some(_) => Streamed::Failed(outcome),
        None => Streamed::Body(outcome.payload.into()),
    }))
}

struct Rest {
    first: Option<Bytes>,
    pieces: mpsc::Receiver<Bytes>,
    call: Option<Call>,
}

impl Rest {
    fn into_body(self) -> Body {
        Body::stream(StreamBody::new(stream::unfold(self, |mut rest| async {
            let frame = rest.next().await?;
            Some((frame.map(Frame::data), rest))
        })))
    }

    async fn next(&mut self) -> Option<Result<Bytes, BodyError>> {
        if let Some(first) = self.first.take() {
            return Some(Ok(first));
        }
        if let Some(piece) = self.pieces.recv().await {
            return Some(Ok(piece));
        }
        // Only how the function ended is left, and that is asked once.
        let detail = match self.call.take()?.await {
            Ok(Ok(outcome)) => match outcome.function_error {
                None => return None,
                Some(_) => String::from_utf8_lossy(&outcome.payload).into_owned(),
            },
            Ok(Err(error)) => super::chain(&error),
            Err(error) => error.to_string(),
        };
        Some(Err(Box::new(BrokenOff(detail))))
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    fn outcome(payload: &'static str, error: Option<&str>) -> Outcome {
        Outcome {
            status: 200,
            payload: payload.into(),
            function_error: error.map(str::to_owned),
            time: None,
        }
    }

    async fn body(opened: Opened) -> Result<Bytes, BodyError> {
        match opened.streamed {
            Streamed::Body(body) => Ok(body.collect().await?.to_bytes()),
            Streamed::Failed(_) => panic!("the function failed"),
        }
    }

    #[tokio::test]
    async fn pieces_come_in_order_and_end_with_the_call() {
        let streamed = run(|sink| async move {
            sink.begin("text/plain");
            for piece in ["a", "b", "c"] {
                sink.send(piece.into()).await;
            }
            Ok(outcome("", None))
        })
        .await
        .unwrap();

        assert_eq!(streamed.content_type.as_deref(), Some("text/plain"));
        assert_eq!(body(streamed).await.unwrap(), "abc");
    }

    #[tokio::test]
    async fn a_failure_in_the_midst_breaks_the_result_off() {
        let streamed = run(|sink| async move {
            sink.send("a".into()).await;
            Ok(outcome("{}", Some("Unhandled")))
        })
        .await
        .unwrap();

        assert!(body(streamed).await.is_err());
    }

    #[tokio::test]
    async fn a_result_without_pieces_comes_whole_or_as_a_failure() {
        let whole = run(|_| async { Ok(outcome("text", None)) }).await.unwrap();
        assert_eq!(body(whole).await.unwrap(), "text");

        let failed = run(|_| async { Ok(outcome("{}", Some("Unhandled"))) }).await;
        let failed = failed.map(|opened| opened.streamed);
        assert!(matches!(failed, Ok(Streamed::Failed(_))));
    }
}
