//! Where the target's threads are: on a CPU, waiting for one, or asleep.

use std::collections::HashMap;

use fastrand::Rng;
use fgspy_perf::{Mode, OnCpu, Record, SchedStats, ThreadState, ThreadStates};

use crate::on_cpu::{Ledger, Place, Sight};

/// Tells where threads are.
pub(crate) enum Whereabouts {
    /// Nothing is known of threads.
    Unknown,
    /// From each of their context switches; the rest from how long they ran and waited. A thread that was woken and has
    /// not run yet looks blocked (under a quota for a tenth of a second).
    Switches(ThreadStates, Box<Ledgers>),
    /// From how long they ran and waited: right on average.
    Ledgers(Box<Ledgers>),
}

/// How long threads ran and waited.
pub(crate) struct Ledgers {
    accounts: SchedStats,
    rng: Rng,
    ledgers: HashMap<u32, Ledger>,
    /// By thread in a call (a system call or C): at how many ticks to ask whether it sleeps.
    callers: HashMap<u32, u8>,
}

/// Threads that are kept; beyond this all are forgotten.
const MAX_THREADS: usize = 1 << 16;

/// At how many ticks a thread in a call is asked about after it was found to compute there. Most that are in a call sleep,
/// which costs nothing until the kernel's samples say otherwise.
const ASK: u8 = 16;

impl Whereabouts {
    /// Nothing is known yet. `rng` decides at random where the kernel does not say of a moment who is on a CPU.
    pub(crate) fn new(on_cpu: Option<&OnCpu>, rng: Rng) -> Whereabouts {
        let Some(on_cpu) = on_cpu else { return Whereabouts::Unknown };
        let accounts = SchedStats::new(on_cpu.config().pid);
        let ledgers = Box::new(Ledgers { accounts, rng, ledgers: HashMap::new(), callers: HashMap::new() });
        match on_cpu.coverage().mode {
            Mode::Cpus => Whereabouts::Ledgers(ledgers),
            Mode::Inherited | Mode::PerThread => Whereabouts::Switches(ThreadStates::new(), ledgers),
        }
    }

    /// Takes a record of the kernel into account.
    pub(crate) fn observe(&mut self, record: &Record) {
        if let Whereabouts::Switches(presence, _) = self {
            presence.observe(record);
        }
    }

    /// Forgets what happened before `time_ns`.
    pub(crate) fn forget_before(&mut self, time_ns: u64) {
        if let Whereabouts::Switches(presence, _) = self {
            presence.forget_before(time_ns);
        }
    }

    /// Where thread `tid` was at `time_ns`, which has a goroutine: in a call (a system call or C), or running it. `has_called`
    /// says that the kernel sampled it in a call since the tick before. A sight of it stands for so much time.
    pub(crate) fn thread_state(
        &mut self,
        tid: u32,
        (is_in_call, has_called): (bool, bool),
        time_ns: u64,
        stands_for_ns: f64,
    ) -> ThreadState {
        match self {
            Whereabouts::Unknown => ThreadState::Unknown,
            Whereabouts::Switches(presence, ledgers) => match presence.state_at(tid, time_ns) {
                ThreadState::Blocked if is_in_call => ThreadState::Blocked,
                ThreadState::Gone => ThreadState::Gone,
                state @ (ThreadState::OnCpu | ThreadState::Preempted) => {
                    ledgers.charge(tid, stands_for_ns, state == ThreadState::OnCpu);
                    state
                }
                ThreadState::Blocked | ThreadState::Unknown => ledgers.state(tid, is_in_call, stands_for_ns),
            },
            Whereabouts::Ledgers(ledgers) if !is_in_call => ledgers.state(tid, is_in_call, stands_for_ns),
            Whereabouts::Ledgers(ledgers) => match ledgers.may_compute(tid, has_called) {
                true => ledgers.state(tid, is_in_call, stands_for_ns),
                false => ThreadState::Blocked,
            },
        }
    }
}

impl Ledgers {
    /// Whether a thread in a call may compute there.
    fn may_compute(&mut self, tid: u32, has_called: bool) -> bool {
        if self.callers.len() >= MAX_THREADS {
            self.callers.clear();
        }
        // One that was not seen before is asked about once.
        let asks = self.callers.entry(tid).or_insert(1);
        if has_called {
            *asks = ASK;
        }
        let Some(left) = asks.checked_sub(1) else { return false };
        *asks = if self.accounts.is_asleep(tid) == Some(false) { ASK } else { left };
        true
    }

    /// Where a thread is.
    fn state(&mut self, tid: u32, is_in_call: bool, stands_for_ns: f64) -> ThreadState {
        let Some(still_ns) = self.enter(tid, stands_for_ns) else { return ThreadState::Unknown };
        let sight = Sight { is_asleep: self.accounts.is_asleep(tid) == Some(true), is_in_call };
        let ledger = self.ledgers.entry(tid).or_default();
        match ledger.place(stands_for_ns, still_ns, &mut self.rng, sight) {
            Place::OnCpu => ThreadState::OnCpu,
            Place::Asleep if is_in_call => ThreadState::Blocked,
            Place::Ready | Place::Asleep => ThreadState::Preempted,
        }
    }

    /// Takes out of a thread's ledger what is known without it.
    fn charge(&mut self, tid: u32, stands_for_ns: f64, is_on_cpu: bool) {
        if self.enter(tid, stands_for_ns).is_some() {
            self.ledgers.entry(tid).or_default().charge(stands_for_ns, is_on_cpu);
        }
    }

    /// Enters what a thread did since the last time. For how long it has made no progress; `None` if its account is not known.
    fn enter(&mut self, tid: u32, stands_for_ns: f64) -> Option<u64> {
        let progress = self.accounts.progress(tid)?;
        if self.ledgers.len() >= MAX_THREADS {
            self.ledgers.clear();
        }
        self.ledgers.entry(tid).or_default().enter(progress, stands_for_ns);
        Some(progress.still_ns)
    }
}
