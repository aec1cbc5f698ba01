//! How patient and how generous the server is.

use std::sync::Arc;
use std::time::Duration;

use crate::observe::metrics::ConnectionMetrics;

/// Limits of time and number. The defaults suit a gateway on a developer's machine.
#[derive(Clone, Debug)]
pub struct Options {
    /// From a head's first byte to its last.
    pub head_timeout: Duration,
    /// How long a connection may stay without a request.
    pub idle_timeout: Duration,
    /// How long a request's body may pause.
    pub body_timeout: Duration,
    /// How long a client may take no byte of an answer that waits.
    pub write_timeout: Duration,
    /// How long requests in flight may take once shutdown began; then they are cut off.
    pub drain_timeout: Duration,
    /// Connections at once. One more is let in, and the longest idle one is closed
    /// for it; when all are busy, further ones wait in the system's queue.
    pub max_connections: usize,
    /// Requests at once on one HTTP/2 connection.
    pub max_concurrent_streams: u32,
    /// Counts connections and requests under way.
    pub metrics: Arc<ConnectionMetrics>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            head_timeout: Duration::from_secs(10),
            // "Amazon API Gateway quotas": idle connection timeout 310 seconds.
            idle_timeout: Duration::from_secs(310),
            body_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
            // The longest default integration timeout, HTTP APIs' 30 s, and a little.
            drain_timeout: Duration::from_secs(31),
            max_connections: max_connections(),
            max_concurrent_streams: 128,
            metrics: Arc::default(),
        }
    }
}

/// Half of the files the process may have open, 4,096 at most: the other half
/// is for functions and upstream connections.
fn max_connections() -> usize {
    const MOST: u64 = 4096;
    let files = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE)
        .map_or(1024, |(soft, _)| soft);
    (files / 2).clamp(16, MOST) as usize
}
