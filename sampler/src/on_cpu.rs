//! Joins what the kernel saw of threads with what was read of goroutines.

use std::collections::HashMap;

use fgspy_goroutines::thread_stack::{self, Doing, ThreadSample};
use fgspy_goroutines::{Observation, Runtime, Stack};
use fgspy_kernel::{CpuSample, OnCpu, Presence, Record, State as ThreadState};

use crate::aggregate::RawStack;

/// What the kernel recorded about the target's threads since the previous tick.
#[derive(Default)]
pub(crate) struct Interval {
    samples: HashMap<u32, Vec<CpuSample>>,
    presence: Presence,
    pub(crate) exec: bool,
    pub(crate) sample_count: u64,
}

/// Samples of one thread kept of one interval: a late tick must not make the next one later still.
const MAX_SAMPLES: usize = 256;

impl Interval {
    /// Takes over what was recorded since the last call.
    pub(crate) fn refill(&mut self, on_cpu: &mut OnCpu) {
        self.samples.clear();
        let Interval { samples, presence, exec, sample_count } = self;
        on_cpu.drain(&mut |record| {
            presence.observe(&record);
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
        self.presence.forget_before(time_ns);
    }

    /// Where the kernel had thread `tid` at `time_ns`.
    pub(crate) fn thread_state(&self, tid: u32, time_ns: u64) -> ThreadState {
        self.presence.state_at(tid, time_ns)
    }

    /// The stacks that the kernel saw of the observed goroutine in this interval, mended.
    pub(crate) fn stacks_of(&self, runtime: &Runtime, observation: &Observation<'_>) -> Vec<RawStack> {
        let samples = observation.tid.and_then(|tid| self.samples.get(&tid));
        samples.into_iter().flatten().filter_map(|sample| stack_of(runtime, observation, sample)).collect()
    }
}

/// The stack in `sample`, if it is provably the observed goroutine's.
///
/// A thread may have run several goroutines since the previous tick. While it runs a goroutine's own code its stack
/// pointer or its g register say which. On its system stack neither does; then the chain must reach back to the function
/// that this goroutine was started with, or the goroutine must be off its own stack at this very tick.
fn stack_of(runtime: &Runtime, observation: &Observation<'_>, sample: &CpuSample) -> Option<RawStack> {
    let registers = sample.registers?;
    let thread = ThreadSample {
        pc: registers.pc,
        sp: registers.sp,
        g: registers.g,
        chain: &sample.user_chain,
        stack: &sample.stack,
    };
    let belongs = thread_stack::belongs_to(thread, observation);
    if belongs == Some(false) {
        return None;
    }
    let belongs = belongs == Some(true);
    let mut user = Vec::new();
    let doing = thread_stack::mend(&runtime.unwinder, &runtime.binary, runtime.bias, thread, &mut user);
    let saved = match observation.stack {
        Stack::Whole(saved) | Stack::Cut(saved) => Some(saved),
        _ => None,
    };
    let mut cut = matches!(observation.stack, Stack::Cut(_));
    match (doing, saved) {
        (Doing::Goroutine, _) if belongs || runtime.starts_at(&user) == Some(observation.g.start_pc) => cut = false,
        // The goroutine's own frames are those it left behind when its thread switched stacks.
        (Doing::OnSystemStack, Some(saved)) => user.extend_from_slice(saved),
        // In C code, called by the goroutine: it left its frames behind when it called.
        (Doing::Partial, Some(saved)) if runtime.function_at(registers.pc).is_none() => {
            user.retain(|&pc| runtime.function_at(pc).is_none());
            user.extend_from_slice(saved);
        }
        // On its own stack, but deeper than the kernel follows.
        (Doing::Partial, _) if belongs => cut = true,
        _ => return None,
    }
    Some(RawStack { kernel: sample.kernel_chain.clone(), user, exact_leaf: true, cut })
}
