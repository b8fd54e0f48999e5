//! What the kernel says about a process.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// The CPU time that the threads of a process have used so far, from `/proc/PID/task/TID/schedstat`: to the nanosecond,
/// where `/proc/PID/stat` counts hundredths of a second. Threads that have ended are not in it.
///
/// # Errors
/// When there is no such process, or the kernel has no schedstat.
pub(super) fn cpu_time(pid: u32) -> Result<Duration> {
    let tasks = format!("/proc/{pid}/task");
    let mut total = Duration::ZERO;
    for task in fs::read_dir(&tasks).with_context(|| format!("no process {pid}"))? {
        // A thread that ends meanwhile has no file any more.
        let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
        total += Duration::from_nanos(first_number(&text).with_context(|| format!("{tasks}: schedstat is {text:?}"))?);
    }
    Ok(total)
}

/// Whether all threads of a process are stopped.
///
/// # Errors
/// When there is no such process.
pub(super) fn is_stopped(pid: u32) -> Result<bool> {
    for task in fs::read_dir(format!("/proc/{pid}/task")).with_context(|| format!("no process {pid}"))? {
        let Ok(stat) = fs::read_to_string(task?.path().join("stat")) else { continue };
        // The name, in parentheses, may have anything in it.
        if !stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T')) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The CPU time of a thread of this process, as of when it was last taken off a CPU or met by the scheduler's tick.
///
/// # Errors
/// When there is no such thread, or the kernel has no schedstat.
pub(super) fn thread_time(tid: u32) -> Result<Duration> {
    let text = fs::read_to_string(format!("/proc/self/task/{tid}/schedstat")).context("no schedstat")?;
    first_number(&text).map(Duration::from_nanos).with_context(|| format!("schedstat is {text:?}"))
}

/// The CPU time that the calling thread had used when it last began to run.
///
/// # Errors
/// When the kernel has no schedstat.
pub(super) fn thread_cpu_time() -> Result<Duration> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").context("no schedstat")?;
    first_number(&text).map(Duration::from_nanos).with_context(|| format!("schedstat is {text:?}"))
}

/// The most memory that a process has had so far, in bytes: `VmHWM` in `/proc/PID/status`. `None` when it has ended.
pub(super) fn peak_memory(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    field_kib(&status, "VmHWM:").map(|kib| kib * 1024)
}

/// The memory that programs could still get, in bytes.
pub(super) fn available_memory() -> Option<u64> {
    field_kib(&fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable:").map(|kib| kib * 1024)
}

fn first_number(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}

/// A line like `VmHWM:     1234 kB`.
fn field_kib(text: &str, name: &str) -> Option<u64> {
    first_number(text.lines().find_map(|line| line.strip_prefix(name))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_fields_it_wants() {
        let status = "Name:\tx\nVmPeak:\t  900 kB\nVmHWM:\t  1234 kB\n";
        assert_eq!(field_kib(status, "VmHWM:"), Some(1234));
        assert_eq!(field_kib(status, "VmSwap:"), None);
        assert_eq!(first_number("82213465 55316944 210\n"), Some(82213465));
        assert_eq!(first_number(""), None);
    }

    #[test]
    fn this_process_uses_time_and_memory() {
        let pid = std::process::id();
        let before = cpu_time(pid).unwrap();
        let mut x = 1_u64;
        while cpu_time(pid).unwrap() < before + Duration::from_millis(5) {
            x = std::hint::black_box(x.wrapping_mul(3));
        }
        assert!(peak_memory(pid).unwrap() > 1 << 20);
        assert!(available_memory().unwrap() > 0);
    }
}
