//! A local function whose processes can be replaced while it is called.
//!
//! [`Renewable::renew`] puts a new pool in the place of the old one. Calls that
//! began before keep the old pool alive, so each ends on the code it began with;
//! with the last of them the old pool retires, and its idle processes end.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use super::local::{LocalFunction, LocalOptions, Remains};
use crate::model::settings::FunctionSettings;

/// A local function, and what it takes to make it anew.
pub(super) struct Renewable {
    key: String,
    settings: FunctionSettings,
    options: LocalOptions,
    current: ArcSwap<LocalFunction>,
    /// How often its code was replaced.
    generation: AtomicU64,
    retired: Arc<Retired>,
}

impl Renewable {
    /// Starts nothing.
    pub(super) fn new(
        key: &str,
        settings: &FunctionSettings,
        options: LocalOptions,
        retired: Arc<Retired>,
    ) -> Arc<Self> {
        let function = LocalFunction::new(key, settings, options.clone());
        Arc::new(Self {
            key: key.to_owned(),
            settings: settings.without_spans(),
            options,
            current: ArcSwap::new(function),
            generation: AtomicU64::new(0),
            retired,
        })
    }

    /// The function as it is now. Whoever holds it keeps its processes.
    pub(super) fn current(&self) -> Arc<LocalFunction> {
        self.current.load_full()
    }

    /// Whether the same settings would make the same function.
    pub(super) fn is_of(&self, settings: &FunctionSettings, options: &LocalOptions) -> bool {
        self.settings == settings.without_spans() && self.options.debugger == options.debugger
    }

    /// Whether its processes run under a debugger.
    pub(super) fn is_debugged(&self) -> bool {
        self.options.debugger.is_some()
    }

    /// Lets calls from now on run in new processes.
    pub(super) fn renew(&self) {
        let function = LocalFunction::new(&self.key, &self.settings, self.options.clone());
        let old = self.current.swap(function);
        self.generation.fetch_add(1, Ordering::Release);
        self.retired.add(old.remains());
        drop(old);
        if self.is_debugged() {
            // For a debugger that attaches again by itself.
            self.current().warm();
        }
    }

    /// Changes with every [`renew`](Self::renew).
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }
}

impl Drop for Renewable {
    fn drop(&mut self) {
        self.retired.add(self.current.load().remains());
    }
}

/// Processes of functions that were replaced, of all plans: they end by
/// themselves, or with the gateway.
#[derive(Default)]
pub(super) struct Retired(Mutex<Vec<Remains>>);

impl Retired {
    fn add(&self, remains: Remains) {
        let mut list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        list.retain(|one| !one.are_gone());
        list.push(remains);
    }

    /// Ends what is left of them. Bounded in time.
    pub(super) async fn shutdown(&self) {
        let list = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let ending = list
            .iter()
            .map(|remains| async move { remains.shutdown().await });
        futures_util::future::join_all(ending).await;
    }
}

impl std::fmt::Debug for Retired {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Retired")
    }
}
