//! How much CPU a process may use: its cgroups' quota, and the CPUs that it may run on.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::Process;
use crate::cgroup::{self, Mount, Version};
use crate::text::lines;

/// The most bytes of a mount table that are read.
const MAX_MOUNTS: u64 = 4 << 20;
/// The most bytes of any other file here.
const MAX_FILE: u64 = 64 << 10;
/// Threads whose CPUs are looked at: the process may use what any of them may.
const MAX_THREADS: usize = 64;
/// CPUs of a mask: more than Linux supports (NR_CPUS is 8,192 at most).
const MAX_CPUS: usize = 1 << 14;

/// How much CPU time a process may use, in CPUs: 0.2 is a fifth of one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Allowance {
    /// The least quota of the cgroups that it is in, at every level, of both versions. `None` where there is none.
    pub quota: Option<f64>,
    /// How many CPUs its threads may run on: their affinity, which the kernel keeps within the cpuset. `None` where that
    /// cannot be read.
    pub cpus: Option<usize>,
}

impl Allowance {
    /// The lesser of both. `None` if neither is known.
    pub fn least(&self) -> Option<f64> {
        let cpus = self.cpus.map(|cpus| cpus as f64);
        self.quota.into_iter().chain(cpus).reduce(f64::min)
    }
}

impl Process {
    /// How much CPU it may use now. Costs some ten reads of small files.
    ///
    /// Its groups are looked for where our own mounts show them, and, for a process in another container, where its own
    /// do. A file of a target's own making can only make the quota come out smaller or not at all.
    pub fn allowance(&self) -> Allowance {
        let threads = self.threads().unwrap_or_default();
        let masks = threads.iter().take(MAX_THREADS).filter_map(|thread| {
            let status = self.read(&format!("task/{}/status", thread.tid), MAX_FILE)?;
            cpus_allowed(&status)
        });
        let cpus = masks.reduce(union).map(|mask| mask.iter().map(|byte| byte.count_ones() as usize).sum());
        Allowance { quota: self.quota(), cpus }
    }

    fn quota(&self) -> Option<f64> {
        self.in_groups(cgroup::CPU, &cgroup::least_quota).into_iter().reduce(f64::min)
    }

    /// What `ask` finds in the groups that the process is in and that `controller` may act on.
    pub(crate) fn in_groups<T>(&self, controller: &[u8], ask: &Ask<'_, T>) -> Vec<T> {
        let groups = cgroup::groups(&self.read("cgroup", MAX_FILE).unwrap_or_default(), controller);
        let ours = File::open("/proc/self/mountinfo").ok().and_then(|file| content(file, MAX_MOUNTS));
        let ours = cgroup::mounts(&ours.unwrap_or_default(), controller);
        let theirs = cgroup::mounts(&self.read("mountinfo", MAX_MOUNTS).unwrap_or_default(), controller);
        let by_us = |path: &Path| content(File::open(path).ok()?, MAX_FILE);
        let by_them = |path: &Path| content(self.open_file(path).ok()?, MAX_FILE);
        let found = groups.iter().filter_map(|group| {
            let of = |mounts: &[Mount]| mounts.iter().find_map(|mount| cgroup::folders(group, mount));
            match of(&ours) {
                Some(folders) => ask(group.version, &folders, &by_us),
                None => ask(group.version, &of(&theirs)?, &by_them),
            }
        });
        found.collect()
    }
}

/// Finds something in the folders of a group and of those above it. Its last argument reads a file.
type Ask<'a, T> = dyn Fn(Version, &[PathBuf], &dyn Fn(&Path) -> Option<Vec<u8>>) -> Option<T> + 'a;

fn content(file: File, limit: u64) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// A bit for each CPU that the text of a `status` file allows, eight of them a byte, in no particular order of bytes but
/// always the same. (`Cpus_allowed`: words of 32 bits in hexadecimal, the last CPUs first.)
fn cpus_allowed(status: &[u8]) -> Option<Vec<u8>> {
    let mask = lines(status).find_map(|line| line.strip_prefix(b"Cpus_allowed:"))?.trim_ascii();
    let digits = mask.iter().rev().filter(|&&digit| digit != b',');
    let values: Option<Vec<u8>> = digits.map(|&digit| Some(char::from(digit).to_digit(16)? as u8)).collect();
    values.filter(|values| !values.is_empty() && values.len() * 4 <= MAX_CPUS)
}

fn union(mut one: Vec<u8>, other: Vec<u8>) -> Vec<u8> {
    one.resize(one.len().max(other.len()), 0);
    one.iter_mut().zip(other).for_each(|(one, other)| *one |= other);
    one
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_are_counted() {
        let count = |text: &[u8]| cpus_allowed(text).map(|mask| mask.iter().map(|bits| bits.count_ones()).sum::<u32>());
        assert_eq!(count(b"Name:\tx\nCpus_allowed:\t3\nCpus_allowed_list:\t0-1\n"), Some(2));
        assert_eq!(count(b"Cpus_allowed:\tff,00000000,ffffffff\n"), Some(40));
        for text in [&b""[..], b"Cpus_allowed:\t\n", b"Cpus_allowed:\tx\n"] {
            assert_eq!(count(text), None, "{text:?}");
        }
    }

    #[test]
    fn what_any_thread_may_use_counts() {
        let mask = |text: &str| cpus_allowed(format!("Cpus_allowed:\t{text}\n").as_bytes()).unwrap();
        assert_eq!(union(mask("1"), mask("10,00000001")), mask("10,00000001"));
        assert_eq!(union(mask("2"), mask("1")), mask("3"));
    }

    #[test]
    fn the_lesser_one_holds() {
        let allowance = |quota, cpus| Allowance { quota, cpus }.least();
        assert_eq!(allowance(Some(0.2), Some(2)), Some(0.2));
        assert_eq!(allowance(Some(3.0), Some(2)), Some(2.0));
        assert_eq!(allowance(None, Some(2)), Some(2.0));
        assert_eq!(allowance(None, None), None);
    }

    #[test]
    fn this_process_may_use_the_cpus_that_it_is_said_to_have() {
        let own = Process::open(std::process::id()).unwrap().allowance();
        // The standard library looks at both as well, and rounds a quota down, but to no less than one.
        let known = std::thread::available_parallelism().unwrap().get();
        assert_eq!((own.least().unwrap().floor() as usize).max(1), known, "{own:?}");
    }
}
