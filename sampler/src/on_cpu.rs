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
    pub(crate) fn stacks_of(
        &self,
        runtime: &Runtime,
        observation: &Observation<'_>,
        is_goroutine: &dyn Fn(u64) -> bool,
    ) -> Vec<RawStack> {
        let samples = observation.tid.and_then(|tid| self.samples.get(&tid));
        samples
            .into_iter()
            .flatten()
            .filter_map(|sample| stack_of(runtime, observation, sample, is_goroutine))
            .collect()
    }
}

/// The stack in `sample`, if it is the observed goroutine's.
fn stack_of(
    runtime: &Runtime,
    observation: &Observation<'_>,
    sample: &CpuSample,
    is_goroutine: &dyn Fn(u64) -> bool,
) -> Option<RawStack> {
    let registers = sample.registers?;
    let thread = ThreadSample {
        pc: registers.pc,
        sp: registers.sp,
        g: registers.g,
        chain: &sample.user_chain,
        stack: &sample.stack,
    };
    let belongs = thread_stack::belongs_to(thread, observation.address, observation.g.bounds, is_goroutine);
    if belongs == Some(false) {
        return None;
    }
    let mut pcs = Vec::new();
    let doing = thread_stack::mend(&runtime.unwinder, &runtime.binary, runtime.bias, thread, &mut pcs);
    let saved = match observation.stack {
        Stack::Whole(saved) | Stack::Cut(saved) => Some(saved),
        _ => None,
    };
    match (doing, saved) {
        (Doing::Scheduler, _) => return None,
        // The goroutine's own frames are those it left behind when its thread switched stacks.
        (Doing::OnSystemStack, Some(saved)) => pcs.extend_from_slice(saved),
        // In C code, called by the goroutine: it left its frames behind when it called.
        (Doing::Partial, Some(saved)) => {
            pcs.retain(|&pc| runtime.function_at(pc).is_none());
            pcs.extend_from_slice(saved);
        }
        (Doing::Goroutine | Doing::OnSystemStack | Doing::Partial, _) => {}
    }
    let cut = doing != Doing::Goroutine && !matches!(observation.stack, Stack::Whole(_));
    Some(RawStack { kernel: sample.kernel_chain.clone(), user: pcs, exact_leaf: true, cut })
}
