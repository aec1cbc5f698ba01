//! A function's memory as a limit that holds: `enforceMemory`.
//!
//! `setrlimit` between fork and exec would need `unsafe` code, so a shell sets the
//! limit on itself and becomes the program. The limit is on data (`ulimit -d`),
//! which Linux counts for heap and private mappings alike: on the address space
//! (`ulimit -v`) Node.js, which reserves gigabytes that it never uses, would not start.
//! Lambda ends such a process (`signal: killed`); here its allocation fails, which
//! ends it or raises its language's error.

use std::ffi::OsString;
use std::path::PathBuf;

use super::Function;
use super::launch::Launch;

/// What interpreters need besides what a function allocates: stacks of their threads,
/// compiled code. At AWS it does not count as data all at once.
const OVERHEAD_MB: u64 = 128;

/// The limit in kilobytes; none unless the function asks for one, and where there is no such thing.
pub(super) fn memory_limit(function: &Function) -> Option<u64> {
    let settings = &function.settings;
    (settings.life.enforce_memory && cfg!(unix))
        .then(|| (u64::from(settings.memory_size) + OVERHEAD_MB) * 1024)
}

/// The program and arguments that run `launch` under a limit of `kilobytes`.
pub(super) fn limited(kilobytes: u64, launch: &Launch) -> (PathBuf, Vec<OsString>) {
    let mut arguments: Vec<OsString> = vec![
        "-c".into(),
        format!("ulimit -d {kilobytes}; exec \"$@\"").into(),
        "sh".into(),
        launch.program.clone().into(),
    ];
    arguments.extend(launch.arguments.iter().cloned());
    (PathBuf::from("/bin/sh"), arguments)
}
