//! Offsets in the runtime's structures, found in the target itself instead of in the table.
//!
//! Two uses. As a self-test at attach: [`compare`] says where the [layout table](crate::layout) contradicts the
//! executable's own code. And for a Go release newer than the table: [`assemble`] builds a layout from what the code and
//! one look at the live process say, and names what it had to assume.
//!
//! Nothing here reads a process; the caller passes bytes.

mod assemble;
mod code;
mod live;

pub use assemble::{Assembled, Error, assemble};
pub use code::CodeCalibration;
pub use live::{MOffsets, MSample, m_offsets, startpc_offset};

use crate::layout::Layout;

/// No offset that counts is larger: the largest structure, `p` aside, has 2 KiB.
const LARGEST_STRUCT: u32 = 8192;

/// An offset on which the table and the executable's code differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The field in the runtime's own words: `g.atomicstatus`.
    pub field: &'static str,
    /// What the table says; `None` when its release has no such field.
    pub table: Option<u32>,
    /// What the code says.
    pub code: u32,
}

/// Compares a layout with what the code of the executable says. Empty when they agree.
///
/// What the code does not say is not compared, so an empty answer proves as much as [`CodeCalibration::known`] lists.
pub fn compare(layout: &Layout, code: &CodeCalibration) -> Vec<Mismatch> {
    let Layout { g, gobuf, m, .. } = layout;
    let table = |field| match field {
        "g.m" => Some(g.m),
        "g.sched.sp" => Some(g.sched + gobuf.sp),
        "g.sched.pc" => Some(g.sched + gobuf.pc),
        "g.sched.bp" => Some(g.sched + gobuf.bp),
        "g.atomicstatus" => Some(g.atomicstatus),
        "g.trackingSeq" => g.tracking_seq,
        "m.g0" => Some(m.g0),
        "m.gsignal" => Some(m.gsignal),
        "m.curg" => Some(m.curg),
        "m.procid" => Some(m.procid),
        "m.p" => Some(m.p),
        _ => None,
    };
    let found = code.known().map(|(field, code)| Mismatch { field, table: table(field), code });
    found.filter(|mismatch| mismatch.table != Some(mismatch.code)).collect()
}
