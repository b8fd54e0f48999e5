//! Joins what the kernel saw of threads with what was read of goroutines.

use std::collections::HashMap;

use fastrand::Rng;
use fgspy_goroutines::thread_stack::{self, Doing, ThreadSample};
use fgspy_goroutines::{AllGs, Observation, Runtime, Stack, Status};
use fgspy_kernel::{CpuSample, Mode, OnCpu, Presence, Record, State as ThreadState, Waits};

use crate::aggregate::RawStack;

/// What the kernel recorded about the target's threads since the previous tick.
pub(crate) struct Interval {
    samples: HashMap<u32, Vec<CpuSample>>,
    whereabouts: Whereabouts,
    pub(crate) exec: bool,
    pub(crate) sample_count: u64,
}

/// What tells whether a thread is on a CPU.
enum Whereabouts {
    /// Each of its context switches.
    Switches(Presence),
    /// How much of its time it has to wait for a CPU, and whether it was sampled: right on average, with a lot drawn.
    Shares(Waits, Rng),
}

/// Samples of one thread kept of one interval: a late tick must not make the next one later still.
const MAX_SAMPLES: usize = 256;

impl Interval {
    /// Nothing yet. `rng` draws the lots that are needed where whole CPUs are sampled.
    pub(crate) fn new(on_cpu: Option<&OnCpu>, rng: Rng) -> Interval {
        let whereabouts = match on_cpu {
            Some(on_cpu) if on_cpu.coverage().mode == Mode::Cpus => {
                Whereabouts::Shares(Waits::new(on_cpu.config().pid), rng)
            }
            _ => Whereabouts::Switches(Presence::new()),
        };
        Interval { samples: HashMap::new(), whereabouts, exec: false, sample_count: 0 }
    }

    /// Takes over what was recorded since the last call.
    pub(crate) fn refill(&mut self, on_cpu: &mut OnCpu) {
        self.samples.clear();
        let Interval { samples, whereabouts, exec, sample_count } = self;
        on_cpu.drain(&mut |record| {
            if let Whereabouts::Switches(presence) = whereabouts {
                presence.observe(&record);
            }
            match record {
                Record::Sample(sample) => {
                    *sample_count += 1;
                    let of_thread = samples.entry(sample.tid).or_default();
                    if of_thread.len() < MAX_SAMPLES {
                        of_thread.push(sample);
                    }
                }
                Record::Exec { .. } => *exec = true,
                _ => {}
            }
        });
    }

    /// Forgets what happened before `time_ns`.
    pub(crate) fn forget_before(&mut self, time_ns: u64) {
        if let Whereabouts::Switches(presence) = &mut self.whereabouts {
            presence.forget_before(time_ns);
        }
    }

    /// Where the kernel had thread `tid`, whose goroutine has `status`, at `time_ns`.
    pub(crate) fn thread_state(&mut self, runtime: &Runtime, tid: u32, status: Status, time_ns: u64) -> ThreadState {
        match &mut self.whereabouts {
            Whereabouts::Switches(presence) => presence.state_at(tid, time_ns),
            // It computes in system calls for as many ticks as there are samples of that.
            Whereabouts::Shares(..) if status == Status::Syscall => {
                let computes =
                    self.samples.get(&tid).into_iter().flatten().any(|sample| is_outside_go(runtime, sample));
                if computes { ThreadState::OnCpu } else { ThreadState::Blocked }
            }
            Whereabouts::Shares(waits, rng) => match waits.share(tid) {
                // A lot, so that the sum over many ticks is right.
                Some(share) if rng.f64() < share => ThreadState::Preempted,
                Some(_) => ThreadState::OnCpu,
                None => ThreadState::Unknown,
            },
        }
    }

    /// Whether the kernel saw the thread on a CPU in this interval.
    pub(crate) fn has_seen(&self, tid: u32) -> bool {
        self.samples.contains_key(&tid)
    }

    /// The stacks that the kernel saw in this interval of goroutines that its samples name: by number, with the entry of
    /// the function that it was started with if the stack reaches back to that.
    pub(crate) fn named<'a>(
        &'a self,
        runtime: &'a Runtime,
        all: &'a AllGs,
    ) -> impl Iterator<Item = (u32, Option<u64>, RawStack)> + 'a {
        self.samples.values().flatten().filter_map(|sample| {
            let thread = thread_sample(sample)?;
            let index = all.find(thread.g)?;
            let (doing, user) = mend(runtime, thread);
            let cut = match doing {
                Doing::Goroutine => false,
                // Deeper than the kernel follows. In C code it may be anything.
                Doing::Partial => runtime.function_at(thread.pc).map(|_| true)?,
                Doing::OnSystemStack | Doing::Scheduler | Doing::Signal => return None,
            };
            let start = runtime.starts_at(&user).filter(|_| !cut);
            Some((index, start, RawStack { kernel: sample.kernel_chain.clone(), user, exact_leaf: true, cut }))
        })
    }

    /// The stacks that the kernel saw in this interval of the observed goroutine, which computes at this tick, where its
    /// samples do not name it: it was on its thread's own stack, or in C.
    pub(crate) fn unnamed(&self, runtime: &Runtime, observation: &Observation<'_>) -> Vec<RawStack> {
        let samples = observation.tid.and_then(|tid| self.samples.get(&tid));
        samples.into_iter().flatten().filter_map(|sample| stack_of(runtime, observation, sample)).collect()
    }
}

/// Whether a thread was in the kernel or in C code.
fn is_outside_go(runtime: &Runtime, sample: &CpuSample) -> bool {
    let in_go = |pc: &u64| runtime.function_at(*pc).is_some();
    !sample.kernel_chain.is_empty() || !sample.user_chain.first().is_some_and(in_go)
}

fn thread_sample(sample: &CpuSample) -> Option<ThreadSample<'_>> {
    let registers = sample.registers?;
    let (chain, stack) = (&sample.user_chain, &sample.stack);
    Some(ThreadSample { pc: registers.pc, sp: registers.sp, g: registers.g, chain, stack })
}

fn mend(runtime: &Runtime, thread: ThreadSample<'_>) -> (Doing, Vec<u64>) {
    let mut user = Vec::new();
    let doing = thread_stack::mend(&runtime.unwinder, &runtime.binary, runtime.bias, thread, &mut user);
    (doing, user)
}

/// The stack in `sample`, if it is provably the observed goroutine's.
///
/// A thread may have run several goroutines since the previous tick. On its system stack its registers do not say which;
/// then the chain must reach back to the function that this goroutine was started with, or the goroutine must be off its
/// own stack at this very tick.
fn stack_of(runtime: &Runtime, observation: &Observation<'_>, sample: &CpuSample) -> Option<RawStack> {
    let thread = thread_sample(sample)?;
    if observation.all.find(thread.g).is_some() {
        return None;
    }
    let (doing, mut user) = mend(runtime, thread);
    let saved = match observation.stack {
        Stack::Whole(saved) | Stack::Cut(saved) => Some(saved),
        _ => None,
    };
    let mut cut = matches!(observation.stack, Stack::Cut(_));
    let on_its_stack = observation.g.bounds.holds(thread.sp, 8);
    match (doing, saved) {
        (Doing::Goroutine, _) if on_its_stack || runtime.starts_at(&user) == Some(observation.g.start_pc) => {
            cut = false
        }
        // The goroutine's own frames are those it left behind when its thread switched stacks.
        (Doing::OnSystemStack, Some(saved)) => user.extend_from_slice(saved),
        // In C code, called by the goroutine: it left its frames behind when it called.
        (Doing::Partial, Some(saved)) if runtime.function_at(thread.pc).is_none() => {
            user.retain(|&pc| runtime.function_at(pc).is_none());
            user.extend_from_slice(saved);
        }
        // On its own stack, but deeper than the kernel follows.
        (Doing::Partial, _) if on_its_stack => cut = true,
        _ => return None,
    }
    Some(RawStack { kernel: sample.kernel_chain.clone(), user, exact_leaf: true, cut })
}
