//! Which way to unwind a saved context.

use fgspy_gobin::{Arch, GoBinary};

use super::sp_delta::{self, Start};
use super::{Bounds, End, SpecialFunctions, StackBytes, frame_pointer};

/// A saved context of a goroutine that is not running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    /// Program counter: a return address, or the entry of a function that has not started yet.
    pub pc: u64,
    /// Stack pointer.
    pub sp: u64,
    /// Frame pointer; `None` where the runtime saves none that belongs to `pc`.
    pub fp: Option<u64>,
}

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
    /// Frame pointers first, where they hold; if the chain does not end in `runtime.goexit`, or passes through a frame
    /// that a signal injected (whose interrupted function may be frameless, so that its caller is missing from the
    /// chain), SP deltas.
    pub fn unwind(
        &self,
        binary: &GoBinary,
        bias: u64,
        context: Context,
        bounds: Bounds,
        stack: StackBytes<'_>,
        pcs: &mut Vec<u64>,
    ) -> End {
        if let (true, Some(fp)) = (self.frame_pointers_hold, context.fp) {
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
        let start = Start { pc: context.pc, sp: context.sp, exact: false };
        sp_delta::walk(binary, bias, &self.special, start, bounds, stack, pcs)
    }
}
