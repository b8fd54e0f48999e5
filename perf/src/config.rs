//! What to sample, and what came of it.

use std::num::NonZeroU32;

/// How to sample a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Process id of the target, as this process sees it (not in the target's own PID namespace).
    pub pid: u32,
    /// Samples per second of CPU time of each thread. More than 100,000 are never had (a limit of the kernel's timer).
    pub frequency: NonZeroU32,
    /// Bytes of user stack to copy with each sample. Rounded up to a multiple of 8, at most 65,528: limits of the
    /// kernel.
    pub stack_bytes: u16,
    /// Record each time a thread is put on a CPU or taken off, for [`crate::ThreadStates`]. Costs the target about one
    /// record of 32 bytes at each of its context switches.
    pub switches: bool,
    /// Sample while threads are in the kernel too, if that is permitted. Otherwise (or if not permitted) the CPU time
    /// inside system calls yields no samples.
    pub kernel: bool,
    /// Most bytes of context switches that the ring of a CPU can hold between two drains, 32 bytes each. Lowered to a
    /// power of two of pages, and so that all rings together stay below 64 MiB and, where this process has no
    /// CAP_IPC_LOCK, within its share of locked memory (`kernel.perf_event_mlock_kb` for each CPU).
    pub ring_bytes: usize,
    /// Most events (each a file descriptor, and about 2 KiB of kernel memory) to open. A target whose threads times
    /// CPUs exceed it is sampled without inherited events, see [`Mode::PerThread`].
    pub max_events: usize,
    /// Sample whole CPUs, whatever runs there, and keep what is the target's: [`Mode::Cpus`]. Only where that is permitted
    /// and there are few CPUs; else threads are sampled.
    pub whole_cpus: bool,
}

impl Config {
    /// The defaults: 99 Hz, 256 bytes of stack, context switches, kernel frames, 1 MiB per CPU, 16,384 events; threads, not
    /// CPUs.
    pub fn new(pid: u32) -> Config {
        Config {
            pid,
            frequency: NonZeroU32::new(99).unwrap_or(NonZeroU32::MIN),
            stack_bytes: 256,
            switches: true,
            kernel: true,
            // 100,000 context switches a second on one CPU fill 6.4 MB a second.
            ring_bytes: 1 << 20,
            max_events: 16 << 10,
            whole_cpus: false,
        }
    }

    /// CPU time between two samples.
    pub(crate) fn period_ns(&self) -> u64 {
        1_000_000_000 / u64::from(self.frequency.get())
    }

    /// The stack size as the kernel wants it: a multiple of 8, less than 65,535.
    pub(crate) fn stack_size(&self) -> u32 {
        u32::from(self.stack_bytes).next_multiple_of(8).min(65_528)
    }
}

/// How the events are laid out. In the latter two there is one sampling event, with a small ring, for each thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// One sampling event for each CPU, whatever it runs, of which only the target's samples are kept. It costs the target
    /// nothing but the samples: an event of a thread must be begun and ended at each of its context switches, which took
    /// 4 µs for each switch where a switch takes 3 (Linux 6.18, a virtual machine; `cargo xtask bench switches`). Switches are not recorded;
    /// [`crate::SchedStats`] says how long threads ran and had to wait for a CPU.
    Cpus,
    /// Events for each thread and CPU, inherited by new threads, record switches, forks and exits into one ring per
    /// CPU. No switch of a new thread is missed; its sampling begins with the first drain after its start.
    Inherited,
    /// For targets whose threads times CPUs are too many: the sampling event records the switches too. The kernel
    /// cannot pass such events on to new threads (it refuses a ring for inherited events that are not bound to a CPU),
    /// so of a new thread everything before the first drain after its start is missed.
    PerThread,
}

/// What an open [`crate::OnCpu`] covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// Layout of the events.
    pub mode: Mode,
    /// Kernel code is sampled, with kernel frames.
    pub kernel: bool,
    /// Threads that have a sampling event now; none in [`Mode::Cpus`].
    pub threads: usize,
    /// Events open now.
    pub events: usize,
    /// CPUs with a ring; none in [`Mode::PerThread`].
    pub cpus: usize,
    /// Bytes of records that the ring of a CPU holds; 0 in [`Mode::PerThread`].
    pub cpu_ring_bytes: usize,
    /// Bytes of records that the ring of a thread holds (the smallest, where they differ).
    pub thread_ring_bytes: usize,
    /// Threads that could not be opened because a limit was reached. They yield no samples.
    pub left_out: usize,
    /// The target kept making threads while it was being opened, faster than they could be found: some may be missing.
    pub unsettled: bool,
}

impl Coverage {
    /// What is not covered and why, a sentence each; empty when everything asked for is covered.
    pub fn notes(&self, asked: &Config) -> Vec<String> {
        let mut notes = Vec::new();
        if asked.kernel && !self.kernel {
            notes.push(
                "kernel frames are not permitted: CPU time inside system calls is not sampled \
                 (remedy: CAP_PERFMON, or sysctl kernel.perf_event_paranoid=1)"
                    .to_owned(),
            );
        }
        if self.mode == Mode::PerThread {
            notes.push(format!(
                "threads times CPUs exceed {} events or the limit on open files: context switches of a new thread are \
                 missed until the next drain (remedy: a higher limit, ulimit -n)",
                asked.max_events
            ));
        }
        if self.left_out > 0 {
            notes.push(format!(
                "{} threads are not sampled: a limit on open files (ulimit -n), on events or on locked memory \
                 (sysctl kernel.perf_event_mlock_kb) was reached",
                self.left_out
            ));
        }
        if self.unsettled {
            notes.push("the target made threads faster than they could be opened: some may be missing".to_owned());
        }
        notes
    }
}
