//! CPU time in which a thread makes a goroutine's stack larger.
//!
//! That happens on the thread's own stack, and `runtime.morestack` cuts the chain of frame pointers: such a sample has none
//! of the goroutine's frames. Which goroutine it is says the frame of `runtime.newstack`. Its frames are borrowed: from a
//! sample of the same goroutine on its own stack in the same interval, or else from the last one of any that was started
//! with the same function. Without, the function that grew would be given the time: it is the one that samples name.

use std::collections::HashMap;

use fgspy_goroutines::thread_stack::{self, Doing};
use fgspy_goroutines::{AllGs, Runtime};
use fgspy_memory::{Memory, Range, ReadError};
use fgspy_perf::CpuSample;

use crate::estimate::{RawStack, Reach};
use crate::on_cpu::{mend, thread_sample};

/// Functions that goroutines are started with, of which a stack is kept; beyond this all are forgotten.
const MAX_STARTS: usize = 1 << 10;

/// What is known of goroutines whose stacks grow.
#[derive(Debug, Default)]
pub(crate) struct Growth {
    /// A stack has grown under the kernel's eyes. Until then nothing is kept.
    has_grown: bool,
    /// By the function that goroutines were started with: where the kernel last saw one of them on its own stack.
    by_start: HashMap<u64, RawStack>,
}

/// A thread that makes the stack of a goroutine larger.
#[derive(Debug)]
pub(crate) struct Growing {
    /// The number of the goroutine's g.
    pub(crate) index: u32,
    /// Entry of the function that it was started with.
    pub(crate) start_pc: u64,
    pub(crate) stack: RawStack,
    /// The frames are the goroutine's own, of the same interval.
    pub(crate) is_own: bool,
}

impl Growth {
    /// Those among the samples of an interval.
    pub(crate) fn find<'a>(
        &mut self,
        runtime: &Runtime,
        memory: &dyn Memory,
        all: &AllGs,
        samples: impl Iterator<Item = &'a CpuSample> + Clone,
    ) -> Result<Vec<Growing>, ReadError> {
        let growing: Vec<(u32, Vec<u64>, &CpuSample)> =
            samples.clone().filter_map(|sample| grower(runtime, all, sample)).collect();
        self.has_grown |= !growing.is_empty();
        if !self.has_grown {
            return Ok(Vec::new());
        }
        let own: HashMap<u32, RawStack> = samples.filter_map(|sample| own_stack(runtime, all, sample)).collect();
        let starts = starts(runtime, memory, all, own.keys().copied().chain(growing.iter().map(|(index, ..)| *index)))?;
        if self.by_start.len() >= MAX_STARTS {
            self.by_start.clear();
        }
        for (index, stack) in &own {
            // The g may have been given to another goroutine since.
            let begins_so = |start| stack.reach == Reach::Cut || runtime.starts_at(&stack.user) == Some(start);
            if let Some(&start) = starts.get(index).filter(|start| begins_so(**start)) {
                self.by_start.insert(start, stack.clone());
            }
        }
        let borrow = |(index, mut user, sample): (u32, Vec<u64>, &CpuSample)| {
            let start_pc = *starts.get(&index)?;
            let is_own = own.contains_key(&index);
            let lender = own.get(&index).or_else(|| self.by_start.get(&start_pc))?;
            let mut frames = lender.user.iter();
            // Where it computed is now where it called: a return address is one after.
            user.extend(frames.next().map(|leaf| leaf.wrapping_add(1)));
            user.extend(frames);
            let stack = RawStack { kernel: sample.kernel_chain.clone(), user, exact_leaf: true, reach: lender.reach };
            Some(Growing { index, start_pc, stack, is_own })
        };
        Ok(growing.into_iter().filter_map(borrow).collect())
    }
}

/// The number of the g whose stack grows in `sample`, and the frames on the thread's own stack.
fn grower<'a>(runtime: &Runtime, all: &AllGs, sample: &'a CpuSample) -> Option<(u32, Vec<u64>, &'a CpuSample)> {
    let special = runtime.unwinder.special();
    let is_growth = |pc: &u64| special.is_growth(pc.wrapping_sub(runtime.bias));
    if !sample.user_chain.iter().skip(1).any(is_growth) {
        return None;
    }
    let thread = thread_sample(sample)?;
    let (doing, user) = mend(runtime, thread);
    if doing != Doing::Growing {
        return None;
    }
    let found: Vec<(u32, bool)> = thread_stack::grower(&runtime.binary, runtime.bias, thread, &user)
        .filter_map(|(word, after_pc)| Some((all.find(word)?, after_pc)))
        .collect();
    // The frame has it in several places. What an earlier call left in others may be another's.
    let is_sure = found.iter().any(|(_, after_pc)| *after_pc);
    let best: Vec<u32> = found.iter().filter(|(_, after_pc)| *after_pc == is_sure).map(|(index, _)| *index).collect();
    let only = best.first().copied().filter(|first| best.iter().all(|other| other == first));
    let count = |index: u32| found.iter().filter(|(other, _)| *other == index).count();
    let most = found.iter().map(|(index, _)| *index).find(|index| count(*index) * 3 > found.len() * 2);
    let index = most.or(only)?;
    Some((index, user, sample))
}

/// The number of the g that `sample` names, and its stack.
fn own_stack(runtime: &Runtime, all: &AllGs, sample: &CpuSample) -> Option<(u32, RawStack)> {
    let thread = thread_sample(sample)?;
    let index = all.find(thread.g)?;
    let (doing, user) = mend(runtime, thread);
    let reach = match doing {
        Doing::Goroutine => Reach::Whole,
        Doing::Partial if runtime.is_go(thread.pc) => Reach::Cut,
        _ => return None,
    };
    Some((index, RawStack { kernel: Vec::new(), user, exact_leaf: true, reach }))
}

/// By the number of a g: the entry of the function that its goroutine was started with.
fn starts(
    runtime: &Runtime,
    memory: &dyn Memory,
    all: &AllGs,
    indices: impl Iterator<Item = u32>,
) -> Result<HashMap<u32, u64>, ReadError> {
    let offset = u64::from(runtime.layout.g.startpc);
    let mut starts = HashMap::new();
    let places = indices.filter_map(|index| Some((index, all.address(index)?.wrapping_add(offset))));
    let (indices, ranges): (Vec<u32>, Vec<Range>) = places.map(|(index, addr)| (index, Range { addr, len: 8 })).unzip();
    let (mut bytes, mut got) = (Vec::new(), Vec::new());
    memory.read_ranges(&ranges, &mut bytes, &mut got)?;
    let (words, _) = bytes.as_chunks();
    for ((index, word), _) in indices.into_iter().zip(words).zip(got).filter(|(_, got)| *got == 8) {
        starts.insert(index, u64::from_le_bytes(*word));
    }
    Ok(starts)
}
