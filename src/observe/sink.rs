//! Lines on their way to a file or a stream, written by a thread of their own.
//!
//! Whoever has a line puts it into a buffer and goes on; the thread takes the
//! whole buffer at once. So a slow disk costs requests nothing. The buffer is
//! bounded: what does not fit is dropped, counted, and told.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The most bytes that wait to be written.
const CAPACITY: usize = 8 * 1024 * 1024;
/// From here on the thread is woken at once.
const PLENTY: usize = 256 * 1024;
/// How long a first line waits for others, so that one write takes many.
const GATHER: Duration = Duration::from_millis(10);
/// How often drops are told at most.
const TELL_PAUSE: Duration = Duration::from_secs(1);
/// How long the end waits for a destination that takes nothing.
const END_PATIENCE: Duration = Duration::from_secs(5);

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Destination {
    /// The program's output.
    Stdout,
    /// Where the program talks.
    Stderr,
    /// The end of a file.
    File(PathBuf),
}

/// Why a destination cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to the access log {path}: {cause}")]
pub struct SinkError {
    path: String,
    #[source]
    cause: io::Error,
}

/// Takes lines for one destination.
#[derive(Debug)]
pub struct Sink {
    destination: Destination,
    name: String,
    capacity: usize,
    state: Mutex<State>,
    /// The thread waits for it.
    wake: Condvar,
    /// Whoever closes waits for it.
    ended: Condvar,
    written: AtomicU64,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    buffer: Vec<u8>,
    life: Life,
    reopen: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Life {
    /// No thread yet; lines wait.
    #[default]
    New,
    Open,
    Closing,
    Ended,
}

impl Sink {
    /// A sink that gathers lines and writes none until it is opened.
    pub fn new(destination: Destination) -> Arc<Self> {
        Self::with_capacity(destination, CAPACITY)
    }

    fn with_capacity(destination: Destination, capacity: usize) -> Arc<Self> {
        let name = match &destination {
            Destination::Stdout => "stdout".to_owned(),
            Destination::Stderr => "stderr".to_owned(),
            Destination::File(path) => path.display().to_string(),
        };
        Arc::new(Self {
            destination,
            name,
            capacity,
            state: Mutex::default(),
            wake: Condvar::new(),
            ended: Condvar::new(),
            written: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        })
    }

    /// `stdout`, or the file's path.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Lines that were written.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Lines that were lost.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Puts a line into the buffer. It must end with a line feed and have no other.
    pub fn push(&self, line: &[u8]) {
        let mut state = self.lock();
        if state.life == Life::Ended || state.buffer.len() + line.len() > self.capacity {
            drop(state);
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let before = state.buffer.len();
        state.buffer.extend_from_slice(line);
        let after = state.buffer.len();
        drop(state);
        if before == 0 || (before < PLENTY && after >= PLENTY) {
            self.wake.notify_one();
        }
    }

    /// Opens the destination and begins to write. Again is the same as once.
    ///
    /// # Errors
    ///
    /// Where the file cannot be opened.
    pub fn open(self: &Arc<Self>) -> Result<(), SinkError> {
        let mut state = self.lock();
        if state.life != Life::New {
            return Ok(());
        }
        let failed = |cause| SinkError {
            path: self.name.clone(),
            cause,
        };
        let out = self.open_destination().map_err(failed)?;
        let sink = Arc::clone(self);
        std::thread::Builder::new()
            .name("log writer".to_owned())
            .spawn(move || Writer::new(out).run(&sink))
            .map_err(failed)?;
        state.life = Life::Open;
        Ok(())
    }

    /// Opens the file anew once what waits is written: it was renamed or removed.
    pub fn reopen(&self) {
        self.lock().reopen = true;
        self.wake.notify_one();
    }

    /// Writes what waits and ends. Bounded in time.
    pub fn close(&self) {
        let mut state = self.lock();
        if state.life != Life::Open {
            return;
        }
        state.life = Life::Closing;
        self.wake.notify_one();
        let wait = self
            .ended
            .wait_timeout_while(state, END_PATIENCE, |state| state.life != Life::Ended);
        drop(wait);
    }

    fn open_destination(&self) -> io::Result<Out> {
        Ok(match &self.destination {
            Destination::Stdout => Out::Stdout,
            Destination::Stderr => Out::Stderr,
            Destination::File(path) => {
                Out::File(OpenOptions::new().create(true).append(true).open(path)?)
            }
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Out {
    Stdout,
    Stderr,
    File(File),
}

impl Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout => io::stdout().lock().write(bytes),
            Self::Stderr => io::stderr().lock().write(bytes),
            Self::File(file) => file.write(bytes),
        }
    }

    fn flush(&self) -> io::Result<()> {
        match self {
            Self::Stdout => io::stdout().lock().flush(),
            Self::Stderr | Self::File(_) => Ok(()),
        }
    }
}

/// The thread's own.
struct Writer {
    out: Out,
    /// The last write ended within a line.
    torn: bool,
    told: u64,
    told_at: Option<Instant>,
}

impl Writer {
    fn new(out: Out) -> Self {
        Self {
            out,
            torn: false,
            told: 0,
            told_at: None,
        }
    }

    fn run(mut self, sink: &Sink) {
        // Two buffers change places, so that neither grows anew while somebody waits for the lock.
        let mut batch = Vec::new();
        loop {
            let mut state = sink.lock();
            while state.buffer.is_empty() && state.life == Life::Open && !state.reopen {
                // Drops that were not told yet are told a little later, work or none.
                let wait = match sink.dropped() > self.told {
                    true => TELL_PAUSE,
                    false => Duration::from_secs(3600),
                };
                state = wait_on(&sink.wake, state, wait);
                if sink.dropped() > self.told {
                    break;
                }
            }
            if state.life == Life::Open && !state.reopen && state.buffer.len() < PLENTY {
                state = wait_on(&sink.wake, state, GATHER);
            }
            batch.clear();
            std::mem::swap(&mut batch, &mut state.buffer);
            let reopen = std::mem::take(&mut state.reopen);
            let closing = state.life == Life::Closing;
            drop(state);
            self.write(sink, &batch);
            self.tell_drops(sink, closing);
            if reopen {
                match sink.open_destination() {
                    Ok(out) => {
                        self.out = out;
                        self.torn = false;
                    }
                    Err(error) => {
                        tracing::error!(%error, file = sink.name(), "the access log cannot be reopened; the old file is kept");
                    }
                }
            }
            if closing && batch.is_empty() {
                sink.lock().life = Life::Ended;
                sink.ended.notify_all();
                return;
            }
            if batch.capacity() > 2 * PLENTY {
                // There was much once; memory is for what comes now.
                batch = Vec::new();
            }
        }
    }

    /// Writes whole lines; what cannot be written is counted as dropped.
    fn write(&mut self, sink: &Sink, batch: &[u8]) {
        if batch.is_empty() {
            return;
        }
        if self.torn && self.out.write(b"\n").is_ok_and(|written| written == 1) {
            self.torn = false;
        }
        let mut rest = batch;
        let failed = loop {
            if rest.is_empty() {
                break self.out.flush().err();
            }
            match self.out.write(rest) {
                Ok(0) => break Some(ErrorKind::WriteZero.into()),
                Ok(written) => rest = &rest[written..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    std::thread::sleep(GATHER);
                }
                Err(error) => break Some(error),
            }
        };
        let lines = |bytes: &[u8]| memchr::memchr_iter(b'\n', bytes).count() as u64;
        let lost = lines(rest);
        sink.written
            .fetch_add(lines(batch) - lost, Ordering::Relaxed);
        if let Some(error) = failed {
            self.torn |= rest.len() < batch.len() && batch[batch.len() - rest.len() - 1] != b'\n';
            sink.dropped.fetch_add(lost, Ordering::Relaxed);
            if sink.destination != Destination::Stderr && lost > 0 && self.may_tell() {
                self.told = sink.dropped();
                tracing::error!(%error, lines = lost, destination = sink.name(), "lines of the access log are lost");
            }
        }
    }

    /// Says how many lines were lost since it was last said.
    fn tell_drops(&mut self, sink: &Sink, at_once: bool) {
        let lost = sink.dropped() - self.told;
        if lost == 0 || !(at_once || self.may_tell()) {
            return;
        }
        self.told += lost;
        self.told_at = Some(Instant::now());
        if sink.destination == Destination::Stderr {
            // To log it would be to put it into the same buffer.
            let _ = writeln!(io::stderr().lock(), "tollgate: {lost} log lines were lost");
        } else {
            tracing::warn!(
                lines = lost,
                destination = sink.name(),
                "lines of the access log were lost: the destination does not keep up"
            );
        }
    }

    fn may_tell(&self) -> bool {
        self.told_at.is_none_or(|at| at.elapsed() >= TELL_PAUSE)
    }
}

fn wait_on<'s>(
    wake: &Condvar,
    state: MutexGuard<'s, State>,
    time: Duration,
) -> MutexGuard<'s, State> {
    wake.wait_timeout(state, time)
        .unwrap_or_else(PoisonError::into_inner)
        .0
}

/// All sinks of a gateway, by destination. A reload finds those that are there.
#[derive(Debug, Default)]
pub struct Sinks(Mutex<BTreeMap<Destination, Arc<Sink>>>);

impl Sinks {
    /// The sink of a destination.
    pub fn get(&self, destination: &Destination) -> Arc<Sink> {
        let mut sinks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let there = sinks.entry(destination.clone());
        Arc::clone(there.or_insert_with(|| Sink::new(destination.clone())))
    }

    /// All of them.
    pub fn all(&self) -> Vec<Arc<Sink>> {
        let sinks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sinks.values().cloned().collect()
    }

    /// Opens those that are not open yet.
    ///
    /// # Errors
    ///
    /// The first that cannot be opened.
    pub fn open(&self) -> Result<(), SinkError> {
        self.all().iter().try_for_each(Sink::open)
    }

    /// Whether one of them is a file.
    pub fn has_files(&self) -> bool {
        let is_file = |sink: &Arc<Sink>| matches!(sink.destination, Destination::File(_));
        self.all().iter().any(is_file)
    }

    /// Opens all files anew.
    pub fn reopen(&self) {
        for sink in self.all() {
            sink.reopen();
        }
    }

    /// Writes what waits and ends. Bounded in time.
    pub fn close(&self) {
        for sink in self.all() {
            sink.close();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(folder: &tempfile::TempDir) -> PathBuf {
        folder.path().join("access.log")
    }

    #[test]
    fn each_line_is_written_before_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let sink = Sink::new(Destination::File(file(&folder)));
        sink.open().unwrap();

        std::thread::scope(|scope| {
            for thread in 0..4 {
                let sink = &sink;
                scope.spawn(move || {
                    for line in 0..5_000 {
                        sink.push(format!("{thread} {line}\n").as_bytes());
                    }
                });
            }
        });
        sink.close();

        let text = std::fs::read_to_string(file(&folder)).unwrap();
        let mut lines: Vec<(u32, u32)> = text
            .lines()
            .map(|line| {
                let (thread, line) = line.split_once(' ').unwrap();
                (thread.parse().unwrap(), line.parse().unwrap())
            })
            .collect();
        lines.sort_unstable();
        lines.dedup();
        assert_eq!(lines.len(), 20_000);
        assert_eq!((sink.written(), sink.dropped()), (20_000, 0));
    }

    #[test]
    fn a_full_buffer_drops_and_counts() {
        let sink = Sink::with_capacity(Destination::Stdout, 10);

        for _ in 0..5 {
            sink.push(b"1234\n");
        }

        assert_eq!(sink.dropped(), 3);
        assert_eq!(sink.lock().buffer, b"1234\n1234\n");
    }

    #[test]
    fn a_renamed_file_is_left_for_a_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let sink = Sink::new(Destination::File(file(&folder)));
        sink.push(b"one\n");
        sink.open().unwrap();
        let old = folder.path().join("access.log.1");
        std::fs::rename(file(&folder), &old).unwrap();

        sink.reopen();
        while !file(&folder).exists() {
            std::thread::yield_now();
        }
        sink.push(b"two\n");
        sink.close();

        assert_eq!(std::fs::read_to_string(old).unwrap(), "one\n");
        assert_eq!(std::fs::read_to_string(file(&folder)).unwrap(), "two\n");
    }

    #[test]
    fn a_destination_that_takes_nothing_is_an_error_or_counted() {
        let sink = Sink::new(Destination::File("/nowhere/access.log".into()));
        let error = sink.open().unwrap_err().to_string();
        assert!(error.contains("/nowhere/access.log"), "{error}");

        if cfg!(target_os = "linux") {
            let full = Sink::new(Destination::File("/dev/full".into()));
            full.open().unwrap();
            full.push(b"lost\n");
            full.close();
            assert_eq!((full.written(), full.dropped()), (0, 1));
        }
    }
}
