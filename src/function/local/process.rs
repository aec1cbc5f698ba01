//! The life of one function process, from its start to its last child's end.
//!
//! Each process has a supervisor: a task that starts it with its Runtime API, its
//! log and its process group, waits for whichever ends it (itself, a time limit,
//! the pool), and then sees that nothing of it is left.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::environment;
use super::log_lines;
use super::pool::{Due, Pool};
use super::process_group::{Group, exit_reason};
use super::runtime_api::RuntimeApi;
use super::table::ProcessId;

/// How long the log of a process that has ended is read on. A process that left
/// its group may hold the pipes open for ever.
const LAST_LINES: Duration = Duration::from_millis(500);

/// Runs process `id` of `pool`, and its second try when it does not start in time.
pub(super) async fn supervise(pool: &Arc<Pool>, mut id: ProcessId) {
    loop {
        match supervise_once(pool, id).await {
            Some(next) => id = next,
            None => return,
        }
    }
}

/// Gives the id under which the process is to be started again.
async fn supervise_once(pool: &Arc<Pool>, id: ProcessId) -> Option<ProcessId> {
    let stop = pool.stop_signal(id)?;
    let started = tokio::select! {
        started = Process::start(pool, id) => started,
        () = stop.notified() => {
            pool.stopped(id);
            return None;
        }
    };
    let mut process = match started {
        Ok(process) => process,
        Err(detail) => {
            pool.cannot_start(id, &detail);
            return None;
        }
    };
    let mut wake = Instant::now();
    loop {
        tokio::select! {
            status = process.child.wait() => {
                let reason = match status {
                    Ok(status) => exit_reason(status),
                    Err(error) => Some(error.to_string()),
                };
                // What it left running goes with it, and what it said last is heard.
                process.group.kill();
                process.api.drain().await;
                pool.exited(id, reason.as_deref());
                process.group.end().await;
                finish(process.log).await;
                return None;
            }
            () = stop.notified() => {
                pool.stopped(id);
                process.end().await;
                return None;
            }
            () = tokio::time::sleep_until(wake) => match pool.due(id) {
                Due::Sleep(until) => wake = until,
                Due::Kill => {
                    process.end().await;
                    return None;
                }
                Due::Restart(next) => {
                    process.end().await;
                    return Some(next);
                }
            },
        }
    }
}

/// A process and all that belongs to it.
struct Process {
    child: Child,
    group: Group,
    api: RuntimeApi,
    log: JoinHandle<()>,
}

impl Process {
    /// Starts it and tells the pool.
    ///
    /// The error says what is missing and what to do.
    async fn start(pool: &Arc<Pool>, id: ProcessId) -> Result<Self, String> {
        let function = &pool.function;
        let launch = pool.launch().await?;
        if let Some(debugger) = &function.options.debugger {
            debugger.port_is_free(&function.name).await;
        }
        let api = RuntimeApi::start(pool, id)
            .await
            .map_err(|error| format!("no port for its Runtime API: {error}"))?;
        let stream = environment::log_stream(function.options.clock.since_epoch());
        let variables = environment::variables(function, launch, &api.address, &stream, |name| {
            std::env::var(name).ok()
        });
        let group = Group::start().map_err(|error| format!("no process group: {error}"))?;
        let mut command = Command::new(&launch.program);
        command
            .args(&launch.arguments)
            .current_dir(&launch.directory)
            .env_clear()
            .envs(variables)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        group.add(&mut command);
        let spawned = command.spawn();
        let mut child = match spawned {
            Ok(child) => child,
            Err(error) => {
                group.end().await;
                return Err(format!("{}: {error}", launch.program.display()));
            }
        };
        let (marks, log) = log_lines::read(
            Arc::from(function.name.as_str()),
            child.stdout.take(),
            child.stderr.take(),
        );
        pool.started(id, child.id(), marks);
        Ok(Self {
            child,
            group,
            api,
            log,
        })
    }

    /// Kills it with all it started.
    async fn end(mut self) {
        self.group.kill();
        // Where there are no groups; else it is on its way out already.
        let _ = self.child.start_kill();
        let _ = self.child.wait().await;
        self.group.end().await;
        drop(self.api);
        finish(self.log).await;
    }
}

async fn finish(mut log: JoinHandle<()>) {
    if tokio::time::timeout(LAST_LINES, &mut log).await.is_err() {
        log.abort();
    }
}
