//! Where the frames near the root of a goroutine's stack are.
//!
//! A goroutine's stack begins at a known place below its upper end, and a function's frame has a known size: from the
//! root on, each frame's place follows from the one before. This needs neither saved registers, which a running goroutine
//! does not have, nor frame pointers, which old versions do not keep well; and each return address on the way must be
//! the right one.

use std::collections::HashMap;

use fgspy_gobin::{Arch, Func};
use rustc_hash::FxBuildHasher;

use super::anchors::{Anchors, Framed};
use crate::unwind::StackBytes;
use crate::{Bounds, Runtime};

/// Frames from the root in which functions with a role are looked for in a running goroutine.
const MAX_DEPTH: usize = 10;
/// Return addresses that are remembered.
const MAX_KNOWN: usize = 1 << 16;

/// The frame of a function.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    /// Lowest address: the stack pointer while it calls.
    pub(super) sp: u64,
    /// Its caller's stack pointer.
    pub(super) cfa: u64,
}

impl Frame {
    /// The frame of `size` bytes below the caller's stack pointer.
    fn below(arch: Arch, cfa: u64, size: u64) -> Option<Frame> {
        // On amd64 the call itself has pushed the return address; on arm64 that is in the frame.
        let sp = cfa.checked_sub(if arch == Arch::Amd64 { size.checked_add(8)? } else { size })?;
        Some(Frame { sp, cfa })
    }

    /// The topmost frame of a goroutine's stack (`runtime/proc.go`, `newproc1`: four words are left free above, and on
    /// arm64 one for a link register, the whole aligned to 16).
    fn root(arch: Arch, bounds: Bounds, size: u64) -> Option<Frame> {
        Frame::below(arch, bounds.hi.checked_sub(if arch == Arch::Amd64 { 32 } else { 48 })?, size)
    }

    /// Where its return address is.
    fn return_slot(self, arch: Arch) -> u64 {
        if arch == Arch::Amd64 { self.cfa.wrapping_sub(8) } else { self.sp }
    }

    /// Where the called function may keep the arguments that it got in registers, in order
    /// (`cmd/compile/abi-internal.md`, "spill area"; receivers first). On arm64 the caller's lowest word is for the link
    /// register.
    pub(super) fn arguments(self, arch: Arch) -> u64 {
        if arch == Arch::Amd64 { self.cfa } else { self.cfa.wrapping_add(8) }
    }

    /// Where its variables end, from which the compiler counts down: above them is the saved frame pointer (on arm64 the
    /// place where the next function may keep its own), and on amd64 the return address (`runtime/traceback.go`, `varp`).
    pub(super) fn end_of_variables(self, arch: Arch) -> u64 {
        let end = if arch == Arch::Amd64 { self.cfa.wrapping_sub(8) } else { self.cfa };
        if end > self.sp { end.wrapping_sub(8) } else { end }
    }

    /// The words in it, from the highest address down.
    pub(super) fn words<'a>(self, stack: StackBytes<'a>) -> impl Iterator<Item = u64> + 'a {
        let words = (self.cfa.saturating_sub(self.sp) / 8).min(MAX_FRAME_WORDS);
        (1..=words).filter_map(move |i| stack.word(self.cfa - 8 * i))
    }
}

/// Words of a frame that are looked at.
const MAX_FRAME_WORDS: u64 = 128;

/// Finds frames. Remembers, by return address, their sizes and what was called.
#[derive(Debug, Default)]
pub(super) struct Frames {
    sizes: HashMap<u64, Option<u64>, FxBuildHasher>,
    targets: HashMap<u64, Option<u64>, FxBuildHasher>,
}

impl Frames {
    /// The frame size in force at the call before the return address `vaddr`.
    fn size(&mut self, runtime: &Runtime, vaddr: u64) -> Option<u64> {
        if self.sizes.len() >= MAX_KNOWN {
            self.sizes.clear();
        }
        let size = || runtime.binary.sp_delta(vaddr.wrapping_sub(1)).and_then(|delta| u64::try_from(delta).ok());
        *self.sizes.entry(vaddr).or_insert_with(size)
    }

    /// The upper end of a goroutine's stack whose start function, which makes the call before the return address `vaddr`, has
    /// its own return address at `slot`.
    pub(super) fn end_of_stack(&mut self, runtime: &Runtime, arch: Arch, vaddr: u64, slot: u64) -> Option<u64> {
        // Where the root's frame is below the end of a stack, measured at some other stack's.
        let example = Bounds { lo: 0, hi: 1 << 32 };
        let root = Frame::root(arch, example, self.size(runtime, vaddr)?)?;
        slot.checked_add(example.hi.checked_sub(root.return_slot(arch))?)
    }

    /// The function that the call before the return address `vaddr` calls by its address.
    fn target(&mut self, runtime: &Runtime, vaddr: u64) -> Option<u64> {
        if self.targets.len() >= MAX_KNOWN {
            self.targets.clear();
        }
        *self.targets.entry(vaddr).or_insert_with(|| {
            let target = runtime.binary.call_target(vaddr)?;
            runtime.binary.func_at(target).filter(|func| func.entry == target).map(|func| func.entry)
        })
    }

    /// The frames of a walked stack, from the root's on, down to the one at position `last` of `pcs`; fewer when the
    /// stack does not agree.
    pub(super) fn of_walked(
        &mut self,
        runtime: &Runtime,
        bounds: Bounds,
        stack: StackBytes<'_>,
        pcs: &[u64],
        last: usize,
    ) -> Vec<Frame> {
        let arch = runtime.binary.arch();
        let mut frames: Vec<Frame> = Vec::new();
        let Some((&bottom, callers)) = pcs.split_last() else { return frames };
        let mut returns_to = bottom;
        for &pc in callers.iter().skip(last).rev() {
            let Some(size) = self.size(runtime, pc.wrapping_sub(runtime.bias)) else { break };
            let frame = match frames.last() {
                None => Frame::root(arch, bounds, size),
                Some(caller) => Frame::below(arch, caller.sp, size),
            };
            let Some(frame) = frame.filter(|frame| stack.word(frame.return_slot(arch)) == Some(returns_to)) else {
                break;
            };
            frames.push(frame);
            returns_to = pc;
        }
        frames
    }

    /// The frames of a goroutine whose stack was not walked, from that of its start function `root` on, as far as they
    /// are of functions that are known. They are frames of calls that have been made: those nearest the leaf may have
    /// returned.
    pub(super) fn of_running(
        &mut self,
        runtime: &Runtime,
        anchors: &Anchors,
        bounds: Bounds,
        stack: StackBytes<'_>,
        root: Framed,
    ) -> Vec<(Func, Frame)> {
        let arch = runtime.binary.arch();
        let mut frames: Vec<(Func, Frame)> = Vec::new();
        let is_goexit = |pc: &u64| runtime.unwinder.special().is_goexit(pc.wrapping_sub(runtime.bias));
        let Some(first) = Frame::root(arch, bounds, root.size) else { return frames };
        if stack.word(first.return_slot(arch)).filter(is_goexit).is_none() {
            return frames;
        }
        frames.push((root.func, first));
        while let Some(&(caller, frame)) = frames.last().filter(|_| frames.len() < MAX_DEPTH) {
            let callee = anchors.framed.iter().find_map(|callee| {
                let below = Frame::below(arch, frame.sp, callee.size)?;
                let pc = stack.word(below.return_slot(arch))?.wrapping_sub(runtime.bias);
                let returns = caller.contains(pc.wrapping_sub(1)) && pc != caller.entry;
                let is_called = returns
                    && self.size(runtime, pc) == Some(frame.cfa - frame.sp - if arch == Arch::Amd64 { 8 } else { 0 })
                    && self.calls(runtime, pc, callee, below, stack, anchors);
                is_called.then_some((callee.func, below))
            });
            match callee {
                Some(callee) => frames.push(callee),
                None => break,
            }
        }
        frames
    }

    /// Whether the call that returns to `pc` is of `callee`: by its address, or else by a return address below that frame.
    fn calls(
        &mut self,
        runtime: &Runtime,
        pc: u64,
        callee: &Framed,
        frame: Frame,
        stack: StackBytes<'_>,
        anchors: &Anchors,
    ) -> bool {
        if let Some(target) = self.target(runtime, pc) {
            return target == callee.func.entry;
        }
        let arch = runtime.binary.arch();
        let below = |size| Frame::below(arch, frame.sp, size).and_then(|below| stack.word(below.return_slot(arch)));
        let mut sizes = anchors.framed.iter().map(|framed| framed.size).take(if arch == Arch::Amd64 { 1 } else { 32 });
        sizes.any(|size| {
            let pc = below(size).map(|pc| pc.wrapping_sub(runtime.bias));
            pc.is_some_and(|pc| callee.func.contains(pc.wrapping_sub(1)) && self.size(runtime, pc) == Some(callee.size))
        })
    }
}
