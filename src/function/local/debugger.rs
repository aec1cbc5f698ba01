//! A function's process under a debugger: debugpy for Python, Node.js's inspector.

use std::ffi::OsString;
use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use super::launch::Launch;

/// How often a port that another process still has is tried again.
const STEP: Duration = Duration::from_millis(20);
/// When waiting for the port is worth a line in the log.
const WORTH_A_LINE: u32 = 100;

/// How a function is debugged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Debugger {
    /// Where the debugger is waited for, on 127.0.0.1; none where none is known for
    /// the runtime, and timeouts alone are suspended.
    pub port: Option<u16>,
    /// The function's code is not run before a debugger is attached.
    pub wait: bool,
}

/// How long what is debugged may take: nobody counts at a breakpoint.
pub const SUSPENDED: Duration = Duration::from_secs(24 * 60 * 60);

impl Debugger {
    /// Puts the debugger's program before the function's.
    ///
    /// # Errors
    ///
    /// What is missing, and what to do.
    pub(super) async fn put_before(&self, launch: &mut Launch) -> Result<(), String> {
        let Some(port) = self.port else {
            return Ok(());
        };
        let address = format!("127.0.0.1:{port}");
        match launch.runtime.as_deref() {
            Some(runtime) if runtime.starts_with("python") => {
                let program = launch.program.display();
                let asked = tokio::process::Command::new(&launch.program)
                    .args(["-c", "import debugpy"])
                    .current_dir(&launch.directory)
                    .stdin(std::process::Stdio::null())
                    .kill_on_drop(true)
                    .output()
                    .await
                    .map_err(|error| format!("{program}: {error}"))?;
                if !asked.status.success() {
                    return Err(format!(
                        "--debug needs debugpy, which {program} does not have: `{program} -m pip install debugpy`"
                    ));
                }
                let mut before: Vec<OsString> = [
                    "-X",
                    "frozen_modules=off",
                    "-m",
                    "debugpy",
                    "--listen",
                    &address,
                ]
                .map(OsString::from)
                .into();
                if self.wait {
                    before.push("--wait-for-client".into());
                }
                let at = end_of_flags(&launch.arguments);
                launch.arguments.splice(at..at, before);
            }
            Some(runtime) if runtime.starts_with("nodejs") => {
                let flag = if self.wait {
                    "--inspect-brk"
                } else {
                    "--inspect"
                };
                launch
                    .arguments
                    .insert(0, format!("{flag}={address}").into());
            }
            // Its program is debugged from outside, by its process id.
            _ => {}
        }
        Ok(())
    }

    /// Waits until the port is free: the process before may have a breakpoint yet.
    pub(super) async fn port_is_free(&self, function: &str) {
        let Some(port) = self.port else {
            return;
        };
        let mut count: u32 = 0;
        while TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_err() {
            count += 1;
            if count == WORTH_A_LINE {
                tracing::warn!(
                    function,
                    "port {port} for its debugger is in use yet: calls wait until the request before, or the other program, has ended"
                );
            }
            tokio::time::sleep(STEP).await;
        }
    }
}

/// Where the interpreter's own flags end, and what it runs begins.
fn end_of_flags(arguments: &[OsString]) -> usize {
    let mut at = 0;
    while let Some(argument) = arguments.get(at).and_then(|one| one.to_str()) {
        at += match argument {
            "-c" | "-m" | "-" => break,
            "-X" | "-W" => 2,
            flag if flag.starts_with('-') => 1,
            _ => break,
        };
    }
    at.min(arguments.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interpreters_flags_stay_its_own() {
        let end = |words: &[&str]| {
            let words: Vec<OsString> = words.iter().map(OsString::from).collect();
            end_of_flags(&words)
        };

        assert_eq!(end(&["-c", "code"]), 0);
        assert_eq!(end(&["-I", "-X", "utf8", "file.py", "-x"]), 3);
        assert_eq!(end(&["-X"]), 1);
        assert_eq!(end(&[]), 0);
    }
}
