//! How long threads wait for a CPU, by the scheduler's own account: no event in the target, and no privilege.

use std::fs::File;
use std::os::unix::fs::FileExt;

use rustc_hash::FxHashMap;

use crate::{monotonic_ns, proc};

/// Threads whose account is kept open; beyond this all are forgotten, and opened again when asked about.
const MAX_THREADS: usize = 1024;

/// How old the account of a running thread may be: the scheduler brings it up to date at each of its own ticks, of which
/// there are at least 100 a second (CONFIG_HZ).
const STALE_NS: u64 = 15_000_000;

/// Tells of the threads of a process how much of their time they had to wait for a CPU.
#[derive(Debug)]
pub struct Waits {
    pid: u32,
    same_namespace: bool,
    /// `None` for a thread that has no account.
    threads: FxHashMap<u32, Option<Thread>>,
}

#[derive(Debug)]
struct Thread {
    file: File,
    /// The last account in which there was progress, and when that was seen.
    last: Account,
    last_ns: u64,
    /// What was answered then.
    share: Option<f64>,
}

/// Nanoseconds since the thread began: on a CPU, and waiting for one (`/proc/PID/task/TID/schedstat`,
/// Documentation/scheduler/sched-stats.rst). The wait that is going on is not in it yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Account {
    ran_ns: u64,
    waited_ns: u64,
}

impl Waits {
    /// Of process `pid`, as we see it.
    pub fn new(pid: u32) -> Waits {
        Waits { pid, same_namespace: proc::shares_our_pid_namespace(pid), threads: FxHashMap::default() }
    }

    /// Of the time in which thread `tid` (as the target sees it) wanted to run, since this was last asked: the share in
    /// which it did not, between 0 and 1. `None` when it is asked for the first time, or the thread is gone.
    ///
    /// A thread that wants to run and makes no progress for longer than 15 ms is still waiting.
    pub fn share(&mut self, tid: u32) -> Option<f64> {
        if self.threads.len() >= MAX_THREADS {
            self.threads.clear();
        }
        let (pid, same) = (self.pid, self.same_namespace);
        match self.threads.get_mut(&tid) {
            None => {
                let tid_here = if same { Some(tid) } else { proc::our_tid(pid, tid) };
                self.threads.insert(tid, tid_here.and_then(|tid| Thread::open(pid, tid)));
                None
            }
            Some(thread) => {
                let share = thread.as_mut().and_then(Thread::share);
                if share.is_none() {
                    // Gone: its number may be another's one day.
                    self.threads.remove(&tid);
                }
                share.flatten()
            }
        }
    }
}

impl Thread {
    fn open(pid: u32, tid: u32) -> Option<Thread> {
        let file = File::open(format!("/proc/{pid}/task/{tid}/schedstat")).ok()?;
        let last = read(&file)?;
        Some(Thread { file, last, last_ns: monotonic_ns(), share: None })
    }

    fn share(&mut self) -> Option<Option<f64>> {
        let (now, now_ns) = (read(&self.file)?, monotonic_ns());
        if now == self.last {
            let is_waiting = now_ns.saturating_sub(self.last_ns) > STALE_NS;
            return Some(if is_waiting { Some(1.0) } else { self.share });
        }
        let last = std::mem::replace(&mut self.last, now);
        self.last_ns = now_ns;
        let ran = now.ran_ns.saturating_sub(last.ran_ns) as f64;
        let waited = now.waited_ns.saturating_sub(last.waited_ns) as f64;
        self.share = Some(if ran + waited > 0.0 { waited / (ran + waited) } else { 0.0 });
        Some(self.share)
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
    fn a_thread_that_runs_alone_waits_little_and_one_that_is_gone_not_at_all() {
        let mut waits = Waits::new(std::process::id());
        let own = std::fs::read_link("/proc/thread-self").expect("procfs");
        let tid = own.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok()).expect("tid");
        assert_eq!(waits.share(tid), None, "there is nothing to compare with yet");
        let share = (0..u64::MAX).find_map(|_| waits.share(tid)).expect("the account is brought up to date some time");
        assert!((0.0..1.0).contains(&share), "{share}");
        assert_eq!((waits.share(u32::MAX), waits.share(u32::MAX)), (None, None));
    }
}
