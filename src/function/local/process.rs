//! The life of one function process, from its start to its last child's end.
//!
//! Each process has a supervisor: a task that starts it with its Runtime API, its
//! log and its process group, waits for whichever ends it (itself, a time limit,
//! the pool), and then sees that nothing of it is left.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use tokio::process::{Child, Command};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use super::extensions::{Extensions, Failure};
use super::launch::Launch;
use super::log_lines::{self, Log};
use super::memory_limit::{limited, memory_limit};
use super::pool::{Due, Pool};
use super::process_group::{Group, ask_to_end, end_strays, exit_reason};
use super::runtime_api::RuntimeApi;
use super::table::ProcessId;
use super::telemetry::Source;
use super::{Function, environment};
use crate::base::Clock;

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
        let extensions = Arc::clone(&process.extensions);
        tokio::select! {
            status = process.child.wait() => {
                let reason = match status {
                    Ok(status) => exit_reason(status),
                    Err(error) => Some(error.to_string()),
                };
                // What it left running goes with it, unless extensions have last words.
                let is_alone = !extensions.is_used();
                if is_alone {
                    process.group.kill();
                }
                // Its last answer may still be on the way.
                process.api.drain(is_alone).await;
                pool.exited(id, reason.as_deref());
                process.end("failure").await;
                return None;
            }
            failure = extensions.failed(), if extensions.is_used() => {
                pool.extension_failed(id, &failure);
                process.end("failure").await;
                return None;
            }
            Some(ended) = process.external.join_next(), if !process.external.is_empty() => {
                let message = ended.unwrap_or_else(|error| error.to_string());
                let kind = "Extension.Crash";
                pool.extension_failed(id, &Failure { kind, message });
                process.end("failure").await;
                return None;
            }
            () = stop.notified() => {
                pool.stopped(id);
                process.end("spindown").await;
                return None;
            }
            () = tokio::time::sleep_until(wake) => match pool.due(id) {
                Due::Sleep(until) => wake = until,
                Due::Kill(reason) => {
                    process.end(reason).await;
                    return None;
                }
                Due::Restart(next) => {
                    process.end("timeout").await;
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
    /// The name of its log stream, which nobody else has.
    log_stream: String,
    api: RuntimeApi,
    extensions: Arc<Extensions>,
    /// External extensions; each task gives how its process ended.
    external: JoinSet<String>,
    logs: Vec<JoinHandle<()>>,
    clock: Clock,
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
        let extensions = pool
            .extensions(id)
            .ok_or_else(|| "it is not wanted any more".to_owned())?;
        let names = launch.extensions.iter().filter_map(|path| path.file_name());
        extensions.expect(names.map(|name| name.to_string_lossy().into_owned()));
        let api = RuntimeApi::start(pool, id)
            .await
            .map_err(|error| format!("no port for its Runtime API: {error}"))?;
        let clock = function.options.clock.clone();
        let stream = environment::log_stream(clock.since_epoch());
        let variables = environment::variables(function, launch, &api.address, &stream, |name| {
            std::env::var(name).ok()
        });
        let group = Group::start().map_err(|error| format!("no process group: {error}"))?;
        let mut external = JoinSet::new();
        let mut logs = Vec::new();
        let started = async {
            for path in &launch.extensions {
                let log = start_extension(path, launch, function, &variables, &group, &extensions)
                    .map_err(|error| format!("the extension {}: {error}", path.display()))?;
                let (mut child, log) = log;
                logs.push(log);
                let name = path.file_name().unwrap_or_default().to_owned();
                external.spawn(async move {
                    let reason = match child.wait().await {
                        Ok(status) => exit_reason(status),
                        Err(error) => Some(error.to_string()),
                    };
                    let reason = reason.unwrap_or_else(|| "exit status 0".to_owned());
                    format!("the extension {} ended: {reason}", name.to_string_lossy())
                });
            }
            let words = memory_limit(function).map(|limit| limited(limit, launch));
            let (program, arguments) =
                words.unwrap_or_else(|| (launch.program.clone(), launch.arguments.clone()));
            // As at AWS, the function starts once they are there; one that never is
            // lets it time out.
            let is_there = extensions.all_registered();
            tokio::select! {
                () = is_there => {}
                Some(ended) = external.join_next(), if !external.is_empty() => {
                    return Err(ended.unwrap_or_else(|error| error.to_string()));
                }
                () = tokio::time::sleep(function.options.init_timeout) => {
                    return Err("its extensions did not register in time".to_owned());
                }
            }
            let mut command = Command::new(program);
            command
                .args(arguments)
                .current_dir(&launch.directory)
                .env_clear()
                .envs(variables)
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .kill_on_drop(true);
            group.add(&mut command);
            command
                .spawn()
                .map_err(|error| format!("{}: {error}", launch.program.display()))
        };
        let mut child = match started.await {
            Ok(child) => child,
            Err(error) => {
                group.end().await;
                return Err(error);
            }
        };
        let log = Log {
            name: Arc::from(function.name.as_str()),
            source: Source::Function,
            extensions: Arc::clone(&extensions),
        };
        let (marks, log) = log_lines::read(log, child.stdout.take(), child.stderr.take());
        logs.push(log);
        pool.started(id, child.id(), marks);
        Ok(Self {
            child,
            group,
            log_stream: stream,
            api,
            extensions,
            external,
            logs,
            clock,
        })
    }

    /// Ends it with all it started: extensions are told why (`spindown`, `timeout`,
    /// `failure`) and get Lambda's time for their last words, everything else gets none.
    async fn end(mut self, reason: &str) {
        let budget = self.extensions.shutdown_budget();
        if !budget.is_zero() {
            let end = Instant::now() + budget;
            if let Some(process) = self.child.id() {
                ask_to_end(process);
                let _ = tokio::time::timeout(budget * 3 / 10, self.child.wait()).await;
            }
            let words = async {
                self.extensions.telemetry.flush().await;
                let deadline = self.clock.since_epoch() + budget;
                self.extensions.shut_down(reason, deadline);
                while self.external.join_next().await.is_some() {}
            };
            let _ = tokio::time::timeout_at(end, words).await;
        }
        self.group.kill();
        // Where there are no groups; else it is on its way out already.
        let _ = self.child.start_kill();
        let _ = self.child.wait().await;
        self.group.end().await;
        end_strays(&self.log_stream).await;
        drop(self.api);
        for log in self.logs {
            finish(log).await;
        }
    }
}

/// Variables that only the function has, not its extensions.
///
/// "Using the Lambda Extensions API", section on environment variables.
const OF_THE_FUNCTION: [&str; 6] = [
    "_HANDLER",
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "LAMBDA_RUNTIME_DIR",
    "LAMBDA_TASK_ROOT",
];

fn start_extension(
    path: &Path,
    launch: &Launch,
    function: &Function,
    variables: &IndexMap<String, String>,
    group: &Group,
    extensions: &Arc<Extensions>,
) -> std::io::Result<(Child, JoinHandle<()>)> {
    let own = variables
        .iter()
        .filter(|(name, _)| !OF_THE_FUNCTION.contains(&name.as_str()));
    let mut command = Command::new(path);
    command
        .current_dir(launch.opt.as_ref().unwrap_or(&launch.directory))
        .env_clear()
        .envs(own)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    group.add(&mut command);
    let mut child = command.spawn()?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let log = Log {
        name: Arc::from(format!("{}/{name}", function.name)),
        source: Source::Extension,
        extensions: Arc::clone(extensions),
    };
    let (_, log) = log_lines::read(log, child.stdout.take(), child.stderr.take());
    Ok((child, log))
}

async fn finish(mut log: JoinHandle<()>) {
    if tokio::time::timeout(LAST_LINES, &mut log).await.is_err() {
        log.abort();
    }
}
