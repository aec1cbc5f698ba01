//! Process groups: nothing that a function starts outlives it, or the gateway.
//!
//! Each function process lives in a process group of its own, whose leader is a
//! small *watcher*: a shell that waits for the end of a pipe which only the
//! gateway holds, and then kills the group. So the group ends when
//!
//! * the gateway kills it ([`Group::kill`]): timeout, shutdown, crash of the function;
//! * the gateway is gone, however it ended (`kill -9` included): the kernel closes the pipe.
//!
//! Linux's parent-death signal would need `unsafe` code between fork and exec,
//! works on Linux alone and does not reach a function's own children. A thread
//! in the bootstraps would not cover other runtimes, and Python warns about
//! `fork` in programs that have threads. As the watcher leads the group and is
//! reaped last, the group's number cannot come to mean other processes.
//!
//! A process that leaves its group (`setsid`) is found on Linux by the name of its log
//! stream, which it has from its function and nobody else ([`end_strays`]). It escapes
//! elsewhere, where the gateway is killed, and where it has forgotten its environment.
//! Everything that only Unix has stands in this file; elsewhere only the function
//! process itself is ended.

use tokio::process::Command;

#[cfg(unix)]
pub(super) use unix::Group;

#[cfg(not(unix))]
pub(super) use other::Group;

#[cfg(unix)]
mod unix {
    use std::process::Stdio;

    use nix::sys::signal::{Signal, killpg};
    use nix::unistd::Pid;
    use tokio::process::{Child, ChildStdin};

    use super::Command;

    /// A process group with its watcher.
    #[derive(Debug)]
    pub(in super::super) struct Group {
        leader: Pid,
        /// Not killed when dropped: at the end of the pipe it kills the rest of its group first.
        watcher: Child,
        /// Its end tells the watcher that the gateway is gone. Nothing is ever written.
        _pipe: Option<ChildStdin>,
    }

    impl Group {
        /// Starts the watcher.
        ///
        /// # Errors
        ///
        /// There is no `/bin/sh`, or no process can be started.
        pub(in super::super) fn start() -> std::io::Result<Self> {
            let mut watcher = Command::new("/bin/sh")
                .args(["-c", "read -r line; kill -KILL 0"])
                .env_clear()
                .current_dir("/")
                .process_group(0)
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()?;
            let id = watcher.id().and_then(|id| i32::try_from(id).ok());
            let leader = id.map(Pid::from_raw).ok_or_else(|| {
                std::io::Error::other("the watcher of a function process ended at once")
            })?;
            let pipe = watcher.stdin.take();
            Ok(Self {
                leader,
                watcher,
                _pipe: pipe,
            })
        }

        /// Makes `command` start inside the group.
        pub(in super::super) fn add(&self, command: &mut Command) {
            command.process_group(self.leader.as_raw());
        }

        /// Kills every process of the group.
        pub(in super::super) fn kill(&self) {
            // The watcher is reaped in `end` alone, so the number is still the group's.
            // An error means that there is nobody left.
            let _ = killpg(self.leader, Signal::SIGKILL);
        }

        /// Kills every process of the group and reaps the watcher.
        pub(in super::super) async fn end(mut self) {
            self.kill();
            let _ = self.watcher.wait().await;
        }
    }
}

#[cfg(not(unix))]
mod other {
    use super::Command;

    /// Stands for the one process, where there are no groups.
    #[derive(Debug)]
    pub(in super::super) struct Group;

    impl Group {
        /// There is nothing to start.
        pub(in super::super) fn start() -> std::io::Result<Self> {
            Ok(Self)
        }

        /// The command's process is ended when its handle is dropped.
        pub(in super::super) fn add(&self, _command: &mut Command) {}

        /// The function process is killed by its handle.
        pub(in super::super) fn kill(&self) {}

        /// There is nobody to wait for.
        pub(in super::super) async fn end(self) {}
    }
}

/// How long the kernel is given to end what was killed.
#[cfg(target_os = "linux")]
const LONGEST_END: std::time::Duration = std::time::Duration::from_secs(2);

/// Kills the processes that have this log stream and left their group, and waits until
/// they and those of the group are gone.
#[cfg(target_os = "linux")]
pub(super) async fn end_strays(log_stream: &str) {
    let mark = format!("AWS_LAMBDA_LOG_STREAM_NAME={log_stream}").into_bytes();
    // A task that cannot be run leaves the strays alone, and there is nobody to tell.
    let _ = tokio::task::spawn_blocking(move || {
        // One that forks while it is looked for has its children found in the next round;
        // one that the kernel does not let go of is not waited for.
        let mut pause = std::time::Duration::from_millis(1);
        let start = std::time::Instant::now();
        while kill_marked(&mark) && start.elapsed() < LONGEST_END {
            std::thread::sleep(pause);
            pause = (pause * 2).min(std::time::Duration::from_millis(50));
        }
    })
    .await;
}

/// Kills the living processes whose environment has `mark`; whether there was one.
#[cfg(target_os = "linux")]
fn kill_marked(mark: &[u8]) -> bool {
    let Ok(folder) = std::fs::read_dir("/proc") else {
        return false;
    };
    let mut found = false;
    for entry in folder.flatten() {
        let id = entry.file_name();
        let Some(id) = id.to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        // Those of others cannot be read, and one that has ended has none.
        let Ok(environment) = std::fs::read(entry.path().join("environ")) else {
            continue;
        };
        if environment.split(|byte| *byte == 0).any(|one| one == mark) {
            let id = nix::unistd::Pid::from_raw(id);
            found |= nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGKILL).is_ok();
        }
    }
    found
}

/// Strays cannot be found here.
#[cfg(not(target_os = "linux"))]
pub(super) async fn end_strays(_log_stream: &str) {}

/// Asks a process to end (SIGTERM), where there is such a thing.
pub(super) fn ask_to_end(process: u32) {
    #[cfg(unix)]
    if let Ok(id) = i32::try_from(process) {
        // One that is gone already has nothing to do.
        let _ = nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(id),
            nix::sys::signal::Signal::SIGTERM,
        );
    }
    #[cfg(not(unix))]
    let _ = process;
}

/// How a process ended, in the words of Lambda's `Runtime.ExitError`:
/// `exit status 1`, `signal: killed`; `None` for status 0.
pub(super) fn exit_reason(status: std::process::ExitStatus) -> Option<String> {
    #[cfg(unix)]
    {
        use std::os::unix::process::ExitStatusExt;
        if let Some(signal) = status.signal() {
            let name = nix::sys::signal::Signal::try_from(signal).map_or_else(
                |_| signal.to_string(),
                |signal| signal_name(signal).to_owned(),
            );
            return Some(format!("signal: {name}"));
        }
    }
    match status.code() {
        Some(0) => None,
        Some(code) => Some(format!("exit status {code}")),
        None => Some("unknown status".to_owned()),
    }
}

/// Names of signals as Go's runtime prints them, which Lambda's service is written in.
#[cfg(unix)]
fn signal_name(signal: nix::sys::signal::Signal) -> &'static str {
    use nix::sys::signal::Signal;
    match signal {
        Signal::SIGABRT => "aborted",
        Signal::SIGBUS => "bus error",
        Signal::SIGFPE => "floating point exception",
        Signal::SIGHUP => "hangup",
        Signal::SIGILL => "illegal instruction",
        Signal::SIGINT => "interrupt",
        Signal::SIGKILL => "killed",
        Signal::SIGPIPE => "broken pipe",
        Signal::SIGQUIT => "quit",
        Signal::SIGSEGV => "segmentation fault",
        Signal::SIGTERM => "terminated",
        other => other.as_str(),
    }
}
