//! What the runtime's own code says about its structures.

use std::borrow::Cow;

use super::LARGEST_STRUCT;
use crate::insn::{self, Op, Place, Reg};
use crate::{Arch, GoBinary};

/// The smallest `g` has more in front of its status: an offset below this is no field of interest.
const FIRST_STATUS_OFFSET: u32 = 64;

/// Offsets in `runtime.g` and `runtime.m` that the code of an executable gives away. `None` where it does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CodeCalibration {
    /// `g.m`, from `runtime.mcall`.
    pub g_m: Option<u32>,
    /// `g.sched.sp`, from `runtime.mcall`.
    pub sched_sp: Option<u32>,
    /// `g.sched.pc`, from `runtime.mcall`.
    pub sched_pc: Option<u32>,
    /// `g.sched.bp`, from `runtime.mcall`.
    pub sched_bp: Option<u32>,
    /// `g.atomicstatus`, from `runtime.casgstatus` (`runtime.readgstatus` with `-gcflags=-l`).
    pub atomicstatus: Option<u32>,
    /// `g.trackingSeq`, from `runtime.casgstatus`.
    pub tracking_seq: Option<u32>,
    /// `m.gsignal`, from `runtime.systemstack`.
    pub m_gsignal: Option<u32>,
    /// `m.g0`, from `runtime.systemstack`.
    pub m_g0: Option<u32>,
    /// `m.curg`, from `runtime.systemstack`.
    pub m_curg: Option<u32>,
    /// `m.procid`, from `runtime.minit`.
    pub m_procid: Option<u32>,
    /// `m.p`, from `sync.runtime_procPin`, which a program without `sync.Pool` does not have.
    pub m_p: Option<u32>,
}

impl CodeCalibration {
    /// Reads an executable.
    pub fn of(binary: &GoBinary) -> CodeCalibration {
        const NAMES: [&str; 7] = [
            "runtime.mcall",
            "runtime.casgstatus",
            "runtime.readgstatus",
            "runtime.systemstack",
            "runtime.minit",
            "runtime.procPin",
            "sync.runtime_procPin",
        ];
        let functions: Vec<_> = binary.funcs_named(&NAMES).into_iter().flatten().collect();
        let code = |name: &str| {
            let func = functions.iter().find(|func| binary.func_name(func) == name)?;
            Some((binary.code(func)?, func.entry))
        };
        Self::of_functions(binary.arch(), code)
    }

    /// Reads the functions that `code` knows by name: their bytes and entry.
    fn of_functions<'a>(arch: Arch, code: impl Fn(&str) -> Option<(Cow<'a, [u8]>, u64)>) -> CodeCalibration {
        let ops = |name| code(name).map(|(bytes, entry)| insn::decode(arch, &bytes, entry)).unwrap_or_default();
        let mut found = CodeCalibration::default();
        found.read_mcall(arch, &ops("runtime.mcall"));
        let casgstatus = ops("runtime.casgstatus");
        found.atomicstatus = swapped(&casgstatus).or_else(|| first_field(&ops("runtime.readgstatus")));
        found.tracking_seq = incremented_byte(&casgstatus);
        if let Some(g_m) = found.g_m {
            // It compares the current goroutine with these three.
            if let [gsignal, g0, curg, ..] = *accesses_of_m(arch, &ops("runtime.systemstack"), g_m).read {
                (found.m_gsignal, found.m_g0, found.m_curg) = (Some(gsignal), Some(g0), Some(curg));
            }
            found.m_procid = accesses_of_m(arch, &ops("runtime.minit"), g_m).stored.first().copied();
            // The former is inlined into the latter, except with `-gcflags=-l`.
            let pin = ["runtime.procPin", "sync.runtime_procPin"].map(|name| accesses_of_m(arch, &ops(name), g_m));
            found.m_p = pin.iter().find_map(|accesses| accesses.read.first().copied());
        }
        found
    }

    /// Every offset that was found, under the field's name in the runtime.
    pub fn known(&self) -> impl Iterator<Item = (&'static str, u32)> + use<> {
        let all = [
            ("g.m", self.g_m),
            ("g.sched.sp", self.sched_sp),
            ("g.sched.pc", self.sched_pc),
            ("g.sched.bp", self.sched_bp),
            ("g.atomicstatus", self.atomicstatus),
            ("g.trackingSeq", self.tracking_seq),
            ("m.gsignal", self.m_gsignal),
            ("m.g0", self.m_g0),
            ("m.curg", self.m_curg),
            ("m.procid", self.m_procid),
            ("m.p", self.m_p),
        ];
        all.into_iter().filter_map(|(field, offset)| Some((field, offset?)))
    }

    /// `g.goid`, which has followed `g.atomicstatus` and `g.stackLock` in every release.
    pub fn goid(&self) -> Option<u32> {
        self.atomicstatus?.checked_add(8)
    }

    /// `mcall` saves the context of the current goroutine in `g.sched`, then loads `g.m`.
    fn read_mcall(&mut self, arch: Arch, ops: &[Op]) {
        let roles = insn::roles(arch);
        let mut goroutine = GoroutineRegs::new(arch);
        let mut origins = [Origin::Other; 32];
        for op in ops {
            match *op {
                Op::Store { from: Some(from), to: Place::Based(base, offset), size: 8 } if goroutine.has(base) => {
                    let origin = match from {
                        _ if from == roles.fp => Origin::Frame,
                        _ if Some(from) == roles.link => Origin::Loaded,
                        _ => origins.get(usize::from(from.0)).copied().unwrap_or(Origin::Other),
                    };
                    let field = match origin {
                        Origin::Stack => &mut self.sched_sp,
                        Origin::Frame => &mut self.sched_bp,
                        Origin::Loaded => &mut self.sched_pc,
                        Origin::Other => continue,
                    };
                    *field = field.or(plausible(offset));
                }
                Op::Load { from: Place::Based(base, offset), size: 8, .. } if goroutine.has(base) => {
                    self.g_m = plausible(offset);
                    return;
                }
                _ => {}
            }
            goroutine.follow(op);
            if let Op::Load { to, .. } | Op::Address { to, .. } = *op
                && let Some(origin) = origins.get_mut(usize::from(to.0))
            {
                *origin = match *op {
                    Op::Address { of: Place::Based(base, _), .. } if base == roles.sp => Origin::Stack,
                    Op::Load { from: Place::Based(base, 0), .. } if base == roles.fp => Origin::Frame,
                    Op::Load { from: Place::Based(..), .. } => Origin::Loaded,
                    _ => Origin::Other,
                };
            }
        }
    }
}

/// Where the value of a register comes from.
#[derive(Clone, Copy)]
enum Origin {
    /// An address in the current frame.
    Stack,
    /// The caller's frame pointer.
    Frame,
    /// A word loaded from elsewhere in the stack: in `mcall`, the return address.
    Loaded,
    Other,
}

/// The registers that hold the current goroutine.
struct GoroutineRegs(Vec<Reg>);

impl GoroutineRegs {
    fn new(arch: Arch) -> Self {
        Self(vec![insn::roles(arch).g])
    }

    fn has(&self, reg: Reg) -> bool {
        self.0.contains(&reg)
    }

    /// Code that was called from C or from the old ABI loads it from thread-local storage.
    fn follow(&mut self, op: &Op) {
        match *op {
            Op::Load { to, from: Place::Thread, size: 8 } if !self.has(to) => self.0.push(to),
            Op::Load { to, from, .. } if from != Place::Thread => self.0.retain(|reg| *reg != to),
            Op::Address { to, .. } => self.0.retain(|reg| *reg != to),
            _ => {}
        }
    }
}

/// The fields of the current m that a function touches, in order.
#[derive(Default)]
struct MAccesses {
    read: Vec<u32>,
    stored: Vec<u32>,
}

/// Follows `g.m` from the current goroutine, and from the last such load on notes which words of the m are read
/// (or compared) and stored.
fn accesses_of_m(arch: Arch, ops: &[Op], g_m: u32) -> MAccesses {
    let mut goroutine = GoroutineRegs::new(arch);
    let mut m = None;
    let mut found = MAccesses::default();
    for op in ops {
        match *op {
            Op::Load { to, from: Place::Based(base, offset), size: 8 }
                if goroutine.has(base) && offset == i64::from(g_m) =>
            {
                // `systemstack` switches back at its end and loads g.m again: by then everything is known.
                if m.is_none() {
                    m = Some(to);
                }
                goroutine.follow(op);
                continue;
            }
            Op::Load { from: Place::Based(base, offset), size: 8, .. }
            | Op::CompareMemory { with: Place::Based(base, offset), size: 8 }
                if Some(base) == m =>
            {
                found.read.extend(plausible(offset));
            }
            Op::Store { to: Place::Based(base, offset), size: 8, .. } if Some(base) == m => {
                found.stored.extend(plausible(offset));
            }
            _ => {}
        }
        goroutine.follow(op);
        if let Op::Load { to, .. } | Op::Address { to, .. } = *op
            && Some(to) == m
        {
            break;
        }
    }
    found
}

/// The offset of the 32-bit field that is compared and swapped first.
fn swapped(ops: &[Op]) -> Option<u32> {
    let (at, base, offset) = ops.iter().enumerate().find_map(|(at, op)| match *op {
        Op::Swap { at: Place::Based(base, offset), size: 4 } => Some((at, base, offset)),
        _ => None,
    })?;
    if offset != 0 {
        return field(offset);
    }
    // The field's address was computed before (on arm64 always).
    ops.get(..at)?.iter().rev().find_map(|op| match *op {
        Op::Address { to, of: Place::Based(_, offset) } if to == base => Some(field(offset)),
        _ => None,
    })?
}

/// The offset of the first field whose value or address is taken.
fn first_field(ops: &[Op]) -> Option<u32> {
    ops.iter().find_map(|op| match *op {
        Op::Load { from: Place::Based(_, offset), size: 4, .. } | Op::Address { of: Place::Based(_, offset), .. } => {
            field(offset)
        }
        _ => None,
    })
}

/// The offset of the one byte that is loaded, incremented and stored back.
fn incremented_byte(ops: &[Op]) -> Option<u32> {
    let mut found = None;
    for three in ops.windows(3) {
        let &[
            Op::Load { to: loaded, from: place @ Place::Based(_, offset), size: 1 },
            Op::Address { to: sum, of: Place::Based(addend, 1) },
            Op::Store { from: Some(stored), to, size: 1 },
        ] = three
        else {
            continue;
        };
        if addend == loaded
            && stored == sum
            && to == place
            && found.replace(offset).is_some_and(|other| other != offset)
        {
            return None;
        }
    }
    field(found?)
}

fn field(offset: i64) -> Option<u32> {
    plausible(offset).filter(|offset| *offset >= FIRST_STATUS_OFFSET)
}

fn plausible(offset: i64) -> Option<u32> {
    u32::try_from(offset).ok().filter(|offset| *offset < LARGEST_STRUCT)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::calibrate::compare;
    use crate::layout::Layout;
    use crate::snippets;

    #[test]
    fn real_code_agrees_with_the_table() {
        let mut with_status = 0;
        for binary in snippets::all() {
            let found = CodeCalibration::of_functions(binary.arch, |name| binary.code(name));
            assert_eq!(compare(&binary.layout(), &found), [], "{}", binary.name);
            with_status += usize::from(found.atomicstatus.is_some() && found.tracking_seq.is_some());
            let others = [found.g_m, found.sched_sp, found.sched_pc, found.sched_bp, found.m_p];
            assert!(others.iter().all(Option::is_some), "{}: {found:?}", binary.name);
            let of_m = [found.m_gsignal, found.m_g0, found.m_curg, found.m_procid];
            assert!(of_m.iter().all(Option::is_some), "{}: {found:?}", binary.name);
            assert_eq!(found.goid().is_some(), found.atomicstatus.is_some());
        }
        assert_eq!(with_status, 5, "snippets with runtime.casgstatus");
    }

    #[test]
    fn a_wrong_table_is_noticed() {
        let binaries = snippets::all();
        let old = binaries.iter().find(|binary| binary.version.minor == 17 && binary.arch == Arch::Amd64).unwrap();
        let found = CodeCalibration::of_functions(old.arch, |name| old.code(name));
        let wrong = compare(&Layout::newest(old.arch), &found);
        let fields: Vec<_> = wrong.iter().map(|mismatch| (mismatch.field, mismatch.table, mismatch.code)).collect();
        let expected = [
            ("g.sched.bp", Some(96), 104),
            ("g.trackingSeq", Some(191), 189),
            ("m.gsignal", Some(72), 80),
            ("m.curg", Some(184), 192),
            ("m.procid", Some(64), 72),
        ];
        assert_eq!(fields, expected);
    }

    proptest! {
        #[test]
        fn any_code_is_survived(code in proptest::collection::vec(any::<u8>(), 0..400)) {
            for arch in [Arch::Amd64, Arch::Arm64] {
                CodeCalibration::of_functions(arch, |_| Some((Cow::Borrowed(code.as_slice()), 0x40_0000)));
            }
        }

        /// Real code with a byte changed: follows other paths than noise does.
        #[test]
        fn changed_code_is_survived(which in 0usize..10, at in any::<proptest::sample::Index>(), byte in any::<u8>()) {
            let binary = &snippets::all()[which];
            CodeCalibration::of_functions(binary.arch, |name| {
                let (mut code, entry) = binary.code(name)?;
                let at = at.index(code.len());
                code.to_mut()[at] = byte;
                Some((code, entry))
            });
        }
    }
}
