//! What threads did with their time, by the scheduler's own account: no event in the target, and no privilege.

use std::collections::hash_map::Entry;
use std::fs::File;
use std::os::unix::fs::FileExt;

use rustc_hash::FxHashMap;

use crate::{monotonic_ns, proc};

/// Threads whose account is kept open; beyond this all are forgotten, and opened again when asked about.
const MAX_THREADS: usize = 256;

/// Bytes of a stat file that are read: the state comes after the name, which has at most 15 bytes.
const MAX_STAT: usize = 64;

/// Reads the scheduler's accounts of the threads of a process.
#[derive(Debug)]
pub struct SchedStats {
    pid: u32,
    same_namespace: bool,
    threads: FxHashMap<u32, Thread>,
}

/// What a thread did since its account was last read; at the first reading, since the thread began.
///
/// The scheduler brings the time on a CPU up to date at each of its own ticks, of which there are at least 100 a second
/// (CONFIG_HZ), and the wait for a CPU when it is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SchedDelta {
    /// Nanoseconds on a CPU.
    pub ran_ns: u64,
    /// Nanoseconds of waiting for a CPU: preempted, throttled by a cgroup, or woken and not yet run.
    pub waited_ns: u64,
    /// Nanoseconds since a reading found progress: 0 if this one did.
    pub still_ns: u64,
    /// This is the first reading.
    pub is_first: bool,
}

#[derive(Debug)]
struct Thread {
    file: File,
    /// `/proc/PID/task/TID/stat`.
    stat: File,
    /// The last account in which there was progress, and when that was seen.
    last: Account,
    last_ns: u64,
}

/// Nanoseconds since the thread began (`/proc/PID/task/TID/schedstat`, Documentation/scheduler/sched-stats.rst).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Account {
    ran_ns: u64,
    waited_ns: u64,
}

impl SchedStats {
    /// Of process `pid`, as we see it.
    pub fn new(pid: u32) -> SchedStats {
        SchedStats { pid, same_namespace: proc::shares_our_pid_namespace(pid), threads: FxHashMap::default() }
    }

    /// What thread `tid` (as the target sees it) did since this was last asked. `None` when the thread is gone, or has no
    /// account because the kernel keeps none (CONFIG_SCHED_INFO).
    pub fn progress(&mut self, tid: u32) -> Option<SchedDelta> {
        let progress = self.thread(tid)?.progress();
        if progress.is_none() {
            // Gone: its number may be another's one day.
            self.threads.remove(&tid);
        }
        progress
    }

    /// Whether thread `tid` (as the target sees it) sleeps now: it waits for something other than a CPU. `None` when it
    /// is gone.
    pub fn is_asleep(&mut self, tid: u32) -> Option<bool> {
        let mut text = [0; MAX_STAT];
        let len = self.thread(tid)?.stat.read_at(&mut text, 0).ok()?;
        proc::runnable(text.get(..len)?).map(|runnable| !runnable)
    }

    fn thread(&mut self, tid: u32) -> Option<&mut Thread> {
        if self.threads.len() >= MAX_THREADS {
            self.threads.clear();
        }
        match self.threads.entry(tid) {
            Entry::Occupied(entry) => Some(entry.into_mut()),
            Entry::Vacant(entry) => {
                let tid_here = if self.same_namespace { tid } else { proc::our_tid(self.pid, tid)? };
                Some(entry.insert(Thread::open(self.pid, tid_here)?))
            }
        }
    }
}

impl Thread {
    fn open(pid: u32, tid: u32) -> Option<Thread> {
        let open = |name| File::open(format!("/proc/{pid}/task/{tid}/{name}")).ok();
        let (file, stat) = (open("schedstat")?, open("stat")?);
        Some(Thread { file, stat, last: Account::default(), last_ns: 0 })
    }

    fn progress(&mut self) -> Option<SchedDelta> {
        let (now, now_ns) = (read(&self.file)?, monotonic_ns());
        let is_first = self.last_ns == 0;
        if now == self.last && !is_first {
            return Some(SchedDelta { still_ns: now_ns.saturating_sub(self.last_ns), ..SchedDelta::default() });
        }
        let last = std::mem::replace(&mut self.last, now);
        self.last_ns = now_ns;
        Some(SchedDelta {
            ran_ns: now.ran_ns.saturating_sub(last.ran_ns),
            waited_ns: now.waited_ns.saturating_sub(last.waited_ns),
            still_ns: 0,
            is_first,
        })
    }
}

fn read(file: &File) -> Option<Account> {
    let mut text = [0; 64];
    let len = file.read_at(&mut text, 0).ok()?;
    let mut numbers = text.get(..len)?.split(|byte| !byte.is_ascii_digit());
    let mut next = || std::str::from_utf8(numbers.next()?).ok()?.parse().ok();
    Some(Account { ran_ns: next()?, waited_ns: next()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_computes_makes_progress_and_one_that_is_gone_has_no_account() {
        let mut accounts = SchedStats::new(std::process::id());
        let own = std::fs::read_link("/proc/thread-self").expect("procfs");
        let tid = own.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok()).expect("tid");
        let first = accounts.progress(tid).expect("it is there");
        assert!(first.is_first, "{first:?}");
        let mut later = (0..u64::MAX).map(|_| accounts.progress(tid).expect("it is there"));
        let progress = later.find(|progress| progress.ran_ns > 0).expect("the account is brought up to date some time");
        assert!(!progress.is_first && progress.still_ns == 0, "{progress:?}");
        assert_eq!(accounts.is_asleep(tid), Some(false));
        assert_eq!((accounts.progress(u32::MAX), accounts.is_asleep(u32::MAX)), (None, None));
    }
}
