//! Idle connections, by who is at the other end.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use http::uri::Authority;

use super::connection::Connection;

/// How long a connection without work is kept at most.
pub(super) const IDLE: Duration = Duration::from_secs(60);
/// How often connections are looked for that had no work for too long. Ages are
/// counted in looks, so that no request reads the clock for them.
const LOOK: Duration = Duration::from_secs(15);
/// One that was put back before look N goes at look N + `OLD` + 1: after 45 to 60 s.
const OLD: u64 = IDLE.as_secs() / LOOK.as_secs() - 1;
/// The most connections without work to one host.
const MOST_IDLE: usize = 1024;

/// The hosts that are reached in one way: plain, or with one kind of trust.
#[derive(Default)]
pub(super) struct Pool {
    hosts: Mutex<Hosts>,
    looks: AtomicU64,
}

#[derive(Default)]
struct Hosts {
    by_authority: HashMap<Authority, Arc<Host>>,
    /// A task looks for connections that were idle for too long.
    swept: bool,
}

/// A host with its connections; the last one put is the first taken.
pub(super) struct Host {
    /// Each with the look before it was put here.
    idle: Mutex<Vec<(Connection, u64)>>,
    pool: Weak<Pool>,
}

impl Pool {
    pub(super) fn host(self: &Arc<Self>, authority: &Authority) -> Arc<Host> {
        let mut hosts = lock(&self.hosts);
        if let Some(host) = hosts.by_authority.get(authority) {
            return Arc::clone(host);
        }
        let host = Arc::new(Host {
            idle: Mutex::default(),
            pool: Arc::downgrade(self),
        });
        hosts
            .by_authority
            .insert(authority.clone(), Arc::clone(&host));
        if !hosts.swept {
            hosts.swept = true;
            tokio::spawn(sweep(Arc::downgrade(self)));
        }
        host
    }

    /// Closes what was idle for too long, and forgets hosts that nobody uses.
    /// Whether there are hosts left.
    fn drop_expired(&self) -> bool {
        let look = self.looks.fetch_add(1, Ordering::Relaxed) + 1;
        let mut expired = Vec::new();
        let mut hosts = lock(&self.hosts);
        hosts.by_authority.retain(|_, host| {
            let mut idle = lock(&host.idle);
            // The oldest stand first.
            let old = idle.partition_point(|(_, since)| since + OLD < look);
            expired.extend(idle.drain(..old));
            let empty = idle.is_empty();
            drop(idle);
            !(empty && Arc::strong_count(host) == 1)
        });
        hosts.swept = !hosts.by_authority.is_empty();
        hosts.swept
    }
}

/// Ends with the pool, or when it has no hosts; the next host begins another.
async fn sweep(pool: Weak<Pool>) {
    loop {
        tokio::time::sleep(LOOK).await;
        let left = pool.upgrade().is_some_and(|pool| pool.drop_expired());
        if !left {
            return;
        }
    }
}

impl Host {
    /// A connection that is neither closed nor spoken on by its peer, as far as can be seen.
    pub(super) fn take(&self) -> Option<Connection> {
        loop {
            let (mut connection, _) = lock(&self.idle).pop()?;
            if connection.is_quiet() {
                return Some(connection);
            }
        }
    }

    /// Keeps a connection whose answer was read to its end.
    pub(super) fn put(&self, mut connection: Connection) {
        let Some(pool) = self.pool.upgrade() else {
            return;
        };
        connection.shrink();
        let mut idle = lock(&self.idle);
        // Read under the lock, so that the oldest stand first.
        let look = pool.looks.load(Ordering::Relaxed);
        if idle.len() < MOST_IDLE {
            idle.push((connection, look));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
