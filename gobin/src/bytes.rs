//! Checked little-endian reads from byte slices. Every function answers `None` instead of reading past the end.

/// The longest string the tables may hold. Longer ones are cut: no Go symbol or path comes near it, and a table without
/// terminators must not make one name as large as the table.
pub(crate) const MAX_STRING: usize = 64 << 10;

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

pub(crate) fn u8_at(bytes: &[u8], at: usize) -> Option<u8> {
    bytes.get(at).copied()
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    array(bytes, at).map(u16::from_le_bytes)
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_le_bytes)
}

pub(crate) fn i32_at(bytes: &[u8], at: usize) -> Option<i32> {
    array(bytes, at).map(i32::from_le_bytes)
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    array(bytes, at).map(u64::from_le_bytes)
}

/// The bytes from `at` up to, not including, the next NUL; cut at [`MAX_STRING`].
pub(crate) fn c_string(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let tail = bytes.get(at..)?;
    let tail = tail.get(..MAX_STRING).unwrap_or(tail);
    let end = memchr::memchr(0, tail).unwrap_or(tail.len());
    tail.get(..end)
}

/// An unsigned LEB128 number of at most 32 bits at `*at`, which moves past it. Bits above 32 are lost, as in the Go
/// runtime's `readvarint`; more than five bytes are refused.
pub(crate) fn varint(bytes: &[u8], at: &mut usize) -> Option<u32> {
    let mut value = 0u32;
    for shift in [0, 7, 14, 21, 28] {
        let byte = *bytes.get(*at)?;
        *at += 1;
        value |= u32::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_stop_at_the_end() {
        let bytes = [1, 2, 3, 4, 5, 6, 7, 8];
        assert_eq!(u16_at(&bytes, 6), Some(0x0807));
        assert_eq!(u16_at(&bytes, 7), None);
        assert_eq!(u32_at(&bytes, 4), Some(0x0807_0605));
        assert_eq!(u64_at(&bytes, 0), Some(0x0807_0605_0403_0201));
        assert_eq!(u64_at(&bytes, 1), None);
        assert_eq!(u64_at(&bytes, usize::MAX), None);
    }

    #[test]
    fn strings_end_at_nul_or_table_end() {
        assert_eq!(c_string(b"ab\0cd", 0), Some(&b"ab"[..]));
        assert_eq!(c_string(b"ab\0cd", 3), Some(&b"cd"[..]));
        assert_eq!(c_string(b"ab\0cd", 5), Some(&b""[..]));
        assert_eq!(c_string(b"ab\0cd", 6), None);
        assert_eq!(c_string(&vec![b'x'; MAX_STRING + 9], 0).map(<[u8]>::len), Some(MAX_STRING));
    }

    #[test]
    fn varints_are_bounded() {
        let mut at = 0;
        assert_eq!(varint(&[0x96, 0x01], &mut at), Some(150));
        assert_eq!(at, 2);
        assert_eq!(varint(&[0xff, 0xff, 0xff, 0xff, 0x0f], &mut 0), Some(u32::MAX));
        assert_eq!(varint(&[0x80; 9], &mut 0), None);
        assert_eq!(varint(&[0x80], &mut 0), None);
    }
}
