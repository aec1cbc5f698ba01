//! Asynchronous invocations that fail: two more tries, then a record of what failed.
//!
//! Source: Lambda developer guide, "How Lambda handles errors and retries with
//! asynchronous invocation".

use std::sync::Arc;

use tokio::time::Instant;

use super::log_lines::TARGET;
use super::pool::Pool;
use super::records::{self, Condition};
use super::table::Job;
use crate::function::Outcome;

/// Tries the event of `job` again after a while, or tells that it was for nothing.
///
/// The task that waits ends with the pool.
pub(super) fn after_failure(pool: &Arc<Pool>, mut job: Job, outcome: &Outcome) {
    let function = &pool.function;
    let settings = &function.settings.life.event_invoke;
    job.failures += 1;
    let delay = function.options.retry_delay * 2_u32.saturating_pow(job.failures - 1);
    if job.failures > settings.maximum_retry_attempts {
        return records::tell(pool, &job, Condition::RetriesExhausted, Some(outcome));
    }
    if Instant::now() + delay > job.accepted + settings.maximum_event_age {
        return records::tell(pool, &job, Condition::EventAgeExceeded, Some(outcome));
    }
    tracing::warn!(
        target: TARGET,
        function = %function.name,
        request_id = %job.request_id,
        "an asynchronous invocation failed; it is tried again in {:.0} s",
        delay.as_secs_f64()
    );
    let pool = Arc::clone(pool);
    tokio::spawn(async move { pool.end_retry(job, delay).await });
}
