//! The signals that end the program, and the one that reopens files. What only Unix
//! has stands here.

#[cfg(unix)]
use std::io::IsTerminal;

/// Waits for Ctrl-C or SIGTERM.
pub(super) async fn stop_asked() {
    let interrupt = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = interrupt => {}
        () = terminate() => {}
    }
}

#[cfg(unix)]
async fn terminate() {
    match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(mut signal) => {
            signal.recv().await;
        }
        Err(_) => std::future::pending().await,
    }
}

#[cfg(not(unix))]
async fn terminate() {
    std::future::pending().await
}

/// SIGHUP, which asks a program without a terminal to read its configuration again.
///
/// In a terminal it says that the terminal is gone, and ends the program as ever.
pub(super) struct Hangups {
    #[cfg(unix)]
    signal: Option<tokio::signal::unix::Signal>,
}

impl Hangups {
    pub(super) fn new() -> Self {
        #[cfg(unix)]
        {
            use std::io::IsTerminal;
            use tokio::signal::unix::{SignalKind, signal};

            let in_terminal = std::io::stdin().is_terminal()
                || std::io::stdout().is_terminal()
                || std::io::stderr().is_terminal();
            let signal = (!in_terminal)
                .then(|| signal(SignalKind::hangup()).ok())
                .flatten();
            Self { signal }
        }
        #[cfg(not(unix))]
        Self {}
    }

    /// Waits for the next one.
    pub(super) async fn next(&mut self) {
        #[cfg(unix)]
        if let Some(signal) = &mut self.signal
            && signal.recv().await.is_some()
        {
            return;
        }
        std::future::pending().await
    }
}

/// Does something at each SIGHUP. Ends when that came because the terminal was closed.
pub(super) async fn each_hangup(mut act: impl FnMut()) {
    #[cfg(unix)]
    if let Ok(mut signal) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()) {
        let had_terminal = std::io::stderr().is_terminal();
        while signal.recv().await.is_some() {
            if had_terminal && !std::io::stderr().is_terminal() {
                return;
            }
            act();
        }
    }
    #[cfg(not(unix))]
    let _ = act;
    std::future::pending().await
}

/// Asks a child to end.
pub(super) fn terminate_child(child: &tokio::process::Child) {
    #[cfg(unix)]
    if let Some(id) = child.id().and_then(|id| i32::try_from(id).ok()) {
        // It may have ended by itself meanwhile.
        let _ = nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(id),
            nix::sys::signal::Signal::SIGTERM,
        );
    }
    #[cfg(not(unix))]
    let _ = child;
}

/// The signal that ended a program.
pub(super) fn signal_of(status: std::process::ExitStatus) -> Option<i32> {
    #[cfg(unix)]
    {
        std::os::unix::process::ExitStatusExt::signal(&status)
    }
    #[cfg(not(unix))]
    {
        let _ = status;
        None
    }
}
