//! A body that may not pause for too long: HTTP/2's, where the link sees frames only.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::base::alarm::Alarm;
use crate::base::{BodyError, BodyFault};

/// Fails with [`BodyFault::Stalled`] when no frame comes for `timeout` while one is waited for.
pub(super) struct StallLimit {
    body: Incoming,
    alarm: Alarm,
    timeout: Duration,
}

impl StallLimit {
    pub(super) fn new(body: Incoming, timeout: Duration) -> Self {
        Self {
            body,
            alarm: Alarm::default(),
            timeout,
        }
    }
}

impl Body for StallLimit {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            self.alarm.clear();
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let timeout = self.timeout;
        ready!(self.alarm.poll_after(timeout, context));
        Poll::Ready(Some(Err(BodyFault::Stalled.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
