//! `accessLogSettings`, compiled: the format read, the destination found.

use std::sync::Arc;

use crate::model::{AccessLog, Api};
use crate::observe::Observer;
use crate::observe::access_log::Format;
use crate::observe::sink::{Destination, Sink};
use crate::source::{Diagnostic, Diagnostics};

/// A stage's access log.
#[derive(Debug)]
pub struct AccessLogPlan {
    /// How a line looks.
    pub format: Format,
    /// Where it goes.
    pub sink: Arc<Sink>,
}

/// Reads an access log's settings. Opens nothing.
pub(super) fn compile(
    log: &AccessLog,
    api: &Api,
    observer: &Observer,
    diagnostics: &mut Diagnostics,
) -> Option<AccessLogPlan> {
    let AccessLog {
        destination,
        format,
        span,
    } = log;
    let format = match Format::read(format.as_deref().unwrap_or("CLF"), api.kind) {
        Ok(format) => format,
        Err(why) => {
            let help = "CLF, JSON, CSV and XML are the formats of AWS's console by name";
            let finding = Diagnostic::error("E0915", why.to_string());
            diagnostics.push(finding.at(*span).help(help));
            return None;
        }
    };
    for name in format.unknown() {
        let message = format!("`$context.{name}` is no variable of access logs: it will be `-`");
        diagnostics.push(Diagnostic::warning("W0915", message).at(*span));
    }
    if destination.starts_with("arn:") {
        let message = format!("the access log for `{destination}` goes to stdout");
        let help = "`stage.accessLogSettings.destination` in tollgate.yaml names a file instead";
        diagnostics.push(Diagnostic::warning("W0916", message).at(*span).help(help));
    }
    let destination = match destination.as_str() {
        "stdout" => Destination::Stdout,
        arn if arn.starts_with("arn:") => Destination::Stdout,
        path => Destination::File(path.into()),
    };
    Some(AccessLogPlan {
        format,
        sink: observer.access_logs.get(&destination),
    })
}
