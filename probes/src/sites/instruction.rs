//! The cheapest instruction of a function that every call of it passes.

use iced_x86::{
    ConditionCode, Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess,
    Register,
};

/// The most code of a function that is looked at, in bytes.
const PROLOGUE: usize = 128;
/// Where a goroutine has the limit of its stack (`g.stackguard0`), in all versions.
const STACK_GUARD: u64 = 16;

/// An instruction that was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) vaddr: u64,
    pub(super) mnemonic: Mnemonic,
    pub(super) emulated: bool,
    pub(super) may_repeat: bool,
}

/// The first instruction that is emulated, on the way that all calls take, with `registers` and R14 as they were at the
/// function's entry. The check of the stack's size is on that way, but some calls pass it twice: it is taken only if there
/// is no other. If none is emulated, the very first. `None` when there is no code at all.
pub(super) fn choose(code: &[u8], entry: u64, registers: &[Register]) -> Option<Place> {
    let code = code.get(..PROLOGUE).unwrap_or(code);
    let mut decoder = Decoder::with_ip(64, code, entry, DecoderOptions::NONE);
    let mut info = InstructionInfoFactory::new();
    let mut previous = Instruction::default();
    let (mut first, mut check) = (None, None);
    while decoder.can_decode() {
        let at = decoder.position();
        let insn = decoder.decode();
        if insn.is_invalid() {
            break;
        }
        let place = |emulated, may_repeat| Place { vaddr: insn.ip(), mnemonic: insn.mnemonic(), emulated, may_repeat };
        first = first.or(Some(place(false, false)));
        if code.get(at..decoder.position()).is_some_and(is_emulated) {
            if !checks_stack(&previous, &insn) {
                return Some(place(true, false));
            }
            check = check.or(Some(place(true, true)));
        } else if insn.flow_control() != FlowControl::Next || changes_for_others(&insn) {
            break;
        }
        let overwritten = info.info(&insn).used_registers().iter().any(|used| {
            let register = used.register().full_register();
            !matches!(used.access(), OpAccess::Read | OpAccess::CondRead | OpAccess::NoMemAccess | OpAccess::None)
                && (register == Register::R14 || registers.contains(&register))
        });
        if overwritten {
            break;
        }
        previous = insn;
    }
    check.or(first)
}

/// Whether the kernel emulates the instruction, from 6.6 on, the first that fgspy can trace with: `push_setup_xol_ops` and
/// `branch_setup_xol_ops`. With other prefixes they are stepped through or refused. From 6.16 on longer no-operations
/// (`0f 1f`) are emulated as well; they are left out, since which kernel it will be is not known here.
fn is_emulated(code: &[u8]) -> bool {
    match code {
        // push of a general register, the higher ones with REX.B and no more
        [0x50..=0x57] | [0x41, 0x50..=0x57] => true,
        // nop
        [0x90] | [0x66, 0x90] => true,
        // jmp, call, jcc to a distance of 8 or 32 bits
        [0xeb | 0x70..=0x7f, _] | [0xe8 | 0xe9, _, _, _, _] | [0x0f, 0x80..=0x8f, _, _, _, _] => true,
        _ => false,
    }
}

/// Whether `insn` is the jump that calls `morestack` (`cmd/internal/obj/x86`, `stacksplit`): with the stack pointer, or what it
/// will be, not above the limit; where frames are huge also if that would be below zero.
fn checks_stack(previous: &Instruction, insn: &Instruction) -> bool {
    match insn.condition_code() {
        ConditionCode::be => {
            previous.mnemonic() == Mnemonic::Cmp
                && previous.memory_base() == Register::R14
                && previous.memory_index() == Register::None
                && previous.memory_displacement64() == STACK_GUARD
        }
        ConditionCode::b => previous.mnemonic() == Mnemonic::Sub && previous.op0_register() == Register::R12,
        _ => false,
    }
}

/// An atomic operation: what it does, others see. A probe comes before.
fn changes_for_others(insn: &Instruction) -> bool {
    insn.has_lock_prefix() || insn.mnemonic() == Mnemonic::Xchg
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Where in the code, whether emulated, and whether it may repeat.
    fn chosen(code: &[u8], registers: &[Register]) -> (u64, bool, bool) {
        let place = choose(code, 0x1000, registers).unwrap();
        (place.vaddr - 0x1000, place.emulated, place.may_repeat)
    }

    /// cmp rsp, [r14+16]; jbe +32
    const CHECK: [u8; 6] = [0x49, 0x3b, 0x66, 0x10, 0x76, 0x20];

    fn after_check(code: &[u8]) -> Vec<u8> {
        [&CHECK, code].concat()
    }

    #[test]
    fn a_push_at_the_entry_is_taken() {
        // push rbp; mov rbp, rsp
        assert_eq!(chosen(&[0x55, 0x48, 0x89, 0xe5], &[Register::RAX]), (0, true, false));
    }

    #[test]
    fn what_comes_after_the_stack_check_is_better_than_the_check() {
        // push rbp; mov rbp, rsp
        assert_eq!(chosen(&after_check(&[0x55, 0x48, 0x89, 0xe5]), &[Register::RDI]), (6, true, false));
        // sub rsp, 64; test ebx, 4096; jne +2
        let code = after_check(&[0x48, 0x83, 0xec, 0x40, 0xf7, 0xc3, 0, 0x10, 0, 0, 0x75, 2]);
        assert_eq!(chosen(&code, &[Register::RBX]), (16, true, false));
        // sub rsp, 64; call +0
        assert_eq!(chosen(&after_check(&[0x48, 0x83, 0xec, 0x40, 0xe8, 0, 0, 0, 0]), &[]), (10, true, false));
    }

    #[test]
    fn huge_frames_check_twice() {
        // mov r12, rsp; sub r12, 0x12345; jb +64; cmp r12, [r14+16]; jbe +64; push rbp
        let code = [
            &[0x49, 0x89, 0xe4, 0x49, 0x81, 0xec, 0x45, 0x23, 1, 0, 0x72, 0x40][..],
            &[0x4d, 0x3b, 0x66, 0x10, 0x76, 0x40, 0x55],
        ]
        .concat();
        assert_eq!(chosen(&code, &[]), (18, true, false));
        assert_eq!(chosen(&code[..18], &[]), (10, true, true));
    }

    #[test]
    fn another_jump_is_taken_but_not_passed() {
        // test rax, rax; je +2; push rbp
        assert_eq!(chosen(&[0x48, 0x85, 0xc0, 0x74, 2, 0x55], &[]), (3, true, false));
        // test rax, rax; jrcxz +2 (which is not emulated); push rbp
        assert_eq!(chosen(&[0x48, 0x85, 0xc0, 0xe3, 2, 0x55], &[]), (0, false, false));
    }

    #[test]
    fn a_nop_is_taken_while_arguments_are_there() {
        // sub rsp, 64; mov [rsp+72], rax; nop
        let code = [0x48, 0x83, 0xec, 0x40, 0x48, 0x89, 0x44, 0x24, 0x48, 0x90];
        assert_eq!(chosen(&code, &[Register::RAX]), (9, true, false));
        // sub rsp, 64; mov eax, [rsp+72]; nop; ret
        let code = [0x48, 0x83, 0xec, 0x40, 0x8b, 0x44, 0x24, 0x48, 0x90, 0xc3];
        assert_eq!(chosen(&code, &[Register::RAX]), (0, false, false));
        assert_eq!(chosen(&code, &[Register::RBX]), (8, true, false));
        // mov r14, rax; nop
        assert_eq!(chosen(&[0x49, 0x89, 0xc6, 0x90], &[]), (0, false, false));
        // lock xadd [rax], ecx; nop
        assert_eq!(chosen(&[0xf0, 0x0f, 0xc1, 0x08, 0x90], &[]), (0, false, false));
    }

    #[test]
    fn the_check_is_taken_where_there_is_nothing_else() {
        // sub rsp, 64; ret
        assert_eq!(chosen(&after_check(&[0x48, 0x83, 0xec, 0x40, 0xc3]), &[Register::RDI]), (4, true, true));
    }

    #[test]
    fn other_forms_of_the_same_are_stepped_through() {
        let stepped: [&[u8]; 7] = [
            &[0xff, 0xf0],                   // push rax, the long form
            &[0x48, 0x55],                   // with REX.W
            &[0x6a, 0],                      // push 0
            &[0x0f, 0x1f, 0x40, 0],          // a nop of four bytes
            &[0xf3, 0x90],                   // pause
            &[0x66, 0x0f, 0x84, 0, 0, 0, 0], // je with a prefix
            &[0x2e, 0x0f, 0x84, 0, 0, 0, 0], // and another
        ];
        for code in stepped {
            assert!(!is_emulated(code), "{code:x?}");
            assert_eq!(chosen(code, &[]), (0, false, false), "{code:x?}");
        }
        assert!(is_emulated(&[0x41, 0x57]) && is_emulated(&[0x66, 0x90]));
    }

    #[test]
    fn no_code_has_no_place() {
        assert_eq!(choose(&[], 0, &[]), None);
        assert_eq!(choose(&[0x06], 0, &[]), None);
    }

    proptest! {
        #[test]
        fn any_bytes_will_do(code in proptest::collection::vec(any::<u8>(), 0..300), entry in any::<u64>()) {
            if let Some(place) = choose(&code, entry, &[Register::RAX, Register::RDI]) {
                let at = usize::try_from(place.vaddr.wrapping_sub(entry)).unwrap();
                prop_assert!(at < code.len().min(PROLOGUE));
            }
        }

        #[test]
        fn any_bytes_after_the_check_will_do(code in proptest::collection::vec(any::<u8>(), 0..100)) {
            let place = choose(&after_check(&code), 0, &[Register::RDI]).unwrap();
            prop_assert!(place.emulated && (place.may_repeat == (place.vaddr == 4)));
        }
    }
}
