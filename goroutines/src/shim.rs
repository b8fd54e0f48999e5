//! TEMPORARY until gobin::layout and gobin::anchors land.
#![allow(missing_docs)]
use fgspy_gobin::*;
#[derive(Clone, Copy, Debug)]
pub struct G {
    pub size: u32,
    pub stack_lo: u32,
    pub stack_hi: u32,
    pub m: u32,
    pub sched: u32,
    pub syscallsp: u32,
    pub syscallpc: u32,
    pub syscallbp: Option<u32>,
    pub atomicstatus: u32,
    pub goid: u32,
    pub waitsince: u32,
    pub waitreason: u32,
    pub tracking_seq: Option<u32>,
    pub lockedm: u32,
    pub parent_goid: Option<u32>,
    pub gopc: u32,
    pub startpc: u32,
    pub labels: u32,
}
#[derive(Clone, Copy, Debug)]
pub struct Gobuf {
    pub sp: u32,
    pub pc: u32,
    pub bp: u32,
}
#[derive(Clone, Copy, Debug)]
pub struct M {
    pub procid: u32,
    pub curg: u32,
}
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    pub g: G,
    pub gobuf: Gobuf,
    pub m: M,
}
pub fn layout(minor: u16) -> Option<Layout> {
    let (bp, sys, sysbp, st, seq, lm, par, gopc, lab, procid) = match minor {
        17..=20 => (48, 112, None, 144, 189, 232, None, 296, 360, 72),
        21 => (48, 112, None, 144, 188, 208, Some(272), 280, 344, 72),
        22 => (48, 112, None, 144, 191, 208, Some(272), 280, 344, 72),
        23 | 24 => (48, 112, Some(128), 152, 199, 216, Some(280), 288, 352, 72),
        25 => (40, 104, Some(120), 144, 191, 208, Some(272), 280, 344, 64),
        26 | 27 => (40, 104, Some(120), 144, 191, 208, Some(280), 288, 352, 64),
        _ => return None,
    };
    Some(Layout {
        g: G {
            size: 440,
            stack_lo: 0,
            stack_hi: 8,
            m: 48,
            sched: 56,
            syscallsp: sys,
            syscallpc: sys + 8,
            syscallbp: sysbp,
            atomicstatus: st,
            goid: st + 8,
            waitsince: st + 24,
            waitreason: st + 32,
            tracking_seq: Some(seq),
            lockedm: lm,
            parent_goid: par,
            gopc,
            startpc: gopc + 16,
            labels: lab,
        },
        gobuf: Gobuf { sp: 0, pc: 8, bp },
        m: M { procid, curg: 0 },
    })
}
pub fn allgs(b: &GoBinary) -> Option<(u64, u64)> {
    let f = b.func_named("runtime.forEachGRace")?;
    let c = b.code(&f)?;
    let mut out = vec![];
    let mut i = 0;
    while i + 7 <= c.len() && out.len() < 2 {
        if (c[i] == 0x48 || c[i] == 0x4c) && c[i + 1] == 0x8b && c[i + 2] & 0xc7 == 5 {
            out.push(
                f.entry
                    .wrapping_add(i as u64 + 7)
                    .wrapping_add(i32::from_le_bytes(c[i + 3..i + 7].try_into().ok()?) as i64 as u64),
            );
            i += 7
        } else {
            i += 1
        }
    }
    Some((*out.first()?, *out.get(1)?))
}
pub fn wait_reasons(b: &GoBinary) -> Option<(u64, usize)> {
    let f = b.func_named("runtime.waitReason.String")?;
    let c = b.code(&f)?;
    let mut last = None;
    for i in 0..c.len().saturating_sub(7) {
        if (c[i] == 0x48 || c[i] == 0x4c) && c[i + 1] == 0x8d && c[i + 2] & 0xc7 == 5 {
            last = Some(
                f.entry
                    .wrapping_add(i as u64 + 7)
                    .wrapping_add(i32::from_le_bytes(c[i + 3..i + 7].try_into().ok()?) as i64 as u64),
            )
        }
    }
    Some((last?, 36))
}
