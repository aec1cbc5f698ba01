//! What a request's execution log says, step by step, in the words of AWS's.
//!
//! Whoever does a step says it here; `gateway::execution_log` decides whether a
//! log is kept and where it goes. The lines are those of CloudWatch's execution
//! logs and of the console's Test button.

use std::fmt::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ::http::HeaderMap;

use super::headers::text_of;
use crate::base::Clock;

/// A request's log, or nothing where none is kept.
#[derive(Debug, Default)]
pub struct ExecutionLog(Option<Recorder>);

#[derive(Debug)]
struct Recorder {
    clock: Clock,
    settings: LogSettings,
    secrets: Mutex<Vec<String>>,
    lines: Mutex<Vec<Line>>,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// `INFO`: every step; otherwise only what fails (`ERROR`).
    pub info: bool,
    /// `dataTraceEnabled`: headers and bodies.
    pub data: bool,
    /// The longest line in bytes.
    pub longest: usize,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When, since 1970.
    pub at: Duration,
    /// Something failed.
    pub failed: bool,
    /// What is said.
    pub text: String,
}

impl ExecutionLog {
    /// Begins a log.
    pub fn begin(clock: Clock, settings: LogSettings) -> Self {
        Self(Some(Recorder {
            clock,
            settings,
            secrets: Mutex::default(),
            lines: Mutex::default(),
        }))
    }

    /// Masks a value in every line from now on, wherever it stands in it.
    pub fn hide(&self, secret: impl FnOnce() -> String) {
        // What is shorter is no secret, and would mask half the log.
        const SHORTEST: usize = 8;
        let Some(log) = &self.0 else { return };
        let secret = secret();
        if secret.len() >= SHORTEST {
            lock(&log.secrets).push(secret);
        }
    }

    /// Whether anything is logged.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Whether headers and bodies are logged.
    pub fn wants_data(&self) -> bool {
        self.0
            .as_ref()
            .is_some_and(|log| log.settings.info && log.settings.data)
    }

    /// A step.
    pub fn say(&self, text: impl FnOnce() -> String) {
        if let Some(log) = self.0.as_ref().filter(|log| log.settings.info) {
            log.add(false, text());
        }
    }

    /// A step that tells what the request or response holds.
    pub fn data(&self, text: impl FnOnce() -> String) {
        if self.wants_data() {
            self.say(text);
        }
    }

    /// A step that failed.
    pub fn fail(&self, text: impl FnOnce() -> String) {
        if let Some(log) = &self.0 {
            log.add(true, text());
        }
    }

    /// The integration request, just before it is sent. Gives the time for [`Self::received`].
    pub fn sending<'h>(
        &self,
        uri: &dyn std::fmt::Display,
        headers: impl Iterator<Item = (&'h str, &'h [u8])>,
        body: Option<&[u8]>,
    ) -> Duration {
        let Some(log) = &self.0 else {
            return Duration::ZERO;
        };
        self.data(|| format!("Endpoint request URI: {uri}"));
        self.data(|| {
            let fields = headers.map(|(name, value)| (name, text_of(value)));
            format!("Endpoint request headers: {}", pairs(fields))
        });
        self.data(|| {
            format!(
                "Endpoint request body after transformations: {}",
                body_text(body)
            )
        });
        self.say(|| format!("Sending request to {uri}"));
        log.clock.since_epoch()
    }

    /// The integration's answer. A body that is passed on as it comes is not shown.
    pub fn received(&self, sent: Duration, status: u16, headers: &HeaderMap, body: Option<&[u8]>) {
        let Some(log) = &self.0 else { return };
        let took = log.clock.since_epoch().saturating_sub(sent).as_millis();
        self.say(|| format!("Received response. Status: {status}, Integration latency: {took} ms"));
        self.data(|| format!("Endpoint response headers: {}", header_map(headers)));
        self.data(|| {
            format!(
                "Endpoint response body before transformations: {}",
                body_text(body)
            )
        });
    }

    /// The lines so far.
    pub fn lines(&self) -> Vec<Line> {
        self.0
            .as_ref()
            .map_or_else(Vec::new, |log| lock(&log.lines).clone())
    }
}

impl Recorder {
    fn add(&self, failed: bool, mut text: String) {
        for secret in lock(&self.secrets).iter() {
            if text.contains(secret) {
                text = text.replace(secret, &masked(secret));
            }
        }
        if text.len() > self.settings.longest {
            let mut end = self.settings.longest;
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            text.truncate(end);
            text.push_str(" [TRUNCATED]");
        }
        let at = self.clock.since_epoch();
        let line = Line { at, failed, text };
        lock(&self.lines).push(line);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A body as the log shows it.
pub fn body_text(body: Option<&[u8]>) -> String {
    match body {
        None => "[streamed]".to_owned(),
        Some(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => format!("[Binary Data: {} bytes]", bytes.len()),
        },
    }
}

/// Headers as the log shows them: `{name=value, name=value}`.
pub fn header_map(headers: &HeaderMap) -> String {
    pairs(
        headers
            .iter()
            .map(|(name, value)| (name.as_str(), text_of(value.as_bytes()))),
    )
}

/// Whether a header's value is a secret.
pub fn is_secret(name: &str) -> bool {
    const SECRET: [&str; 4] = [
        "authorization",
        "x-api-key",
        "x-amz-security-token",
        "cookie",
    ];
    SECRET
        .iter()
        .any(|secret| name.eq_ignore_ascii_case(secret))
}

/// A secret as the log shows it: its last characters only.
pub fn masked(secret: &str) -> String {
    let length = secret.chars().count();
    let skipped = length - length.min(24) / 4;
    let tail: String = secret.chars().skip(skipped).collect();
    format!("{}{tail}", "*".repeat(skipped.min(64)))
}

/// Names and values as the log shows them. Secrets keep their last characters only.
pub fn pairs<N: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (N, V)>) -> String {
    let mut text = "{".to_owned();
    for (index, (name, value)) in pairs.into_iter().enumerate() {
        let (name, value) = (name.as_ref(), value.as_ref());
        if index > 0 {
            text.push_str(", ");
        }
        if is_secret(name) {
            let _ = write!(text, "{name}={}", masked(value));
        } else {
            let _ = write!(text, "{name}={value}");
        }
    }
    text.push('}');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(info: bool, data: bool) -> ExecutionLog {
        let settings = LogSettings {
            info,
            data,
            longest: 20,
        };
        ExecutionLog::begin(Clock::Fixed(Duration::from_secs(1)), settings)
    }

    fn all(log: &ExecutionLog) -> Vec<String> {
        log.say(|| "step".into());
        log.data(|| "data".into());
        log.fail(|| "failure".into());
        log.lines().into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn the_level_decides_what_is_said() {
        assert_eq!(all(&log(true, true)), ["step", "data", "failure"]);
        assert_eq!(all(&log(true, false)), ["step", "failure"]);
        assert_eq!(all(&log(false, true)), ["failure"]);
        assert!(all(&ExecutionLog::default()).is_empty());
    }

    #[test]
    fn a_long_line_is_cut() {
        let log = log(true, true);
        log.say(|| "é".repeat(30));

        assert_eq!(
            log.lines()[0].text,
            format!("{} [TRUNCATED]", "é".repeat(10))
        );
    }

    #[test]
    fn a_secret_is_masked_wherever_it_stands() {
        let log = log(true, true);
        log.hide(|| "s3cr3t-token".into());
        log.hide(|| "short".into());
        log.say(|| r#"{"a":"s3cr3t-token"}"#.into());
        log.say(|| "short".into());

        let lines: Vec<String> = log.lines().into_iter().map(|line| line.text).collect();
        assert_eq!(lines, [r#"{"a":"*********ken"}"#, "short"]);
    }

    #[test]
    fn secrets_are_masked() {
        let shown = pairs([("X-Api-Key", "abcdefghijklmnopqrstuvwx"), ("a", "1")]);

        assert_eq!(shown, "{X-Api-Key=******************stuvwx, a=1}");
    }
}
