//! What happens to one request on its way, as far as logs, metrics and traces want it.
//!
//! Notes are taken through a shared reference, since an integration has no other:
//! a few atomic numbers, and a list of phases only where the request is traced.

use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::trace_context::TraceContext;

/// A phase that a trace shows as a span. They follow one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The route is looked for.
    Route,
    /// The caller is asked who he is.
    Authorizer,
    /// Limits are asked.
    Throttle,
    /// The body is read and checked.
    Validation,
    /// The integration request is made.
    Mapping,
    /// The backend has it.
    Integration,
    /// The answer is made.
    ResponseMapping,
}

impl Phase {
    /// The span's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Route => "route",
            Self::Authorizer => "authorizer",
            Self::Throttle => "throttle",
            Self::Validation => "validation",
            Self::Mapping => "mapping",
            Self::Integration => "integration",
            Self::ResponseMapping => "response mapping",
        }
    }
}

/// How long a function ran, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FunctionTime {
    /// From handing the event over to the result.
    pub duration: Duration,
    /// How long its process took to start, where one was started for it.
    pub init: Option<Duration>,
}

/// The notes.
#[derive(Debug)]
pub struct Watch {
    began: Instant,
    /// Nanoseconds since `began`, none is zero: when the integration began, …
    integrating: AtomicU64,
    /// … sent its request, …
    sent: AtomicU64,
    /// … had its answer, …
    received: AtomicU64,
    /// … and ended.
    integrated: AtomicU64,
    /// The backend's status, and that of a call of Lambda; none is zero.
    backend_status: AtomicU16,
    call_status: AtomicU16,
    function: OnceLock<FunctionTime>,
    request_id: OnceLock<String>,
    /// Whether the stage's cache had the answer, where it was asked.
    cached: OnceLock<bool>,
    /// Which rule refused, in words for the operator.
    why: OnceLock<String>,
    /// Where the request stands in its trace, while the gateway traces.
    pub trace: Option<Trace>,
}

/// A request's place in a trace.
#[derive(Debug)]
pub struct Trace {
    /// Whom the backend sees as its caller.
    pub onward: TraceContext,
    /// The spans, where the request is sampled.
    pub spans: Option<Spans>,
}

/// The spans of a sampled request.
#[derive(Debug)]
pub struct Spans {
    /// The span that the request came from; zero where there is none.
    pub parent: u64,
    /// The whole request's span.
    pub own: u64,
    phases: Mutex<Vec<(Phase, Duration)>>,
}

impl Spans {
    /// Spans of a request that begins with the search for its route.
    pub fn begin(parent: u64, own: u64) -> Self {
        Self {
            parent,
            own,
            phases: Mutex::new(vec![(Phase::Route, Duration::ZERO)]),
        }
    }

    /// Phases and when each began, since the request's begin.
    pub fn phases(&self) -> Vec<(Phase, Duration)> {
        self.phases
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            integrating: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
            integrated: AtomicU64::new(0),
            backend_status: AtomicU16::new(0),
            call_status: AtomicU16::new(0),
            function: OnceLock::new(),
            request_id: OnceLock::new(),
            cached: OnceLock::new(),
            why: OnceLock::new(),
            trace: None,
        }
    }
}

impl Watch {
    /// When the request came.
    pub fn began(&self) -> Instant {
        self.began
    }

    /// A phase begins, and the one before it ends.
    pub fn enter(&self, phase: Phase) {
        if let Some(spans) = self.trace.as_ref().and_then(|trace| trace.spans.as_ref()) {
            let now = self.began.elapsed();
            let mut phases = spans.phases.lock().unwrap_or_else(PoisonError::into_inner);
            phases.push((phase, now));
        }
    }

    /// The integration begins with its mapping.
    pub fn integrating(&self) {
        self.mark(&self.integrating);
        self.enter(Phase::Mapping);
    }

    /// The request goes to the backend now.
    pub fn sending(&self) {
        self.mark(&self.sent);
        self.enter(Phase::Integration);
    }

    /// The backend's answer is there.
    pub fn received(&self, status: Option<u16>) {
        self.mark(&self.received);
        if let Some(status) = status {
            self.backend_status.store(status, Ordering::Relaxed);
        }
        self.enter(Phase::ResponseMapping);
    }

    /// The integration has ended, well or not.
    pub fn integrated(&self) {
        // Only asked for where no answer was received.
        if self.received.load(Ordering::Relaxed) == 0 {
            self.mark(&self.integrated);
        }
    }

    /// The status that a function returned.
    pub fn backend_answered(&self, status: u16) {
        self.backend_status.store(status, Ordering::Relaxed);
    }

    /// The status of the call itself.
    pub fn called(&self, status: u16) {
        self.call_status.store(status, Ordering::Relaxed);
    }

    /// How long the function ran. The first counts.
    pub fn function_ran(&self, time: FunctionTime) {
        let _ = self.function.set(time);
    }

    /// The id that the backend gave the request. The first counts.
    pub fn backend_request_id(&self, id: &str) {
        let _ = self.request_id.set(id.to_owned());
    }

    /// The stage's cache was asked.
    pub fn cached(&self, hit: bool) {
        let _ = self.cached.set(hit);
    }

    /// Which rule refused. The first counts.
    pub fn refused(&self, why: impl FnOnce() -> String) {
        self.why.get_or_init(why);
    }

    /// What [`Self::refused`] was told.
    pub fn why(&self) -> Option<&str> {
        self.why.get().map(String::as_str)
    }

    /// How long the backend had the request, if it got it: from sending to its answer,
    /// or as long as it was waited for; mapping counts where the backend is none of its own.
    pub fn integration_latency(&self) -> Option<Duration> {
        let read = |mark: &AtomicU64| match mark.load(Ordering::Relaxed) {
            0 => None,
            time => Some(Duration::from_nanos(time)),
        };
        let begin = read(&self.sent).or_else(|| read(&self.integrating))?;
        let end = read(&self.received)
            .or_else(|| read(&self.integrated))
            .unwrap_or_else(|| self.began.elapsed());
        Some(end.saturating_sub(begin))
    }

    /// The backend's status.
    pub fn backend_status(&self) -> Option<u16> {
        some(self.backend_status.load(Ordering::Relaxed))
    }

    /// The status of the call; for all but Lambda that is the backend's.
    pub fn call_status(&self) -> Option<u16> {
        some(self.call_status.load(Ordering::Relaxed)).or_else(|| self.backend_status())
    }

    /// How long the function ran.
    pub fn function(&self) -> Option<FunctionTime> {
        self.function.get().copied()
    }

    /// The id that the backend gave the request.
    pub fn request_id(&self) -> Option<&str> {
        self.request_id.get().map(String::as_str)
    }

    /// Whether the stage's cache had the answer, where it was asked.
    pub fn was_cached(&self) -> Option<bool> {
        self.cached.get().copied()
    }

    fn mark(&self, mark: &AtomicU64) {
        let time = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        mark.store(time.max(1), Ordering::Relaxed);
    }
}

fn some(status: u16) -> Option<u16> {
    (status != 0).then_some(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_backends_time_is_from_sending_to_its_answer() {
        let watch = Watch::default();
        assert_eq!(watch.integration_latency(), None);

        for (mark, time) in [
            (&watch.integrating, 10),
            (&watch.sent, 20),
            (&watch.received, 50),
            (&watch.integrated, 70),
        ] {
            mark.store(time, Ordering::Relaxed);
        }

        assert_eq!(watch.integration_latency(), Some(Duration::from_nanos(30)));
        watch.sent.store(0, Ordering::Relaxed);
        watch.received.store(0, Ordering::Relaxed);
        assert_eq!(watch.integration_latency(), Some(Duration::from_nanos(60)));
    }

    #[test]
    fn phases_are_kept_for_sampled_requests_alone() {
        let onward = TraceContext {
            trace_id: 1,
            parent: 3,
            sampled: Some(true),
        };
        let mut watch = Watch::default();
        watch.enter(Phase::Throttle);
        watch.trace = Some(Trace {
            onward,
            spans: Some(Spans::begin(0, 2)),
        });

        watch.integrating();
        watch.sending();

        let spans = watch.trace.unwrap().spans.unwrap();
        let names: Vec<_> = spans.phases().iter().map(|(phase, _)| *phase).collect();
        assert_eq!(names, [Phase::Route, Phase::Mapping, Phase::Integration]);
    }
}
