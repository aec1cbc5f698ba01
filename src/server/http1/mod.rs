//! One HTTP/1 connection: requests and answers in turn, all in the connection's own task.
//!
//! Source: RFC 9112.

mod encode;
mod outgoing;

use std::future::{Future as _, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Method, Response, Version};
use http_body::{Body as _, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::futures::Notified;

use self::encode::{Ends as Framing, Turn};
use self::outgoing::Outgoing;
use super::Service;
use super::connection::{Connection, Ends, answer};
use super::head::{self, Head, Refused};
use super::link::{Link, Recorded};
use crate::base::{Body, BodyError};
use crate::event::{HeaderList, ReceivedRequest};

/// A connection as its own task and the body of the request in flight share it. They take
/// turns and never wait while they hold it.
type Shared<T> = Arc<Mutex<Link<T>>>;

fn lock<T>(link: &Mutex<Link<T>>) -> MutexGuard<'_, Link<T>> {
    link.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Serves one connection until it ends.
///
/// # Errors
///
/// Where the client goes away within an answer, or an answer's body fails.
pub(super) async fn run<T, S>(
    link: Link<T>,
    ends: Ends,
    service: S,
    shared: &Arc<Connection>,
) -> io::Result<()>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service,
{
    let link = Arc::new(Mutex::new(link));
    let mut finish = pin!(shared.finishing());
    loop {
        let read = poll_fn(|context| match lock(&link).poll_head(context) {
            Poll::Pending if finish.as_mut().poll(context).is_ready() => Poll::Ready(Ok(None)),
            read => read,
        });
        let Some(recorded) = read.await? else {
            break;
        };
        let _in_flight = Connection::begin_request(&**shared);
        // Boxed: an idle connection keeps no room for it.
        let turn = Box::pin(take_turn(&link, recorded, ends, &service, finish.as_mut()));
        if !turn.await? {
            break;
        }
    }
    poll_fn(|context| lock(&link).poll_close(context)).await
}

/// Answers one request; says whether another may follow.
async fn take_turn<T, S>(
    link: &Shared<T>,
    recorded: Recorded,
    ends: Ends,
    service: &S,
    mut finish: Pin<&mut Notified<'_>>,
) -> io::Result<bool>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service,
{
    let (mut turn, received) = begin(recorded, link, ends);
    let response = answer(service, received).await;
    // Ours is the only hold when the request's body was dropped, read or not.
    let is_body_held = Arc::strong_count(link) > 1;
    turn.keep_alive &= lock(link).settle(is_body_held);
    let finishing = poll_fn(|context| Poll::Ready(finish.as_mut().poll(context).is_ready())).await;
    turn.keep_alive &= !finishing;
    send(link, &mut turn, response).await?;
    Ok(turn.keep_alive)
}

/// What the service gets, and what its answer must know of the request.
fn begin<T>(recorded: Recorded, link: &Shared<T>, ends: Ends) -> (Turn, Box<ReceivedRequest>)
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    match recorded {
        Ok(head) => {
            let is_old = head.version == Version::HTTP_10;
            let turn = Turn {
                is_head: head.method == Method::HEAD,
                is_old,
                keep_alive: head.keep_alive.unwrap_or(!is_old),
            };
            (turn, of_head(head, link, ends))
        }
        Err(refused) => {
            let turn = Turn {
                is_head: refused.method == Method::HEAD,
                is_old: refused.version == Version::HTTP_10,
                keep_alive: false,
            };
            (turn, of_refused(refused, ends))
        }
    }
}

fn of_head<T>(head: Head, link: &Shared<T>, ends: Ends) -> Box<ReceivedRequest>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let length = match head.framing {
        head::Framing::None | head::Framing::Length(0) => Some(0),
        head::Framing::Length(length) => Some(length),
        head::Framing::Chunked => None,
    };
    // Boxed: it goes through many hands.
    Box::new(ReceivedRequest {
        method: head.method,
        path: head.path,
        query: head.query,
        headers: head.headers,
        version: head.version,
        scheme: ends.scheme,
        host: head.host,
        peer: ends.peer,
        local: ends.local,
        malformed: None,
        body: match length {
            Some(0) => Body::Empty,
            left => Body::stream(RequestBody {
                link: Arc::clone(link),
                number: lock(link).number(),
                left,
            }),
        },
    })
}

fn of_refused(refused: Refused, ends: Ends) -> Box<ReceivedRequest> {
    tracing::debug!(peer = %ends.peer, why = %refused.why, "request refused");
    Box::new(ReceivedRequest {
        method: refused.method,
        path: refused.path,
        query: refused.query,
        headers: HeaderList::default(),
        version: refused.version,
        scheme: ends.scheme,
        host: String::new(),
        peer: ends.peer,
        local: ends.local,
        malformed: Some(refused.why),
        body: Body::Empty,
    })
}

/// A request's body, read from the connection when it is asked for.
struct RequestBody<T> {
    link: Shared<T>,
    number: u64,
    /// What is left of a body with a length.
    left: Option<u64>,
}

impl<T: AsyncRead + AsyncWrite + Unpin> http_body::Body for RequestBody<T> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let piece = ready!(lock(&self.link).poll_body(self.number, context));
        if let (Some(Ok(piece)), Some(left)) = (&piece, &mut self.left) {
            *left = left.saturating_sub(piece.len() as u64);
        }
        Poll::Ready(piece.map(|piece| piece.map(Frame::data).map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.left == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.left
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// Sends an answer: its head and the first of its body at once, the rest as it comes.
async fn send<T>(link: &Mutex<Link<T>>, turn: &mut Turn, response: Response<Body>) -> io::Result<()>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let (head, mut body) = response.into_parts();
    let mut outgoing = Outgoing::default();
    let mut framing = encode::head(turn, &head, &body, outgoing.buffer());
    let mut is_over = framing == Framing::NoBody;
    let mut failed = None;
    poll_fn(|context| {
        loop {
            while !is_over && outgoing.has_room() {
                match Pin::new(&mut body).poll_frame(context) {
                    Poll::Ready(Some(Ok(frame))) => {
                        if let Ok(data) = frame.into_data() {
                            is_over = framing.put(data, &mut outgoing);
                        }
                    }
                    Poll::Ready(Some(Err(error))) => {
                        failed = Some(error);
                        is_over = true;
                    }
                    Poll::Ready(None) => {
                        is_over = true;
                        if let Err(error) = framing.end(&mut outgoing) {
                            failed = Some(error.into());
                        }
                    }
                    Poll::Pending => break,
                }
            }
            if outgoing.is_empty() {
                return match is_over {
                    true => Poll::Ready(io::Result::Ok(())),
                    false => Poll::Pending,
                };
            }
            ready!(lock(link).poll_send(&mut outgoing, context))?;
        }
    })
    .await?;
    // The client must not take what it has for the whole: the connection breaks off.
    failed.map_or(Ok(()), |error| Err(io::Error::other(error)))
}

#[cfg(test)]
mod tests;
