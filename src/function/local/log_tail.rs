//! The end of one invocation's log, for a caller that asks for it (`LogType: Tail`).
//!
//! Lines come from the task that reads a process's output, by the invocation's
//! request id; the REPORT line is the last.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

/// "Lambda API reference", Invoke: the last 4 KB of the execution log.
const LONGEST: usize = 4 * 1024;

/// How many tails are being listened to: without any, lines cost one look here.
static LISTENERS: AtomicUsize = AtomicUsize::new(0);

/// The log of one invocation while somebody listens to it.
#[derive(Debug)]
pub struct LogTail {
    request_id: Arc<str>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    text: Mutex<(String, bool)>,
    ended: Notify,
}

fn tails() -> MutexGuard<'static, HashMap<Arc<str>, Arc<Shared>>> {
    static TAILS: OnceLock<Mutex<HashMap<Arc<str>, Arc<Shared>>>> = OnceLock::new();
    let tails = TAILS.get_or_init(Mutex::default);
    tails.lock().unwrap_or_else(PoisonError::into_inner)
}

impl LogTail {
    /// Listens from now on.
    pub fn of(request_id: Arc<str>) -> Self {
        let shared = Arc::new(Shared::default());
        tails().insert(Arc::clone(&request_id), Arc::clone(&shared));
        LISTENERS.fetch_add(1, Ordering::Release);
        Self { request_id, shared }
    }

    /// The last 4 KB of it, once the invocation's last line has come; what is there
    /// after `patience` where none comes.
    pub async fn end(&self, patience: Duration) -> String {
        let ended = async {
            while !self.shared.lock().1 {
                self.shared.ended.notified().await;
            }
        };
        // The answer is there already: a log that does not end is no reason to keep it.
        let _ = tokio::time::timeout(patience, ended).await;
        self.shared.lock().0.clone()
    }
}

impl Drop for LogTail {
    fn drop(&mut self) {
        tails().remove(&self.request_id);
        LISTENERS.fetch_sub(1, Ordering::Release);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, (String, bool)> {
        self.text.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether anybody listens.
pub(super) fn is_wanted() -> bool {
    LISTENERS.load(Ordering::Acquire) > 0
}

/// A line of an invocation.
pub(super) fn line(request_id: &str, line: &str) {
    if !is_wanted() {
        return;
    }
    let Some(shared) = tails().get(request_id).map(Arc::clone) else {
        return;
    };
    let mut text = shared.lock();
    text.0.push_str(line);
    text.0.push('\n');
    let mut over = text.0.len().saturating_sub(LONGEST);
    while !text.0.is_char_boundary(over) {
        over += 1;
    }
    text.0.drain(..over);
}

/// An invocation's last line has come.
pub(super) fn end(request_id: &str) {
    if is_wanted()
        && let Some(shared) = tails().get(request_id)
    {
        shared.lock().1 = true;
        shared.ended.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_four_kilobytes_are_kept_of_the_invocation_alone() {
        let tail = LogTail::of(Arc::from("tail-test"));
        line("another", "not this");
        line("tail-test", &"é".repeat(3_000));
        line("tail-test", "REPORT");
        end("tail-test");

        let text = tail.end(Duration::ZERO).await;

        assert!(text.len() <= LONGEST && text.len() > LONGEST - 2);
        assert!(text.starts_with('é') && text.ends_with("\nREPORT\n"));
        drop(tail);
        assert!(!tails().contains_key("tail-test"));
    }
}
