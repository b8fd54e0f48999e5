//! What the kernel says about itself and about us.

use std::fs;
use std::path::Path;

use crate::terminal::numbers::count;

/// The inode number of the PID namespace that the machine booted with (`PROC_PID_INIT_INO` in the kernel's
/// `include/linux/proc_ns.h`).
const FIRST_PID_NAMESPACE: &str = "pid:[4026531836]";

/// `Linux 6.1.0-18-amd64, amd64, 8 CPUs`
pub(super) fn kernel() -> String {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let release = match release.trim() {
        "" => "of unknown release",
        release => release,
    };
    format!("Linux {release}, {arch}, {}", count(cpus(), "CPU"))
}

/// CPUs that we may run on.
pub(super) fn cpus() -> u64 {
    std::thread::available_parallelism().map_or(1, |cpus| cpus.get() as u64)
}

/// Our effective user id.
pub(super) fn user() -> Option<u32> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix("Uid:"))?.split_whitespace().nth(1)?.parse().ok()
}

/// `kernel.yama.ptrace_scope`; `None` where Yama is not built in.
pub(super) fn yama_scope() -> Option<u8> {
    fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").ok()?.trim().parse().ok()
}

/// The most files that we may open, by the hard limit.
pub(super) fn max_files() -> Option<u64> {
    hard_limit_of_files(&fs::read_to_string("/proc/self/limits").ok()?)
}

fn hard_limit_of_files(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_whitespace().nth(1)? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

/// What shows that we are in a container, if we are; the PID namespace says for sure.
pub(super) fn container() -> Option<&'static str> {
    let namespace = fs::read_link("/proc/self/ns/pid").ok()?;
    if namespace == Path::new(FIRST_PID_NAMESPACE) {
        return None;
    }
    Some(match () {
        () if std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() => "a container of Kubernetes",
        () if Path::new("/.dockerenv").exists() => "a Docker container",
        () if Path::new("/run/.containerenv").exists() => "a Podman container",
        () => "a container (a PID namespace of its own)",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hard_limit_counts() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
            Max processes             96365                96366                processes \n\
            Max open files            1024                 20000                files     \n";
        assert_eq!(hard_limit_of_files(limits), Some(20000));
        let limits = "Max open files            1024                 unlimited            files     \n";
        assert_eq!(hard_limit_of_files(limits), Some(u64::MAX));
        assert_eq!(hard_limit_of_files(""), None);
    }

    #[test]
    fn this_machine() {
        assert!(kernel().starts_with("Linux ") && kernel().contains("CPU"), "{}", kernel());
        assert!(user().is_some());
        assert!(max_files().is_some_and(|files| files > 0));
    }
}
