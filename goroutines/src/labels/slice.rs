//! Labels from Go 1.24 on: `labelMap{LabelSet{list []label}}`, `label{key, value string}`.

use fgspy_memory::{Memory, ReadError};

use super::{MAX_LABELS, Pair, StringHeader, copy};
use crate::bytes;

/// Size of a `label`: two strings.
const LABEL_BYTES: usize = 32;

pub(super) fn string_pairs(memory: &dyn Memory, address: u64) -> Result<Option<Vec<Pair>>, ReadError> {
    let Some(header) = copy(memory, address, 16)? else { return Ok(None) };
    let (Some(data), Some(len)) = (bytes::u64_at(&header, 0), bytes::u64_at(&header, 8)) else { return Ok(None) };
    let count = usize::try_from(len).unwrap_or(usize::MAX).min(MAX_LABELS);
    let Some(list) = copy(memory, data, count * LABEL_BYTES)? else { return Ok(None) };
    Ok((0..count).map(|i| pair(&list, i * LABEL_BYTES)).collect())
}

fn pair(list: &[u8], offset: usize) -> Option<Pair> {
    Some((StringHeader::at(list, offset)?, StringHeader::at(list, offset + 16)?))
}
