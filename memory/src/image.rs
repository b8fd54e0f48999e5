//! Bytes at scattered addresses, finished: looked up, not changed.

/// Scattered bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Image {
    /// Ascending; between two there is at least one byte that is not known.
    extents: Vec<Extent>,
    /// The bytes of all extents, back to back.
    bytes: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Extent {
    addr: u64,
    /// Where its bytes start in `bytes`; they end where the next extent's start.
    at: usize,
}

impl Image {
    /// Adds bytes behind all others, joining them to the last extent where they continue it. Bytes that reach the end
    /// of the address space are cut so that every extent has an end address.
    pub(crate) fn append(&mut self, addr: u64, bytes: &[u8]) {
        let room = usize::try_from(u64::MAX - addr).unwrap_or(usize::MAX);
        let bytes = bytes.get(..room).unwrap_or(bytes);
        if bytes.is_empty() {
            return;
        }
        let at = self.bytes.len();
        let continues = self.extents.last().is_some_and(|last| last.addr + (at - last.at) as u64 == addr);
        if !continues {
            self.extents.push(Extent { addr, at });
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Puts an image together from its extents (address, length) and their bytes. `None` unless they are ascending,
    /// apart, and add up.
    pub(crate) fn from_parts(extents: impl Iterator<Item = (u64, u64)>, bytes: Vec<u8>) -> Option<Image> {
        let mut image = Image { extents: Vec::new(), bytes };
        let (mut at, mut end) = (0usize, None);
        for (addr, len) in extents {
            if len == 0 || end.is_some_and(|end| addr <= end) {
                return None;
            }
            image.extents.push(Extent { addr, at });
            at = at.checked_add(usize::try_from(len).ok()?)?;
            end = Some(addr.checked_add(len)?);
        }
        (at == image.bytes.len()).then_some(image)
    }

    /// The extents: address and bytes.
    pub(crate) fn extents(&self) -> impl Iterator<Item = (u64, &[u8])> {
        (0..self.extents.len()).filter_map(|index| self.extent(index))
    }

    fn extent(&self, index: usize) -> Option<(u64, &[u8])> {
        let extent = self.extents.get(index)?;
        let end = self.extents.get(index + 1).map_or(self.bytes.len(), |next| next.at);
        Some((extent.addr, self.bytes.get(extent.at..end)?))
    }

    /// The known bytes from `addr` on, at most `len`; empty where the first is not known.
    pub(crate) fn read(&self, addr: u64, len: usize) -> &[u8] {
        let after = self.extents.partition_point(|extent| extent.addr <= addr);
        let found = after.checked_sub(1).and_then(|index| {
            let (start, bytes) = self.extent(index)?;
            bytes.get(usize::try_from(addr - start).ok()?..)
        });
        let rest = found.unwrap_or_default();
        rest.get(..len).unwrap_or(rest)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_is_there() {
        let mut image = Image::default();
        image.append(100, b"abc");
        image.append(103, b"def");
        image.append(200, b"xyz");
        assert_eq!(image.extents().collect::<Vec<_>>(), [(100, &b"abcdef"[..]), (200, b"xyz")]);
        assert_eq!(image.read(99, 5), b"");
        assert_eq!(image.read(102, 2), b"cd");
        assert_eq!(image.read(104, 100), b"ef");
        assert_eq!(image.read(106, 1), b"");
        assert_eq!(image.read(200, 3), b"xyz");
        assert_eq!(image.read(u64::MAX, usize::MAX), b"");
    }

    #[test]
    fn parts_must_fit() {
        let image = |extents: &[(u64, u64)], bytes: usize| Image::from_parts(extents.iter().copied(), vec![0; bytes]);
        assert!(image(&[(5, 2), (8, 1)], 3).is_some());
        assert!(image(&[], 0).is_some());
        assert!(image(&[(5, 2), (7, 1)], 3).is_none(), "touching");
        assert!(image(&[(8, 1), (5, 2)], 3).is_none(), "descending");
        assert!(image(&[(5, 0)], 0).is_none(), "empty");
        assert!(image(&[(5, 2)], 3).is_none(), "bytes left over");
        assert!(image(&[(5, u64::MAX)], 3).is_none(), "past the end");
        assert!(image(&[(5, 4)], 3).is_none(), "bytes missing");
    }
}
