//! Which layout to read a process by: the table's, or one measured in the process itself.

use fgspy_gobin::calibrate::{self, CodeCalibration, MSample};
use fgspy_gobin::layout::{Layout, status};
use fgspy_gobin::{GoBinary, GoVersion};
use fgspy_memory::{Memory, Range, ReadError};

use crate::bytes::{u32_at, u64_at, words};
use crate::{AttachError, GoroutineList, Trust};

/// Goroutines looked at to measure a layout.
const MEASURED: u64 = 1024;
/// Bytes read of each g and each m: more than any release up to 1.27 needs.
const STRUCT_BYTES: usize = 512;

/// The layout of `version` from the table if the executable's own code agrees with it, else (or if so asked) one measured
/// here.
pub(crate) fn choose(
    memory: &dyn Memory,
    binary: &GoBinary,
    bias: u64,
    version: &GoVersion,
    list: GoroutineList,
    tids: &[u32],
    measure: bool,
) -> Result<(Layout, Trust), AttachError> {
    let code = CodeCalibration::of(binary);
    let layout = if measure { None } else { Layout::for_version(version, binary.arch()) };
    if let Some(layout) = layout.filter(|layout| calibrate::compare(layout, &code).is_empty()) {
        let like = || Trust::Like { release: format!("{}.{}", version.major, version.minor) };
        return Ok((layout, if version.is_inferred() { like() } else { Trust::Table }));
    }
    let unknown = |reason: calibrate::Error| AttachError::Unknown { version: version.to_string(), reason };
    let (startpc, m) = look(memory, binary, bias, &code, list, tids)?;
    let assembled = calibrate::assemble(binary.arch(), &code, startpc, m).map_err(unknown)?;
    let assumed = assembled.assumed.into_iter().map(str::to_owned).collect();
    Ok((assembled.layout, Trust::Calibrated { assumed }))
}

/// What only the live process says: where a g keeps its start function, and an m its thread and goroutine.
fn look(
    memory: &dyn Memory,
    binary: &GoBinary,
    bias: u64,
    code: &CodeCalibration,
    list: GoroutineList,
    tids: &[u32],
) -> Result<(Option<u32>, calibrate::MOffsets), ReadError> {
    let none = (None, calibrate::MOffsets::default());
    let (Some(goid), Some(status), Some(m)) = (code.goid(), code.atomicstatus, code.g_m) else { return Ok(none) };
    let Some(main) = binary.func_named("runtime.main") else { return Ok(none) };
    let gs = read_structs(memory, &list.some(memory, MEASURED)?)?;
    let startpc = gs.iter().find_map(|(_, g)| calibrate::startpc_offset(g, goid, main.entry.wrapping_add(bias)));
    let with_thread = gs.iter().filter_map(|(address, g)| {
        let runs = matches!(u32_at(g, status as usize)? & !status::SCAN, status::RUNNING | status::SYSCALL);
        let m = u64_at(g, m as usize).filter(|m| runs && *m != 0)?;
        Some((*address, m))
    });
    let (addresses, ms): (Vec<u64>, Vec<u64>) = with_thread.unzip();
    let ms = read_structs(memory, &ms)?;
    let samples: Vec<MSample<'_>> = addresses.iter().zip(&ms).map(|(&g, (_, m))| MSample { g, m }).collect();
    Ok((startpc, calibrate::m_offsets(&samples, tids)))
}

/// The first bytes of each struct that is mapped. One that lies at the end of a mapping is left out.
fn read_structs(memory: &dyn Memory, addresses: &[u64]) -> Result<Vec<(u64, Vec<u8>)>, ReadError> {
    let ranges: Vec<Range> = addresses.iter().map(|&addr| Range { addr, len: STRUCT_BYTES }).collect();
    let (mut buf, mut got) = (Vec::new(), Vec::new());
    memory.read_ranges(&ranges, &mut buf, &mut got)?;
    let copies = addresses.iter().zip(buf.chunks_exact(STRUCT_BYTES)).zip(&got);
    Ok(copies.filter(|(_, got)| **got == STRUCT_BYTES).map(|((&addr, copy), _)| (addr, copy.to_vec())).collect())
}

impl GoroutineList {
    /// The first g's of the list, at most `limit`.
    pub(crate) fn some(self, memory: &dyn Memory, limit: u64) -> Result<Vec<u64>, ReadError> {
        let len = memory.read_u64(self.len)?.unwrap_or(0).min(limit) as usize;
        let array = memory.read_u64(self.ptr)?.unwrap_or(0);
        let (mut buf, mut got) = (Vec::new(), Vec::new());
        memory.read_ranges(&[Range { addr: array, len: len * 8 }], &mut buf, &mut got)?;
        Ok(words(&buf).filter(|g| *g != 0).collect())
    }
}
