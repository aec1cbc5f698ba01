//! The accept loop: takes connections until told to stop, then waits for those it has.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use super::connection::{self, Ends};
use super::{Listeners, Options, Service};
use crate::event::Scheme;

/// How serving ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Connections whose requests did not end before the deadline and were cut off.
    pub cut_off: usize,
}

/// Serves every connection of `listeners` until `shutdown` completes.
///
/// Then it stops listening, lets requests in flight be answered, closes idle
/// connections, and cuts off what is left after `options.drain_timeout`. It
/// returns when no connection is left.
pub async fn serve<S: Service>(
    listeners: Listeners,
    service: S,
    options: Options,
    shutdown: impl Future<Output = ()>,
) -> Ended {
    let options = Arc::new(options);
    // Tells each connection's task to finish; dropped when none is left.
    let (stop, stopping) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    let mut turn = 0;
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.as_mut() => break,
            Some(ended) = connections.join_next() => {
                report(ended);
                continue;
            }
            accepted = accept(listeners.sockets(), &mut turn),
                if connections.len() < options.max_connections => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let service = service.clone();
                let options = Arc::clone(&options);
                let stopping = stopping.clone();
                connections.spawn(async move {
                    let Ok(local) = stream.local_addr() else {
                        return;
                    };
                    // An answer goes out when it is written, not when more is there.
                    let _ = stream.set_nodelay(true);
                    let ends = Ends {
                        peer,
                        local,
                        scheme: Scheme::Http,
                    };
                    connection::run(stream, ends, service, &options, stopping).await;
                });
            }
            Err(error) => wait_after(&error).await,
        }
    }
    drop(listeners);
    let _ = stop.send(true);
    let deadline = Instant::now() + options.drain_timeout;
    while let Ok(Some(ended)) = tokio::time::timeout_at(deadline, connections.join_next()).await {
        report(ended);
    }
    let cut_off = connections.len();
    if cut_off > 0 {
        tracing::warn!(
            connections = cut_off,
            "requests did not end in time and are cut off"
        );
    }
    connections.shutdown().await;
    Ended { cut_off }
}

/// The next connection of any socket; each socket gets its turn.
async fn accept(sockets: &[TcpListener], turn: &mut usize) -> io::Result<(TcpStream, SocketAddr)> {
    poll_fn(|context| {
        for _ in 0..sockets.len() {
            *turn = (*turn + 1) % sockets.len();
            if let Poll::Ready(accepted) = sockets[*turn].poll_accept(context) {
                return Poll::Ready(accepted);
            }
        }
        Poll::Pending
    })
    .await
}

/// A client that went away before it was accepted is nothing; without files or
/// memory trying again at once would only burn time.
async fn wait_after(error: &io::Error) {
    const PAUSE: Duration = Duration::from_millis(50);
    if matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    ) {
        return;
    }
    tracing::warn!(%error, "cannot accept a connection");
    tokio::time::sleep(PAUSE).await;
}

/// A panic that was not the service's own, such as one in an answer's body.
fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a connection panicked");
    }
}
