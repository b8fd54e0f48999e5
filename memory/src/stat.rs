//! `/proc/PID/stat`: what a task is doing (proc_pid_stat(5)).

use std::time::Duration;

use crate::text::{number, words};

/// What the kernel's scheduler says a task is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TaskState {
    /// `R`: on a CPU, or waiting for one. [`SchedTimes`](crate::SchedTimes) can tell these apart over an interval.
    Running,
    /// `S`: sleeps until woken: blocked in a system call, or parked.
    Sleeping,
    /// `D`: sleeps and cannot be interrupted: usually disk or network file system.
    DiskSleep,
    /// `T` or `t`: stopped by a signal or by a debugger.
    Stopped,
    /// `Z` or `X`: has exited.
    Dead,
    /// Any other letter (`I` idle kernel thread, `P` parked, letters of kernels to come).
    Other(u8),
}

impl TaskState {
    fn from_letter(letter: u8) -> Self {
        match letter {
            b'R' => TaskState::Running,
            b'S' => TaskState::Sleeping,
            b'D' => TaskState::DiskSleep,
            b'T' | b't' => TaskState::Stopped,
            b'Z' | b'X' | b'x' => TaskState::Dead,
            other => TaskState::Other(other),
        }
    }
}

/// What we use of a `stat` file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) state: TaskState,
    /// It belongs to the kernel and has no memory of its own.
    pub(crate) kernel_thread: bool,
    /// The CPU time of all its threads, of those too that have ended, in clock ticks.
    pub(crate) cpu_ticks: u64,
    /// When it started, in clock ticks since boot.
    pub(crate) start_ticks: u64,
}

/// `PF_KTHREAD` in the kernel's `include/linux/sched.h`, since 2.6.27.
const PF_KTHREAD: u64 = 0x0020_0000;

impl Stat {
    /// `None` when the text is not that of a `stat` file.
    pub(crate) fn parse(text: &[u8]) -> Option<Stat> {
        // The program's name, in parentheses, may hold anything, blanks and parentheses too; nothing after it does.
        let name_end = text.iter().rposition(|&b| b == b')')?;
        let mut fields = words(text.get(name_end + 1..)?);
        let &[letter] = fields.next()? else { return None };
        // proc_pid_stat(5) numbers the fields from 1; the state is the third.
        let flags = number(fields.nth(9 - 4)?, 10)?;
        let (user, system) = (number(fields.nth(14 - 10)?, 10)?, number(fields.next()?, 10)?);
        let start_ticks = number(fields.nth(22 - 16)?, 10)?;
        Some(Stat {
            state: TaskState::from_letter(letter),
            kernel_thread: flags & PF_KTHREAD != 0,
            cpu_ticks: user.saturating_add(system),
            start_ticks,
        })
    }

    /// The start as time since boot.
    pub(crate) fn start_time(&self) -> Duration {
        time_of(self.start_ticks)
    }

    /// The CPU time of all its threads, to a clock tick (10 ms).
    pub(crate) fn cpu_time(&self) -> Duration {
        time_of(self.cpu_ticks)
    }
}

fn time_of(ticks: u64) -> Duration {
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    Duration::from_secs(ticks / per_second)
        + Duration::from_secs(ticks % per_second) / u32::try_from(per_second).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"42 (a) S (b)) D 1 42 42 0 -1 4194560 120 0 0 0 3 4 0 0 20 0 1 0 12345 9 9 9 9\n";

    #[test]
    fn a_name_may_look_like_fields() {
        let stat = Stat::parse(TEXT).unwrap();
        assert_eq!(stat, Stat { state: TaskState::DiskSleep, kernel_thread: false, cpu_ticks: 7, start_ticks: 12345 });
    }

    #[test]
    fn knows_kernel_threads() {
        let text = b"2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 7 0\n";
        assert!(Stat::parse(text).unwrap().kernel_thread);
    }

    #[test]
    fn refuses_other_text() {
        for text in [&b""[..], b"1 (x) S 1 2 3", b"1 (x) SS 1 42 42 0 -1 0 1 0 0 0 3 4 0 0 20 0 1 0 5 9", b")"] {
            assert_eq!(Stat::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn ticks_are_time() {
        let stat = Stat { state: TaskState::Running, kernel_thread: false, cpu_ticks: 7, start_ticks: 12345 };
        assert_eq!(stat.start_time(), Duration::from_millis(123_450)); // 100 ticks a second wherever Go runs
        assert_eq!(stat.cpu_time(), Duration::from_millis(70));
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            Stat::parse(&text);
        }

        #[test]
        fn never_panics_on_damage(at in 0..TEXT.len(), with: u8) {
            let mut text = TEXT.to_vec();
            text[at] = with;
            Stat::parse(&text);
        }
    }
}
