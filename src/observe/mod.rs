//! What the gateway tells of itself: logs, access logs, metrics, traces.
//!
//! Nothing here knows what a request means. Rooms below hand in what they saw,
//! and what was resolved when the plan was compiled: a route's
//! [`RouteMetrics`](metrics::RouteMetrics), an access log's
//! [`Format`](access_log::Format) and [`Sink`](sink::Sink). Writing and sending
//! is done by threads of its own, through queues that are bounded and count
//! what they drop.

pub mod access_log;
pub mod logs;
pub mod metrics;
pub mod sink;
pub mod trace_context;
pub mod traces;
pub mod watch;

use std::sync::Arc;

pub use metrics::Metrics;
pub use sink::Sinks;
pub use traces::Tracer;
pub use watch::Watch;

/// What watches one gateway. It outlives plans.
#[derive(Debug, Default)]
pub struct Observer {
    /// Counts and times.
    pub metrics: Arc<Metrics>,
    /// Where access logs go.
    pub access_logs: Sinks,
    /// Where traces go; absent where nobody asked for them.
    pub tracer: Option<Tracer>,
}

impl Observer {
    /// An observer with a tracer.
    pub fn new(tracer: Option<Tracer>) -> Self {
        Self {
            tracer,
            ..Self::default()
        }
    }

    /// Writes and sends what is left. Bounded in time.
    pub fn close(&self) {
        self.access_logs.close();
        if let Some(tracer) = &self.tracer {
            tracer.close();
        }
    }
}
