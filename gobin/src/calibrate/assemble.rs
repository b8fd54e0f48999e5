//! A layout for a release that is not in the table.

use super::{CodeCalibration, LARGEST_STRUCT, MOffsets};
use crate::Arch;
use crate::layout::{GLayout, GobufLayout, Layout, MLayout};

/// A layout put together from what the target says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assembled {
    /// The layout.
    pub layout: Layout,
    /// What the target did not say and was taken from the newest release in the table, in the runtime's own words.
    pub assumed: Vec<&'static str>,
}

/// Why no layout can be put together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An offset without which no goroutine can be read was not found.
    #[error("cannot find the offset of {field} in this Go release's code or memory; a newer fgspy may know it")]
    Unknown {
        /// The field.
        field: &'static str,
    },
    /// Offsets were found, but not in the order that every release so far has.
    #[error("{what} is arranged in a way that no known Go release has; a newer fgspy may know it")]
    Arrangement {
        /// What is arranged differently.
        what: &'static str,
    },
    /// The code and the live process say different things.
    #[error("the offset of {field} is {code} by the code, but {live} in the live process")]
    Disagree {
        /// The field.
        field: &'static str,
        /// By the code.
        code: u32,
        /// In the process.
        live: u32,
    },
}

/// Puts together a layout for a release that is not in the table.
///
/// `startpc` and `m` come from the live process ([`startpc_offset`](super::startpc_offset),
/// [`m_offsets`](super::m_offsets)). What lies at a fixed distance from a known field in every release from 1.17 to 1.27
/// is derived from that field; everything else is assumed to be as in the newest release, and named in
/// [`Assembled::assumed`].
///
/// # Errors
///
/// When something essential is unknown or contradictory.
pub fn assemble(arch: Arch, code: &CodeCalibration, startpc: Option<u32>, live: MOffsets) -> Result<Assembled, Error> {
    // Then nothing below can overflow.
    let offsets = code.known().map(|(_, offset)| offset).chain([startpc, live.procid, live.curg].into_iter().flatten());
    if offsets.max().is_some_and(|largest| largest >= LARGEST_STRUCT) {
        return Err(Error::Arrangement { what: "a structure of the runtime" });
    }
    let newest = Layout::newest(arch);
    let mut assumed = vec!["g._panic", "g._defer", "g.lockedm", "g size", "gobuf.g", "gobuf.ctxt"];
    let known = |offset: Option<u32>, field| offset.ok_or(Error::Unknown { field });

    let gobuf = gobuf(&newest, code)?;
    let sched = known(code.sched_sp, "g.sched.sp")?;
    let status = known(code.atomicstatus, "g.atomicstatus")?;
    let startpc = known(startpc, "g.startpc")?;
    let syscallsp = sched + gobuf.size;
    // Between the saved context and the status: syscallsp, syscallpc, syscallbp from 1.23 on, stktopsp, param.
    let syscallbp = match status.checked_sub(syscallsp) {
        Some(40) => Some(syscallsp + 16),
        Some(32) => None,
        _ => return Err(Error::Arrangement { what: "runtime.g between sched and atomicstatus" }),
    };
    // The creator's number and the `go` statement are right before, the list of waits right behind.
    let parent_goid = startpc.checked_sub(24).filter(|offset| *offset > status + 40);
    let parent_goid = parent_goid.ok_or(Error::Arrangement { what: "runtime.g between atomicstatus and startpc" })?;
    if code.tracking_seq.is_none() {
        assumed.push("g has no trackingSeq");
    }
    let g = GLayout {
        m: known(code.g_m, "g.m")?,
        sched,
        syscallsp,
        syscallpc: syscallsp + 8,
        syscallbp,
        stktopsp: status - 16,
        param: status - 8,
        atomicstatus: status,
        goid: status + 8,
        schedlink: status + 16,
        waitsince: status + 24,
        waitreason: status + 32,
        async_safe_point: status + 36,
        tracking_seq: code.tracking_seq,
        parent_goid: Some(parent_goid),
        gopc: startpc - 16,
        startpc,
        waiting: startpc + 16,
        labels: startpc + 48,
        size: newest.g.size.max(startpc + 56),
        ..newest.g
    };
    let m = m(&newest, code, live, &mut assumed)?;
    assumed.extend([
        "p",
        "schedt",
        "sudog",
        "runtime/pprof labels",
        "maps",
        "net/http",
        "context",
        "internal/abi.FuncID",
    ]);
    assumed.push("number of wait reasons");
    Ok(Assembled { layout: Layout { g, gobuf, m, ..newest }, assumed })
}

/// `bp` has always been the last field, and `lr` before it.
fn gobuf(newest: &Layout, code: &CodeCalibration) -> Result<GobufLayout, Error> {
    let relative = |offset: Option<u32>, field| {
        let offset = offset.ok_or(Error::Unknown { field })?;
        let sp = code.sched_sp.ok_or(Error::Unknown { field: "g.sched.sp" })?;
        offset.checked_sub(sp).ok_or(Error::Arrangement { what: "runtime.gobuf" })
    };
    let (pc, bp) = (relative(code.sched_pc, "g.sched.pc")?, relative(code.sched_bp, "g.sched.bp")?);
    if pc != 8 || !(40..=64).contains(&bp) || bp % 8 != 0 {
        return Err(Error::Arrangement { what: "runtime.gobuf" });
    }
    Ok(GobufLayout { sp: 0, pc, lr: bp - 8, bp, size: bp + 8, ..newest.gobuf })
}

fn m(
    newest: &Layout,
    code: &CodeCalibration,
    live: MOffsets,
    assumed: &mut Vec<&'static str>,
) -> Result<MLayout, Error> {
    let procid = agreed("m.procid", code.m_procid, live.procid)?.ok_or(Error::Unknown { field: "m.procid" })?;
    let curg = agreed("m.curg", code.m_curg, live.curg)?.ok_or(Error::Unknown { field: "m.curg" })?;
    let mut or_newest = |found: Option<u32>, field, default| {
        found.unwrap_or_else(|| {
            assumed.push(field);
            default
        })
    };
    let gsignal = or_newest(code.m_gsignal, "m.gsignal", newest.m.gsignal);
    let p = or_newest(code.m_p, "m.p", newest.m.p);
    let id = p + 24;
    assumed.extend(["m.morebuf", "m.ncgo", "m.alllink", "m.lockedg", "m.vdsoSP", "m.vdsoPC", "m size"]);
    Ok(MLayout {
        g0: code.m_g0.unwrap_or(newest.m.g0),
        procid,
        gsignal,
        tls: gsignal + 56,
        curg,
        p,
        // A wrong counter would prove what is not so.
        syscalltick: None,
        id,
        spinning: id + 44,
        blocked: id + 45,
        incgo: id + 48,
        ..newest.m
    })
}

fn agreed(field: &'static str, code: Option<u32>, live: Option<u32>) -> Result<Option<u32>, Error> {
    match (code, live) {
        (Some(code), Some(live)) if code != live => Err(Error::Disagree { field, code, live }),
        _ => Ok(code.or(live)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::GoVersion;
    use crate::calibrate::compare;

    proptest! {
        #[test]
        fn any_offsets_are_survived(
            offsets in proptest::collection::vec(proptest::option::weighted(0.9, prop_oneof![0u32..512, any::<u32>()]), 14),
        ) {
            let code = CodeCalibration {
                g_m: offsets[0],
                sched_sp: offsets[1],
                sched_pc: offsets[1].map(|sp| sp.wrapping_add(8)),
                sched_bp: offsets[1].map(|sp| sp.wrapping_add(40)),
                atomicstatus: offsets[1].map(|sp| sp.wrapping_add(88)),
                tracking_seq: offsets[5],
                m_gsignal: offsets[6],
                m_g0: offsets[7],
                m_curg: offsets[8],
                m_procid: offsets[9],
                m_p: offsets[10],
            };
            let _ = assemble(Arch::Amd64, &code, offsets[11], MOffsets { procid: offsets[12], curg: offsets[13] });
            code.goid();
            compare(&Layout::newest(Arch::Amd64), &code);
        }
    }

    /// What the code and a live process of that release say.
    fn calibration(layout: &Layout) -> (CodeCalibration, Option<u32>, MOffsets) {
        let Layout { g, gobuf, m, .. } = layout;
        let code = CodeCalibration {
            g_m: Some(g.m),
            sched_sp: Some(g.sched + gobuf.sp),
            sched_pc: Some(g.sched + gobuf.pc),
            sched_bp: Some(g.sched + gobuf.bp),
            atomicstatus: Some(g.atomicstatus),
            tracking_seq: g.tracking_seq,
            m_gsignal: Some(m.gsignal),
            m_g0: Some(m.g0),
            m_curg: Some(m.curg),
            m_procid: Some(m.procid),
            m_p: Some(m.p),
        };
        (code, Some(g.startpc), MOffsets { procid: Some(m.procid), curg: Some(m.curg) })
    }

    /// The distances that `assemble` relies on hold in every release of the table: what it does not list as assumed is
    /// equal to the table.
    #[test]
    fn every_known_release_is_reassembled() {
        for arch in [Arch::Amd64, Arch::Arm64] {
            let newest = Layout::newest(arch);
            for version in Layout::made_from(arch) {
                let layout = Layout::for_version(version, arch).unwrap();
                let (code, startpc, live) = calibration(&layout);
                let found = assemble(arch, &code, startpc, live).unwrap_or_else(|e| panic!("{version}: {e}")).layout;
                let expected_g = GLayout {
                    lockedm: newest.g.lockedm,
                    size: newest.g.size.max(layout.g.startpc + 56),
                    // A release before 1.21 had none, which is not what is newer than the table.
                    parent_goid: Some(layout.g.startpc - 24),
                    ..layout.g
                };
                assert_eq!(found.g, expected_g, "{version}");
                assert_eq!(found.gobuf, layout.gobuf, "{version}");
                let MLayout { ncgo, alllink, lockedg, vdso_sp, vdso_pc, size, .. } = newest.m;
                let syscalltick = None;
                let expected_m = MLayout { syscalltick, ncgo, alllink, lockedg, vdso_sp, vdso_pc, size, ..layout.m };
                assert_eq!(found.m, expected_m, "{version}");
            }
        }
    }

    #[test]
    fn the_newest_release_is_reassembled_exactly_but_for_a_count_that_is_not_measured() {
        let newest = Layout::newest(Arch::Amd64);
        let (code, startpc, live) = calibration(&newest);
        let m = MLayout { syscalltick: None, ..newest.m };
        assert_eq!(assemble(Arch::Amd64, &code, startpc, live).unwrap().layout, Layout { m, ..newest });
    }

    #[test]
    fn what_is_missing_is_assumed_or_refused() {
        let old = Layout::for_version(&GoVersion::parse("go1.23.9").unwrap(), Arch::Amd64).unwrap();
        let (code, startpc, live) = calibration(&old);
        let without = |change: fn(&mut CodeCalibration)| {
            let mut code = code;
            change(&mut code);
            assemble(Arch::Amd64, &code, startpc, live)
        };
        let found = without(|code| (code.m_p, code.tracking_seq) = (None, None)).unwrap();
        assert_eq!((found.layout.g.tracking_seq, found.layout.m.p), (None, Layout::newest(Arch::Amd64).m.p));
        assert!(found.assumed.contains(&"m.p") && found.assumed.contains(&"g has no trackingSeq"));
        assert_eq!(without(|code| code.atomicstatus = None), Err(Error::Unknown { field: "g.atomicstatus" }));
        assert_eq!(assemble(Arch::Amd64, &code, None, live), Err(Error::Unknown { field: "g.startpc" }));
        // Found in memory only.
        assert_eq!(without(|code| code.m_procid = None).unwrap().layout.m.procid, old.m.procid);
        assert_eq!(
            without(|code| code.m_curg = Some(8)),
            Err(Error::Disagree { field: "m.curg", code: 8, live: old.m.curg })
        );
        for change in [
            (|code| code.atomicstatus = Some(0)) as fn(&mut CodeCalibration),
            |code| code.atomicstatus = Some(u32::MAX - 64),
            |code| code.sched_bp = Some(0),
            |code| code.sched_pc = Some(400),
        ] {
            assert!(matches!(without(change), Err(Error::Arrangement { .. })));
        }
    }
}
