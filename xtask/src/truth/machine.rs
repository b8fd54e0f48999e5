//! Where and with what something was measured.

use std::fs;
use std::process::Command;

use crate::workspace;

/// A sentence about the machine and the versions.
pub(super) fn describe(go_version: &str) -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let cpu = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown CPU");
    format!(
        "{} ({} CPUs), Linux {}, {go_version}, fgspy {} at {}",
        cpu.trim_start_matches(['\t', ' ', ':']),
        std::thread::available_parallelism().map_or(0, usize::from),
        read("/proc/sys/kernel/osrelease").trim(),
        env!("CARGO_PKG_VERSION"),
        git(&["describe", "--always", "--dirty"]).unwrap_or_else(|| "an unknown commit".to_owned()),
    )
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").current_dir(workspace::root()).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
