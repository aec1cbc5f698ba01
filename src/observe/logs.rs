//! How the gateway's log looks, and how much of it there is.
//!
//! One line a request, under the target [`REQUEST`]; what the client is not told
//! of a refusal stands there too. Lines are written by a [`Sink`],
//! so that whoever reads them slowly does not hold up requests.

use std::fmt::{self, Write as _};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::registry::LookupSpan;

use super::sink::Sink;
use crate::base::Clock;

/// The target of the one line a request.
pub const REQUEST: &str = "tollgate::request";

/// What speaks of its own troubles, which the gateway tells in its own words: the SDK
/// of each place where it finds no credentials, the exporter of each batch.
const OTHERS: &str = "aws_config=off,aws_credential_types=off,aws_runtime=off";

/// Which lines are logged: `-v` and `-q` over `RUST_LOG` over one line a request.
///
/// `verbosity` is how often `-v` was given, less how often `-q` was; `RUST_LOG` counts at 0.
pub fn filter(verbosity: i16, rust_log: Option<&str>) -> EnvFilter {
    let own = match (verbosity, rust_log) {
        (0, Some(text)) if !text.is_empty() => {
            return EnvFilter::try_new(text).unwrap_or_else(|_| filter(0, None));
        }
        (..=-2, _) => "error,tollgate=error",
        (-1, _) => "warn,tollgate=warn",
        (0, _) => "warn,tollgate=info",
        (1, _) => "info,tollgate=debug",
        (2.., _) => "debug,tollgate=trace",
    };
    EnvFilter::new(format!("{own},{OTHERS}"))
}

/// Gives each log line to a sink.
#[derive(Clone, Debug)]
pub struct ToSink(pub Arc<Sink>);

impl<'w> MakeWriter<'w> for ToSink {
    type Writer = &'w Self;

    fn make_writer(&'w self) -> Self::Writer {
        self
    }
}

impl io::Write for &ToSink {
    /// A line comes whole.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Lines for people.
#[derive(Clone, Copy, Debug)]
pub struct Pretty;

const DIM: &str = "\u{1b}[2m";
const BOLD: &str = "\u{1b}[1m";
const RESET: &str = "\u{1b}[0m";
const RED: &str = "\u{1b}[31m";
const GREEN: &str = "\u{1b}[32m";
const YELLOW: &str = "\u{1b}[33m";
const BLUE: &str = "\u{1b}[34m";
const CYAN: &str = "\u{1b}[36m";

impl<S, N> FormatEvent<S, N> for Pretty
where
    S: Subscriber + for<'s> LookupSpan<'s>,
    N: for<'w> FormatFields<'w> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let metadata = event.metadata();
        let now = jiff::Timestamp::from_duration(signed(Clock::System.since_epoch()));
        let paint = Paint(writer.has_ansi_escapes());
        let level = match *metadata.level() {
            Level::ERROR => (RED, "ERROR"),
            Level::WARN => (YELLOW, "WARN "),
            Level::INFO => (GREEN, "INFO "),
            Level::DEBUG => (BLUE, "DEBUG"),
            Level::TRACE => (CYAN, "TRACE"),
        };
        let mut line = String::with_capacity(160);
        paint.write(
            &mut line,
            DIM,
            &now.map_or_else(|_| String::new(), |now| format!("{now:.3}")),
        );
        line.push(' ');
        paint.write(&mut line, level.0, level.1);
        line.push(' ');
        if metadata.target() == REQUEST {
            request(&mut line, &fields, paint, *metadata.level());
        } else {
            plain(&mut line, &fields, paint);
        }
        writeln!(writer, "{line}")
    }
}

fn signed(time: Duration) -> jiff::SignedDuration {
    jiff::SignedDuration::try_from(time).unwrap_or(jiff::SignedDuration::MAX)
}

/// Colours, where the terminal has them.
#[derive(Clone, Copy)]
struct Paint(bool);

impl Paint {
    fn write(self, line: &mut String, colour: &str, text: &str) {
        if self.0 {
            line.push_str(colour);
            line.push_str(text);
            line.push_str(RESET);
        } else {
            line.push_str(text);
        }
    }
}

/// `GET /pets/1 200 (12.3 ms, lambda pets 10.1 ms)`,
/// ``GET /pets/1 403: authorizer `pool` said deny by policy statement 2 (0.2 ms)``.
fn request(line: &mut String, fields: &Fields, paint: Paint, level: Level) {
    let text = |name: &str| fields.find(name).unwrap_or_default();
    paint.write(line, BOLD, text("method"));
    line.push(' ');
    line.push_str(text("path"));
    line.push(' ');
    let status = text("status");
    let colour = match status.as_bytes().first() {
        Some(b'5') => RED,
        Some(b'4') => YELLOW,
        Some(b'3') => CYAN,
        _ => GREEN,
    };
    paint.write(line, colour, status);
    if let Some(why) = fields.find("why") {
        line.push_str(": ");
        line.push_str(why);
    }
    let mut times = format!(" ({} ms", text("latency_ms"));
    if let Some(integration) = fields.find("integration") {
        times.push_str(", ");
        times.push_str(integration);
        if let Some(took) = fields.find("integration_ms") {
            let _ = write!(times, " {took} ms");
        }
    }
    for (name, what) in [("function_ms", "function"), ("cold_start_ms", "cold start")] {
        if let Some(took) = fields.find(name) {
            let _ = write!(times, ", {what} {took} ms");
        }
    }
    if fields.find("cached") == Some("true") {
        times.push_str(", from the cache");
    }
    times.push(')');
    paint.write(line, DIM, &times);
    if level <= Level::WARN {
        let id = format!(" request_id={}", text("request_id"));
        paint.write(line, DIM, &id);
    }
}

/// The message, then what else there is.
fn plain(line: &mut String, fields: &Fields, paint: Paint) {
    line.push_str(fields.find("message").unwrap_or_default());
    for (name, value) in fields.0.iter().filter(|(name, _)| *name != "message") {
        line.push(' ');
        paint.write(line, DIM, &format!("{name}={value}"));
    }
}

/// An event's fields as text that cannot steer a terminal.
#[derive(Default)]
struct Fields(Vec<(&'static str, String)>);

impl Fields {
    fn find(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(other, _)| *other == name);
        found.map(|(_, value)| value.as_str())
    }

    fn add(&mut self, field: &Field, value: &str) {
        let harmless = |c: char| !c.is_control() || c == '\n' || c == '\t';
        let value = match value.chars().all(harmless) {
            true => value.to_owned(),
            false => value
                .chars()
                .map(|c| match harmless(c) {
                    true => c.to_string(),
                    false => c.escape_default().to_string(),
                })
                .collect(),
        };
        self.0.push((field.name(), value));
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, &format!("{value:.1}"));
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::observe::sink::Destination;

    /// What a subscriber of ours writes.
    fn written(colour: bool, log: impl FnOnce()) -> String {
        let folder = tempfile::tempdir().unwrap();
        let file: PathBuf = folder.path().join("log");
        let sink = Sink::new(Destination::File(file.clone()));
        sink.open().unwrap();
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(filter(0, None))
            .with_writer(ToSink(Arc::clone(&sink)))
            .with_ansi(colour)
            .event_format(Pretty)
            .finish();
        tracing::subscriber::with_default(subscriber, log);
        sink.close();
        std::fs::read_to_string(file).unwrap()
    }

    fn two_requests() {
        tracing::info!(target: REQUEST, method = "GET", path = "/pets/1", status = 200, latency_ms = 12.34, integration = "lambda pets", integration_ms = 10.06, request_id = "r1");
        tracing::warn!(target: REQUEST, method = "GET", path = "/p\u{1b}[2J", status = 403, latency_ms = 0.21, why = "authorizer `pool` said deny by policy statement 2", request_id = "r2");
        tracing::debug!(target: REQUEST, "not shown");
        tracing::info!(target: "tollgate::x", port = 3000, "ready");
    }

    #[test]
    fn a_request_is_one_line_for_people() {
        let text = written(false, two_requests);

        let lines: Vec<&str> = text
            .lines()
            .map(|line| &line["2026-11-24T08:42:10.123Z ".len()..])
            .collect();
        assert_eq!(
            lines,
            [
                "INFO  GET /pets/1 200 (12.3 ms, lambda pets 10.1 ms)",
                "WARN  GET /p\\u{1b}[2J 403: authorizer `pool` said deny by policy statement 2 (0.2 ms) request_id=r2",
                "INFO  ready port=3000",
            ]
        );
    }

    #[test]
    fn colours_are_the_gateways_own() {
        let text = written(true, two_requests);

        assert!(text.contains("\u{1b}[32m200\u{1b}[0m"), "{text}");
        assert!(text.contains("\u{1b}[33m403\u{1b}[0m"), "{text}");
        assert!(!text.contains("\u{1b}[2J"), "{text}");
    }

    #[test]
    fn flags_beat_the_variable() {
        assert!(filter(0, None).to_string().contains("tollgate=info"));
        assert!(
            filter(-1, Some("trace"))
                .to_string()
                .contains("tollgate=warn")
        );
        assert!(filter(1, None).to_string().contains("tollgate=debug"));
        assert_eq!(filter(0, Some("error")).to_string(), "error");
    }
}
