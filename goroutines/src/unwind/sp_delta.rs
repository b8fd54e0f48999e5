//! Unwinding by the SP deltas of the pclntab: slower than frame pointers, and right where those are not.

use fgspy_gobin::{Arch, GoBinary};

use super::{Bounds, Context, End, MAX_FRAMES, SpecialFunctions, StackBytes};

/// Bytes that an injected call leaves between its own frame and the interrupted function's (arm64 only): the spilled
/// link register and its alignment (`runtime/signal_arm64.go`, `preparePanic` and `pushCall`).
const ARM64_INJECTED_CALL_BYTES: u64 = 16;

/// Unwinds from `context`, appending program counters to `pcs`, its own first, up to and including `runtime.goexit`.
/// `exact` says that the first is the instruction being executed, not a return address.
///
/// Each function's table gives the distance from the stack pointer to its return address (amd64) or to its caller's
/// stack pointer (arm64, where the link register was spilled to `[sp]`): `runtime/symtab.go`, `funcspdelta`.
pub(super) fn walk(
    binary: &GoBinary,
    bias: u64,
    special: &SpecialFunctions,
    (context, mut exact): (Context, bool),
    bounds: Bounds,
    stack: StackBytes<'_>,
    pcs: &mut Vec<u64>,
) -> End {
    let Context { mut pc, mut sp, link, .. } = context;
    // The link register of a function that left off before it spilled it (arm64).
    let mut link_register = link;
    loop {
        if pcs.len() >= MAX_FRAMES {
            return End::TooDeep;
        }
        pcs.push(pc);
        let vaddr = pc.wrapping_sub(bias);
        let Some(function) = binary.func_at(vaddr) else { return End::Broken };
        if special.is_bottom(vaddr) {
            return End::Bottom;
        }
        // A return address may lie one past the end of the calling function's last instruction: look up the call itself.
        let lookup = if exact || vaddr == function.entry { vaddr } else { vaddr - 1 };
        let Some(delta) = binary.sp_delta(lookup).and_then(|delta| u64::try_from(delta).ok()) else {
            return End::Broken;
        };
        let step = match binary.arch() {
            Arch::Amd64 => amd64_step(sp, delta),
            Arch::Arm64 => arm64_step(sp, delta, link_register.take()),
        };
        let Some(Step { caller, sp: mut next_sp }) = step else { return End::Broken };
        pc = match caller {
            Caller::Known(pc) => pc,
            Caller::At(slot) if !bounds.holds(slot, 8) => return End::Broken,
            Caller::At(slot) => match stack.word(slot) {
                Some(pc) => pc,
                None => return End::NeedsBytes { up_to: slot + 8 },
            },
        };
        // The frame just left was injected by a signal (a fault, or a preemption): it "returns" to the interrupted
        // instruction itself.
        exact = special.is_injected(vaddr);
        if exact && binary.arch() == Arch::Arm64 {
            link_register = stack.word(next_sp);
            next_sp = next_sp.saturating_add(ARM64_INJECTED_CALL_BYTES);
        }
        // A loop that does not move is bounded by MAX_FRAMES; one that leaves the stack ends here.
        if next_sp < sp || next_sp > bounds.hi {
            return End::Broken;
        }
        sp = next_sp;
    }
}

/// Where a caller's program counter is.
enum Caller {
    Known(u64),
    At(u64),
}

/// One frame up.
struct Step {
    caller: Caller,
    sp: u64,
}

fn amd64_step(sp: u64, delta: u64) -> Option<Step> {
    let slot = sp.checked_add(delta)?;
    Some(Step { caller: Caller::At(slot), sp: slot.checked_add(8)? })
}

fn arm64_step(sp: u64, delta: u64, link_register: Option<u64>) -> Option<Step> {
    let caller = match (delta, link_register) {
        (0, Some(pc)) => Caller::Known(pc),
        _ => Caller::At(sp),
    };
    Some(Step { caller, sp: sp.checked_add(delta)? })
}
