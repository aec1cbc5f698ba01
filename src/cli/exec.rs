//! `tollgate exec`: a gateway for as long as a command runs.

use std::ffi::OsString;
use std::process::{ExitCode, ExitStatus};

use anyhow::{Context, Result};
use clap::Args;
use tokio::sync::oneshot;

use super::serve::{Ready, runtime, start_logs};
use super::{ServeOptions, signals};
use crate::server::Listeners;

/// Serve APIs while a command runs, and end with its exit code
///
/// The command finds the gateway's address in TOLLGATE_URL, the control plane's in
/// TOLLGATE_ADMIN_URL. Without --port a
/// free port is taken.
#[derive(Args, Debug)]
pub struct Exec {
    /// What is served, and how.
    #[command(flatten)]
    pub options: ServeOptions,

    /// Program and arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

impl Exec {
    /// Serves, runs the command, stops.
    ///
    /// # Errors
    ///
    /// Where there is nothing to read, no port, or the command cannot be started.
    pub(super) fn run(mut self) -> Result<ExitCode> {
        // A test run is not to change under way, unless that is asked for.
        self.options.no_watch |= self.options.watch.is_none();
        // The command's own output is what is looked at.
        let _logs = start_logs(self.options.log_format, self.options.verbosity(), -1)?;
        let runtime = runtime()?;
        let inside = runtime.enter();
        let Some(ready) = Ready::prepare(&self.options, false)? else {
            return Ok(ExitCode::FAILURE);
        };
        drop(inside);
        let port = match self.options.common.origins.get("port") {
            Some(_) => self.options.port,
            None => 0,
        };
        runtime.block_on(async {
            let listeners = Listeners::bind(self.options.chosen_host(), port).await?;
            self.options.auth.check_addresses(listeners.addresses())?;
            let url = listeners
                .addresses()
                .first()
                .map(|address| format!("http://{address}"));
            let admin = ready.bind_admin(&self.options, &listeners).await?;
            let admin_url = admin
                .as_ref()
                .map(|admin| format!("http://{}", admin.address()));
            let (stop, stopped) = oneshot::channel::<()>();
            let serving = tokio::spawn(ready.serve(listeners, admin, async {
                // The sender is dropped when the command has ended.
                let _ = stopped.await;
            }));
            let status = run(&self.command, &url.unwrap_or_default(), admin_url).await;
            drop(stop);
            serving.await.context("the gateway failed")??;
            status.map(code)
        })
    }
}

async fn run(command: &[OsString], url: &str, admin_url: Option<String>) -> Result<ExitStatus> {
    let (program, arguments) = command.split_first().context("no command was given")?;
    let mut child = tokio::process::Command::new(program)
        .args(arguments)
        .env("TOLLGATE_URL", url)
        .envs(admin_url.map(|url| ("TOLLGATE_ADMIN_URL", url)))
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start `{}`", program.display()))?;
    tokio::select! {
        status = child.wait() => status.context("the command cannot be waited for"),
        () = signals::stop_asked() => {
            // The terminal tells the command of a Ctrl-C itself; of a SIGTERM nobody does.
            signals::terminate_child(&child);
            child.wait().await.context("the command cannot be waited for")
        }
    }
}

/// The command's code; 128 and the signal's number where one ended it, as shells have it.
fn code(status: ExitStatus) -> ExitCode {
    let number = status
        .code()
        .unwrap_or_else(|| 128 + signals::signal_of(status).unwrap_or(0));
    ExitCode::from(u8::try_from(number).unwrap_or(1))
}
