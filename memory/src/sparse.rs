//! Bytes at scattered addresses, while they are being collected.

use std::collections::BTreeMap;

use crate::image::Image;

/// Bytes are kept by pages of this size, whatever the target's.
const PAGE: usize = 4096;
const WORDS: usize = PAGE / 64;

/// Scattered bytes; writing over what is there replaces it.
#[derive(Debug)]
pub(crate) struct Sparse {
    pages: BTreeMap<u64, Box<Page>>,
    max_pages: usize,
    /// Bytes that were not kept because there were `max_pages` already.
    pub(crate) dropped: u64,
}

#[derive(Debug)]
struct Page {
    bytes: [u8; PAGE],
    /// Bit `i`: whether `bytes[i]` is known.
    known: [u64; WORDS],
}

/// The bits of word `word` that stand for positions `from..to` of a page.
fn mask(word: usize, from: usize, to: usize) -> u64 {
    let base = word * 64;
    let (from, to) = (from.saturating_sub(base).min(64), to.saturating_sub(base).min(64));
    let below = |bits: usize| if bits == 64 { u64::MAX } else { (1 << bits) - 1 };
    below(to) & !below(from)
}

impl Sparse {
    pub(crate) fn new(max_bytes: u64) -> Self {
        let max_pages = usize::try_from(max_bytes / PAGE as u64).unwrap_or(usize::MAX);
        Sparse { pages: BTreeMap::new(), max_pages, dropped: 0 }
    }

    /// Splits `addr..addr + len` at page limits: page, positions in it, and where they are in the range.
    fn pieces(addr: u64, len: usize) -> impl Iterator<Item = (u64, usize, usize, usize)> {
        let mut done = 0;
        std::iter::from_fn(move || {
            let at = addr.checked_add(done as u64).filter(|_| done < len)?;
            let from = (at % PAGE as u64) as usize;
            let to = from + (PAGE - from).min(len - done);
            let piece = (at / PAGE as u64, from, to, done);
            done += to - from;
            Some(piece)
        })
    }

    /// Remembers `bytes` at `addr`.
    pub(crate) fn put(&mut self, addr: u64, bytes: &[u8]) {
        for (number, from, to, start) in Self::pieces(addr, bytes.len()) {
            let full = self.pages.len() >= self.max_pages;
            if full && !self.pages.contains_key(&number) {
                self.dropped = self.dropped.saturating_add((to - from) as u64);
                continue;
            }
            let empty = || Box::new(Page { bytes: [0; PAGE], known: [0; WORDS] });
            let page = self.pages.entry(number).or_insert_with(empty);
            if let (Some(into), Some(part)) = (page.bytes.get_mut(from..to), bytes.get(start..start + (to - from))) {
                into.copy_from_slice(part);
            }
            for (word, known) in page.known.iter_mut().enumerate() {
                *known |= mask(word, from, to);
            }
        }
    }

    /// Forgets what was at `addr..addr + len`.
    pub(crate) fn forget(&mut self, addr: u64, len: usize) {
        for (number, from, to, _) in Self::pieces(addr, len) {
            if let Some(page) = self.pages.get_mut(&number) {
                for (word, known) in page.known.iter_mut().enumerate() {
                    *known &= !mask(word, from, to);
                }
            }
        }
    }

    /// What is known now, neighbours merged.
    pub(crate) fn image(&self) -> Image {
        let mut image = Image::default();
        for (&number, page) in &self.pages {
            let mut from = 0;
            while let Some((start, end)) = page.next_run(from) {
                image.append(number * PAGE as u64 + start as u64, page.bytes.get(start..end).unwrap_or_default());
                from = end;
            }
        }
        image
    }
}

impl Page {
    /// The first run of known bytes at or after `from`.
    fn next_run(&self, from: usize) -> Option<(usize, usize)> {
        let start = self.first(from, true)?;
        Some((start, self.first(start, false).unwrap_or(PAGE)))
    }

    /// The first position at or after `from` that is known, or is not.
    fn first(&self, from: usize, known: bool) -> Option<usize> {
        (from / 64..WORDS).find_map(|word| {
            let bits = *self.known.get(word)?;
            let wanted = (if known { bits } else { !bits }) & mask(word, from, PAGE);
            (wanted != 0).then(|| word * 64 + wanted.trailing_zeros() as usize)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against the plainest model: one entry per byte.
        #[test]
        fn behaves_like_a_map_of_bytes(
            writes in prop::collection::vec((0u64..20_000, 0usize..9000, any::<u8>(), any::<bool>()), 0..20)
        ) {
            let mut sparse = Sparse::new(1 << 30);
            let mut model = BTreeMap::new();
            for (addr, len, byte, put) in writes {
                let bytes: Vec<u8> = (0..len).map(|i| byte.wrapping_add(i as u8)).collect();
                if put {
                    sparse.put(addr, &bytes);
                    model.extend(bytes.iter().enumerate().map(|(i, &b)| (addr + i as u64, b)));
                } else {
                    sparse.forget(addr, len);
                    model.retain(|&at, _| at < addr || at >= addr + len as u64);
                }
            }
            let image = sparse.image();
            let mut found = BTreeMap::new();
            for (start, bytes) in image.extents() {
                found.extend(bytes.iter().enumerate().map(|(i, &b)| (start + i as u64, b)));
            }
            prop_assert_eq!(&found, &model);
            let starts = model.keys().filter(|&&at| at == 0 || !model.contains_key(&(at - 1))).count();
            prop_assert_eq!(image.extents().count(), starts, "neighbours are merged");
        }
    }

    #[test]
    fn the_end_of_the_address_space_is_no_trap() {
        let mut sparse = Sparse::new(1 << 30);
        sparse.put(u64::MAX - 1, &[1, 2, 3]);
        assert_eq!(sparse.image().extents().collect::<Vec<_>>(), [(u64::MAX - 1, &[1][..])]);
        sparse.forget(u64::MAX - 1, usize::MAX);
    }

    #[test]
    fn what_is_too_much_is_counted() {
        let mut sparse = Sparse::new(2 * PAGE as u64);
        sparse.put(0, &[7; 3 * PAGE]);
        assert_eq!(sparse.dropped, PAGE as u64);
        sparse.put(10, &[8; 4]); // a page that is there still takes writes
        assert_eq!(sparse.dropped, PAGE as u64);
        let image = sparse.image();
        let (start, bytes) = image.extents().next().unwrap();
        assert_eq!((start, bytes.len(), bytes[10]), (0, 2 * PAGE, 8));
    }
}
