//! The target's own `runtime/pprof` labels of a goroutine.
//!
//! `g.labels` points to a `runtime/pprof.labelMap`. Up to Go 1.23 that is a `map[string]string` in the old map layout;
//! from Go 1.24 on it is a sorted slice of key/value pairs (`runtime/pprof/label.go`, `internal/runtime/pprof/label` from
//! Go 1.26 on). A label set is never changed once it is attached to a goroutine, but its memory may be reused after the
//! goroutine lets go of it: whoever reads one must check afterwards that the goroutine still points to it.

mod map;
mod slice;

use fgspy_memory::{Memory, Range, ReadError};

use crate::bytes;

/// A goroutine's labels, sorted by key.
pub type Labels = Vec<(String, String)>;

/// Memory that a label set takes, in bytes.
pub(crate) fn bytes_of(labels: &Labels) -> usize {
    labels.iter().map(|(key, value)| size_of::<(String, String)>() + key.len() + value.len()).sum()
}

/// Labels read of one goroutine.
const MAX_LABELS: usize = 64;
/// Bytes read of one key or value; longer ones are cut.
const MAX_STRING_BYTES: u64 = 1024;
/// Bytes read of all keys and values of one goroutine; what comes after is left out.
const MAX_TEXT_BYTES: usize = 16 << 10;

/// How labels are stored in the target's Go version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `map[string]string` as `runtime.hmap`, up to Go 1.23.
    Map,
    /// A slice of pairs, from Go 1.24 on.
    Slice,
}

impl Shape {
    /// The shape in Go 1.`minor`.
    pub fn of(minor: u16) -> Shape {
        if minor >= 24 { Shape::Slice } else { Shape::Map }
    }
}

/// Reads the labels that `g.labels` = `address` points to. `Ok(None)` when what is there is no label set (any more).
pub fn read(shape: Shape, memory: &dyn Memory, address: u64) -> Result<Option<Labels>, ReadError> {
    if address == 0 {
        return Ok(Some(Vec::new()));
    }
    let headers = match shape {
        Shape::Map => map::string_pairs(memory, address)?,
        Shape::Slice => slice::string_pairs(memory, address)?,
    };
    match headers {
        Some(headers) => resolve(memory, &headers),
        None => Ok(None),
    }
}

/// A Go string as it lies in memory.
#[derive(Clone, Copy, Debug, Default)]
struct StringHeader {
    data: u64,
    len: u64,
}

impl StringHeader {
    fn at(bytes: &[u8], offset: usize) -> Option<StringHeader> {
        Some(StringHeader { data: bytes::u64_at(bytes, offset)?, len: bytes::u64_at(bytes, offset.checked_add(8)?)? })
    }

    fn range(self) -> Range {
        Range { addr: self.data, len: self.len.min(MAX_STRING_BYTES) as usize }
    }
}

/// A key and its value.
type Pair = (StringHeader, StringHeader);

/// Fetches the text of all pairs in one read.
fn resolve(memory: &dyn Memory, pairs: &[Pair]) -> Result<Option<Labels>, ReadError> {
    let mut bytes = 0;
    let within_limit = |pair: &&Pair| {
        bytes += pair.0.range().len + pair.1.range().len;
        bytes <= MAX_TEXT_BYTES
    };
    let pairs = pairs.iter().take_while(within_limit);
    let ranges: Vec<Range> = pairs.flat_map(|(key, value)| [key.range(), value.range()]).collect();
    let (mut text, mut got) = (Vec::new(), Vec::new());
    memory.read_ranges(&ranges, &mut text, &mut got)?;
    if ranges.iter().zip(&got).any(|(range, got)| *got != range.len) {
        return Ok(None);
    }
    let mut rest = text.as_slice();
    let mut strings = ranges.iter().map(|range| {
        let (string, tail) = rest.split_at_checked(range.len).unwrap_or((rest, &[]));
        rest = tail;
        String::from_utf8_lossy(string).into_owned()
    });
    let mut labels = Labels::new();
    while let (Some(key), Some(value)) = (strings.next(), strings.next()) {
        labels.push((key, value));
    }
    labels.sort();
    Ok(Some(labels))
}

/// A copy of `len` bytes at `addr`, if all are mapped.
fn copy(memory: &dyn Memory, addr: u64, len: usize) -> Result<Option<Vec<u8>>, ReadError> {
    let mut bytes = vec![0; len];
    Ok(memory.read_into(addr, &mut bytes)?.then_some(bytes))
}
