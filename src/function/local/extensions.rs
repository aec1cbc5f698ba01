//! Who else belongs to a process: its extensions, and what each of them waits for.
//!
//! External extensions are programs of the layers, internal ones threads of the
//! function. Both register while the process starts, and then ask for events as
//! the function does: the next event comes once all of them have asked. Facts and
//! bookkeeping alone; `extension_api` is what they talk to, and the supervisor
//! ([`process`](super::process)) starts and ends the external ones.
//!
//! Source: Lambda developer guide, "Using the Lambda Extensions API to create
//! extensions", and aws-lambda-runtime-interface-emulator.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use indexmap::IndexMap;
use serde_json::json;
use tokio::sync::{oneshot, watch};

use super::telemetry::Telemetry;
use crate::base::id;

/// Most extensions of one function ("Lambda quotas": ten), external and internal each.
const MOST_EXTENSIONS: usize = 20;

/// What is left to extensions when their process ends, with external ones and without.
///
/// "Lambda execution environment lifecycle", shutdown phase.
const SHUTDOWN_EXTERNAL: Duration = Duration::from_millis(2_000);
const SHUTDOWN_INTERNAL: Duration = Duration::from_millis(500);

/// An event for an extension, as JSON.
pub(super) type Event = Bytes;

/// Why an extension's call is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// No such identifier.
    Unknown,
    /// Not now.
    OutOfTurn,
    /// An external extension's name that no file has, or a second extension of a name.
    Name,
    /// There are too many.
    TooMany,
}

/// Why a process cannot go on without one of its extensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// `Extension.InitError`, `Extension.ExitError`, `Extension.Crash`.
    pub(super) kind: &'static str,
    /// What is told to the caller.
    pub(super) message: String,
}

/// What an extension says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wants {
    pub(super) invoke: bool,
    pub(super) shutdown: bool,
}

/// The extensions of one process.
#[derive(Debug)]
pub(super) struct Extensions {
    /// Somebody has registered, or is expected to.
    is_used: AtomicBool,
    state: Mutex<State>,
    /// Told of every change that somebody may wait for.
    changed: watch::Sender<()>,
    /// What extensions hear of the function's log.
    pub(super) telemetry: Telemetry,
}

#[derive(Debug, Default)]
struct State {
    /// External extensions that were started and have not registered.
    expected: HashSet<String>,
    registered: IndexMap<String, Extension>,
    /// The function has asked for its first event.
    is_init_over: bool,
    failure: Option<Failure>,
}

#[derive(Debug)]
struct Extension {
    name: String,
    is_external: bool,
    wants: Wants,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    /// Has an event, or has registered only.
    Busy,
    Waiting(oneshot::Sender<Event>),
}

impl Extensions {
    /// For a process that starts at the time `now` (since 1970).
    pub(super) fn new(telemetry: Telemetry) -> Self {
        Self {
            is_used: AtomicBool::new(false),
            state: Mutex::default(),
            changed: watch::Sender::new(()),
            telemetry,
        }
    }

    /// Whether there is anybody.
    pub(super) fn is_used(&self) -> bool {
        self.is_used.load(Ordering::Relaxed)
    }

    /// Names the external extensions that are being started.
    pub(super) fn expect(&self, names: impl Iterator<Item = String>) {
        let mut state = self.lock();
        state.expected.extend(names);
        if !state.expected.is_empty() {
            self.is_used.store(true, Ordering::Relaxed);
        }
    }

    /// Takes a new extension in, and gives its identifier.
    pub(super) fn register(&self, name: &str, wants: Wants) -> Result<String, Refused> {
        let mut state = self.lock();
        if state.is_init_over {
            return Err(Refused::OutOfTurn);
        }
        if state.registered.values().any(|known| known.name == name) {
            return Err(Refused::Name);
        }
        if state.registered.len() >= MOST_EXTENSIONS {
            return Err(Refused::TooMany);
        }
        let is_external = state.expected.remove(name);
        // Threads end with the function: nobody would hear of its end.
        if !is_external && wants.shutdown {
            return Err(Refused::Name);
        }
        let id = id::request_id();
        state.registered.insert(
            id.clone(),
            Extension {
                name: name.to_owned(),
                is_external,
                wants,
                phase: Phase::Busy,
            },
        );
        self.is_used.store(true, Ordering::Relaxed);
        drop(state);
        self.changed.send_replace(());
        Ok(id)
    }

    /// The name behind an identifier.
    pub(super) fn name(&self, id: &str) -> Option<String> {
        self.lock().registered.get(id).map(|own| own.name.clone())
    }

    /// An extension asks for its next event.
    pub(super) fn next(&self, id: &str) -> Result<oneshot::Receiver<Event>, Refused> {
        let mut state = self.lock();
        let Some(extension) = state.registered.get_mut(id) else {
            return Err(Refused::Unknown);
        };
        if let Phase::Waiting(sender) = &extension.phase
            && !sender.is_closed()
        {
            return Err(Refused::OutOfTurn);
        }
        let (sender, event) = oneshot::channel();
        extension.phase = Phase::Waiting(sender);
        drop(state);
        self.changed.send_replace(());
        Ok(event)
    }

    /// An extension says that it cannot go on.
    pub(super) fn fail(&self, id: &str, kind: &'static str, words: &str) -> Result<(), Refused> {
        let mut state = self.lock();
        let Some(extension) = state.registered.get(id) else {
            return Err(Refused::Unknown);
        };
        let message = format!("the extension {} says {words}", extension.name);
        state.failure.get_or_insert(Failure { kind, message });
        drop(state);
        self.changed.send_replace(());
        Ok(())
    }

    /// Tells those that want to know of an invocation.
    pub(super) fn invoke(&self, event: impl FnOnce() -> Event) {
        if !self.is_used() {
            return;
        }
        let event = event();
        for extension in self.lock().registered.values_mut() {
            if extension.wants.invoke {
                extension.send(event.clone());
            }
        }
    }

    /// Tells those that want to know of the process's end, by `deadline` (since 1970).
    pub(super) fn shut_down(&self, reason: &str, deadline: Duration) {
        let event = json!({
            "eventType": "SHUTDOWN",
            "shutdownReason": reason,
            "deadlineMs": u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX),
        });
        let event = Bytes::from(event.to_string());
        for extension in self.lock().registered.values_mut() {
            if extension.wants.shutdown {
                extension.send(event.clone());
            }
        }
    }

    /// How long they have when their process ends; nothing without extensions.
    pub(super) fn shutdown_budget(&self) -> Duration {
        let state = self.lock();
        if state.registered.is_empty() {
            Duration::ZERO
        } else if state.registered.values().any(|own| own.is_external) {
            SHUTDOWN_EXTERNAL
        } else {
            SHUTDOWN_INTERNAL
        }
    }

    /// Returns once every external extension has registered.
    pub(super) async fn all_registered(&self) {
        self.until(|state| state.expected.is_empty()).await;
    }

    /// Returns once every extension waits for an event, so that the function may get one.
    pub(super) async fn ready(&self) {
        if self.is_used() {
            self.until(|state| {
                state.expected.is_empty() && state.registered.values().all(Extension::waits)
            })
            .await;
        }
        self.lock().is_init_over = true;
    }

    /// Returns once one of them has failed.
    pub(super) async fn failed(&self) -> Failure {
        self.until(|state| state.failure.is_some()).await;
        match &self.lock().failure {
            Some(failure) => failure.clone(),
            None => Failure {
                kind: "Extension.ExitError",
                message: "an extension failed".to_owned(),
            },
        }
    }

    async fn until(&self, is_so: impl Fn(&State) -> bool) {
        let mut changed = self.changed.subscribe();
        loop {
            changed.mark_unchanged();
            if is_so(&self.lock()) {
                return;
            }
            if changed.changed().await.is_err() {
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is whole at every point that could panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Extension {
    fn waits(&self) -> bool {
        matches!(&self.phase, Phase::Waiting(sender) if !sender.is_closed())
    }

    fn send(&mut self, event: Event) {
        if let Phase::Waiting(sender) = std::mem::replace(&mut self.phase, Phase::Busy) {
            // One whose connection is gone asks again, or holds the function up.
            let _ = sender.send(event);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    const BOTH: Wants = Wants {
        invoke: true,
        shutdown: true,
    };
    const INVOKE: Wants = Wants {
        invoke: true,
        shutdown: false,
    };

    fn extensions(expected: &[&str]) -> Extensions {
        let extensions = Extensions::new(Telemetry::silent());
        extensions.expect(expected.iter().map(|&name| name.to_owned()));
        extensions
    }

    #[test]
    fn the_function_waits_until_all_have_registered_and_asked() {
        let extensions = extensions(&["agent"]);
        assert!(extensions.ready().now_or_never().is_none());
        assert!(extensions.all_registered().now_or_never().is_none());

        let id = extensions.register("agent", BOTH).unwrap();
        assert!(extensions.all_registered().now_or_never().is_some());
        assert!(extensions.ready().now_or_never().is_none());

        let mut event = extensions.next(&id).unwrap();
        assert!(extensions.ready().now_or_never().is_some());

        extensions.invoke(|| Bytes::from_static(b"{}"));
        assert_eq!(event.try_recv().unwrap(), "{}");
        assert!(extensions.ready().now_or_never().is_none());
    }

    #[test]
    fn who_does_not_want_invocations_is_not_waited_for() {
        let extensions = extensions(&["agent"]);
        let wants = Wants {
            shutdown: true,
            ..Wants::default()
        };
        let id = extensions.register("agent", wants).unwrap();
        let mut event = extensions.next(&id).unwrap();

        extensions.invoke(|| Bytes::from_static(b"{}"));
        assert!(extensions.ready().now_or_never().is_some());
        assert!(event.try_recv().is_err());

        extensions.shut_down("spindown", Duration::from_secs(1));
        let event = event.try_recv().unwrap();
        assert_eq!(
            event,
            r#"{"eventType":"SHUTDOWN","shutdownReason":"spindown","deadlineMs":1000}"#
        );
    }

    #[test]
    fn only_external_extensions_hear_of_the_end_and_all_register_in_time() {
        let extensions = extensions(&["agent"]);

        assert_eq!(extensions.register("thread", BOTH), Err(Refused::Name));
        let thread = extensions.register("thread", INVOKE).unwrap();
        assert_eq!(extensions.register("thread", INVOKE), Err(Refused::Name));
        assert_eq!(extensions.shutdown_budget(), SHUTDOWN_INTERNAL);
        let agent = extensions.register("agent", BOTH).unwrap();
        assert_eq!(extensions.shutdown_budget(), SHUTDOWN_EXTERNAL);
        let _waiting = (extensions.next(&thread), extensions.next(&agent));
        extensions.ready().now_or_never().unwrap();
        assert_eq!(extensions.register("late", INVOKE), Err(Refused::OutOfTurn));
        assert_eq!(extensions.next("nobody").unwrap_err(), Refused::Unknown);
        assert_eq!(extensions.next(&agent).unwrap_err(), Refused::OutOfTurn);
    }

    #[test]
    fn a_failure_is_told_once_it_is_there() {
        let extensions = extensions(&["agent"]);
        let id = extensions.register("agent", BOTH).unwrap();
        assert!(extensions.failed().now_or_never().is_none());

        extensions.fail(&id, "Extension.InitError", "no").unwrap();

        let failure = extensions.failed().now_or_never().unwrap();
        assert_eq!(failure.kind, "Extension.InitError");
        assert!(failure.message.contains("agent"));
    }
}
