//! Finding the runtime in a memory.

use std::sync::Arc;

use fgspy_gobin::layout::Layout;
use fgspy_gobin::{GoBinary, anchors};
use fgspy_memory::{Memory, Range, ReadError};

use crate::label_shape::Shape;
use crate::maps::{self, Maps};
use crate::self_test::self_test;
use crate::{AttachError, GoroutineList, Runtime, Scheduler, Unwinder, bytes, layout};

/// The longest list of wait reasons believed; Go 1.27 has 46.
const MAX_WAIT_REASONS: usize = 128;
/// The longest wait reason believed; Go 1.27's longest has 30 bytes.
const MAX_WAIT_REASON_BYTES: usize = 64;

/// Finds the runtime of the program in `memory`, whose executable is `binary`, loaded `bias` above its link-time
/// addresses and running the threads `tids` (by the ids that the target itself sees).
pub fn attach(memory: &dyn Memory, binary: Arc<GoBinary>, bias: u64, tids: &[u32]) -> Result<Runtime, AttachError> {
    attach_by(memory, binary, bias, tids, false)
}

/// As [`attach`], but measures the layout in the process even if its version is in the table: what becomes of a version
/// that is newer than this fgspy.
pub fn attach_by_measuring(
    memory: &dyn Memory,
    binary: Arc<GoBinary>,
    bias: u64,
    tids: &[u32],
) -> Result<Runtime, AttachError> {
    attach_by(memory, binary, bias, tids, true)
}

fn attach_by(
    memory: &dyn Memory,
    binary: Arc<GoBinary>,
    bias: u64,
    tids: &[u32],
    measure: bool,
) -> Result<Runtime, AttachError> {
    let version = binary.version().ok_or(AttachError::NoVersion)?.clone();
    let anchors = anchors::find(&binary)?;
    let list =
        GoroutineList { len: anchors.allgs.allglen.wrapping_add(bias), ptr: anchors.allgs.allgptr.wrapping_add(bias) };
    let (mut layout, trust) = layout::choose(memory, &binary, bias, &version, list, tids, measure)?;
    let wait_reasons = match anchors.wait_reasons {
        Some(table) => wait_reasons(memory, table.strings.wrapping_add(bias), table.count)?,
        None => Vec::new(),
    };
    let coroutine = wait_reasons.iter().position(|reason| reason == "coroutine").and_then(|at| u8::try_from(at).ok());
    // Code and memory do not say how maps are laid out: the version does, even where the rest was measured.
    layout.maps = maps::layout_of(&binary, &Layout::for_version(&version, binary.arch()).unwrap_or(layout));
    let runtime = Runtime {
        bias,
        trust,
        list,
        scheduler: Scheduler::of(&anchors, &layout.sched, bias),
        wait_reasons,
        coroutine,
        labels: Shape::of(version.minor),
        maps: Some(Maps::of(&binary, layout.maps)),
        unwinder: Unwinder::new(&binary, version.minor),
        binary,
        version,
        layout,
    };
    self_test(memory, &runtime)?;
    Ok(runtime)
}

/// Reads the runtime's own words for its wait reasons: an array of strings. It is relocated in a position independent
/// executable, so it is read from memory and not from the file.
fn wait_reasons(memory: &dyn Memory, address: u64, count: u32) -> Result<Vec<String>, ReadError> {
    let count = (count as usize).min(MAX_WAIT_REASONS);
    let mut headers = vec![0; count * 16];
    if !memory.read_into(address, &mut headers)? {
        return Ok(Vec::new());
    }
    let words: Vec<u64> = bytes::words(&headers).collect();
    let ranges: Vec<Range> = words
        .chunks_exact(2)
        .map(|header| Range {
            addr: header[0],
            len: usize::try_from(header[1]).unwrap_or(0).min(MAX_WAIT_REASON_BYTES),
        })
        .collect();
    let (mut text, mut got) = (Vec::new(), Vec::new());
    memory.read_ranges(&ranges, &mut text, &mut got)?;
    let mut rest = text.as_slice();
    Ok(ranges
        .iter()
        .map(|range| {
            let (word, tail) = rest.split_at_checked(range.len).unwrap_or((rest, &[]));
            rest = tail;
            String::from_utf8_lossy(word).into_owned()
        })
        .collect())
}
