//! Processes that something keeps from running.

use std::path::{Path, PathBuf};
use std::process::Command;

use fgspy_memory::{Held, Holder, Process};
use libtest_mimic::{Failed, Trial};

use crate::spawn::{Target, state, until};
use crate::{test, test_if};

/// Where Linux distributions mount the freezer, in both versions.
const V1: &[&str] = &["/sys/fs/cgroup/freezer"];
const V2: &[&str] = &["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];

pub(crate) fn tests() -> Vec<Trial> {
    let without =
        |mounts, file| parent_group(mounts, file).is_none().then_some("no cgroup of that version to make one in");
    vec![
        test("held: by a signal, and not after it", by_a_signal),
        test("held: by a tracer", by_a_tracer),
        test_if("held: by a cgroup of version 1", without(V1, "freezer.self_freezing"), by_a_cgroup_v1),
        test_if("held: by a cgroup of version 2", without(V2, "cgroup.freeze"), by_a_cgroup_v2),
    ]
}

fn by_a_signal() -> Result<(), Failed> {
    let mut target = Target::role("threads");
    target.line();
    target.say("start");
    target.line();
    let process = Process::open(target.pid())?;
    assert_eq!(process.held(), None);
    signal("STOP", target.pid());
    until("it is stopped", || process.held().is_some());
    assert_eq!(process.held(), Some(Held { pid: target.pid(), by: Holder::Signal }));
    signal("CONT", target.pid());
    until("it goes on", || process.held().is_none());
    target.say("start");
    target.line();
    Ok(())
}

fn signal(name: &str, pid: u32) {
    assert!(Command::new("kill").args([format!("-{name}"), pid.to_string()]).status().unwrap().success());
}

fn by_a_tracer() -> Result<(), Failed> {
    let mut target = Target::role("traced");
    target.line();
    let process = Process::open(target.pid())?;
    until("it is stopped", || state(target.pid()) == Some('t'));
    let by = Holder::Debugger { pid: Some(std::process::id()) };
    assert_eq!(process.held(), Some(Held { pid: target.pid(), by }));
    Ok(())
}

fn by_a_cgroup_v1() -> Result<(), Failed> {
    by_a_cgroup(V1, "freezer.self_freezing", "freezer.state", "FROZEN", "THAWED")
}

fn by_a_cgroup_v2() -> Result<(), Failed> {
    by_a_cgroup(V2, "cgroup.freeze", "cgroup.freeze", "1", "0")
}

/// Freezes the group above that of the process, so that the right one must be found.
fn by_a_cgroup(mounts: &[&str], proof: &str, file: &str, freeze: &str, thaw: &'static str) -> Result<(), Failed> {
    let mut target = Target::role("threads");
    target.line();
    let groups = Groups::new(parent_group(mounts, proof).unwrap(), target.pid());
    let process = Process::open(target.pid())?;
    assert_eq!(process.held(), None);
    let file = groups.outer.join(file);
    std::fs::write(&file, freeze)?;
    until("it is frozen", || process.held().is_some());
    assert_eq!(process.held(), Some(Held { pid: target.pid(), by: Holder::Cgroup { file: file.clone(), thaw } }));
    std::fs::write(&file, thaw)?;
    until("it is thawed", || process.held().is_none());
    drop(target);
    Ok(())
}

/// The first of `mounts` in which a group can be made that has this file.
fn parent_group(mounts: &[&str], file: &str) -> Option<PathBuf> {
    mounts.iter().map(PathBuf::from).find(|mount| {
        let probe = mount.join(format!("fgspy-probe-{}", std::process::id()));
        let has_file = std::fs::create_dir(&probe).is_ok() && probe.join(file).exists();
        let _ = std::fs::remove_dir(&probe);
        has_file
    })
}

/// Two groups, one in the other, removed when dropped.
struct Groups {
    root: PathBuf,
    outer: PathBuf,
    inner: PathBuf,
    pid: u32,
}

impl Groups {
    fn new(root: PathBuf, pid: u32) -> Groups {
        let outer = root.join(format!("fgspy-test-{pid}"));
        let inner = outer.join("inner");
        std::fs::create_dir_all(&inner).unwrap();
        let groups = Groups { root, outer, inner, pid };
        move_to(&groups.inner, pid).unwrap();
        groups
    }
}

fn move_to(group: &Path, pid: u32) -> std::io::Result<()> {
    std::fs::write(group.join("cgroup.procs"), pid.to_string())
}

impl Drop for Groups {
    fn drop(&mut self) {
        // A group that is frozen, or not empty, stays for ever.
        for (file, thaw) in [("freezer.state", "THAWED"), ("cgroup.freeze", "0")] {
            if self.outer.join(file).exists() {
                let _ = std::fs::write(self.outer.join(file), thaw);
            }
        }
        let _ = move_to(&self.root, self.pid);
        for group in [&self.inner, &self.outer] {
            let _ = std::fs::remove_dir(group);
        }
    }
}
