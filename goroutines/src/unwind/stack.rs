//! A copied piece of a goroutine's stack.

/// Bytes of a stack, copied from address `start` up.
#[derive(Clone, Copy, Debug)]
pub struct StackBytes<'a> {
    /// Address of the first byte.
    pub start: u64,
    /// The copied bytes.
    pub bytes: &'a [u8],
}

impl StackBytes<'_> {
    /// The little-endian word at `addr`; `None` when it was not copied.
    pub fn word(&self, addr: u64) -> Option<u64> {
        let offset = usize::try_from(addr.checked_sub(self.start)?).ok()?;
        let word = self.bytes.get(offset..offset.checked_add(8)?)?;
        Some(u64::from_le_bytes(word.try_into().ok()?))
    }
}

/// The bounds of a goroutine's stack, `g.stack.lo` and `g.stack.hi`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Lowest address of the stack.
    pub lo: u64,
    /// One past its highest address.
    pub hi: u64,
}

impl Bounds {
    /// Whether `len` bytes from `addr` lie within the stack.
    pub fn holds(self, addr: u64, len: u64) -> bool {
        // Subtract, never add: a torn pointer close to 2^64 must not wrap around into the stack.
        addr >= self.lo && self.hi.checked_sub(len).is_some_and(|last| addr <= last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_only_where_all_eight_bytes_are() {
        let bytes: Vec<u8> = (0..16).collect();
        let stack = StackBytes { start: 0x1000, bytes: &bytes };
        assert_eq!(stack.word(0x1000), Some(0x0706_0504_0302_0100));
        assert_eq!(stack.word(0x1008), Some(0x0f0e_0d0c_0b0a_0908));
        assert_eq!(stack.word(0x1009), None);
        assert_eq!(stack.word(0xfff), None);
        assert_eq!(stack.word(u64::MAX), None);
    }

    #[test]
    fn bounds_do_not_wrap() {
        let bounds = Bounds { lo: 0x1000, hi: 0x2000 };
        assert!(bounds.holds(0x1000, 16));
        assert!(bounds.holds(0x1ff0, 16));
        assert!(!bounds.holds(0x1ff1, 16));
        assert!(!bounds.holds(u64::MAX - 7, 16));
        assert!(!Bounds { lo: 0, hi: 8 }.holds(0, 16));
    }
}
