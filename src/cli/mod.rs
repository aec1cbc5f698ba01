//! The command line: one file a command, results on stdout, talk on stderr.
//!
//! Exit status: 0 fine, 1 the thing asked about is not fine, 2 wrong usage or
//! could not be done. Flags beat `TOLLGATE_*` variables beat `tollgate.yaml`
//! beats defaults.

pub mod auth_options;
mod check;
pub mod common;
mod config;
mod debug;
mod event;
mod exec;
mod invoke;
pub mod load;
mod own_folder;
mod reload;
mod render;
pub mod routes;
mod serve;
mod signals;
mod template;
mod test_invoke;
mod token;
mod usage;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use anyhow::Result;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

pub use self::common::{Common, ServeOptions};
pub use self::load::{Loaded, load};
use crate::source::{Diagnostics, Severity, Sources};

/// A local gateway that answers as AWS API Gateway does
#[derive(Parser, Debug)]
#[command(name = "tollgate", version, about, propagate_version = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Serve APIs on this machine
    Serve(serve::Serve),
    /// Serve APIs while a command runs, and end with its exit code
    Exec(exec::Exec),
    /// Check API definitions without serving them
    Check(check::Check),
    /// Print the routes of API definitions
    Routes(routes::Routes),
    /// Call one function and print its answer
    Invoke(invoke::Invoke),
    /// Print the event that a function would get for a request
    Event(Box<event::Event>),
    /// Send one request through an API, and print its execution log
    TestInvoke(test_invoke::TestInvoke),
    /// Render a mapping template, or check files of cases
    Render(render::Render),
    /// Print the effective settings and where each comes from
    Config(config::Config),
    /// Print what the keys of usage plans have used
    Usage(usage::Usage),
    /// Print a token of a local user pool
    Token(token::Token),
}

impl Cli {
    /// Reads the program's arguments; ends the program on `--help` and wrong usage, as clap does.
    pub fn from_arguments() -> Self {
        let mut definition = Self::command();
        let matches = definition.clone().get_matches();
        let mut cli = match Self::from_arg_matches(&matches) {
            Ok(cli) => cli,
            Err(error) => error.format(&mut definition).exit(),
        };
        if let Some((name, matches)) = matches.subcommand()
            && let (Some(command), Some(common)) =
                (definition.find_subcommand(name), cli.command.common())
        {
            common.origins = common::Origins::of(command, matches);
        }
        cli
    }

    /// Does what was asked for.
    ///
    /// # Errors
    ///
    /// What could not be done; the program then ends with status 2.
    pub fn run(self) -> Result<ExitCode> {
        match self.command {
            Command::Serve(command) => command.run(),
            Command::Exec(command) => command.run(),
            Command::Check(command) => command.run(),
            Command::Routes(command) => command.run(),
            Command::Invoke(command) => command.run(),
            Command::Event(command) => command.run(),
            Command::TestInvoke(command) => command.run(),
            Command::Render(command) => command.run(),
            Command::Config(command) => command.run(),
            Command::Usage(command) => command.run(),
            Command::Token(command) => command.run(),
        }
    }
}

impl Command {
    fn common(&mut self) -> Option<&mut Common> {
        Some(match self {
            Self::Serve(command) => &mut command.options.common,
            Self::Exec(command) => &mut command.options.common,
            Self::Check(command) => &mut command.common,
            Self::Routes(command) => &mut command.common,
            Self::Config(command) => &mut command.options.common,
            Self::Usage(command) => &mut command.common,
            Self::Invoke(command) => &mut command.common,
            Self::Token(command) => &mut command.common,
            Self::TestInvoke(_) | Self::Event(_) | Self::Render(_) => return None,
        })
    }
}

impl Loaded {
    /// Says on stderr what was taken without being asked for.
    pub fn say_notes(&self) {
        for note in &self.notes {
            say(&format!("tollgate: {note}"));
        }
    }

    /// Draws on stderr the findings that are at least this bad, and whether one is an error.
    pub fn say_findings(&self, least: Severity) -> bool {
        let colour = colour(&std::io::stderr());
        for finding in self
            .diagnostics
            .iter()
            .filter(|finding| finding.severity >= least)
        {
            say(&format!(
                "{}\n",
                crate::source::draw(finding, &self.sources, colour)
            ));
        }
        self.diagnostics.has_errors()
    }
}

/// Whether a stream is a terminal that wants colour.
fn colour(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// A line on stderr. One that nobody reads is no reason to fail.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// Text on stdout.
///
/// # Errors
///
/// Where it cannot be written. A reader that went away (`| head`) ends the
/// program quietly instead.
pub fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        other => Ok(other?),
    }
}

/// `1 route`, `2 routes`.
fn plural(count: usize, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

/// `2 errors, 1 warning`; empty where there is nothing to count.
fn summary(findings: &Diagnostics) -> String {
    [Severity::Error, Severity::Warning, Severity::Note]
        .into_iter()
        .filter_map(|severity| match findings.count(severity) {
            0 => None,
            many => Some(plural(many, severity.as_str())),
        })
        .collect::<Vec<_>>()
        .join(", ")
}

/// Findings as JSON, one object a line.
fn json_lines(findings: &Diagnostics, sources: &Sources) -> String {
    findings
        .iter()
        .map(|finding| crate::source::json_line(finding, sources) + "\n")
        .collect()
}
