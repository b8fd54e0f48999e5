//! Joins what the kernel saw of threads with what was read of goroutines.

use std::collections::HashMap;

use fastrand::Rng;
use fgspy_goroutines::request::SampledStack;
use fgspy_goroutines::thread_stack::{self, Doing, ThreadSample};
use fgspy_goroutines::{AllGs, Observation, Runtime, Stack, StackBytes, Status};
use fgspy_memory::{Memory, ReadError};
use fgspy_perf::{CpuSample, OnCpu, Record, ThreadState};

use crate::estimate::{RawStack, Reach};
use crate::on_cpu::{Growing, Growth, Whereabouts};

/// What the kernel recorded about the target's threads since the previous tick.
pub(crate) struct Interval {
    samples: HashMap<u32, Vec<CpuSample>>,
    growth: Growth,
    whereabouts: Whereabouts,
    pub(crate) exec: bool,
    pub(crate) sample_count: u64,
}

/// Samples of one thread kept of one interval: a late tick must not make the next one later still.
const MAX_SAMPLES: usize = 256;

impl Interval {
    /// Nothing yet. `rng` decides at random where the kernel does not say of a moment who is on a CPU.
    pub(crate) fn new(on_cpu: Option<&OnCpu>, rng: Rng) -> Interval {
        Interval {
            samples: HashMap::new(),
            growth: Growth::default(),
            whereabouts: Whereabouts::new(on_cpu, rng),
            exec: false,
            sample_count: 0,
        }
    }

    /// Takes over what was recorded since the last call.
    pub(crate) fn refill(&mut self, on_cpu: &mut OnCpu) {
        self.samples.clear();
        let Interval { samples, whereabouts, exec, sample_count, .. } = self;
        on_cpu.drain(&mut |record| {
            whereabouts.observe(&record);
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

    /// Whether there has been any sample.
    pub(crate) fn is_sampled(&self) -> bool {
        self.sample_count > 0
    }

    /// Forgets what happened before `time_ns`.
    pub(crate) fn forget_before(&mut self, time_ns: u64) {
        self.whereabouts.forget_before(time_ns);
    }

    /// Where the kernel had thread `tid`, whose goroutine has `status`, at `time_ns`; `stands_for_ns` is what this sight of
    /// it stands for.
    pub(crate) fn thread_state(
        &mut self,
        runtime: &Runtime,
        tid: u32,
        status: Status,
        time_ns: u64,
        stands_for_ns: f64,
    ) -> ThreadState {
        let samples = self.samples.get(&tid).into_iter().flatten();
        let is_in_call = status == Status::Syscall;
        let mut was_outside_go = is_in_call.then_some(samples).into_iter().flatten();
        let has_called = was_outside_go.any(|sample| is_outside_go(runtime, sample));
        self.whereabouts.thread_state(tid, (is_in_call, has_called), time_ns, stands_for_ns)
    }

    /// What the kernel saw in this interval of goroutines that its samples name, in the order of their threads. To be asked
    /// for once.
    pub(crate) fn named(&mut self, runtime: &Runtime, all: &AllGs) -> Vec<Named> {
        let mut named: Vec<Named> = self.samples.values_mut().flatten().filter_map(|s| name(runtime, all, s)).collect();
        named.sort_unstable_by_key(|sample| sample.time_ns);
        named
    }

    /// The threads that the kernel saw in this interval making a goroutine's stack larger.
    pub(crate) fn growing(
        &mut self,
        runtime: &Runtime,
        memory: &dyn Memory,
        all: &AllGs,
    ) -> Result<Vec<Growing>, ReadError> {
        self.growth.find(runtime, memory, all, self.samples.values().flatten())
    }

    /// The stacks that the kernel saw in this interval of the observed goroutine, which computes at this tick, where its
    /// samples do not name it: it was on its thread's own stack, or in C. With each, whether the goroutine's own frames in it
    /// are those that it left behind when it left its stack.
    pub(crate) fn unnamed(&self, runtime: &Runtime, observation: &Observation<'_>) -> Vec<(RawStack, bool)> {
        let samples = observation.tid.and_then(|tid| self.samples.get(&tid));
        samples.into_iter().flatten().filter_map(|sample| stack_of(runtime, observation, sample)).collect()
    }
}

/// A kernel's sample of a thread that ran a goroutine on that one's stack.
#[derive(Debug)]
pub(crate) struct Named {
    /// The number of its g.
    pub(crate) index: u32,
    /// Entry of the function that it was started with, if the stack reaches back to that.
    pub(crate) start_pc: Option<u64>,
    pub(crate) stack: RawStack,
    /// When, in nanoseconds of the kernel's clock.
    pub(crate) time_ns: u64,
    /// The frames are that goroutine's own; else those of another that was started with the same function.
    pub(crate) is_own: bool,
    sp: u64,
    /// Its stack's first bytes, from `sp` up; none if it was on its thread's stack.
    copied: Vec<u8>,
}

impl From<Growing> for Named {
    fn from(Growing { index, start_pc, stack, is_own }: Growing) -> Named {
        // Whether it is of this interval's beginning or end makes no difference to what is known of it at both.
        Named { index, start_pc: Some(start_pc), stack, time_ns: u64::MAX, is_own, sp: 0, copied: Vec::new() }
    }
}

impl Named {
    /// What may lead to its request; `None` if not all of its frames are known.
    pub(crate) fn sampled_stack(&self) -> Option<SampledStack<'_>> {
        let stack = StackBytes { start: self.sp, bytes: &self.copied };
        (self.stack.reach == Reach::Whole && !self.copied.is_empty()).then_some(SampledStack {
            index: self.index,
            pcs: &self.stack.user,
            stack,
        })
    }
}

/// The sample, if its registers name a goroutine that it ran. Takes the copied stack, which nobody else needs then.
fn name(runtime: &Runtime, all: &AllGs, sample: &mut CpuSample) -> Option<Named> {
    let thread = thread_sample(sample)?;
    let (index, sp) = (all.find(thread.g)?, thread.sp);
    let (doing, user) = mend(runtime, thread);
    let reach = match doing {
        Doing::Goroutine => Reach::Whole,
        // Deeper than the kernel follows. In C code it may be anything.
        Doing::Partial => runtime.is_go(thread.pc).then_some(Reach::Cut)?,
        Doing::OnSystemStack | Doing::Growing | Doing::Scheduler | Doing::Signal => return None,
    };
    let start_pc = runtime.starts_at(&user).filter(|_| reach == Reach::Whole);
    let stack = RawStack { kernel: sample.kernel_chain.clone(), user, exact_leaf: true, reach };
    let time_ns = sample.time_ns;
    Some(Named { index, start_pc, stack, time_ns, is_own: true, sp, copied: std::mem::take(&mut sample.stack) })
}

/// Whether a thread was in the kernel or in C code.
fn is_outside_go(runtime: &Runtime, sample: &CpuSample) -> bool {
    let in_go = |pc: &u64| runtime.is_go(*pc);
    !sample.kernel_chain.is_empty() || !sample.user_chain.first().is_some_and(in_go)
}

pub(crate) fn thread_sample(sample: &CpuSample) -> Option<ThreadSample<'_>> {
    let registers = sample.registers?;
    let (chain, stack) = (&sample.user_chain, &sample.stack);
    Some(ThreadSample { pc: registers.pc, sp: registers.sp, g: registers.g, chain, stack })
}

pub(crate) fn mend(runtime: &Runtime, thread: ThreadSample<'_>) -> (Doing, Vec<u64>) {
    let mut user = Vec::new();
    let doing = thread_stack::mend(&runtime.unwinder, &runtime.binary, runtime.bias, thread, &mut user);
    (doing, user)
}

/// The stack in `sample`, if it is provably the observed goroutine's.
///
/// A thread may have run several goroutines since the previous tick. On its system stack its registers do not say which;
/// then the chain must reach back to the function that this goroutine was started with, or the goroutine must be off its
/// own stack at this very tick.
fn stack_of(runtime: &Runtime, observation: &Observation<'_>, sample: &CpuSample) -> Option<(RawStack, bool)> {
    let thread = thread_sample(sample)?;
    // C code may keep the register as Go left it.
    let is_in_go = runtime.is_go(thread.pc);
    match observation.all.find(thread.g) {
        Some(index) if is_in_go || index != observation.index => return None,
        _ => {}
    }
    let (doing, mut user) = mend(runtime, thread);
    if observation.all.find(thread.g).is_some() && doing == Doing::Goroutine {
        // That is among the stacks of goroutines that samples name.
        return None;
    }
    let saved = match observation.stack {
        Stack::Whole(saved) | Stack::Cut(saved) => Some(saved),
        _ => None,
    };
    let mut reach = if matches!(observation.stack, Stack::Cut(_)) { Reach::Cut } else { Reach::Whole };
    let on_its_stack = observation.g.bounds.holds(thread.sp, 8);
    let mut is_saved = false;
    match (doing, saved) {
        (Doing::Goroutine, _) if on_its_stack || runtime.starts_at(&user) == Some(observation.g.start_pc) => {
            reach = Reach::Whole
        }
        // The goroutine's own frames are those it left behind when its thread switched stacks.
        (Doing::OnSystemStack, Some(saved)) => {
            user.extend_from_slice(saved);
            is_saved = true;
        }
        // In C code, called by the goroutine: it left its frames behind when it called.
        (Doing::Partial, Some(saved)) if !is_in_go => {
            user.retain(|&pc| !runtime.is_go(pc));
            user.extend_from_slice(saved);
            is_saved = true;
        }
        // On its own stack, but deeper than the kernel follows.
        (Doing::Partial, _) if on_its_stack => reach = Reach::Cut,
        _ => return None,
    }
    Some((RawStack { kernel: sample.kernel_chain.clone(), user, exact_leaf: true, reach }, is_saved))
}
