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
    /// Making a goroutine's stack larger, on the thread's own: the chain ends in `runtime.morestack`. What is below it in
    /// the kernel's chain is not the goroutine's (Go 1.21 to 1.24: how the thread began), or lacks frames (before).
    Growing,
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
    if let Some(end) = growth(unwinder, bias, pcs) {
        pcs.truncate(end);
    }
    let doing = classify(unwinder, bias, pcs);
    if doing != Doing::Partial || binary.func_at(sample.pc.wrapping_sub(bias)).is_none() {
        return doing;
    }
    // Go called by C that keeps no frame pointers: what is below is on the same stack, if enough of it was copied.
    let stack = StackBytes { start: sample.sp, bytes: sample.stack };
    let mut whole = Vec::new();
    unwinder.unwind_thread(binary, bias, (sample.pc, sample.sp), stack, &mut whole);
    match classify(unwinder, bias, &whole) {
        Doing::Goroutine => {
            *pcs = whole;
            Doing::Goroutine
        }
        _ => doing,
    }
}

/// How many frames of a chain there are up to `runtime.morestack`, that included; `None` if it is not passed on the way
/// from a goroutine's stack to the thread's own.
fn growth(unwinder: &Unwinder, bias: u64, pcs: &[u64]) -> Option<usize> {
    let vaddr = |pc: &u64| pc.wrapping_sub(bias);
    let special = unwinder.special();
    // The leaf may be it, still on the goroutine's stack.
    let index = pcs.iter().skip(1).position(|pc| special.is_growth(vaddr(pc)))? + 1;
    Some(index + 1)
}

/// The words that `runtime.newstack` holds in its frame, of a thread that is [`Doing::Growing`] with the mended chain `pcs`,
/// and whether each comes after the address of Go code. The g whose stack grows is among them, and comes so in the copy of
/// `m.morebuf` (`runtime/stack.go`; `gobuf`: stack pointer, program counter, g), where the compiler kept that. None where
/// that part of the stack was not copied.
pub fn grower<'a>(
    binary: &'a GoBinary,
    bias: u64,
    sample: ThreadSample<'a>,
    pcs: &[u64],
) -> impl Iterator<Item = (u64, bool)> + use<'a> {
    let frame = || {
        let [.., within, above] = pcs else { return None };
        // A return address may lie one past the end of its function.
        let vaddr = within.wrapping_sub(bias).wrapping_sub(u64::from(pcs.len() > 2));
        let size = usize::try_from(binary.sp_delta(vaddr)?).ok()?;
        let (words, _) = sample.stack.as_chunks();
        let end = words.iter().position(|word| u64::from_le_bytes(*word) == *above)?;
        words.get(end.checked_sub(size / 8)?..end)
    };
    let mut after_pc = false;
    frame().unwrap_or(&[]).iter().map(move |word| {
        let word = u64::from_le_bytes(*word);
        let is_pc = binary.func_at(word.wrapping_sub(bias)).is_some();
        (word, std::mem::replace(&mut after_pc, is_pc))
    })
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
    } else if pcs.len() > 1 && special.is_growth(last) {
        Doing::Growing
    } else if special.is_stack_switch(last) {
        Doing::OnSystemStack
    } else if special.is_bottom(last) {
        Doing::Scheduler
    } else {
        Doing::Partial
    }
}
