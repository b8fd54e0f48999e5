//! Go's strings, as they lie in memory.

use fgspy_memory::Range;

use crate::bytes::u64_at;

/// A string: where its bytes are, and how many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct StringHeader {
    pub(crate) data: u64,
    pub(crate) len: u64,
}

impl StringHeader {
    /// The string whose header is at `offset`.
    pub(crate) fn at(bytes: &[u8], offset: usize) -> Option<StringHeader> {
        Some(StringHeader { data: u64_at(bytes, offset)?, len: u64_at(bytes, offset.checked_add(8)?)? })
    }

    /// Its first bytes, at most `max`.
    pub(crate) fn range(self, max: usize) -> Range {
        Range { addr: self.data, len: usize::try_from(self.len).map_or(max, |len| len.min(max)) }
    }
}

/// Text for people from bytes of the target: no control characters, and a mark where it was cut at `max` bytes.
pub(crate) fn text(bytes: &[u8], whole_len: u64) -> String {
    let lossy = String::from_utf8_lossy(bytes);
    let mut text: String =
        lossy.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect();
    if whole_len > bytes.len() as u64 {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_has_no_control_characters() {
        assert_eq!(text(b"/a\nb\x1b[31m\x7f", 10), "/a\u{fffd}b\u{fffd}[31m\u{fffd}");
        assert_eq!(text("/größe\u{85}".as_bytes(), 10), "/größe\u{fffd}");
        assert_eq!(text(b"/\xff", 2), "/\u{fffd}");
        assert_eq!(text(b"/abc", 5), "/abc…");
    }

    #[test]
    fn ranges_are_limited() {
        let header = StringHeader { data: 8, len: u64::MAX };
        assert_eq!(header.range(16), Range { addr: 8, len: 16 });
        assert_eq!(StringHeader { data: 8, len: 3 }.range(16).len, 3);
    }
}
