//! The table of a pool: its processes, each in its phase, and the events that wait.
//!
//! Facts and bookkeeping alone; what happens to them is decided in
//! [`pool`](super::pool).

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::extensions::Extensions;
use super::log_lines::Marks;
use crate::function::streaming::Sink;
use crate::function::{InvokeError, Outcome};

/// What a caller waits for.
pub(super) type Reply = Result<Outcome, InvokeError>;

/// One event on its way.
pub(super) struct Job {
    pub(super) request_id: Arc<str>,
    pub(super) payload: Bytes,
    pub(super) arn: HeaderValue,
    pub(super) trace_id: Option<HeaderValue>,
    pub(super) client_context: Option<HeaderValue>,
    /// Where the pieces of a result in the streaming mode go; without one they are put together.
    pub(super) sink: Option<Sink>,
    /// Nobody waits for the result of an `Event` invocation.
    pub(super) reply: Option<oneshot::Sender<Reply>>,
    /// When it was accepted.
    pub(super) accepted: Instant,
    /// How often it has failed before.
    pub(super) failures: u32,
}

/// An event as it is handed to a process.
pub(super) struct Delivery {
    pub(super) request_id: Arc<str>,
    pub(super) payload: Bytes,
    pub(super) arn: HeaderValue,
    pub(super) trace_id: Option<HeaderValue>,
    pub(super) client_context: Option<HeaderValue>,
    /// Since 1970.
    pub(super) deadline: Duration,
}

impl Delivery {
    /// What extensions are told of it.
    pub(super) fn as_extension_event(&self) -> Bytes {
        let text = |value: &HeaderValue| value.to_str().unwrap_or_default().to_owned();
        let event = serde_json::json!({
            "eventType": "INVOKE",
            "deadlineMs": u64::try_from(self.deadline.as_millis()).unwrap_or(u64::MAX),
            "requestId": &*self.request_id,
            "invokedFunctionArn": text(&self.arn),
            "tracing": {
                "type": "X-Amzn-Trace-Id",
                "value": self.trace_id.as_ref().map(text).unwrap_or_default(),
            },
        });
        Bytes::from(event.to_string())
    }
}

/// One process of one pool.
pub(super) type ProcessId = u64;

/// A process on the table.
pub(super) struct Entry {
    pub(super) phase: Phase,
    /// Tells the supervisor to end the process.
    pub(super) stop: Arc<Notify>,
    pub(super) marks: Marks,
    pub(super) extensions: Arc<Extensions>,
    pub(super) process: Option<u32>,
    pub(super) started: Instant,
    /// What starting took, until a REPORT line has told it.
    pub(super) init: Option<Duration>,
}

pub(super) enum Phase {
    /// Before the first `next`.
    Starting {
        until: Instant,
        /// The event whose time runs already, at a second try.
        bound: Option<Job>,
    },
    /// Waits for an event.
    Idle {
        wake: oneshot::Sender<Delivery>,
        since: Instant,
    },
    /// Has an event.
    Running {
        job: Job,
        began: Instant,
        deadline: Instant,
    },
    /// Has answered, and is expected to ask for the next event.
    Returning {
        since: Instant,
        deadline: Instant,
        /// Waiting events count on it.
        expected: bool,
    },
    /// Has said that it cannot start; it is expected to exit.
    Failed { until: Instant },
}

/// How long a pool goes on.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Life {
    /// Takes events.
    #[default]
    Open,
    /// No new events; what is under way ends in its own time.
    Retiring,
    /// Everything ends now.
    Closed,
}

/// The table.
#[derive(Default)]
pub(super) struct Table {
    pub(super) life: Life,
    pub(super) next_id: ProcessId,
    pub(super) entries: HashMap<ProcessId, Entry>,
    /// Idle processes, the one used last at the end.
    pub(super) idle: Vec<ProcessId>,
    /// Events that callers wait for.
    pub(super) line: VecDeque<Job>,
    /// Events that nobody waits for: they come after those of the line.
    pub(super) events: VecDeque<Job>,
    /// Events that wait for another try, each with a task of its own.
    pub(super) retrying: usize,
    /// A task looks after processes that do not return.
    pub(super) is_watched: bool,
}

impl Phase {
    /// Without the connection on which it would get an event; it may open another.
    pub(super) fn lost(now: Instant, timeout: Duration) -> Self {
        Self::Returning {
            since: now,
            deadline: now + timeout,
            expected: false,
        }
    }
}

impl Table {
    pub(super) fn running(&self) -> usize {
        self.count(|phase| matches!(phase, Phase::Running { .. }))
    }

    pub(super) fn starting(&self) -> usize {
        self.count(|phase| matches!(phase, Phase::Starting { bound: None, .. }))
    }

    /// Processes that waiting events count on.
    pub(super) fn returning(&self) -> usize {
        self.count(|phase| matches!(phase, Phase::Returning { expected: true, .. }))
    }

    // Counted anew each time: the table is short, and counters could go wrong.
    fn count(&self, is: impl Fn(&Phase) -> bool) -> usize {
        self.entries.values().filter(|e| is(&e.phase)).count()
    }

    pub(super) fn take_job(&mut self) -> Option<Job> {
        self.line.pop_front().or_else(|| self.events.pop_front())
    }

    /// Puts `job` where it was taken from.
    pub(super) fn return_job(&mut self, job: Job) {
        if job.reply.is_some() {
            self.line.push_front(job);
        } else {
            self.events.push_front(job);
        }
    }

    pub(super) fn remove(&mut self, id: ProcessId) -> Option<Entry> {
        self.idle.retain(|&idle| idle != id);
        self.entries.remove(&id)
    }
}
