//! Brings what was counted into the store, in batches.
//!
//! A task owns it ([`Limits::save_until`]): woken by the first count, it waits
//! [`BATCH`] for more, then writes all of it at once. So a crash loses at most what
//! was counted in the last [`BATCH`] and while a write was under way, and never more
//! than [`MOST_UNSAVED`] counts (and those of requests under way) while the store
//! takes them: a request that would make it more waits, up to the store's deadline.
//! After that the configuration decides: it is refused, or passes, and then more may be lost.
//!
//! With `durability: strict` each request that counts against a quota waits for
//! its own count to be written, and is refused where that takes too long: nothing
//! that was answered 200 is lost. Those that wait together are written together.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard, Notify, watch};

use super::counters::raise;
use super::health::PAUSE;
use super::refusal::Refusal;
use super::{Limits, Meter};
use crate::model::settings::{Durability, WhenDown};
use crate::store::StoreError;

/// How long counts are gathered.
pub(super) const BATCH: Duration = Duration::from_millis(50);
/// The most counts that a crash may lose.
pub(super) const MOST_UNSAVED: u64 = 1000;

/// A request that was counted, but is perhaps not in the store yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Count {
    /// Its place among all counts.
    number: u64,
    against_quota: bool,
}

#[derive(Debug)]
pub(super) struct Saver {
    /// Counts so far; the number of the last one.
    counted: AtomicU64,
    /// The number of the last count that is in the store.
    saved: AtomicU64,
    /// The same, for those who wait: the saving task sends, requests receive.
    saves: watch::Sender<u64>,
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
            saved: AtomicU64::new(0),
            saves: watch::Sender::new(0),
            dirty: AtomicBool::new(false),
            wake: Notify::new(),
            reload: Notify::new(),
            writing: Mutex::new(()),
        }
    }
}

impl Saver {
    /// A request was counted by a meter.
    pub(super) fn counted(&self, against_quota: bool) -> Count {
        // First the number, then the flag, and `begin` the other way round: one of the two
        // sees what the other did, so that no count waits for the next one to be saved.
        let number = self.counted.fetch_add(1, Ordering::SeqCst) + 1;
        if !self.dirty.load(Ordering::SeqCst) && !self.dirty.swap(true, Ordering::SeqCst) {
            self.wake.notify_one();
        }
        Count {
            number,
            against_quota,
        }
    }

    /// A write begins: the number of the last count that it will hold.
    fn begin(&self) -> u64 {
        self.dirty.store(false, Ordering::SeqCst);
        self.counted.load(Ordering::SeqCst)
    }

    fn written(&self, upto: u64) {
        self.saved.store(upto, Ordering::Release);
        self.saves.send_replace(upto);
    }

    /// Another gateway has changed the records.
    pub(super) fn wake_reload(&self) {
        self.reload.notify_one();
    }

    /// Keeps others from writing.
    pub(super) async fn exclusive(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().await
    }

    /// Counts that are in the store, and counts that are not.
    pub(super) fn standing(&self) -> (u64, u64) {
        let saved = self.saved.load(Ordering::Acquire);
        let counted = self.counted.load(Ordering::Acquire);
        (saved, counted.saturating_sub(saved))
    }
}

impl Limits {
    /// Whether a request may only be answered once its count is in the store.
    pub(super) fn is_strict(&self, against_quota: bool) -> bool {
        against_quota && self.options.durability == Durability::Strict
    }

    /// Waits as long as the store's durability asks.
    pub(super) async fn settle(&self, count: Count) -> Result<(), Refusal> {
        let strict = self.is_strict(count.against_quota);
        let wanted = if strict {
            count.number
        } else {
            count.number.saturating_sub(MOST_UNSAVED)
        };
        if self.saver.saved.load(Ordering::Acquire) >= wanted {
            return Ok(());
        }
        // Nobody waits for a store that is known to be down; the saving task tries it.
        if self.health.answers() {
            let deadline = self.options.deadline;
            let mut saves = self.saver.saves.subscribe();
            let written = saves.wait_for(|saved| *saved >= wanted);
            if tokio::time::timeout(deadline, written).await.is_ok() {
                return Ok(());
            }
            self.store_failed(&self.too_slow());
        }
        if strict || self.options.when_down == WhenDown::Closed {
            return Err(Refusal::store_down());
        }
        raise(&self.tally.decided_alone);
        Ok(())
    }

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
                        tracing::debug!(%error, "usage counts wait: they could not be written");
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
        let upto = self.saver.begin();
        let meters: Vec<Arc<Meter>> = self.names().meters.values().map(Arc::clone).collect();
        let (mut unsaved, mut owners) = (Vec::new(), Vec::new());
        for meter in &meters {
            meter.take_unsaved(&mut unsaved);
            owners.resize(unsaved.len(), meter);
        }
        if !unsaved.is_empty() {
            let asked = std::time::Instant::now();
            let added = self.store.add(unsaved.clone()).await;
            self.metrics.asked(added.is_ok(), asked.elapsed());
            if let Err(error) = added {
                for (used, meter) in unsaved.into_iter().zip(owners) {
                    meter.bring_back(used);
                }
                self.store_failed(&error);
                return Err(error);
            }
            self.store_answered();
        }
        self.saver.written(upto);
        Ok(())
    }

    /// Asks a shared store whether somebody changed the records.
    async fn follow(&self) {
        let Some(shared) = self.store.shared() else {
            return;
        };
        match tokio::time::timeout(self.options.deadline, shared.revision()).await {
            Ok(Ok(revision)) => {
                self.store_answered();
                if revision != self.revision.load(Ordering::Acquire) {
                    self.reload().await;
                }
            }
            Ok(Err(error)) => self.store_failed(&error),
            Err(_) => self.store_failed(&self.too_slow()),
        }
    }

    async fn reload(&self) {
        if let Err(error) = self.restore().await {
            tracing::error!(%error, "keys and plans that another gateway changed could not be read");
        }
    }
}
