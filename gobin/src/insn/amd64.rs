//! x86-64, through `iced-x86`.

use iced_x86::{ConditionCode, Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind, Register};

use super::{Jump, Op, Place, Reg};

/// Bytes of the longest call through a register or memory: a prefix, the opcode, two bytes that say where, a distance.
pub(super) const LONGEST_CALL: usize = 8;

/// Whether `code` is exactly one call through a register or memory.
pub(super) fn is_indirect_call(code: &[u8]) -> bool {
    let insn = Decoder::new(64, code, DecoderOptions::NONE).decode();
    insn.len() == code.len() && insn.is_call_near_indirect()
}

pub(super) fn jumps(code: &[u8], vaddr: u64) -> Vec<Jump> {
    let mut jumps = Vec::new();
    for insn in &mut Decoder::with_ip(64, code, vaddr, DecoderOptions::NONE) {
        let target = match insn.flow_control() {
            FlowControl::UnconditionalBranch | FlowControl::ConditionalBranch => Some(insn.near_branch_target()),
            FlowControl::IndirectBranch => None,
            _ => continue,
        };
        jumps.push(Jump { at: insn.ip(), target });
    }
    jumps
}

pub(super) fn decode(code: &[u8], vaddr: u64) -> Vec<Op> {
    Decoder::with_ip(64, code, vaddr, DecoderOptions::NONE).iter().map(|insn| operation(&insn)).collect()
}

fn operation(insn: &Instruction) -> Op {
    let known = match insn.mnemonic() {
        Mnemonic::Mov | Mnemonic::Movzx | Mnemonic::Movsx | Mnemonic::Movsxd => transfer(insn),
        Mnemonic::Lea => gpr(insn.op0_register()).map(|to| Op::Address { to, of: place(insn) }),
        Mnemonic::Add | Mnemonic::Inc => addition(insn),
        Mnemonic::Cmp => comparison(insn),
        Mnemonic::Cmpxchg => memory(insn, 0).map(|(at, size)| Op::Swap { at, size }),
        Mnemonic::Nop | Mnemonic::Int3 => Some(Op::Nop),
        _ if insn.flow_control() != FlowControl::Next => {
            let unsigned_less = matches!(insn.condition_code(), ConditionCode::b | ConditionCode::ae);
            Some(Op::Branch { unsigned_less })
        }
        _ => None,
    };
    known.unwrap_or(Op::Other)
}

fn transfer(insn: &Instruction) -> Option<Op> {
    if let Some((to, size)) = memory(insn, 0) {
        return Some(Op::Store { from: gpr(insn.op1_register()), to, size });
    }
    let to = gpr(insn.op0_register())?;
    if let Some((from, size)) = memory(insn, 1) {
        return Some(Op::Load { to, from, size });
    }
    let from = gpr(insn.op1_register())?;
    // A move of the low part is no copy of an address, but a widening one is how Go moves small integers.
    Some(Op::Address { to, of: Place::Based(from, 0) })
}

fn addition(insn: &Instruction) -> Option<Op> {
    let reg = gpr(insn.op0_register()).filter(|_| insn.op0_kind() == OpKind::Register)?;
    let amount = match (insn.mnemonic(), insn.op1_kind()) {
        (Mnemonic::Inc, _) => 1,
        (_, OpKind::Register | OpKind::Memory) => return None,
        _ => insn.immediate(1) as i64,
    };
    Some(Op::Address { to: reg, of: Place::Based(reg, amount) })
}

fn comparison(insn: &Instruction) -> Option<Op> {
    if let Some((with, size)) = memory(insn, 0).or_else(|| memory(insn, 1)) {
        return Some(Op::CompareMemory { with, size });
    }
    let (reg, size) = (gpr(insn.op0_register())?, insn.op0_register().size() as u8);
    if insn.op1_kind() == OpKind::Register {
        return None;
    }
    // An immediate is sign-extended to the size of the operation; only its low part is compared.
    let value = match size {
        1 => insn.immediate(1) & 0xff,
        4 => insn.immediate(1) & 0xffff_ffff,
        _ => insn.immediate(1),
    };
    Some(Op::CompareImmediate { reg, size, value })
}

/// The memory operand, when operand number `operand` is one, with its size in bytes.
fn memory(insn: &Instruction, operand: u32) -> Option<(Place, u8)> {
    (operand < insn.op_count() && insn.op_kind(operand) == OpKind::Memory)
        .then(|| (place(insn), insn.memory_size().size() as u8))
}

fn place(insn: &Instruction) -> Place {
    if insn.segment_prefix() == Register::FS {
        return Place::Thread;
    }
    if insn.is_ip_rel_memory_operand() && insn.segment_prefix() == Register::None {
        return Place::Absolute(insn.ip_rel_memory_address());
    }
    let plain = insn.memory_index() == Register::None && insn.segment_prefix() == Register::None;
    match gpr(insn.memory_base()) {
        Some(base) if plain => Place::Based(base, insn.memory_displacement64() as i64),
        _ => Place::Elsewhere,
    }
}

fn gpr(register: Register) -> Option<Reg> {
    // The second byte of the first four (AH, CH, DH, BH) is not a whole register.
    let high = matches!(register, Register::AH | Register::CH | Register::DH | Register::BH);
    (register.is_gpr() && !high).then(|| Reg(register.full_register().number() as u8))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(bytes: &[u8]) -> Op {
        let ops = decode(bytes, 0x1000);
        assert_eq!(ops.len(), 1, "{ops:?}");
        ops[0]
    }

    #[test]
    fn decodes_the_forms_that_go_emits() {
        let based = |reg, disp| Place::Based(Reg(reg), disp);
        // mov rcx, [rip+0x20]; mov [r14+64], rbx; mov qword [r14+56], 0; mov rax, fs:[-8]
        assert_eq!(
            one(&[0x48, 0x8b, 0x0d, 0x20, 0, 0, 0]),
            Op::Load { to: Reg(1), from: Place::Absolute(0x1027), size: 8 }
        );
        assert_eq!(one(&[0x49, 0x89, 0x5e, 0x40]), Op::Store { from: Some(Reg(3)), to: based(14, 64), size: 8 });
        assert_eq!(one(&[0x49, 0xc7, 0x46, 0x38, 0, 0, 0, 0]), Op::Store { from: None, to: based(14, 56), size: 8 });
        assert_eq!(
            one(&[0x64, 0x48, 0x8b, 0x04, 0x25, 0xf8, 0xff, 0xff, 0xff]),
            Op::Load { to: Reg(0), from: Place::Thread, size: 8 }
        );
        // lea rdx, [rip-16]; lea rbx, [rsp+16]; inc edx; add rax, 152
        assert_eq!(
            one(&[0x48, 0x8d, 0x15, 0xf0, 0xff, 0xff, 0xff]),
            Op::Address { to: Reg(2), of: Place::Absolute(0xff7) }
        );
        assert_eq!(one(&[0x48, 0x8d, 0x5c, 0x24, 0x10]), Op::Address { to: Reg(3), of: based(4, 16) });
        assert_eq!(one(&[0xff, 0xc2]), Op::Address { to: Reg(2), of: based(2, 1) });
        assert_eq!(one(&[0x48, 0x05, 0x98, 0, 0, 0]), Op::Address { to: Reg(0), of: based(0, 152) });
        // cmp al, 0x80; cmp rax, [rbx+80]; lock cmpxchg [rdi+144], ecx; movzx edx, byte [rdi+189]
        assert_eq!(one(&[0x3c, 0x80]), Op::CompareImmediate { reg: Reg(0), size: 1, value: 0x80 });
        assert_eq!(one(&[0x48, 0x3b, 0x43, 0x50]), Op::CompareMemory { with: based(3, 80), size: 8 });
        assert_eq!(one(&[0xf0, 0x0f, 0xb1, 0x8f, 0x90, 0, 0, 0]), Op::Swap { at: based(7, 144), size: 4 });
        assert_eq!(one(&[0x0f, 0xb6, 0x97, 0xbd, 0, 0, 0]), Op::Load { to: Reg(2), from: based(7, 189), size: 1 });
        // mov rsi, [rbx+rdx*8]; jb; ja; ret; xor edx, edx
        assert_eq!(one(&[0x48, 0x8b, 0x34, 0xd3]), Op::Load { to: Reg(6), from: Place::Elsewhere, size: 8 });
        assert_eq!(one(&[0x72, 0]), Op::Branch { unsigned_less: true });
        assert_eq!(one(&[0x77, 0]), Op::Branch { unsigned_less: false });
        assert_eq!(one(&[0xc3]), Op::Branch { unsigned_less: false });
        assert_eq!(one(&[0x31, 0xd2]), Op::Other);
    }
}
