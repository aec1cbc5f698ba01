//! Asynchronous invocations that fail: two more tries, then a line in the log.
//!
//! Source: Lambda developer guide, "How Lambda handles errors and retries with
//! asynchronous invocation"; the record of what failed is the one that Lambda sends to
//! an on-failure destination ("Capturing records of Lambda asynchronous invocations").

use std::sync::Arc;

use serde_json::{Value as Json, json};
use tokio::time::Instant;

use super::environment::timestamp;
use super::log_lines::TARGET;
use super::pool::Pool;
use super::table::Job;
use crate::function::Outcome;

/// Tries the event of `job` again after a while, or says that it was for nothing.
///
/// The task that waits ends with the pool.
pub(super) fn after_failure(pool: &Arc<Pool>, mut job: Job, outcome: &Outcome) {
    let function = &pool.function;
    let settings = function.settings.life.event_invoke;
    job.failures += 1;
    let delay = function.options.retry_delay * 2_u32.saturating_pow(job.failures - 1);
    let condition = if job.failures > settings.maximum_retry_attempts {
        "RetriesExhausted"
    } else if Instant::now() + delay > job.accepted + settings.maximum_event_age {
        "EventAgeExceeded"
    } else {
        tracing::warn!(
            target: TARGET,
            function = %function.name,
            request_id = %job.request_id,
            "an asynchronous invocation failed; it is tried again in {:.0} s",
            delay.as_secs_f64()
        );
        let pool = Arc::clone(pool);
        tokio::spawn(async move { pool.end_retry(job, delay).await });
        return;
    };
    let record = json!({
        "version": "1.0",
        "timestamp": format!("{:.3}", timestamp(function.options.clock.since_epoch())),
        "requestContext": {
            "requestId": &*job.request_id,
            "functionArn": job.arn.to_str().unwrap_or_default(),
            "condition": condition,
            "approximateInvokeCount": job.failures,
        },
        "requestPayload": read(&job.payload),
        "responseContext": {
            "statusCode": outcome.status,
            "executedVersion": "$LATEST",
            "functionError": outcome.function_error,
        },
        "responsePayload": read(&outcome.payload),
    });
    tracing::error!(
        target: TARGET,
        function = %function.name,
        request_id = %job.request_id,
        %record,
        "an asynchronous invocation failed for good"
    );
}

fn read(payload: &[u8]) -> Json {
    serde_json::from_slice(payload)
        .unwrap_or_else(|_| Json::String(String::from_utf8_lossy(payload).into_owned()))
}
