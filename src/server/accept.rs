//! The accept loop: takes connections until told to stop, then waits for those it has.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::{self, JoinError, JoinSet};
use tokio::time::Instant;

use super::connection::{self, Connection, Ends};
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
    let mut connections = Connections::default();
    let mut shutdown = std::pin::pin!(shutdown);
    let mut turn = 0;
    loop {
        let over_limit = connections.tasks.len() > options.max_connections;
        let accepted = tokio::select! {
            biased;
            () = shutdown.as_mut() => break,
            true = connections.ended() => continue,
            accepted = accept(listeners.sockets(), &mut turn), if !over_limit => accepted,
            () = tokio::time::sleep(SHED_PAUSE), if over_limit => {
                connections.shed(&options);
                continue;
            }
        };
        match accepted {
            Ok((stream, peer)) => {
                connections.begin(stream, peer, service.clone(), Arc::clone(&options));
                if connections.tasks.len() > options.max_connections {
                    connections.shed(&options);
                }
            }
            Err(error) => wait_after(&error).await,
        }
    }
    drop(listeners);
    connections.finish();
    let deadline = Instant::now() + options.drain_timeout;
    while let Ok(true) = tokio::time::timeout_at(deadline, connections.ended()).await {}
    let cut_off = connections.tasks.len();
    if cut_off > 0 {
        tracing::warn!(
            connections = cut_off,
            "requests did not end in time and are cut off"
        );
    }
    connections.tasks.shutdown().await;
    Ended { cut_off }
}

/// How often an idle connection is looked for while there are too many.
const SHED_PAUSE: Duration = Duration::from_millis(20);
/// A connection younger than this may have its first request on the way.
const SHED_AGE: Duration = Duration::from_millis(200);

/// The connections' tasks, and how to reach each.
#[derive(Default)]
struct Connections {
    tasks: JoinSet<()>,
    shared: HashMap<task::Id, Arc<Connection>>,
}

impl Connections {
    fn begin<S: Service>(
        &mut self,
        stream: TcpStream,
        peer: SocketAddr,
        service: S,
        options: Arc<Options>,
    ) {
        options.metrics.accepted.add();
        let open = options.metrics.open.hold();
        let shared = Arc::new(Connection::new(Arc::clone(&options.metrics.in_flight)));
        let its_own = Arc::clone(&shared);
        let task = self.tasks.spawn(async move {
            let _open = open;
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
            connection::run(stream, ends, service, &options, its_own).await;
        });
        self.shared.insert(task.id(), shared);
    }

    /// Waits for the end of any connection; `false` when there is none.
    async fn ended(&mut self) -> bool {
        let Some(ended) = self.tasks.join_next_with_id().await else {
            return false;
        };
        let id = match &ended {
            Ok((id, ())) => *id,
            Err(error) => error.id(),
        };
        self.shared.remove(&id);
        if let Err(error) = ended {
            report(&error);
        }
        true
    }

    /// Asks the connection that is idle for the longest time to make place.
    fn shed(&self, options: &Options) {
        let idle = self
            .shared
            .values()
            .filter_map(|shared| Some((shared.idle_for()?, shared)))
            .filter(|(idle, _)| *idle >= SHED_AGE)
            .max_by_key(|(idle, _)| *idle);
        if let Some((_, shared)) = idle {
            shared.finish();
            options.metrics.shed.add();
        }
    }

    /// Asks all connections to end after their requests in flight.
    fn finish(&self) {
        for shared in self.shared.values() {
            shared.finish();
        }
    }
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
fn report(error: &JoinError) {
    if error.is_panic() {
        tracing::error!(%error, "a connection panicked");
    }
}
