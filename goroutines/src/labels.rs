//! The target's own `runtime/pprof` labels of a goroutine.
//!
//! `g.labels` points to a `runtime/pprof.labelMap`. Up to Go 1.23 that is a `map[string]string` in the old map layout;
//! from Go 1.24 on it is a sorted slice of key/value pairs (`runtime/pprof/label.go`, `internal/runtime/pprof/label` from
//! Go 1.26 on). A label set is never changed once it is attached to a goroutine, but its memory may be reused after the
//! goroutine lets go of it: whoever reads one must check afterwards that the goroutine still points to it.

use fgspy_memory::{Memory, Range, ReadError};

pub use crate::label_shape::Shape;

use crate::Runtime;
use crate::batch::{self, Reads, Task};
use crate::bytes::u64_at;
use crate::maps::{Entry, HEAD_BYTES, Maps};
use crate::strings::StringHeader;

/// A goroutine's labels, sorted by key.
pub type Labels = Vec<(String, String)>;

/// Memory that a label set takes, in bytes.
pub(crate) fn bytes_of(labels: &Labels) -> usize {
    labels.iter().map(|(key, value)| size_of::<(String, String)>() + key.len() + value.len()).sum()
}

/// Labels read of one goroutine.
const MAX_LABELS: usize = 64;
/// Bytes read of one key or value; longer ones are cut.
const MAX_STRING_BYTES: usize = 1024;
/// Bytes read of all keys and values of one goroutine; what comes after is left out.
const MAX_TEXT_BYTES: usize = 16 << 10;
/// Size of a `label`: two strings.
const LABEL_BYTES: usize = 32;

/// Reads the labels that each `g.labels` of `addresses` points to; `None` for one where there is no label set (any more).
///
/// # Errors
/// When nothing at all can be read from the target any more.
pub(crate) fn read(
    runtime: &Runtime,
    memory: &dyn Memory,
    addresses: impl Iterator<Item = u64>,
) -> Result<Vec<Option<Labels>>, ReadError> {
    let reads = Reads::default();
    let task = |address| -> Task<'_, Option<Labels>> { Box::pin(follow(runtime, &reads, address)) };
    let labels = batch::run(memory, &reads, addresses.map(task).collect())?;
    Ok(labels.into_iter().map(Option::flatten).collect())
}

async fn follow(runtime: &Runtime, reads: &Reads, address: u64) -> Option<Labels> {
    if address == 0 {
        return Some(Labels::new());
    }
    let pairs = match runtime.labels {
        Shape::Map => of_map(runtime.maps?, reads, address).await?,
        Shape::Slice => of_slice(reads, address).await?,
    };
    resolve(reads, &pairs).await
}

/// A key and its value.
type Pair = (StringHeader, StringHeader);

/// Up to Go 1.23: `g.labels` points to a variable that holds the map, which is itself a pointer.
async fn of_map(maps: Maps, reads: &Reads, address: u64) -> Option<Vec<Pair>> {
    let map = u64_at(&reads.bytes(address, 8).await?, 0)?;
    if map == 0 {
        return Some(Vec::new());
    }
    let head = maps.head(&reads.bytes(map, HEAD_BYTES).await?)?;
    let entries = maps.entries(reads, &head, 16).await?;
    let pair = |entry: &Entry| (entry.key, StringHeader { data: entry.value[0], len: entry.value[1] });
    Some(entries.iter().take(MAX_LABELS).map(pair).collect())
}

/// From Go 1.24 on: `labelMap{LabelSet{list []label}}`, `label{key, value string}`.
async fn of_slice(reads: &Reads, address: u64) -> Option<Vec<Pair>> {
    let list = StringHeader::at(&reads.bytes(address, 16).await?, 0)?;
    let count = usize::try_from(list.len).unwrap_or(usize::MAX).min(MAX_LABELS);
    let list = reads.bytes(list.data, count * LABEL_BYTES).await?;
    (0..count)
        .map(|i| Some((StringHeader::at(&list, i * LABEL_BYTES)?, StringHeader::at(&list, i * LABEL_BYTES + 16)?)))
        .collect()
}

/// Fetches the text of all pairs.
async fn resolve(reads: &Reads, pairs: &[Pair]) -> Option<Labels> {
    let range = |string: StringHeader| string.range(MAX_STRING_BYTES);
    let mut bytes = 0;
    let within_limit = |pair: &&Pair| {
        bytes += range(pair.0).len + range(pair.1).len;
        bytes <= MAX_TEXT_BYTES
    };
    let pairs = pairs.iter().take_while(within_limit);
    let ranges: Vec<Range> = pairs.flat_map(|(key, value)| [range(*key), range(*value)]).collect();
    let text = |copy: &Option<Vec<u8>>| Some(String::from_utf8_lossy(copy.as_ref()?).into_owned());
    let copies = reads.get_all(&ranges).await;
    let pairs = copies.chunks_exact(2).map(|pair| Some((text(&pair[0])?, text(&pair[1])?)));
    let mut labels = pairs.collect::<Option<Labels>>()?;
    labels.sort();
    Some(labels)
}
