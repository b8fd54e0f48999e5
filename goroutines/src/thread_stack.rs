//! From a kernel's sample of a thread to the stack of the goroutine it was running.
//!
//! The kernel follows frame pointers only. Three things are missing from its chain and mended here: the caller of a leaf
//! that has no frame of its own (or is in its prologue or epilogue), C and vDSO code that keeps no frame pointers, and
//! the goroutine's own frames when the thread was on its system stack.

use fgspy_gobin::GoBinary;

use crate::unwind::{MAX_FRAMES, StackBytes, Unwinder};

/// A kernel's sample of a thread in user mode, as plain words.
#[derive(Clone, Copy, Debug)]
pub struct ThreadSample<'a> {
    /// Program counter.
    pub pc: u64,
    /// Stack pointer.
    pub sp: u64,
    /// The register that holds the g in Go code.
    pub g: u64,
    /// User call chain by frame pointers, leaf first, `pc` included.
    pub chain: &'a [u64],
    /// The first bytes of the stack, from `sp` up.
    pub stack: &'a [u8],
}

/// What a thread was doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// Running a goroutine, whose stack is complete.
    Goroutine,
    /// Running a goroutine, on the thread's own stack: the chain ends in the frame that switched stacks.
    OnSystemStack,
    /// Running a goroutine, but the chain breaks off: it passes through C code, or is longer than the kernel follows.
    Partial,
    /// Running the scheduler: no goroutine's time.
    Scheduler,
    /// Handling a signal, or in a function that a signal injected. The interrupted function, or the caller of one that has
    /// no frame, is not in the chain, so the chain is of no use.
    Signal,
}

/// Mends the chain of `sample` into `pcs`, leaf first. The leaf is an exact program counter, the rest are return
/// addresses. What the thread was doing tells whether the chain is
/// the goroutine's, and whole.
pub fn mend(unwinder: &Unwinder, binary: &GoBinary, bias: u64, sample: ThreadSample<'_>, pcs: &mut Vec<u64>) -> Doing {
    pcs.clear();
    pcs.push(sample.pc);
    let callers = sample.chain.get(1..).unwrap_or(&[]);
    let caller = leaf_caller(binary, bias, sample);
    pcs.extend(caller.filter(|caller| callers.first() != Some(caller)));
    // C code keeps no frame pointers: past the first frame, what is neither Go's nor the leaf's is noise.
    pcs.extend(callers.iter().copied().filter(|pc| binary.func_at(pc.wrapping_sub(bias)).is_some()));
    pcs.truncate(MAX_FRAMES);
    classify(unwinder, bias, pcs)
}

/// The return address of the leaf function, by its SP delta: right wherever in the function the thread was.
fn leaf_caller(binary: &GoBinary, bias: u64, sample: ThreadSample<'_>) -> Option<u64> {
    let delta = u64::try_from(binary.sp_delta(sample.pc.wrapping_sub(bias))?).ok()?;
    let stack = StackBytes { start: sample.sp, bytes: sample.stack };
    let caller = stack.word(sample.sp.checked_add(delta)?)?;
    // In code that switches stacks the delta may be wrong; a return address always lies in a function.
    binary.func_at(caller.wrapping_sub(bias)).map(|_| caller)
}

fn classify(unwinder: &Unwinder, bias: u64, pcs: &[u64]) -> Doing {
    let special = unwinder.special();
    let last = pcs.last().map_or(0, |pc| pc.wrapping_sub(bias));
    let from_signal = |vaddr| special.is_signal(vaddr) || special.is_injected(vaddr);
    if pcs.iter().any(|pc| from_signal(pc.wrapping_sub(bias))) {
        Doing::Signal
    } else if pcs.iter().any(|pc| special.is_scheduler(pc.wrapping_sub(bias))) {
        Doing::Scheduler
    } else if special.is_goexit(last) {
        Doing::Goroutine
    } else if special.is_stack_switch(last) {
        Doing::OnSystemStack
    } else if special.is_bottom(last) {
        Doing::Scheduler
    } else {
        Doing::Partial
    }
}
