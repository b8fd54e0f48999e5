//! Which way to unwind a saved context.

use fgspy_gobin::{Arch, GoBinary};

use super::{Bounds, Context, End, SpecialFunctions, StackBytes, frame_pointer, sp_delta};

/// Unwinds the goroutines of one program.
#[derive(Clone, Debug)]
pub struct Unwinder {
    special: SpecialFunctions,
    frame_pointers_hold: bool,
}

impl Unwinder {
    /// Looks up what the unwinder must know of `binary`. `minor` is the Go version's (1.`minor`).
    ///
    /// Frame pointers were compared with the runtime's dump for 1.19 and 1.21–1.27 on amd64 and 1.21–1.27 on arm64; on
    /// the others (and on arm64 up to 1.20, where copying a stack leaves stale links) SP deltas are used throughout.
    pub fn new(binary: &GoBinary, minor: u16) -> Unwinder {
        let frame_pointers_hold = match binary.arch() {
            Arch::Amd64 => minor == 19 || minor >= 21,
            Arch::Arm64 => minor >= 21,
        };
        Unwinder { special: SpecialFunctions::find(binary), frame_pointers_hold }
    }

    /// The functions at which stacks end or change their rules.
    pub fn special(&self) -> &SpecialFunctions {
        &self.special
    }

    /// Fills `pcs` with the program counters of `context`, leaf first, ending with `runtime.goexit`'s.
    ///
    /// Frame pointers first, where they hold; SP deltas if the leaf has no frame yet, as its caller is then missing from
    /// the chain (a goroutine that was told to stop when it entered a function, or that is on its thread's own stack), if
    /// the chain passes through a frame that a signal injected, which may have interrupted a function without a frame,
    /// and if it does not end in `runtime.goexit`.
    pub fn unwind(
        &self,
        binary: &GoBinary,
        bias: u64,
        context: Context,
        bounds: Bounds,
        stack: StackBytes<'_>,
        pcs: &mut Vec<u64>,
    ) -> End {
        let fp =
            context.fp.filter(|_| self.frame_pointers_hold && self.has_frame(binary, context.pc.wrapping_sub(bias)));
        if let Some(fp) = fp {
            pcs.clear();
            pcs.push(context.pc);
            let end = frame_pointer::walk(fp, bounds, stack, pcs);
            let at_bottom = pcs.last().is_some_and(|pc| self.special.is_bottom(pc.wrapping_sub(bias)));
            let injected = pcs.iter().any(|pc| self.special.is_injected(pc.wrapping_sub(bias)));
            match end {
                End::Bottom if at_bottom && !injected => return End::Bottom,
                End::NeedsBytes { .. } | End::TooDeep if !injected => return end,
                _ => {}
            }
        }
        pcs.clear();
        sp_delta::walk(binary, bias, &self.special, (context, false), bounds, stack, pcs)
    }

    /// Fills `pcs` with the program counters of a thread in Go code, leaf first, as far as the copied part of its stack goes.
    /// The leaf is the instruction being executed. Where the chain of frame pointers ends in C code that called Go, this goes
    /// on below that.
    pub fn unwind_thread(
        &self,
        binary: &GoBinary,
        bias: u64,
        (pc, sp): (u64, u64),
        stack: StackBytes<'_>,
        pcs: &mut Vec<u64>,
    ) -> End {
        pcs.clear();
        let context = Context { pc, sp, fp: None, link: None };
        let bounds = Bounds { lo: stack.start, hi: stack.start.saturating_add(stack.bytes.len() as u64) };
        sp_delta::walk(binary, bias, &self.special, (context, true), bounds, stack, pcs)
    }

    /// Whether `context`, saved of a goroutine that runs, is the place where it left its stack for its thread's own
    /// (`systemstack`, `morestack`, `mcall`). The runtime clears such a context when the goroutine comes back
    /// (`runtime/asm_amd64.s`, `systemstack` and `gogo`), but not those saved for system calls.
    pub fn has_left_stack(&self, binary: &GoBinary, bias: u64, context: Context) -> bool {
        let vaddr = context.pc.wrapping_sub(bias);
        self.special.is_left(vaddr) || self.special.is_park(vaddr) || !self.has_frame(binary, vaddr)
    }

    /// Whether the function that made the call before `vaddr` had set up its frame.
    fn has_frame(&self, binary: &GoBinary, vaddr: u64) -> bool {
        // Where nearly every goroutine waits, in a frame; the rest is looked up.
        if self.special.is_park(vaddr) {
            return true;
        }
        let calls = binary.func_at(vaddr).is_some_and(|function| function.entry != vaddr);
        calls && binary.sp_delta(vaddr - 1).is_some_and(|delta| delta > 0)
    }
}
