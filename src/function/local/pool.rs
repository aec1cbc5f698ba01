//! A function's processes, and which event goes to which of them.
//!
//! The pool is one table under one lock; nothing here waits. Four others act on it:
//!
//! * callers [`submit`](Pool::submit) events;
//! * the Runtime API of each process ([`runtime_api`](super::runtime_api)) asks for the
//!   [`next`](Pool::next) event and [`complete`](Pool::complete)s it;
//! * the supervisor of each process ([`process`](super::process)) starts it, asks what is
//!   [`due`](Pool::due) and tells how it [`exited`](Pool::exited);
//! * the owner ends it all ([`close`](Pool::close), [`retire`](Pool::retire)).
//!
//! An event goes to the process that was used last; when none is idle it waits in
//! line, and a process is started for it unless one is on its way already. A
//! process takes from the line when it asks for its next event, so an event is never
//! stuck behind a slow start while another process is free, and an event that was not
//! handed over is not lost when a process ends.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, OnceCell, oneshot, watch};
use tokio::time::Instant;

use super::extensions::{Extensions, Failure};
use super::launch::{self, Launch};
use super::log_lines::{Log, Mark, Marks, Report};
use super::records::{self, Condition};
use super::table::{Delivery, Entry, Job, Life, Phase, ProcessId, Table};
use super::telemetry::{Source, Telemetry};
use super::{Function, failure, process, retry};
use crate::function::streaming::Sink;
use crate::function::{InvokeError, Outcome};
use crate::observe::watch::FunctionTime;

/// Calls of one function at once when it has no reserved concurrency; the
/// account's. "Lambda quotas": concurrent executions 1,000.
const ACCOUNT_CONCURRENCY: usize = 1_000;

/// Events of the `Event` kind that may wait; Lambda's own queue is not bounded so,
/// but memory is.
const MOST_QUEUED_EVENTS: usize = 10_000;

/// How long a process that has answered is expected back before another is started
/// for a waiting event.
const RETURN_PATIENCE: Duration = Duration::from_millis(100);

/// Shortest sleep of a supervisor, for functions whose timeout is next to nothing.
const SHORTEST_TICK: Duration = Duration::from_millis(5);

/// The answer to a process that asks for its next event.
pub(super) enum Turn {
    /// Here is one.
    Now(Delivery),
    /// There is none yet.
    Wait(Waiting),
}

/// A process that waits for its next event on an open connection.
///
/// Dropped when the connection is lost: what was sent to it meanwhile goes back in line.
pub(super) struct Waiting {
    pool: Arc<Pool>,
    id: ProcessId,
    event: oneshot::Receiver<Delivery>,
    is_over: bool,
}

impl Waiting {
    /// Waits; `None` when the process is being ended.
    pub(super) async fn event(mut self) -> Option<Delivery> {
        let event = (&mut self.event).await;
        self.is_over = true;
        event.ok()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        self.event.close();
        let delivery = self.event.try_recv().ok();
        let request_id = delivery.as_ref().map(|delivery| &*delivery.request_id);
        self.pool.undelivered(self.id, request_id);
    }
}

/// Why a process's call is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Not now: a second `next`, or an init error after init.
    OutOfTurn,
    /// Not this invocation's id.
    WrongId,
}

/// What a supervisor has to do.
#[derive(Debug)]
pub(super) enum Due {
    /// Ask again then.
    Sleep(Instant),
    /// End the process, which is off the table already; its extensions are told the reason.
    Kill(&'static str),
    /// End the process and start another under the function's own timeout, for the
    /// event that is bound to it.
    Restart(ProcessId),
}

/// A function's processes.
pub(super) struct Pool {
    pub(super) function: Function,
    launch: OnceCell<Launch>,
    table: Mutex<Table>,
    /// Supervisors at work; the table may be empty before their processes have ended.
    live: watch::Sender<usize>,
    /// Told when everything ends, for events that wait for another try.
    closed: Notify,
}

impl Pool {
    pub(super) fn new(function: Function) -> Arc<Self> {
        Arc::new(Self {
            function,
            launch: OnceCell::new(),
            table: Mutex::new(Table::default()),
            live: watch::Sender::new(0),
            closed: Notify::new(),
        })
    }

    /// What is started; found once, and looked for again as long as it cannot be found.
    pub(super) async fn launch(&self) -> Result<&Launch, String> {
        self.launch
            .get_or_try_init(|| async {
                let search_path = std::env::var_os("PATH");
                let (settings, cache) = (
                    self.function.settings.clone(),
                    self.function.options.cache.clone(),
                );
                // Unpacking takes its time.
                let found = tokio::task::spawn_blocking(move || {
                    let places = launch::Places {
                        search_path: search_path.as_deref(),
                        cache: &cache,
                    };
                    launch::find(&settings, places)
                });
                let found = found.await.map_err(|error| error.to_string())??;
                let mut launch = found.resolve().await?;
                if let Some(debugger) = &self.function.options.debugger {
                    debugger.put_before(&mut launch).await?;
                }
                if let Some(other) = launch.other_version() {
                    tracing::warn!(
                        function = %self.function.name,
                        "{other} runs it, since its own version is not installed"
                    );
                }
                Ok(launch)
            })
            .await
    }

    // --- callers ---------------------------------------------------------------

    /// Hands `job` to a process or puts it in line.
    ///
    /// # Errors
    ///
    /// The function's concurrency is used up, or the gateway is ending.
    pub(super) fn submit(self: &Arc<Self>, job: Job) -> Result<(), InvokeError> {
        let mut table = self.lock();
        if table.life != Life::Open {
            return Err(self.ending());
        }
        let limit = self.concurrency();
        let is_event = job.reply.is_none();
        let under_way = table.running() + table.line.len();
        if is_event && limit == 0 {
            // Lambda takes events of which it knows that they will never run.
            drop(table);
            records::tell(self, &job, Condition::ZeroReservedConcurrency, None);
            return Ok(());
        }
        // Lambda lets events wait for their turn.
        let is_full = match is_event {
            true => table.events.len() + table.retrying >= MOST_QUEUED_EVENTS,
            false => under_way >= limit,
        };
        if is_full {
            return Err(InvokeError::Throttled {
                name: self.function.name.clone(),
                detail: match self.function.settings.reserved_concurrency {
                    Some(_) => format!("its reserved concurrency of {limit} is used up"),
                    None => format!("{limit} calls are under way"),
                },
            });
        }
        let mut job = job;
        let mut tries_idle = table.line.is_empty() && (!is_event || under_way < limit);
        while tries_idle && let Some(id) = table.idle.pop() {
            match self.wake(&mut table, id, job) {
                None => return Ok(()),
                Some(returned) => job = returned,
            }
            tries_idle = !table.idle.is_empty();
        }
        if is_event {
            table.events.push_back(job);
        } else {
            table.line.push_back(job);
        }
        self.start_missing(&mut table);
        if table.returning() > 0 && !table.is_watched {
            table.is_watched = true;
            tokio::spawn(Arc::clone(self).watch_returning());
        }
        Ok(())
    }

    /// The ids of the operating system for the processes that run now.
    pub(super) fn processes(&self) -> Vec<u32> {
        let table = self.lock();
        table.entries.values().filter_map(|e| e.process).collect()
    }

    /// Takes no more events; processes end when they have nothing to do.
    pub(super) fn retire(&self) {
        let mut table = self.lock();
        if table.life == Life::Open {
            table.life = Life::Retiring;
            for entry in table.entries.values() {
                if let Phase::Idle { .. } = entry.phase {
                    entry.stop.notify_one();
                }
            }
        }
    }

    /// Ends everything: waiting callers get an error, processes are killed.
    ///
    /// Returns when the last process is gone, or after `patience`.
    pub(super) async fn close(&self, patience: Duration) {
        let (line, events) = {
            let mut table = self.lock();
            table.life = Life::Closed;
            for entry in table.entries.values() {
                entry.stop.notify_one();
            }
            (
                std::mem::take(&mut table.line),
                std::mem::take(&mut table.events),
            )
        };
        for job in line.into_iter().chain(events) {
            self.refuse(job, self.ending());
        }
        self.closed.notify_waiters();
        let mut live = self.live.subscribe();
        // The sender lives in the pool: waiting for it can only time out.
        let _ = tokio::time::timeout(patience, live.wait_for(|live| *live == 0)).await;
    }

    // --- the Runtime API ---------------------------------------------------------

    /// A process asks for its next event.
    pub(super) fn next(self: &Arc<Self>, id: ProcessId) -> Result<Turn, Refusal> {
        let now = Instant::now();
        let mut guard = self.lock();
        let table = &mut *guard;
        let Some(entry) = table.entries.get_mut(&id) else {
            return Err(Refusal::OutOfTurn);
        };
        let mut bound = None;
        match &mut entry.phase {
            Phase::Starting { until, bound: job } => {
                bound = job.take().map(|job| (job, *until));
                let took = now.duration_since(entry.started);
                entry.init = Some(took);
                entry.extensions.telemetry.initialized(took);
                self.function.options.metrics.cold_start(took);
            }
            Phase::Returning { .. } => {}
            Phase::Idle { .. } | Phase::Running { .. } | Phase::Failed { .. } => {
                return Err(Refusal::OutOfTurn);
            }
        }
        let is_bound = bound.is_some();
        let waiting = bound.or_else(|| {
            let job = table.line.pop_front();
            let job = job.or_else(|| self.next_event(&mut table.events, now))?;
            Some((job, now + self.function.settings.timeout))
        });
        if let Some((job, deadline)) = waiting {
            let began = if is_bound { entry.started } else { now };
            return Ok(Turn::Now(self.hand_over(entry, job, began, deadline)));
        }
        if table.life == Life::Retiring {
            entry.stop.notify_one();
        }
        let (wake, event) = oneshot::channel();
        entry.phase = Phase::Idle { wake, since: now };
        table.idle.push(id);
        Ok(Turn::Wait(Waiting {
            pool: Arc::clone(self),
            id,
            event,
            is_over: false,
        }))
    }

    /// The event that has waited longest; those that are too old by now are given up.
    fn next_event(&self, events: &mut VecDeque<Job>, now: Instant) -> Option<Job> {
        let most = self.function.settings.life.event_invoke.maximum_event_age;
        loop {
            let job = events.pop_front()?;
            if now <= job.accepted + most {
                return Some(job);
            }
            records::tell(self, &job, Condition::EventAgeExceeded, None);
        }
    }

    /// Whether process `id` owes the answer to `request_id`.
    pub(super) fn owes(&self, id: ProcessId, request_id: &str) -> Result<(), Refusal> {
        let table = self.lock();
        match table.entries.get(&id).map(|entry| &entry.phase) {
            Some(Phase::Running { job, .. }) if *job.request_id == *request_id => Ok(()),
            Some(Phase::Starting { .. } | Phase::Failed { .. }) => Err(Refusal::OutOfTurn),
            _ => Err(Refusal::WrongId),
        }
    }

    /// Where the pieces of the answer to `request_id` go, if they are wanted one by one.
    pub(super) fn sink(&self, id: ProcessId, request_id: &str) -> Option<Sink> {
        let table = self.lock();
        match table.entries.get(&id).map(|entry| &entry.phase) {
            Some(Phase::Running { job, .. }) if *job.request_id == *request_id => job.sink.clone(),
            _ => None,
        }
    }

    /// Process `id` answers `request_id`; false when it does not owe that (any more).
    pub(super) fn complete(
        self: &Arc<Self>,
        id: ProcessId,
        request_id: &str,
        mut outcome: Outcome,
    ) -> bool {
        let now = Instant::now();
        let mut table = self.lock();
        let Some(entry) = table.entries.get_mut(&id) else {
            return false;
        };
        let deadline = match &entry.phase {
            Phase::Running { job, deadline, .. } if *job.request_id == *request_id => *deadline,
            _ => return false,
        };
        let phase = std::mem::replace(
            &mut entry.phase,
            Phase::Returning {
                since: now,
                deadline,
                expected: true,
            },
        );
        let init = entry.init.take();
        let (marks, process) = (entry.marks.clone(), entry.process);
        drop(table);
        if let Phase::Running { job, began, .. } = phase {
            let report = self.report(&job, now - began, init, process, &outcome);
            outcome.time = Some(FunctionTime {
                duration: now - began,
                init,
            });
            self.settle(job, outcome);
            marks.send(Mark::End(report));
        }
        true
    }

    /// Process `id` cannot start: `payload` says why.
    pub(super) fn fail_init(
        self: &Arc<Self>,
        id: ProcessId,
        payload: Bytes,
    ) -> Result<(), Refusal> {
        let mut guard = self.lock();
        let table = &mut *guard;
        let Some(entry) = table.entries.get_mut(&id) else {
            return Err(Refusal::OutOfTurn);
        };
        if !matches!(entry.phase, Phase::Starting { .. }) {
            return Err(Refusal::OutOfTurn);
        }
        let failed = Phase::Failed {
            until: Instant::now() + RETURN_PATIENCE,
        };
        let phase = std::mem::replace(&mut entry.phase, failed);
        let marks = entry.marks.clone();
        let job = match phase {
            Phase::Starting { bound, .. } => bound.or_else(|| table.take_job()),
            _ => None,
        };
        drop(guard);
        marks.send(Mark::Trouble(format!(
            "the function could not be loaded: {}",
            failure::log_text(&payload)
        )));
        if let Some(job) = job {
            self.settle(job, failure::unhandled(payload));
        }
        Ok(())
    }

    /// The connection on which process `id` waited is gone; `request_id` was sent to it in vain.
    fn undelivered(self: &Arc<Self>, id: ProcessId, request_id: Option<&str>) {
        let now = Instant::now();
        let mut guard = self.lock();
        let table = &mut *guard;
        let Some(entry) = table.entries.get_mut(&id) else {
            return;
        };
        let is_lost = match (&entry.phase, request_id) {
            (Phase::Running { job, .. }, Some(request_id)) => *job.request_id == *request_id,
            (Phase::Idle { wake, .. }, None) => wake.is_closed(),
            _ => false,
        };
        if !is_lost {
            return;
        }
        let lost = Phase::lost(now, self.function.settings.timeout);
        let phase = std::mem::replace(&mut entry.phase, lost);
        table.idle.retain(|&idle| idle != id);
        if let Phase::Running { job, .. } = phase {
            table.return_job(job);
        }
        self.start_missing(table);
    }

    // --- supervisors -------------------------------------------------------------

    /// What the supervisor of process `id` has to do now.
    ///
    /// It need not be told of every call: a call that begins after it has asked ends no
    /// sooner than one timeout later, so a sleep of one timeout is never too long.
    pub(super) fn due(self: &Arc<Self>, id: ProcessId) -> Due {
        let now = Instant::now();
        let timeout = self.function.settings.timeout.max(SHORTEST_TICK);
        let mut guard = self.lock();
        let table = &mut *guard;
        let Some(entry) = table.entries.get(&id) else {
            return Due::Kill("failure");
        };
        let tick = now + timeout;
        let end = match &entry.phase {
            Phase::Starting { until, .. } | Phase::Failed { until } => *until,
            Phase::Idle { since, .. } => *since + self.function.options.idle_timeout,
            Phase::Running { deadline, .. } | Phase::Returning { deadline, .. } => *deadline,
        };
        if now < end {
            return Due::Sleep(end.min(tick));
        }
        let Some(entry) = table.remove(id) else {
            return Due::Kill("failure");
        };
        let mut due = Due::Kill("timeout");
        match entry.phase {
            Phase::Starting { bound: None, .. } => {
                let limit = self.function.options.init_timeout.as_secs_f64();
                entry.marks.send(Mark::Trouble(format!(
                    "the process did not ask for an event in {limit:.1} s; it is started again in the time of an invocation"
                )));
                // As Lambda does: init is repeated within the function's own timeout.
                if let Some(job) = table.take_job() {
                    due = Due::Restart(self.enter(table, now + timeout, Some(job)));
                }
            }
            Phase::Starting {
                bound: Some(job), ..
            } => self.time_out(&entry.marks, job, now - entry.started, entry.process),
            Phase::Running { job, began, .. } => {
                self.time_out(&entry.marks, job, now - began, entry.process);
            }
            Phase::Idle { .. } => due = Due::Kill("spindown"),
            Phase::Returning { .. } | Phase::Failed { .. } => {}
        }
        self.start_missing(table);
        due
    }

    /// Process `id` runs as the operating system's `process`, with `marks` for its log.
    pub(super) fn started(&self, id: ProcessId, process: Option<u32>, marks: Marks) {
        if let Some(entry) = self.lock().entries.get_mut(&id) {
            entry.process = process;
            entry.marks = marks;
            let now = Instant::now();
            // Finding the interpreter does not count.
            if let Phase::Starting { until, .. } = &mut entry.phase {
                *until += now - entry.started;
            }
            entry.started = now;
        }
    }

    /// The extensions of process `id`.
    pub(super) fn extensions(&self, id: ProcessId) -> Option<Arc<Extensions>> {
        let table = self.lock();
        table
            .entries
            .get(&id)
            .map(|entry| Arc::clone(&entry.extensions))
    }

    /// The notification by which process `id` is told to end.
    pub(super) fn stop_signal(&self, id: ProcessId) -> Option<Arc<Notify>> {
        let table = self.lock();
        table.entries.get(&id).map(|entry| Arc::clone(&entry.stop))
    }

    /// Process `id` could not be started.
    pub(super) fn cannot_start(self: &Arc<Self>, id: ProcessId, detail: &str) {
        let mut guard = self.lock();
        let table = &mut *guard;
        let Some(entry) = table.remove(id) else {
            return;
        };
        let job = match entry.phase {
            Phase::Starting { bound, .. } => bound.or_else(|| table.take_job()),
            _ => None,
        };
        self.start_missing(table);
        drop(guard);
        entry
            .marks
            .send(Mark::Trouble(format!("cannot be started: {detail}")));
        if let Some(job) = job {
            let error = InvokeError::CannotStart {
                name: self.function.name.clone(),
                detail: detail.to_owned(),
            };
            self.refuse(job, error);
        }
    }

    /// Process `id` has ended by itself; `reason` is that of [`process_group::exit_reason`].
    ///
    /// [`process_group::exit_reason`]: super::process_group::exit_reason
    pub(super) fn exited(self: &Arc<Self>, id: ProcessId, reason: Option<&str>) {
        let words = reason.unwrap_or("exit status 0");
        self.gone(id, words, |request_id| failure::exited(request_id, reason));
    }

    /// An extension of process `id` has failed, which ends the process, too.
    pub(super) fn extension_failed(self: &Arc<Self>, id: ProcessId, why: &Failure) {
        self.gone(id, &why.message, |request_id| {
            failure::extension(request_id, why.kind, &why.message)
        });
    }

    /// Takes process `id` off the table; `outcome` is for the event that it had.
    fn gone(self: &Arc<Self>, id: ProcessId, reason: &str, outcome: impl FnOnce(&str) -> Outcome) {
        let now = Instant::now();
        let mut guard = self.lock();
        let table = &mut *guard;
        let Some(entry) = table.remove(id) else {
            return;
        };
        let (job, began) = match entry.phase {
            Phase::Running { job, began, .. } => (Some(job), began),
            Phase::Starting { bound, .. } => {
                entry.marks.send(Mark::Trouble(format!(
                    "the process ended before it asked for an event: {reason}"
                )));
                (bound.or_else(|| table.take_job()), entry.started)
            }
            Phase::Idle { .. } | Phase::Returning { .. } | Phase::Failed { .. } => (None, now),
        };
        self.start_missing(table);
        drop(guard);
        if let Some(job) = job {
            let outcome = outcome(&job.request_id);
            let mut report = self.report(&job, now - began, entry.init, None, &outcome);
            report.status = Some("error");
            entry.marks.send(Mark::End(report));
            self.settle(job, outcome);
        }
    }

    /// Process `id` was told to end and does.
    pub(super) fn stopped(self: &Arc<Self>, id: ProcessId) {
        let mut guard = self.lock();
        let table = &mut *guard;
        let Some(entry) = table.remove(id) else {
            return;
        };
        self.start_missing(table);
        drop(guard);
        match entry.phase {
            Phase::Running { job, .. }
            | Phase::Starting {
                bound: Some(job), ..
            } => self.refuse(job, self.ending()),
            Phase::Starting { bound: None, .. }
            | Phase::Idle { .. }
            | Phase::Returning { .. }
            | Phase::Failed { .. } => {}
        }
    }

    // --- within --------------------------------------------------------------------

    fn lock(&self) -> MutexGuard<'_, Table> {
        // The table is whole at every point that could panic.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls at once, beyond which callers are throttled.
    fn concurrency(&self) -> usize {
        match self.function.settings.reserved_concurrency {
            Some(reserved) => usize::try_from(reserved).unwrap_or(usize::MAX),
            None => ACCOUNT_CONCURRENCY,
        }
    }

    /// Gives `job` to idle process `id`; it comes back when the connection is lost.
    fn wake(&self, table: &mut Table, id: ProcessId, job: Job) -> Option<Job> {
        let now = Instant::now();
        let timeout = self.function.settings.timeout;
        let Some(entry) = table.entries.get_mut(&id) else {
            return Some(job);
        };
        let wake = match std::mem::replace(&mut entry.phase, Phase::lost(now, timeout)) {
            Phase::Idle { wake, .. } if !wake.is_closed() => wake,
            Phase::Idle { .. } => return Some(job),
            other => {
                entry.phase = other;
                return Some(job);
            }
        };
        let delivery = self.hand_over(entry, job, now, now + timeout);
        wake.send(delivery).err()?;
        match std::mem::replace(&mut entry.phase, Phase::lost(now, timeout)) {
            Phase::Running { job, .. } => Some(job),
            other => {
                entry.phase = other;
                None
            }
        }
    }

    /// Makes `job` what `entry` runs.
    fn hand_over(
        &self,
        entry: &mut Entry,
        job: Job,
        began: Instant,
        deadline: Instant,
    ) -> Delivery {
        entry.marks.send(Mark::Start {
            request_id: Arc::clone(&job.request_id),
        });
        let left = deadline.saturating_duration_since(Instant::now());
        let delivery = Delivery {
            request_id: Arc::clone(&job.request_id),
            payload: job.payload.clone(),
            arn: job.arn.clone(),
            trace_id: job.trace_id.clone(),
            client_context: job.client_context.clone(),
            deadline: self.function.options.clock.since_epoch() + left,
        };
        entry.extensions.invoke(|| delivery.as_extension_event());
        entry.phase = Phase::Running {
            job,
            began,
            deadline,
        };
        delivery
    }

    /// Starts processes for events that no process is on its way to.
    fn start_missing(self: &Arc<Self>, table: &mut Table) {
        if table.life == Life::Closed {
            return;
        }
        let most = self.function.options.max_processes.max(1);
        let most = most.min(self.concurrency());
        let coming = table.starting() + table.returning();
        let missing = (table.line.len() + table.events.len()).saturating_sub(coming);
        for _ in 0..missing {
            if table.entries.len() >= most {
                break;
            }
            self.start_one(table);
        }
    }

    /// Starts a process where none is.
    pub(super) fn warm(self: &Arc<Self>) {
        let mut table = self.lock();
        if table.life == Life::Open && table.entries.is_empty() {
            self.start_one(&mut table);
        }
    }

    fn start_one(self: &Arc<Self>, table: &mut Table) {
        let id = self.enter(
            table,
            Instant::now() + self.function.options.init_timeout,
            None,
        );
        self.live.send_modify(|live| *live += 1);
        let pool = Arc::clone(self);
        tokio::spawn(async move {
            let _live = Live(&pool.live);
            process::supervise(&pool, id).await;
        });
    }

    /// Puts a process that is about to start on the table.
    fn enter(&self, table: &mut Table, until: Instant, bound: Option<Job>) -> ProcessId {
        let id = table.next_id;
        table.next_id += 1;
        let (name, clock) = (self.function.name.as_str(), &self.function.options.clock);
        let extensions = Arc::new(Extensions::new(Telemetry::new(name, clock)));
        let entry = Entry {
            phase: Phase::Starting { until, bound },
            stop: Arc::new(Notify::new()),
            marks: Marks::direct(Log {
                name: Arc::from(name),
                source: Source::Function,
                extensions: Arc::clone(&extensions),
            }),
            extensions,
            process: None,
            started: Instant::now(),
            init: None,
        };
        table.entries.insert(id, entry);
        id
    }

    /// Looks after waiting events that count on processes which do not come back.
    async fn watch_returning(self: Arc<Self>) {
        loop {
            tokio::time::sleep(RETURN_PATIENCE).await;
            let now = Instant::now();
            let mut guard = self.lock();
            let table = &mut *guard;
            let has_work = !(table.line.is_empty() && table.events.is_empty());
            if !has_work || table.returning() == 0 {
                table.is_watched = false;
                return;
            }
            for entry in table.entries.values_mut() {
                if let Phase::Returning {
                    since, expected, ..
                } = &mut entry.phase
                    && now - *since >= RETURN_PATIENCE
                {
                    *expected = false;
                }
            }
            self.start_missing(table);
        }
    }

    fn time_out(self: &Arc<Self>, marks: &Marks, job: Job, took: Duration, process: Option<u32>) {
        let limit = self.function.settings.timeout;
        let now = self.function.options.clock.since_epoch();
        let outcome = failure::timed_out(&job.request_id, now, limit);
        let mut report = self.report(&job, took, None, process, &outcome);
        report.status = Some("timeout");
        marks.send(Mark::End(report));
        self.settle(job, outcome);
    }

    fn report(
        &self,
        job: &Job,
        duration: Duration,
        init: Option<Duration>,
        process: Option<u32>,
        outcome: &Outcome,
    ) -> Report {
        Report {
            request_id: Arc::clone(&job.request_id),
            duration,
            init,
            memory_size: self.function.settings.memory_size,
            failure: outcome
                .function_error
                .is_some()
                .then(|| failure::log_text(&outcome.payload)),
            process,
            status: None,
        }
    }

    /// Gives `outcome` to who waits for it; an event that failed is tried again, and what
    /// became of one goes to its destination.
    ///
    /// Takes no lock: some of its callers hold the table.
    fn settle(self: &Arc<Self>, job: Job, outcome: Outcome) {
        match job.reply {
            // A caller that has left does not wait for it.
            Some(reply) => {
                let _ = reply.send(Ok(outcome));
            }
            None if outcome.function_error.is_some() => retry::after_failure(self, job, &outcome),
            None => records::tell(self, &job, Condition::Success, Some(&outcome)),
        }
    }

    /// Counts an event that waits for another try; false once everything has ended.
    fn begin_retry(&self) -> bool {
        let mut table = self.lock();
        table.retrying += 1;
        table.life != Life::Closed
    }

    /// Waits until it is time for another try of an event, and puts it in line again.
    pub(super) async fn end_retry(self: &Arc<Self>, job: Job, delay: Duration) {
        let mut closed = std::pin::pin!(self.closed.notified());
        // From here on, no end is missed.
        closed.as_mut().enable();
        let is_due = self.begin_retry() && {
            tokio::select! {
                () = tokio::time::sleep(delay) => true,
                () = closed => false,
            }
        };
        let mut guard = self.lock();
        let table = &mut *guard;
        table.retrying -= 1;
        if !is_due || table.life == Life::Closed {
            drop(guard);
            return self.refuse(job, self.ending());
        }
        let mut job = job;
        while let Some(id) = table.idle.pop() {
            match self.wake(table, id, job) {
                None => return,
                Some(returned) => job = returned,
            }
        }
        table.events.push_back(job);
        self.start_missing(table);
    }

    fn ending(&self) -> InvokeError {
        InvokeError::Unreachable {
            name: self.function.name.clone(),
            detail: "the gateway is ending".to_owned(),
        }
    }

    fn refuse(&self, job: Job, error: InvokeError) {
        match job.reply {
            Some(reply) => {
                let _ = reply.send(Err(error));
            }
            None => tracing::warn!(
                function = %self.function.name,
                request_id = %job.request_id,
                error = %error,
                "an event was lost"
            ),
        }
    }
}

/// A supervisor at work.
struct Live<'a>(&'a watch::Sender<usize>);

impl Drop for Live<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|live| *live -= 1);
    }
}
