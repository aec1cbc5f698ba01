//! What a caller gets when a function fails without saying why itself.
//!
//! Source of the texts: Lambda developer guide, "Troubleshoot invocation issues",
//! and AWS's own emulator (aws-lambda-runtime-interface-emulator).

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use super::environment::timestamp;
use crate::function::Outcome;

/// A function error with `payload`.
///
/// Lambda says `Unhandled` for every error of today's runtimes.
pub(super) fn unhandled(payload: impl Into<Bytes>) -> Outcome {
    Outcome {
        status: 200,
        payload: payload.into(),
        function_error: Some("Unhandled".to_owned()),
        time: None,
    }
}

/// The process ended while it owed an answer.
pub(super) fn exited(request_id: &str, reason: Option<&str>) -> Outcome {
    let message = match reason {
        Some(reason) => {
            format!("RequestId: {request_id} Error: Runtime exited with error: {reason}")
        }
        None => {
            format!("RequestId: {request_id} Error: Runtime exited without providing a reason")
        }
    };
    typed("Runtime.ExitError", &message)
}

/// An extension failed, and the process with it.
pub(super) fn extension(request_id: &str, kind: &str, message: &str) -> Outcome {
    typed(kind, &format!("RequestId: {request_id} Error: {message}"))
}

/// The function's time was over.
pub(super) fn timed_out(request_id: &str, now: Duration, limit: Duration) -> Outcome {
    let message = format!(
        "{:.3} {request_id} Task timed out after {:.2} seconds",
        timestamp(now),
        limit.as_secs_f64()
    );
    unhandled(json!({ "errorMessage": message }).to_string())
}

/// The answer was over Lambda's limit of `limit` bytes.
pub(super) fn too_large(limit: usize) -> Outcome {
    unhandled(
        json!({
            "errorType": "Function.ResponseSizeTooLarge",
            "errorMessage": format!("Response payload size exceeded maximum allowed payload size ({limit} bytes)."),
        })
        .to_string(),
    )
}

/// An error with AWS's type.
pub(super) fn typed(kind: &str, message: &str) -> Outcome {
    unhandled(json!({ "errorType": kind, "errorMessage": message }).to_string())
}

/// An error's payload as lines for a log: type, message and stack trace.
///
/// A payload that is no such JSON is given as it is, shortened.
pub(super) fn log_text(payload: &[u8]) -> String {
    let Ok(Value::Object(fields)) = serde_json::from_slice(payload) else {
        let text = String::from_utf8_lossy(payload);
        return text.chars().take(1_000).collect();
    };
    let text = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default();
    let (kind, message) = (text("errorType"), text("errorMessage"));
    let mut lines = match (kind.is_empty(), message.is_empty()) {
        (false, false) => format!("{kind}: {message}"),
        _ => format!("{kind}{message}"),
    };
    let traces = ["stackTrace", "trace"]
        .into_iter()
        .filter_map(|name| fields.get(name).and_then(Value::as_array))
        .flatten()
        .filter_map(Value::as_str);
    for trace in traces {
        // Node.js begins its trace with the message.
        if trace.trim_end() != lines {
            lines.push('\n');
            lines.push_str(trace.trim_end());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_reads_as_at_aws() {
        let outcome = timed_out("id", Duration::from_millis(1_500), Duration::from_secs(3));

        assert_eq!(
            outcome.payload,
            r#"{"errorMessage":"1970-01-01T00:00:01.500Z id Task timed out after 3.00 seconds"}"#
        );
        assert_eq!(outcome.function_error.as_deref(), Some("Unhandled"));
    }

    #[test]
    fn python_and_node_errors_become_a_traceback() {
        let python = br#"{"errorMessage": "boom", "errorType": "ValueError", "requestId": "1", "stackTrace": ["  File \"app.py\", line 2, in handler\n    raise ValueError()\n"]}"#;
        let node = br#"{"errorType":"Error","errorMessage":"boom","trace":["Error: boom","    at handler (app.js:1:1)"]}"#;

        assert_eq!(
            log_text(python),
            "ValueError: boom\n  File \"app.py\", line 2, in handler\n    raise ValueError()"
        );
        assert_eq!(log_text(node), "Error: boom\n    at handler (app.js:1:1)");
        assert_eq!(log_text(b"oops"), "oops");
    }
}
