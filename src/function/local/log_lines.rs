//! A function's log: its output line by line, and Lambda's own lines between.
//!
//! One task for each process reads both pipes and is told when an invocation
//! begins and ends ([`Mark`]), so that output and START, END and REPORT lines come
//! out in order: at the end of an invocation the pipes are read empty first. All
//! of it are [`tracing`] events with the target [`TARGET`] and the fields
//! `function` and `request_id`.
//!
//! The task ends when both pipes are closed and the process's entry, which holds
//! the other end of the marks, is gone.

use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::{ChildStderr, ChildStdout};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::extensions::Extensions;
use super::log_tail;
use super::telemetry::Source;

/// The target of every event of a function's log.
pub const TARGET: &str = "tollgate::function";

/// Longest line in bytes; what is longer comes out as several lines.
const LONGEST_LINE: usize = 16 * 1024;

/// Marks that may wait for the task: one invocation makes two, and there is one
/// at a time.
const WAITING_MARKS: usize = 256;

/// What happened between a function's output.
#[derive(Debug)]
pub(super) enum Mark {
    /// An event was handed to the function.
    Start {
        /// The invocation.
        request_id: Arc<str>,
    },
    /// It has answered, or was ended.
    End(Report),
    /// Something that belongs to no invocation, to be logged as an error.
    Trouble(String),
}

/// The numbers of a REPORT line.
#[derive(Debug)]
pub(super) struct Report {
    /// The invocation.
    pub(super) request_id: Arc<str>,
    /// From handing over the event to the answer.
    pub(super) duration: Duration,
    /// What the process took to start, at its first invocation.
    pub(super) init: Option<Duration>,
    /// Memory in MB that the function is told.
    pub(super) memory_size: u32,
    /// Why it failed: type, message and stack trace.
    pub(super) failure: Option<String>,
    /// The process, as long as it lives.
    pub(super) process: Option<u32>,
    /// `timeout` when that was the reason of the failure.
    pub(super) status: Option<&'static str>,
}

/// Whose log it is, and who else hears it.
#[derive(Clone, Debug)]
pub(super) struct Log {
    /// The name that its lines have.
    pub(super) name: Arc<str>,
    /// The function's own output, or an extension's.
    pub(super) source: Source,
    /// The extensions that may have subscribed to it.
    pub(super) extensions: Arc<Extensions>,
}

/// The sending end for one process's marks.
#[derive(Clone, Debug)]
pub(super) struct Marks {
    log: Log,
    sender: Option<mpsc::Sender<Mark>>,
}

impl Marks {
    /// Marks that are logged at once, for a process without output.
    pub(super) fn direct(log: Log) -> Self {
        Self { log, sender: None }
    }

    /// Logs `mark` after the output that came before it.
    pub(super) fn send(&self, mark: Mark) {
        // Without a reader for lines only failures are worth the task's time.
        let matters = match &mark {
            Mark::Start { .. } => tracing::enabled!(target: TARGET, tracing::Level::INFO),
            Mark::End(report) => {
                report.failure.is_some() || tracing::enabled!(target: TARGET, tracing::Level::INFO)
            }
            Mark::Trouble(_) => true,
        };
        if !matters && !log_tail::is_wanted() && !self.log.extensions.telemetry.is_used() {
            return;
        }
        let unsent = match &self.sender {
            Some(sender) => match sender.try_send(mark) {
                Ok(()) => return,
                Err(error) => error.into_inner(),
            },
            None => mark,
        };
        // The task is gone or hopelessly behind: out of order beats lost.
        self.log.mark(unsent);
    }
}

/// Starts the task that reads a process's output.
pub(super) fn read(
    log: Log,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
) -> (Marks, JoinHandle<()>) {
    let (sender, marks) = mpsc::channel(WAITING_MARKS);
    let reader = Reader {
        log: log.clone(),
        request_id: Arc::from(""),
        stdout: stdout.map(Pipe::new),
        stderr: stderr.map(Pipe::new),
    };
    let task = tokio::spawn(reader.run(marks));
    let marks = Marks {
        log,
        sender: Some(sender),
    };
    (marks, task)
}

struct Reader {
    log: Log,
    request_id: Arc<str>,
    stdout: Option<Pipe<ChildStdout>>,
    stderr: Option<Pipe<ChildStderr>>,
}

impl Reader {
    async fn run(mut self, mut marks: mpsc::Receiver<Mark>) {
        let mut may_be_marked = true;
        while may_be_marked || self.stdout.is_some() || self.stderr.is_some() {
            tokio::select! {
                biased;
                mark = marks.recv(), if may_be_marked => match mark {
                    Some(mark) => self.take(mark),
                    None => may_be_marked = false,
                },
                count = Pipe::read(&mut self.stdout), if self.stdout.is_some() => {
                    self.print_stdout(count);
                }
                count = Pipe::read(&mut self.stderr), if self.stderr.is_some() => {
                    self.print_stderr(count);
                }
            }
        }
    }

    fn take(&mut self, mark: Mark) {
        match &mark {
            Mark::Start { request_id } => self.request_id = Arc::clone(request_id),
            Mark::End(_) | Mark::Trouble(_) => {
                while let Some(count) = self.stdout.as_mut().and_then(Pipe::read_now) {
                    self.print_stdout(count);
                }
                while let Some(count) = self.stderr.as_mut().and_then(Pipe::read_now) {
                    self.print_stderr(count);
                }
                // A line without its end would come out in the next invocation.
                let (log, request_id) = (&self.log, &self.request_id);
                for lines in [
                    self.stdout.as_mut().map(|pipe| &mut pipe.lines),
                    self.stderr.as_mut().map(|pipe| &mut pipe.lines),
                ]
                .into_iter()
                .flatten()
                {
                    lines.finish(|line| log.print(request_id, line));
                }
            }
        }
        self.log.mark(mark);
    }

    fn print_stdout(&mut self, count: usize) {
        let (log, request_id) = (&self.log, &self.request_id);
        if let Some(pipe) = &mut self.stdout
            && !pipe.take(count, |line| log.print(request_id, line))
        {
            self.stdout = None;
        }
    }

    fn print_stderr(&mut self, count: usize) {
        let (log, request_id) = (&self.log, &self.request_id);
        if let Some(pipe) = &mut self.stderr
            && !pipe.take(count, |line| log.print(request_id, line))
        {
            self.stderr = None;
        }
    }
}

impl Log {
    /// A line of output.
    fn print(&self, request_id: &str, line: &str) {
        self.say(request_id, line);
        self.extensions.telemetry.line(self.source, line);
    }

    /// A line of Lambda's own.
    fn say(&self, request_id: &str, line: &str) {
        log_tail::line(request_id, line);
        tracing::info!(target: TARGET, function = &*self.name, request_id, "{line}");
    }

    fn mark(&self, mark: Mark) {
        self.extensions.telemetry.mark(&mark);
        let function = &*self.name;
        match mark {
            Mark::Start { request_id } => self.say(
                &request_id,
                &format!("START RequestId: {request_id} Version: $LATEST"),
            ),
            Mark::End(report) => {
                let request_id = &*report.request_id;
                if let Some(failure) = &report.failure {
                    log_tail::line(request_id, failure);
                    tracing::error!(target: TARGET, function, request_id, "{failure}");
                }
                self.say(request_id, &format!("END RequestId: {request_id}"));
                self.say(request_id, &report.line());
                log_tail::end(request_id);
            }
            Mark::Trouble(text) => tracing::error!(target: TARGET, function, "{text}"),
        }
    }
}

impl Report {
    /// The most memory in MB that the process has had, while it lives.
    pub(super) fn most_memory(&self) -> Option<u64> {
        self.process.and_then(most_memory)
    }

    fn line(&self) -> String {
        let milliseconds = |duration: Duration| duration.as_secs_f64() * 1_000.0;
        let mut line = format!(
            "REPORT RequestId: {}\tDuration: {:.2} ms\tBilled Duration: {:.0} ms\tMemory Size: {} MB",
            self.request_id,
            milliseconds(self.duration),
            milliseconds(self.duration).ceil(),
            self.memory_size,
        );
        if let Some(megabytes) = self.most_memory() {
            line.push_str(&format!("\tMax Memory Used: {megabytes} MB"));
        }
        if let Some(init) = self.init {
            line.push_str(&format!("\tInit Duration: {:.2} ms", milliseconds(init)));
        }
        if let Some(status) = self.status {
            line.push_str(&format!("\tStatus: {status}"));
        }
        line
    }
}

/// The most memory in MB that a living process has had; told by Linux alone.
fn most_memory(process: u32) -> Option<u64> {
    // Each call asks. The file has no size to be read by, and the kernel makes it anew
    // for each piece; the line stands within the first thousand bytes or so.
    let mut status = [0; 4_096];
    let mut file = std::fs::File::open(format!("/proc/{process}/status")).ok()?;
    let length = file.read(&mut status).ok()?;
    let status = String::from_utf8_lossy(&status[..length]);
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes.div_ceil(1_024))
}

/// A pipe, what was read from it last, and the line that is not at its end yet.
struct Pipe<R> {
    source: R,
    buffer: Vec<u8>,
    lines: Lines,
}

impl<R: AsyncReadExt + Unpin> Pipe<R> {
    fn new(source: R) -> Self {
        Self {
            source,
            buffer: vec![0; 8 * 1024],
            lines: Lines::default(),
        }
    }

    /// Reads into the buffer; gives how many bytes, 0 at the end.
    ///
    /// Losing the future loses nothing.
    async fn read(pipe: &mut Option<Self>) -> usize {
        match pipe {
            Some(pipe) => pipe.source.read(&mut pipe.buffer).await.unwrap_or(0),
            None => std::future::pending().await,
        }
    }

    /// The same without waiting: `None` when nothing is there.
    fn read_now(&mut self) -> Option<usize> {
        let waker = std::task::Waker::noop();
        let mut context = std::task::Context::from_waker(waker);
        let mut buffer = tokio::io::ReadBuf::new(&mut self.buffer);
        match std::pin::Pin::new(&mut self.source).poll_read(&mut context, &mut buffer) {
            std::task::Poll::Ready(Ok(())) => match buffer.filled().len() {
                0 => None,
                count => Some(count),
            },
            std::task::Poll::Ready(Err(_)) | std::task::Poll::Pending => None,
        }
    }

    /// Gives the lines among the first `count` bytes of the buffer to `print`;
    /// false at the end of the pipe.
    fn take(&mut self, count: usize, print: impl FnMut(&str)) -> bool {
        let Some(bytes) = self.buffer.get(..count) else {
            return true;
        };
        if bytes.is_empty() {
            self.lines.finish(print);
            return false;
        }
        self.lines.add(bytes, print);
        true
    }
}

/// Bytes to lines. Line feeds, carriage returns and both together end a line:
/// runtimes write tracebacks with carriage returns to keep them in one record.
#[derive(Debug, Default)]
struct Lines {
    rest: Vec<u8>,
    after_return: bool,
}

impl Lines {
    fn add(&mut self, mut bytes: &[u8], mut print: impl FnMut(&str)) {
        while !bytes.is_empty() {
            if std::mem::take(&mut self.after_return) && bytes[0] == b'\n' {
                bytes = &bytes[1..];
                continue;
            }
            let Some(end) = memchr::memchr2(b'\n', b'\r', bytes) else {
                self.keep(bytes, &mut print);
                return;
            };
            self.after_return = bytes[end] == b'\r';
            self.keep(&bytes[..end], &mut print);
            print(&String::from_utf8_lossy(&self.rest));
            self.rest.clear();
            bytes = &bytes[end + 1..];
        }
    }

    /// Keeps a piece of a line, printing what is over the longest line.
    fn keep(&mut self, mut piece: &[u8], print: &mut impl FnMut(&str)) {
        while self.rest.len() + piece.len() > LONGEST_LINE {
            let (head, tail) = piece.split_at(LONGEST_LINE - self.rest.len());
            self.rest.extend_from_slice(head);
            // A character that the cut would split goes whole into the next line.
            let cut = match std::str::from_utf8(&self.rest) {
                Err(error) if error.error_len().is_none() => error.valid_up_to(),
                _ => self.rest.len(),
            };
            let over = self.rest.split_off(cut);
            print(&String::from_utf8_lossy(&self.rest));
            self.rest = over;
            piece = tail;
        }
        self.rest.extend_from_slice(piece);
    }

    /// Prints a last line that has no end.
    fn finish(&mut self, mut print: impl FnMut(&str)) {
        if !self.rest.is_empty() {
            print(&String::from_utf8_lossy(&self.rest));
            self.rest.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pieces: &[&[u8]]) -> Vec<String> {
        let mut lines = Lines::default();
        let mut found = Vec::new();
        for piece in pieces {
            lines.add(piece, |line| found.push(line.to_owned()));
        }
        lines.finish(|line| found.push(line.to_owned()));
        found
    }

    #[test]
    fn line_feeds_and_carriage_returns_end_lines() {
        assert_eq!(
            lines(&[b"a\nb\r", b"\nc\rd\n\ne"]),
            ["a", "b", "c", "d", "", "e"]
        );
    }

    #[test]
    fn long_lines_are_cut_between_characters() {
        let text = "é".repeat(LONGEST_LINE);

        let found = lines(&[format!("x{text}\n").as_bytes()]);

        assert!(found.iter().all(|line| line.len() <= LONGEST_LINE));
        assert_eq!(found.concat(), format!("x{text}"));
    }

    #[test]
    fn a_report_reads_as_lambdas() {
        let report = Report {
            request_id: Arc::from("id"),
            duration: Duration::from_micros(1_230),
            init: Some(Duration::from_millis(45)),
            memory_size: 128,
            failure: None,
            process: None,
            status: None,
        };

        assert_eq!(
            report.line(),
            "REPORT RequestId: id\tDuration: 1.23 ms\tBilled Duration: 2 ms\tMemory Size: 128 MB\tInit Duration: 45.00 ms"
        );
    }
}
