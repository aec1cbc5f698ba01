//! What is told of an asynchronous invocation once it is over: the record for its
//! destination, and the event itself for a dead-letter queue.
//!
//! A destination that is a function of the plan is called with the record; what is
//! meant for queues, topics, buses and buckets is one line of JSON in the log.
//!
//! Source: Lambda developer guide, "Capturing records of Lambda asynchronous
//! invocations" (the record's form; conditions beside `Success`: `RetriesExhausted`,
//! `EventAgeExceeded`; no retries at a reserved concurrency of zero) and "Adding a dead-letter queue" (its attributes).

use serde_json::{Value as Json, json};

use super::environment::timestamp;
use super::log_lines::TARGET;
use super::pool::Pool;
use super::table::Job;
use crate::base::FunctionArn;
use crate::function::destinations::next_of_chain;
use crate::function::{Invocation, InvocationType, Outcome};

/// How an asynchronous invocation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    Success,
    RetriesExhausted,
    EventAgeExceeded,
    ZeroReservedConcurrency,
}

impl Condition {
    fn as_str(self) -> &'static str {
        match self {
            Self::Success => "Success",
            Self::RetriesExhausted => "RetriesExhausted",
            Self::EventAgeExceeded => "EventAgeExceeded",
            Self::ZeroReservedConcurrency => "ZeroReservedConcurrency",
        }
    }
}

/// Tells what became of the event of `job`; `outcome` is that of its last try, none
/// when it never ran. Takes no lock and does not wait.
pub(super) fn tell(pool: &Pool, job: &Job, condition: Condition, outcome: Option<&Outcome>) {
    let settings = &pool.function.settings.life;
    if condition == Condition::Success {
        if let Some(destination) = &settings.event_invoke.on_success {
            let record = record(pool, job, condition, outcome);
            if !send(pool, job, &destination.value, &record) {
                log_success(pool, job, &destination.value, &record);
            }
        }
        return;
    }
    if let Some(queue) = &settings.dead_letter {
        log_dead_letter(pool, job, condition, outcome, &queue.value);
    }
    let record = record(pool, job, condition, outcome);
    let name = &pool.function.name;
    let destination = settings.event_invoke.on_failure.as_ref();
    let destination = destination.map(|destination| destination.value.as_str());
    if let Some(destination) = destination
        && send(pool, job, destination, &record)
    {
        tracing::warn!(
            target: TARGET,
            function = %name,
            request_id = %job.request_id,
            "an asynchronous invocation failed for good; {destination} gets its record"
        );
        return;
    }
    tracing::error!(
        target: TARGET,
        function = %name,
        request_id = %job.request_id,
        destination,
        %record,
        "an asynchronous invocation failed for good"
    );
}

fn log_success(pool: &Pool, job: &Job, destination: &str, record: &Json) {
    tracing::info!(
        target: TARGET,
        function = %pool.function.name,
        request_id = %job.request_id,
        destination,
        %record,
        "an asynchronous invocation succeeded"
    );
}

/// The event as a dead-letter queue would get it, with its attributes.
fn log_dead_letter(
    pool: &Pool,
    job: &Job,
    condition: Condition,
    outcome: Option<&Outcome>,
    queue: &str,
) {
    let of_outcome = outcome
        .and_then(|outcome| serde_json::from_slice::<Json>(&outcome.payload).ok())
        .and_then(|error| Some(error.get("errorMessage")?.as_str()?.to_owned()));
    let message = of_outcome.unwrap_or_else(|| condition.as_str().to_owned());
    let letter = json!({
        "body": read(&job.payload),
        "attributes": {
            "RequestID": &*job.request_id,
            "ErrorCode": outcome.map_or(429, |outcome| outcome.status).to_string(),
            // "The first 1 KB of the error message".
            "ErrorMessage": message.chars().take(1024).collect::<String>(),
        },
    });
    tracing::error!(
        target: TARGET,
        function = %pool.function.name,
        request_id = %job.request_id,
        destination = queue,
        %letter,
        "a dead-letter queue would get this event"
    );
}

/// Calls the function that `destination` names with `record`. False when it names none
/// of the plan in force; then nothing was sent.
fn send(pool: &Pool, job: &Job, destination: &str, record: &Json) -> bool {
    let function = &pool.function;
    let Some(target) = FunctionArn::parse(destination) else {
        return false;
    };
    let before = job.trace_id.as_ref().and_then(|text| text.to_str().ok());
    let now = function.options.clock.since_epoch().as_secs();
    let Some(trace_id) = next_of_chain(before, &target, now) else {
        tracing::error!(
            target: TARGET,
            function = %function.name,
            request_id = %job.request_id,
            destination,
            %record,
            "records lead in a circle: {destination} has had 16 of this chain, and this one is dropped"
        );
        return true;
    };
    let invocation = Invocation {
        payload: record.to_string().into(),
        invocation_type: InvocationType::Event,
        qualifier: target.qualifier.clone(),
        trace_id: Some(trace_id),
        client_context: None,
    };
    let Some(delivery) = function.options.destinations.call(&target, invocation) else {
        return false;
    };
    let (name, request_id) = (function.name.clone(), job.request_id.clone());
    let (destination, record) = (destination.to_owned(), record.clone());
    tokio::spawn(async move {
        if let Err(error) = delivery.await {
            tracing::error!(
                target: TARGET,
                function = %name,
                %request_id,
                destination,
                %error,
                %record,
                "the record of an asynchronous invocation could not be delivered"
            );
        }
    });
    true
}

/// The record, as AWS documents it.
fn record(pool: &Pool, job: &Job, condition: Condition, outcome: Option<&Outcome>) -> Json {
    let function = &pool.function;
    let arn = job.arn.to_str().unwrap_or_default();
    let qualifier = FunctionArn::parse(arn).and_then(|arn| arn.qualifier);
    let function_arn = match &qualifier {
        Some(_) => arn.to_owned(),
        None => format!("{arn}:$LATEST"),
    };
    // An alias leads to a version at AWS; here there is one code for all.
    let is_version = |text: &String| text.bytes().all(|byte| byte.is_ascii_digit());
    let version = qualifier.filter(is_version);
    let tries = match (condition, outcome) {
        (_, None) => job.failures,
        (Condition::Success, Some(_)) => job.failures + 1,
        // The last failure has been counted.
        (_, Some(_)) => job.failures,
    };
    let mut record = json!({
        "version": "1.0",
        "timestamp": format!("{:.3}", timestamp(function.options.clock.since_epoch())),
        "requestContext": {
            "requestId": &*job.request_id,
            "functionArn": function_arn,
            "condition": condition.as_str(),
            "approximateInvokeCount": tries,
        },
        "requestPayload": read(&job.payload),
    });
    if let Some(outcome) = outcome {
        record["responseContext"] = json!({
            "statusCode": outcome.status,
            "executedVersion": version.as_deref().unwrap_or("$LATEST"),
        });
        if let Some(error) = &outcome.function_error {
            record["responseContext"]["functionError"] = json!(error);
        }
        record["responsePayload"] = read(&outcome.payload);
    }
    record
}

fn read(payload: &[u8]) -> Json {
    serde_json::from_slice(payload)
        .unwrap_or_else(|_| Json::String(String::from_utf8_lossy(payload).into_owned()))
}
