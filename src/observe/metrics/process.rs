//! What the system tells of the process, under the names that Prometheus's client
//! libraries give it.

use std::fmt::Error;

use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

/// Writes CPU time, and memory and files where `/proc` tells of them.
pub(super) fn write(page: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
    if let Some(seconds) = cpu_seconds() {
        let help = "CPU time of the process";
        page.encode_descriptor("process_cpu_seconds", help, None, MetricType::Counter)?
            .encode_counter::<NoLabelSet, _, u64>(&seconds, None)?;
    }
    let memory = std::fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|status| resident_bytes(&status));
    if let Some(bytes) = memory {
        let help = "Memory of the process that is in RAM";
        page.encode_descriptor(
            "process_resident_memory_bytes",
            help,
            None,
            MetricType::Gauge,
        )?
        .encode_gauge(&bytes)?;
    }
    if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
        let help = "Open files of the process, sockets too";
        #[expect(clippy::cast_precision_loss, reason = "a count of files is small")]
        page.encode_descriptor("process_open_fds", help, None, MetricType::Gauge)?
            .encode_gauge(&(files.count() as f64))?;
    }
    Ok(())
}

#[cfg(unix)]
#[expect(
    clippy::cast_precision_loss,
    reason = "seconds since the start are small"
)]
fn cpu_seconds() -> Option<f64> {
    use nix::sys::resource::{UsageWho, getrusage};

    let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
    let (user, system) = (usage.user_time(), usage.system_time());
    let whole = user.tv_sec() + system.tv_sec();
    let micros = user.tv_usec() + system.tv_usec();
    Some(whole as f64 + micros as f64 / 1e6)
}

#[cfg(not(unix))]
fn cpu_seconds() -> Option<f64> {
    None
}

/// `VmRSS:     12345 kB`.
fn resident_bytes(status: &str) -> Option<f64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_from_the_status() {
        let status = "Name:\tx\nVmRSS:\t   12 kB\nThreads:\t1\n";

        assert_eq!(resident_bytes(status), Some(12_288.0));
        assert_eq!(resident_bytes("Name:\tx\n"), None);
    }
}
