//! A body with a bound on its bytes and on the time it may take.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use http_body::{Body as _, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use crate::base::Body;
use crate::base::body::BodyError;

/// 10 MB, the payload of a request and of a response ("Amazon API Gateway quotas").
pub const PAYLOAD_LIMIT: usize = 10 * 1024 * 1024;

/// The bound that was crossed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BoundError {
    /// More bytes than allowed.
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
    /// Not all of it in time.
    #[error("the body did not arrive in time")]
    TooSlow,
}

/// Passes another body on until a bound is crossed; then it fails.
pub struct BoundedBody {
    inner: Body,
    limit: usize,
    left: usize,
    deadline: Option<Pin<Box<Sleep>>>,
}

impl BoundedBody {
    /// At most `limit` bytes, all of them before `deadline`.
    pub fn new(inner: Body, limit: usize, deadline: Option<Instant>) -> Self {
        let deadline = deadline.map(|deadline| Box::pin(tokio::time::sleep_until(deadline)));
        Self {
            inner,
            limit,
            left: limit,
            deadline,
        }
    }
}

impl http_body::Body for BoundedBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match Pin::new(&mut self.inner).poll_frame(context) {
            Poll::Pending => match self
                .deadline
                .as_mut()
                .map(|deadline| deadline.as_mut().poll(context))
            {
                Some(Poll::Ready(())) => Poll::Ready(Some(Err(BoundError::TooSlow.into()))),
                _ => Poll::Pending,
            },
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.data_ref().map_or(0, Buf::remaining);
                match self.left.checked_sub(bytes) {
                    Some(left) => {
                        self.left = left;
                        Poll::Ready(Some(Ok(frame)))
                    }
                    None => Poll::Ready(Some(Err(BoundError::TooLarge(self.limit).into()))),
                }
            }
            ended @ Poll::Ready(_) => ended,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// Reads all of a body.
///
/// # Errors
///
/// [`BoundError::TooLarge`] as soon as more than `limit` bytes are announced or
/// have come; otherwise what the body's reader says.
pub async fn read_whole(body: Body, limit: usize) -> Result<Bytes, BodyError> {
    use http_body_util::BodyExt;

    match body {
        Body::Empty => Ok(Bytes::new()),
        Body::Full(bytes) if bytes.len() <= limit => Ok(bytes),
        body => {
            if body.size_hint().lower() > limit as u64 {
                return Err(BoundError::TooLarge(limit).into());
            }
            Ok(BoundedBody::new(body, limit, None)
                .collect()
                .await?
                .to_bytes())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_over_the_limit_fails() {
        let body = Body::Full(Bytes::from_static(b"12345"));

        let error = read_whole(body, 4).await.unwrap_err();

        assert_eq!(error.downcast_ref(), Some(&BoundError::TooLarge(4)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stalls_fails_at_the_deadline() {
        let stalled = http_body_util::StreamBody::new(futures_util::stream::pending::<
            Result<Frame<Bytes>, BodyError>,
        >());
        let deadline = Instant::now() + std::time::Duration::from_secs(1);
        let body = BoundedBody::new(Body::stream(stalled), 10, Some(deadline));

        let error = http_body_util::BodyExt::collect(body).await.unwrap_err();

        assert_eq!(error.downcast_ref(), Some(&BoundError::TooSlow));
    }
}
