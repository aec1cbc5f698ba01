//! Brings what was counted into the store, in batches.
//!
//! A task owns it ([`Limits::save_until`]): woken by the first count, it waits
//! [`BATCH`] for more, then writes all of it at once. So a crash loses at most what
//! was counted in the last [`BATCH`] and while a write was under way, and never more
//! than [`MOST_UNSAVED`] counts: a request that would make it more waits, up to the
//! store's deadline. With `durability: strict` each request that counts against
//! a quota waits for its own count to be written, and nothing is lost; those
//! that wait together are written together.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard, Notify, watch};

use super::refusal::Refusal;
use super::{Limits, Meter};
use crate::model::settings::{Durability, StoreOptions, WhenDown};
use crate::store::{Store, StoreError};

/// How long counts are gathered.
pub(super) const BATCH: Duration = Duration::from_millis(50);
/// The most counts that a crash may lose.
pub(super) const MOST_UNSAVED: u64 = 1000;
/// How long a store that failed is left alone; how often a shared one is asked for changes.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Saver {
    /// Counts so far; the number of the last one.
    counted: AtomicU64,
    /// The number of the last count against a quota.
    strict: AtomicU64,
    /// The number of the last count that is in the store; the saving task sends, waiting requests receive.
    saved: watch::Sender<u64>,
    dirty: AtomicBool,
    wake: Notify,
    reload: Notify,
    /// One writes at a time.
    writing: Mutex<()>,
}

impl Default for Saver {
    fn default() -> Self {
        Self {
            counted: AtomicU64::new(0),
            strict: AtomicU64::new(0),
            saved: watch::Sender::new(0),
            dirty: AtomicBool::new(false),
            wake: Notify::new(),
            reload: Notify::new(),
            writing: Mutex::new(()),
        }
    }
}

impl Saver {
    /// A request was counted by a meter; gives the count's number.
    pub(super) fn counted(&self, against_quota: bool) -> u64 {
        let number = self.counted.fetch_add(1, Ordering::AcqRel) + 1;
        if against_quota {
            self.strict.fetch_max(number, Ordering::AcqRel);
        }
        if !self.dirty.load(Ordering::Acquire) && !self.dirty.swap(true, Ordering::AcqRel) {
            self.wake.notify_one();
        }
        number
    }

    /// Waits as long as the store's durability asks.
    pub(super) async fn settle(
        &self,
        number: u64,
        store: &dyn Store,
        options: StoreOptions,
    ) -> Result<(), Refusal> {
        if store.name() == "memory" {
            return Ok(());
        }
        let strict = options.durability == Durability::Strict
            && number <= self.strict.load(Ordering::Acquire);
        let wanted = if strict {
            number
        } else {
            number.saturating_sub(MOST_UNSAVED)
        };
        if *self.saved.borrow() >= wanted {
            return Ok(());
        }
        let mut saved = self.saved.subscribe();
        let written = saved.wait_for(|saved| *saved >= wanted);
        match tokio::time::timeout(options.deadline, written).await {
            Ok(_) => Ok(()),
            Err(_) => {
                tracing::warn!(store = store.name(), deadline = ?options.deadline, "a count was not written in time");
                match options.when_down {
                    WhenDown::Open => Ok(()),
                    WhenDown::Closed => Err(Refusal::store_down()),
                }
            }
        }
    }

    /// Another gateway has changed the records.
    pub(super) fn wake_reload(&self) {
        self.reload.notify_one();
    }

    /// Keeps others from writing.
    pub(super) async fn exclusive(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().await
    }
}

impl Limits {
    /// Saves counts, and follows what other gateways change, until `stop` is done;
    /// then saves what is left and closes the store.
    pub async fn save_until(self: Arc<Self>, stop: impl Future<Output = ()> + Send) {
        let mut stop = std::pin::pin!(stop);
        let shared = self.store.shared().is_some();
        loop {
            tokio::select! {
                biased;
                () = stop.as_mut() => break,
                () = self.saver.reload.notified() => self.reload().await,
                () = tokio::time::sleep(PAUSE), if shared => self.follow().await,
                () = self.saver.wake.notified() => {
                    if self.options.durability == Durability::Batched {
                        tokio::select! {
                            () = stop.as_mut() => break,
                            () = tokio::time::sleep(BATCH) => {}
                        }
                    }
                    if let Err(error) = self.save().await {
                        tracing::error!(%error, "usage counts wait: they could not be written");
                        self.saver.wake.notify_one();
                        tokio::select! {
                            () = stop.as_mut() => break,
                            () = tokio::time::sleep(PAUSE) => {}
                        }
                    }
                }
            }
        }
        if let Err(error) = self.save().await {
            tracing::error!(%error, "the last usage counts could not be written");
        }
        if let Err(error) = self.store.close().await {
            tracing::error!(%error, "the store was not closed");
        }
    }

    /// Saves what was counted up to now.
    ///
    /// # Errors
    ///
    /// Where the store does not take it; it is kept then, and saved another time.
    pub async fn save(&self) -> Result<(), StoreError> {
        let _writing = self.saver.writing.lock().await;
        self.save_locked().await
    }

    pub(super) async fn save_locked(&self) -> Result<(), StoreError> {
        let upto = self.saver.counted.load(Ordering::Acquire);
        self.saver.dirty.store(false, Ordering::Release);
        let meters: Vec<Arc<Meter>> = self.names().meters.values().map(Arc::clone).collect();
        let mut unsaved = Vec::new();
        for meter in &meters {
            meter.take_unsaved(&mut unsaved);
        }
        if unsaved.is_empty() {
            self.saver.saved.send_replace(upto);
            return Ok(());
        }
        let asked = std::time::Instant::now();
        let added = self.store.add(unsaved.clone()).await;
        self.metrics.asked(added.is_ok(), asked.elapsed());
        if let Err(error) = added {
            for used in unsaved {
                let meter = meters
                    .iter()
                    .find(|meter| meter.plan() == used.plan && meter.key() == used.key);
                if let Some(meter) = meter {
                    meter.bring_back(used);
                }
            }
            return Err(error);
        }
        self.saver.saved.send_replace(upto);
        Ok(())
    }

    /// Asks a shared store whether somebody changed the records.
    async fn follow(&self) {
        let Some(shared) = self.store.shared() else {
            return;
        };
        let revision = shared.revision();
        if let Ok(Ok(revision)) = tokio::time::timeout(self.options.deadline, revision).await
            && revision != self.revision.load(Ordering::Acquire)
        {
            self.reload().await;
        }
    }

    async fn reload(&self) {
        if let Err(error) = self.restore().await {
            tracing::error!(%error, "keys and plans that another gateway changed could not be read");
        }
    }
}
