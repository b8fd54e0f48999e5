//! AArch64: the instruction forms that matter, from the Arm Architecture Reference Manual (C4 "A64 instruction set
//! encoding"). An address is built in two steps there (`ADRP` and an addition or offset), so the decoder follows the
//! registers that hold a known address along straight-line code.

use super::{Jump, Op, Place, Reg};

/// Register 31 as a base or an addend: the stack pointer.
pub(super) const SP: Reg = Reg(31);

pub(super) fn decode(code: &[u8], vaddr: u64) -> Vec<Op> {
    let mut known = Known::default();
    let words = code.chunks_exact(4).filter_map(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes);
    let addresses = (0u64..).step_by(4).map(|offset| vaddr.wrapping_add(offset));
    words.zip(addresses).flat_map(|(word, at)| known.step(word, at)).flatten().collect()
}

/// Whether `code` is a `BLR`.
pub(super) fn is_indirect_call(code: &[u8]) -> bool {
    code.try_into().is_ok_and(|code| u32::from_le_bytes(code) & 0xffff_fc1f == 0xd63f_0000)
}

pub(super) fn jumps(code: &[u8], vaddr: u64) -> Vec<Jump> {
    let words = code.chunks_exact(4).filter_map(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes);
    let addresses = (0u64..).step_by(4).map(|offset| vaddr.wrapping_add(offset));
    words.zip(addresses).filter_map(|(word, at)| jump(word, at)).collect()
}

/// The jump that an instruction is, if it is one: "Branches, exception generating and system instructions".
fn jump(word: u32, at: u64) -> Option<Jump> {
    // Where its distance is, in instructions: the lowest bit and the number of bits.
    let (low, width) = match word >> 24 {
        0x14..=0x17 => (0, 26),                                                           // B
        0x54 | 0x34 | 0x35 | 0xb4 | 0xb5 => (5, 19),                                      // B.cond, CBZ, CBNZ
        0x36 | 0x37 | 0xb6 | 0xb7 => (5, 14),                                             // TBZ, TBNZ
        _ if word & 0xffff_fc1f == 0xd61f_0000 => return Some(Jump { at, target: None }), // BR
        _ => return None,
    };
    let distance = signed(bits(word, low, width), width) * 4;
    Some(Jump { at, target: Some(at.wrapping_add_signed(distance)) })
}

/// What one instruction does: two operations when it loads a pair.
type Ops = [Option<Op>; 2];

/// Addresses that registers are known to hold.
#[derive(Default)]
struct Known {
    value: [Option<u64>; 32],
}

impl Known {
    /// Decodes one instruction and follows its effect on the known addresses.
    fn step(&mut self, word: u32, at: u64) -> Ops {
        if let Some(pair) = load_pair(word) {
            // Both addresses are taken before a register is written.
            let loads = pair.map(|(to, from)| (to, self.resolve(from)));
            for (to, _) in loads {
                self.set(to, None);
            }
            return loads.map(|(to, from)| Some(Op::Load { to, from, size: 8 }));
        }
        let (op, writes_back) = operation(word, at);
        let op = match op {
            Op::Load { to, from, size } => Op::Load { to, from: self.resolve(from), size },
            Op::Store { from, to, size } => Op::Store { from, to: self.resolve(to), size },
            Op::Address { to, of } => Op::Address { to, of: self.resolve(of) },
            Op::Swap { at, size } => Op::Swap { at: self.resolve(at), size },
            other => other,
        };
        match op {
            Op::Address { to, of: Place::Absolute(address) } => self.set(to, Some(address)),
            Op::Load { to, .. } | Op::Address { to, .. } => self.set(to, None),
            Op::Store { .. } | Op::CompareImmediate { .. } | Op::CompareMemory { .. } | Op::Nop => {}
            // Where else may we come from, and what did a call leave? Go builds an address where it uses it.
            Op::Branch { .. } => *self = Self::default(),
            // What else it writes is one of the registers that it names.
            Op::Swap { .. } | Op::Other => {
                for at in [0, 5, 10, 16] {
                    self.set(field_reg(word, at), None);
                }
            }
        }
        if writes_back {
            self.set(field_reg(word, 5), None);
        }
        [Some(op), None]
    }

    fn resolve(&self, place: Place) -> Place {
        match place {
            Place::Based(base, offset) => match self.value.get(usize::from(base.0)).copied().flatten() {
                Some(address) => Place::Absolute(address.wrapping_add_signed(offset)),
                None => place,
            },
            other => other,
        }
    }

    fn set(&mut self, reg: Reg, address: Option<u64>) {
        // Register 31 is the stack pointer or zero: neither is an address we follow.
        if let Some(value) = self.value.get_mut(usize::from(reg.0)).filter(|_| reg != SP) {
            *value = address;
        }
    }
}

/// Bits `at` and up, `width` of them.
fn bits(word: u32, at: u32, width: u32) -> u32 {
    (word >> at) & ((1 << width) - 1)
}

fn field_reg(word: u32, at: u32) -> Reg {
    Reg(bits(word, at, 5) as u8)
}

/// Sign-extends a `width`-bit field.
fn signed(value: u32, width: u32) -> i64 {
    let unused = 64 - width;
    (i64::from(value) << unused) >> unused
}

/// The operation alone, and whether it also changes its base register.
fn operation(word: u32, at: u64) -> (Op, bool) {
    let (rd, rn) = (field_reg(word, 0), field_reg(word, 5));
    let plain = |op| (op, false);
    if word == 0xd503_201f {
        return plain(Op::Nop);
    }
    // ADRP, ADR (PC-relative addressing).
    if bits(word, 24, 5) == 0b10000 {
        let immediate = signed(bits(word, 5, 19) << 2 | bits(word, 29, 2), 21);
        let page = bits(word, 31, 1) == 1;
        let address =
            if page { (at & !0xfff).wrapping_add_signed(immediate << 12) } else { at.wrapping_add_signed(immediate) };
        return plain(Op::Address { to: rd, of: Place::Absolute(address) });
    }
    // ADD, SUB (immediate); SUBS into register 31 is CMP, ADDS is CMN.
    if bits(word, 23, 6) == 0b100010 {
        let (wide, subtract, flags) = (bits(word, 31, 1) == 1, bits(word, 30, 1) == 1, bits(word, 29, 1) == 1);
        let value = u64::from(bits(word, 10, 12)) << if bits(word, 22, 1) == 1 { 12 } else { 0 };
        return plain(match (flags, subtract) {
            (true, true) if rd == SP => Op::CompareImmediate { reg: rn, size: if wide { 8 } else { 4 }, value },
            (true, _) => Op::Other,
            (false, false) => Op::Address { to: rd, of: Place::Based(rn, value as i64) },
            (false, true) => Op::Address { to: rd, of: Place::Based(rn, -(value as i64)) },
        });
    }
    // ORR Xd, XZR, Xm: a copy of a register.
    if word & 0xffe0_ffe0 == 0xaa00_03e0 {
        let from = field_reg(word, 16);
        // As a source, register 31 is zero here, not the stack pointer.
        return plain(if from == SP { Op::Other } else { Op::Address { to: rd, of: Place::Based(from, 0) } });
    }
    if let Some(found) = load_or_store(word) {
        return found;
    }
    let unsigned_less = |condition| matches!(condition, 0b0010 | 0b0011); // HS, LO
    match word >> 24 {
        0x54 => plain(Op::Branch { unsigned_less: unsigned_less(bits(word, 0, 4)) }),
        0x14..=0x17 | 0x94..=0x97 => plain(Op::Branch { unsigned_less: false }), // B, BL
        0x34..=0x37 | 0xb4..=0xb7 => plain(Op::Branch { unsigned_less: false }), // CBZ, CBNZ, TBZ, TBNZ
        0xd6 => plain(Op::Branch { unsigned_less: false }),                      // BR, BLR, RET
        _ => plain(Op::Other),
    }
}

fn load_or_store(word: u32) -> Option<(Op, bool)> {
    let (rt, rn, size) = (field_reg(word, 0), field_reg(word, 5), 1u8 << bits(word, 30, 2));
    // Bit 26 is set for the SIMD and floating-point registers.
    if bits(word, 26, 1) == 1 {
        return None;
    }
    // Exclusive and ordered: LDXR, LDAXR, STXR, LDAR, STLR, CAS.
    if bits(word, 24, 6) == 0b001000 {
        let (ordered, load, pair_or_cas) = (bits(word, 23, 1) == 1, bits(word, 22, 1) == 1, bits(word, 21, 1) == 1);
        let at = Place::Based(rn, 0);
        let op = match (ordered, load, pair_or_cas) {
            (true, _, true) => Op::Swap { at, size },
            (true, true, false) => Op::Load { to: rt, from: at, size },
            (true, false, false) => Op::Store { from: source(rt), to: at, size },
            (false, true, false) => Op::Swap { at, size },
            _ => Op::Other,
        };
        return Some((op, false));
    }
    // LDR, STR and their narrow forms: opc is 00 for stores, 10 and 11 for sign-extending loads (and prefetch).
    if bits(word, 27, 3) != 0b111 {
        return None;
    }
    let (place, writes_back) = match (bits(word, 24, 2), bits(word, 21, 1), bits(word, 10, 2)) {
        (0b01, _, _) => (Place::Based(rn, i64::from(bits(word, 10, 12)) * i64::from(size)), false),
        (0b00, 0, 0b00) => (Place::Based(rn, signed(bits(word, 12, 9), 9)), false), // LDUR, STUR
        (0b00, 0, 0b11) => (Place::Based(rn, signed(bits(word, 12, 9), 9)), true),  // pre-indexed
        (0b00, 0, 0b01) => (Place::Based(rn, 0), true),                             // post-indexed
        (0b00, 1, 0b10) => (Place::Elsewhere, false),                               // register offset
        _ => return None,
    };
    let op = match bits(word, 22, 2) {
        0b00 => Op::Store { from: source(rt), to: place, size },
        0b10 if size == 8 => Op::Other, // PRFM
        _ => Op::Load { to: rt, from: place, size },
    };
    Some((op, writes_back))
}

/// LDP of two 64-bit registers with a plain offset: the registers and what is loaded into each.
fn load_pair(word: u32) -> Option<[(Reg, Place); 2]> {
    let (base, offset) = (field_reg(word, 5), signed(bits(word, 15, 7), 7) * 8);
    let to = [(field_reg(word, 0), offset), (field_reg(word, 10), offset + 8)];
    (word & 0xffc0_0000 == 0xa940_0000).then(|| to.map(|(to, offset)| (to, Place::Based(base, offset))))
}

/// As what is stored, register 31 is the constant zero.
fn source(rt: Reg) -> Option<Reg> {
    (rt != SP).then_some(rt)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(words: &[u32]) -> Vec<Op> {
        let code: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        decode(&code, 0x4991c)
    }

    fn one(word: u32) -> Op {
        all(&[word])[0]
    }

    #[test]
    fn decodes_the_forms_that_go_emits() {
        let based = |reg, disp| Place::Based(Reg(reg), disp);
        // ldr x8, [x28, #48]; str x30, [x28, #64]; str xzr, [x28, #96]; stur x29, [sp, #-8]
        assert_eq!(one(0xf9401b88), Op::Load { to: Reg(8), from: based(28, 48), size: 8 });
        assert_eq!(one(0xf900239e), Op::Store { from: Some(Reg(30)), to: based(28, 64), size: 8 });
        assert_eq!(one(0xf900339f), Op::Store { from: None, to: based(28, 96), size: 8 });
        assert_eq!(one(0xf81f83fd), Op::Store { from: Some(Reg(29)), to: based(31, -8), size: 8 });
        // ldrb w3, [x0, #189]; strb w3, [x0, #189]; ldrsb x27, [x0]; ldr x4, [x2, x3, lsl #3]
        assert_eq!(one(0x3942f403), Op::Load { to: Reg(3), from: based(0, 189), size: 1 });
        assert_eq!(one(0x3902f403), Op::Store { from: Some(Reg(3)), to: based(0, 189), size: 1 });
        assert_eq!(one(0x3980001b), Op::Load { to: Reg(27), from: based(0, 0), size: 1 });
        assert_eq!(one(0xf8637844), Op::Load { to: Reg(4), from: Place::Elsewhere, size: 8 });
        // add x5, x0, #144; mov x0, sp; mov x26, x0; cmp w2, #27; b.lo; b.hi; bl
        assert_eq!(one(0x91024005), Op::Address { to: Reg(5), of: based(0, 144) });
        assert_eq!(one(0x910003e0), Op::Address { to: Reg(0), of: based(31, 0) });
        assert_eq!(one(0xaa0003fa), Op::Address { to: Reg(26), of: based(0, 0) });
        assert_eq!(one(0x71006c5f), Op::CompareImmediate { reg: Reg(2), size: 4, value: 27 });
        assert_eq!(one(0x540000a3), Op::Branch { unsigned_less: true });
        assert_eq!(one(0x54fffe88), Op::Branch { unsigned_less: false });
        assert_eq!(one(0x94000000), Op::Branch { unsigned_less: false });
        // ldaxr w27, [x5]; casal w27, w2, [x5]; stlxr w27, w2, [x5]; ldar x1, [x1]; nop
        assert_eq!(one(0x885ffcbb), Op::Swap { at: based(5, 0), size: 4 });
        assert_eq!(one(0x88fbfca2), Op::Swap { at: based(5, 0), size: 4 });
        assert_eq!(one(0x881bfca2), Op::Other);
        assert_eq!(one(0xc8dffc21), Op::Load { to: Reg(1), from: based(1, 0), size: 8 });
        assert_eq!(one(0xd503201f), Op::Nop);
        // ldp x2, x3, [x27, #16]
        let load = |to, disp| Op::Load { to: Reg(to), from: based(27, disp), size: 8 };
        assert_eq!(all(&[0xa9410f62]), [load(2, 16), load(3, 24)]);
    }

    #[test]
    fn an_address_is_followed_in_straight_line_code_only() {
        // adrp x1, 0x250000; add x1, x1, #576; ldar x1, [x1]
        let load = [0xf0001021, 0x91090021, 0xc8dffc21];
        let ops = all(&load);
        assert_eq!(ops[1], Op::Address { to: Reg(1), of: Place::Absolute(0x250240) });
        assert_eq!(ops[2], Op::Load { to: Reg(1), from: Place::Absolute(0x250240), size: 8 });
        // The loaded value is not an address any more, and a call forgets all.
        assert_eq!(
            all(&[load[0], load[1], load[2], load[2]])[3],
            Op::Load { to: Reg(1), from: Place::Based(Reg(1), 0), size: 8 }
        );
        assert_eq!(all(&[load[0], 0x94000000, load[1]])[2], Op::Address { to: Reg(1), of: Place::Based(Reg(1), 576) });
    }
}
