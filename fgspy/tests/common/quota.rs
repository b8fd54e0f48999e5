//! A control group with a CPU quota, made for a test.

use std::fs;
use std::path::{Path, PathBuf};

/// A group with a quota, and one in it without. Both are gone when this is dropped and nobody is in them.
pub(crate) struct Quota {
    outer: PathBuf,
    inner: PathBuf,
}

impl Quota {
    /// A group whose processes may use this part of a CPU, in steps of 100 ms. Why not, where none can be made.
    pub(crate) fn new(cpus: f64) -> Result<Quota, String> {
        let (root, files) = hierarchy().ok_or("there is no hierarchy with the CPU controller")?;
        let outer = root.join(format!("fgspy-test-{}", std::process::id()));
        let quota = Quota { inner: outer.join("inner"), outer };
        let period = 100_000;
        let limit = (f64::from(period) * cpus) as u32;
        let make = || {
            fs::create_dir(&quota.outer)?;
            match files {
                Files::V1 => {
                    fs::write(quota.outer.join("cpu.cfs_period_us"), period.to_string())?;
                    fs::write(quota.outer.join("cpu.cfs_quota_us"), limit.to_string())?;
                }
                Files::V2 => fs::write(quota.outer.join("cpu.max"), format!("{limit} {period}"))?,
            }
            fs::create_dir(&quota.inner)
        };
        make().map_err(|error: std::io::Error| format!("no control group can be made: {error}"))?;
        Ok(quota)
    }

    /// Puts a process into the inner group.
    pub(crate) fn take(&self, pid: u32) {
        fs::write(self.inner.join("cgroup.procs"), pid.to_string()).unwrap();
    }
}

impl Drop for Quota {
    fn drop(&mut self) {
        let gone = || Ok(!self.inner.exists() || fs::remove_dir(&self.inner).is_ok());
        // Those who are in it were ended just now.
        let _ = fgspy_fixtures::wait_until("the group is empty", gone);
        let _ = fs::remove_dir(&self.outer);
    }
}

enum Files {
    V1,
    V2,
}

/// Where the CPU controller is mounted.
fn hierarchy() -> Option<(PathBuf, Files)> {
    for v1 in ["/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu,cpuacct"] {
        if Path::new(v1).join("cgroup.procs").exists() {
            return Some((v1.into(), Files::V1));
        }
    }
    let v2 = Path::new("/sys/fs/cgroup");
    let children_have_it = fs::read_to_string(v2.join("cgroup.subtree_control")).ok()?;
    children_have_it.split_whitespace().any(|name| name == "cpu").then(|| (v2.to_owned(), Files::V2))
}
