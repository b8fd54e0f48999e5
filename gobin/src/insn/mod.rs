//! Machine code, reduced to what the runtime's address and offset patterns are made of.
//!
//! Both architectures decode to the same few operations, so that a pattern is written once. Everything else is
//! [`Op::Other`]. Code is untrusted: any bytes decode to something, nothing here can fail or panic.

mod amd64;
mod arm64;

use std::borrow::Cow;

use crate::Arch;

/// The longest piece of code that is looked at, in bytes. The functions of interest have 50 to 1500.
const MAX_CODE: usize = 8192;

/// The longest function that is searched for jumps, in bytes. One of 8 KiB takes some 50 µs, and few are longer than 64 KiB.
const MAX_JUMPING: usize = 64 << 10;

/// A general-purpose register: the processor's own number (0 to 15 on amd64, 0 to 31 on arm64).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reg(pub(crate) u8);

/// The registers that have a fixed role in Go code.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Roles {
    /// The current goroutine (`R14`, `R28`).
    pub(crate) g: Reg,
    /// The stack pointer.
    pub(crate) sp: Reg,
    /// The frame pointer.
    pub(crate) fp: Reg,
    /// The return address, where it is in a register.
    pub(crate) link: Option<Reg>,
}

/// `Roles` of an architecture (`cmd/compile/abi-internal.md`).
pub(crate) fn roles(arch: Arch) -> Roles {
    match arch {
        Arch::Amd64 => Roles { g: Reg(14), sp: Reg(4), fp: Reg(5), link: None },
        Arch::Arm64 => Roles { g: Reg(28), sp: arm64::SP, fp: Reg(29), link: Some(Reg(30)) },
    }
}

/// Where an operand lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// At a known address (relative to the program counter).
    Absolute(u64),
    /// At a distance from a register.
    Based(Reg, i64),
    /// In thread-local storage: for Go code, the current goroutine.
    Thread,
    /// Anywhere else: indexed, segmented.
    Elsewhere,
}

/// What an instruction does, if it matters here. Sizes are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    /// `to = [from]`
    Load { to: Reg, from: Place, size: u8 },
    /// `[to] = from`; `None` stores a constant.
    Store { from: Option<Reg>, to: Place, size: u8 },
    /// `to = &of`: load of an address, addition of a constant, copy of a register.
    Address { to: Reg, of: Place },
    /// Compares the low `size` bytes of a register with a constant.
    CompareImmediate { reg: Reg, size: u8, value: u64 },
    /// Compares memory with a register.
    CompareMemory { with: Place, size: u8 },
    /// Atomic compare-and-swap, or the exclusive load that begins one.
    Swap { at: Place, size: u8 },
    /// A jump, call or return; `unsigned_less` when it tests exactly `<` or `>=` of unsigned numbers.
    Branch { unsigned_less: bool },
    /// Does nothing (alignment, or what is left of an inlined call).
    Nop,
    /// Something else.
    Other,
}

/// The operations of a piece of code, in order of address, without those that do nothing.
///
/// `vaddr` is the address of its first byte in the file's own address space.
pub(crate) fn decode(arch: Arch, code: &[u8], vaddr: u64) -> Vec<Op> {
    let code = code.get(..MAX_CODE).unwrap_or(code);
    let mut ops = match arch {
        Arch::Amd64 => amd64::decode(code, vaddr),
        Arch::Arm64 => arm64::decode(code, vaddr),
    };
    ops.retain(|op| *op != Op::Nop);
    ops
}

/// What the direct call calls that ends at `end`; `read` gives code. On amd64 the end of another instruction may look like
/// such a call: ask for what is known to follow a call, and see that the target is a function.
pub(crate) fn call_target<'a>(arch: Arch, end: u64, read: impl Fn(u64, usize) -> Option<Cow<'a, [u8]>>) -> Option<u64> {
    match arch {
        // `call rel32`.
        Arch::Amd64 => {
            let code = read(end.checked_sub(5)?, 5)?;
            let [0xe8, distance @ ..] = code.as_ref() else { return None };
            let distance = i32::from_le_bytes(distance.try_into().ok()?);
            Some(end.wrapping_add_signed(distance.into()))
        }
        // `bl`: 26 bits, counting instructions.
        Arch::Arm64 => {
            let at = end.checked_sub(4)?;
            let code = u32::from_le_bytes(read(at, 4)?.as_ref().try_into().ok()?);
            let distance = i64::from((code << 6) as i32 >> 4);
            (code >> 26 == 0b10_0101).then(|| at.wrapping_add_signed(distance))
        }
    }
}

/// Whether an indirect call ends at `end`: one whose target is in a register or in memory. On amd64 the end of another
/// instruction may look like one: see [`call_target`].
pub(crate) fn is_indirect_call<'a>(arch: Arch, end: u64, read: impl Fn(u64, usize) -> Option<Cow<'a, [u8]>>) -> bool {
    let before = |len: usize| read(end.checked_sub(len as u64)?, len);
    match arch {
        Arch::Amd64 => (2..=amd64::LONGEST_CALL).filter_map(before).any(|code| amd64::is_indirect_call(&code)),
        Arch::Arm64 => before(4).is_some_and(|code| arm64::is_indirect_call(&code)),
    }
}

/// A jump: the address of its instruction, and where it goes if that is fixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Jump {
    pub(crate) at: u64,
    pub(crate) target: Option<u64>,
}

/// The jumps in a piece of code, conditional ones too, in order of address. Calls and returns are not among them. `None`
/// when the code is longer than what is looked at.
pub(crate) fn jumps(arch: Arch, code: &[u8], vaddr: u64) -> Option<Vec<Jump>> {
    if code.len() > MAX_JUMPING {
        return None;
    }
    Some(match arch {
        Arch::Amd64 => amd64::jumps(code, vaddr),
        Arch::Arm64 => arm64::jumps(code, vaddr),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_decode(code in proptest::collection::vec(any::<u8>(), 0..600), vaddr in any::<u64>()) {
            for arch in [Arch::Amd64, Arch::Arm64] {
                prop_assert!(decode(arch, &code, vaddr).len() <= code.len());
                prop_assert!(jumps(arch, &code, vaddr).is_some_and(|jumps| jumps.len() <= code.len()));
                is_indirect_call(arch, vaddr, |_, len| code.get(..len).map(Cow::Borrowed));
            }
        }
    }

    #[test]
    fn calls_lead_to_their_targets() {
        let target = |arch, code: &'static [u8]| {
            call_target(arch, 0x1000 + code.len() as u64, move |at, len| {
                let start = (at as usize).checked_sub(0x1000)?;
                code.get(start..start + len).map(Cow::Borrowed)
            })
        };
        // call +0x10; call -0x10; call rax
        assert_eq!(target(Arch::Amd64, &[0xe8, 0x10, 0, 0, 0]), Some(0x1015));
        assert_eq!(target(Arch::Amd64, &[0x90, 0xe8, 0xf0, 0xff, 0xff, 0xff]), Some(0xff6));
        assert_eq!(target(Arch::Amd64, &[0x90, 0x90, 0x90, 0xff, 0xd0]), None);
        assert_eq!(target(Arch::Amd64, &[0xe8, 0x10]), None);
        // bl .+8; bl .-4; blr x1
        assert_eq!(target(Arch::Arm64, &[0x02, 0, 0, 0x94]), Some(0x1008));
        assert_eq!(target(Arch::Arm64, &[0xff, 0xff, 0xff, 0x97]), Some(0xffc));
        assert_eq!(target(Arch::Arm64, &[0x20, 0, 0x3f, 0xd6]), None);
    }

    #[test]
    fn indirect_calls_are_told_from_other_instructions() {
        let is_indirect = |arch, code: &'static [u8]| {
            is_indirect_call(arch, 0x1000 + code.len() as u64, move |at, len| {
                let start = (at as usize).checked_sub(0x1000)?;
                code.get(start..start + len).map(Cow::Borrowed)
            })
        };
        let amd64 = [
            // call rax; call r12; call [rdx]; call [rax+24]; call [rip+0x1234]; call [r12+0x100]; call [rsp+8]
            (true, &[0x90, 0xff, 0xd0][..]),
            (true, &[0x41, 0xff, 0xd4]),
            (true, &[0xff, 0x12]),
            (true, &[0xff, 0x50, 0x18]),
            (true, &[0xff, 0x15, 0x34, 0x12, 0, 0]),
            (true, &[0x41, 0xff, 0x94, 0x24, 0, 1, 0, 0]),
            (true, &[0xff, 0x54, 0x24, 8]),
            // jmp rax; push rax; call rel32; nothing at all
            (false, &[0x90, 0xff, 0xe0]),
            (false, &[0x90, 0x90, 0x50]),
            (false, &[0xe8, 0x10, 0, 0, 0]),
            (false, &[]),
        ];
        for (expected, code) in amd64 {
            assert_eq!(is_indirect(Arch::Amd64, code), expected, "{code:x?}");
        }
        // blr x1; blr x27; br x1; bl .+8; ret
        assert!(is_indirect(Arch::Arm64, &[0x20, 0, 0x3f, 0xd6]) && is_indirect(Arch::Arm64, &[0x60, 3, 0x3f, 0xd6]));
        assert!(!is_indirect(Arch::Arm64, &[0x20, 0, 0x1f, 0xd6]) && !is_indirect(Arch::Arm64, &[2, 0, 0, 0x94]));
        assert!(!is_indirect(Arch::Arm64, &[0xc0, 3, 0x5f, 0xd6]));
    }

    #[test]
    fn jumps_are_found_with_their_targets() {
        let to = |at, target| Jump { at, target: Some(target) };
        // call .+5; jmp .+0x105; jb .+2; jmp rdx; jmp [rax+8]; ret
        let code = [0xe8, 0, 0, 0, 0, 0xe9, 0, 1, 0, 0, 0x72, 0, 0xff, 0xe2, 0xff, 0x60, 8, 0xc3];
        let anywhere = |at| Jump { at, target: None };
        let expected = [to(0x1005, 0x110a), to(0x100a, 0x100c), anywhere(0x100c), anywhere(0x100e)];
        assert_eq!(jumps(Arch::Amd64, &code, 0x1000).unwrap(), expected);
        // bl .; b .+8; b.lo .-4; cbz x0, .+16; tbnz w3, #1, .-8; br x27; blr x1; ret
        let code = [0x94000000u32, 0x14000002, 0x54ffffe3, 0xb4000080, 0x370fffc3, 0xd61f0360, 0xd63f0020, 0xd65f03c0];
        let code: Vec<u8> = code.iter().flat_map(|word| word.to_le_bytes()).collect();
        let expected =
            [to(0x1004, 0x100c), to(0x1008, 0x1004), to(0x100c, 0x101c), to(0x1010, 0x1008), anywhere(0x1014)];
        assert_eq!(jumps(Arch::Arm64, &code, 0x1000).unwrap(), expected);
        assert_eq!(jumps(Arch::Amd64, &vec![0x90; MAX_JUMPING + 1], 0x1000), None);
    }

    #[test]
    fn long_code_is_cut() {
        assert!(decode(Arch::Amd64, &vec![0xc3; 10 * MAX_CODE], 0).len() <= MAX_CODE);
    }
}
