//! What `/proc` and `/sys` say: threads, their ids and states, CPUs, settings, our own rights.

use std::fs;
use std::str::FromStr;

/// More CPUs than Linux supports anywhere (NR_CPUS is 8,192 at most).
const MAX_CPUS: u32 = 8192;
/// The most threads Linux allows (PID_MAX_LIMIT).
const MAX_THREADS: usize = 4 << 20;

/// Thread ids of a process, as we see them. Empty when it is gone.
pub(crate) fn threads(pid: u32) -> Vec<u32> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).take(MAX_THREADS).collect()
}

/// The id of a thread in its own PID namespace. `None` when the thread is gone.
///
/// `NSpid` lists the ids from our namespace down to the innermost one (proc_pid_status(5), Linux 4.1); older kernels
/// give no such line, and the id is taken as it is.
pub(crate) fn own_tid(pid: u32, tid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/task/{tid}/status")).ok()?;
    match field(&status, "NSpid:") {
        Some(ids) => ids.split_whitespace().next_back()?.parse().ok(),
        None => Some(tid),
    }
}

/// The id that we know a thread by, of which the innermost namespace's is given. `None` when there is none.
pub(crate) fn our_tid(pid: u32, own: u32) -> Option<u32> {
    threads(pid).into_iter().find(|tid| own_tid(pid, *tid) == Some(own))
}

/// Whether a process sees the same thread ids as we do.
pub(crate) fn shares_our_pid_namespace(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    field(&status, "NSpid:").is_none_or(|ids| ids.split_whitespace().count() <= 1)
}

/// Whether a thread is running or wants to (state `R`). `None` when it is gone.
pub(crate) fn is_runnable(pid: u32, tid: u32) -> Option<bool> {
    runnable(&fs::read(format!("/proc/{pid}/task/{tid}/stat")).ok()?)
}

/// Whether the beginning of a thread's stat file says that it is running or wants to.
pub(crate) fn runnable(stat: &[u8]) -> Option<bool> {
    // The name is in brackets and may contain brackets and spaces itself: the state follows the last one.
    let end = stat.iter().rposition(|&byte| byte == b')')?;
    Some(*stat.get(end.checked_add(2)?)? == b'R')
}

/// The CPUs that are online.
pub(crate) fn online_cpus() -> Vec<u32> {
    let listed = fs::read_to_string("/sys/devices/system/cpu/online").ok().and_then(|list| cpu_list(&list));
    // Without /sys try them all: opening an event on an offline CPU fails harmlessly.
    listed.unwrap_or_else(|| (0..crate::sys::configured_cpus().min(MAX_CPUS)).collect())
}

/// Parses the kernel's list format, such as `0-3,8`.
fn cpu_list(list: &str) -> Option<Vec<u32>> {
    let mut cpus = Vec::new();
    for range in list.trim().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        if first > last || last >= MAX_CPUS {
            return None;
        }
        cpus.extend(first..=last);
    }
    Some(cpus)
}

/// A numeric setting in `/proc/sys/kernel`.
pub(crate) fn setting<T: FromStr>(name: &str) -> Option<T> {
    fs::read_to_string(format!("/proc/sys/kernel/{name}")).ok()?.trim().parse().ok()
}

/// How many descriptors this process has open.
pub(crate) fn open_descriptors() -> u64 {
    fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64)
}

/// What of `/proc/self/status` decides about perf.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rights {
    /// Effective capabilities, a bit each.
    pub(crate) capabilities: u64,
    /// A seccomp filter is in force, as in most containers.
    pub(crate) seccomp_filter: bool,
}

impl Rights {
    /// Whether a capability is effective, by its number in linux/capability.h.
    pub(crate) fn has(&self, capability: u32) -> bool {
        self.capabilities.checked_shr(capability).unwrap_or(0) & 1 == 1
    }
}

/// Our own rights.
pub(crate) fn rights() -> Rights {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let capabilities = field(&status, "CapEff:").and_then(|hex| u64::from_str_radix(hex, 16).ok()).unwrap_or(0);
    Rights { capabilities, seccomp_filter: field(&status, "Seccomp:") == Some("2") }
}

/// The value of a line `name value` of a status file.
fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_lists() {
        assert_eq!(cpu_list("0-3,8\n"), Some(vec![0, 1, 2, 3, 8]));
        assert_eq!(cpu_list("0"), Some(vec![0]));
        for wrong in ["", "3-1", "0-99999999", "a", "0-"] {
            assert_eq!(cpu_list(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn this_process_describes_itself() {
        let pid = std::process::id();
        assert!(threads(pid).contains(&pid));
        let own = fs::read_link("/proc/thread-self").expect("procfs");
        let tid: u32 = own.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok()).expect("tid");
        assert!(threads(pid).contains(&tid));
        assert_eq!(own_tid(pid, tid), Some(tid));
        assert_eq!(is_runnable(pid, tid), Some(true), "a thread that reads its own state is running");
        assert!(!online_cpus().is_empty());
    }

    #[test]
    fn a_process_that_is_gone_has_nothing() {
        assert_eq!(threads(u32::MAX), Vec::<u32>::new());
        assert_eq!(own_tid(u32::MAX, u32::MAX), None);
        assert_eq!(is_runnable(u32::MAX, u32::MAX), None);
    }
}
