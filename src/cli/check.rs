//! `tollgate check`: everything that is wrong with definitions, or ignored in them.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use clap::Args;

use super::{Common, colour, json_lines, load, plural, print, say, summary};
use crate::source::Severity;

/// Check API definitions without serving them
///
/// What AWS's import would refuse is an error, what it would ignore a warning.
/// Exit status 1 where there are errors.
#[derive(Args, Debug)]
pub struct Check {
    /// Which definitions are read, and how.
    #[command(flatten)]
    pub common: Common,

    /// Print findings as JSON, one object a line
    #[arg(long, env = "TOLLGATE_JSON")]
    json: bool,

    /// Count warnings as errors
    #[arg(long, env = "TOLLGATE_STRICT")]
    strict: bool,
}

impl Check {
    /// Prints the findings on stdout and their number on stderr.
    ///
    /// # Errors
    ///
    /// Where there is nothing to read.
    pub(super) fn run(self) -> Result<ExitCode> {
        let mut loaded = load(&self.common)?;
        loaded.say_notes();
        // Compiled and thrown away: templates, patterns and functions have findings, too.
        drop(loaded.assemble(None, None, None, Arc::default()));
        if self.common.lenient {
            loaded.diagnostics.lenient();
        }
        loaded.diagnostics.sort();
        let findings = &loaded.diagnostics;
        if self.json {
            print(&json_lines(findings, &loaded.sources))?;
        } else {
            print(&findings.draw(&loaded.sources, colour(&std::io::stdout())))?;
            let routes: usize = loaded.apis.iter().map(|api| api.routes.len()).sum();
            say(&match summary(findings).as_str() {
                "" => format!("fine: {}, nothing to say", plural(routes, "route")),
                found => format!("{}; {found}", plural(routes, "route")),
            });
        }
        let bad = findings.has_errors() || (self.strict && findings.count(Severity::Warning) > 0);
        Ok(if bad {
            ExitCode::from(1)
        } else {
            ExitCode::SUCCESS
        })
    }
}
