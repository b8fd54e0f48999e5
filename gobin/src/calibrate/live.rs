//! What one look at a live process says about the runtime's structures.

use crate::bytes::u64_at;

/// `g.startpc`: where goroutine 1, whose g is `g`, has the entry of `runtime.main`.
///
/// `goid` is the offset of `g.goid`, behind which it is; `main_entry` includes the load bias. `None` unless there is
/// exactly one such place.
pub fn startpc_offset(g: &[u8], goid: u32, main_entry: u64) -> Option<u32> {
    if u64_at(g, goid as usize)? != 1 {
        return None;
    }
    only(words(g).filter(|&(offset, word)| offset > goid && word == main_entry).map(|(offset, _)| offset))
}

/// A goroutine that has a thread, for [`m_offsets`].
#[derive(Clone, Copy, Debug)]
pub struct MSample<'a> {
    /// Address of its g.
    pub g: u64,
    /// The beginning of its m: 512 bytes are enough for every release so far.
    pub m: &'a [u8],
}

/// What [`m_offsets`] found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MOffsets {
    /// `m.procid`.
    pub procid: Option<u32>,
    /// `m.curg`.
    pub curg: Option<u32>,
}

/// `m.procid` and `m.curg`, from user goroutines that are running or in a system call.
///
/// The thread id is the one word that names a thread of the process (`tids`, as the process itself numbers them) in
/// every m, a different one in each. The current goroutine may be there twice, in the thread-local storage and behind it
/// in `curg`. What is not certain is `None`; more samples help.
pub fn m_offsets(samples: &[MSample<'_>], tids: &[u32]) -> MOffsets {
    let Some((first, others)) = samples.split_first() else { return MOffsets::default() };
    let is_tid = |word: u64| tids.iter().any(|tid| u64::from(*tid) == word);
    let at = |sample: &MSample<'_>, offset: u32| u64_at(sample.m, offset as usize);
    let procid = words(first.m).filter(|&(offset, word)| {
        let mut seen = vec![word];
        is_tid(word)
            && others.iter().all(|other| match at(other, offset) {
                Some(word) if is_tid(word) && !seen.contains(&word) => {
                    seen.push(word);
                    true
                }
                _ => false,
            })
    });
    let curg: Vec<_> = words(first.m)
        .filter(|&(_, word)| word == first.g)
        .map(|(offset, _)| offset)
        .filter(|offset| others.iter().all(|other| at(other, *offset) == Some(other.g)))
        .collect();
    MOffsets { procid: only(procid.map(|(offset, _)| offset)), curg: curg.last().copied().filter(|_| curg.len() <= 2) }
}

/// The aligned words of a structure and their offsets.
fn words(bytes: &[u8]) -> impl Iterator<Item = (u32, u64)> {
    (0u32..).step_by(8).map_while(|offset| Some((offset, u64_at(bytes, offset as usize)?)))
}

fn only<T>(mut items: impl Iterator<Item = T>) -> Option<T> {
    items.next().filter(|_| items.next().is_none())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAIN: u64 = 0x43_b000;

    fn structure(len: usize, words: &[(usize, u64)]) -> Vec<u8> {
        let mut bytes = vec![0; len];
        for &(offset, word) in words {
            bytes[offset..offset + 8].copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    #[test]
    fn startpc_is_where_goroutine_1_has_runtime_main() {
        let g = structure(456, &[(152, 1), (288, 0x40_1234), (304, MAIN)]);
        assert_eq!(startpc_offset(&g, 152, MAIN), Some(304));
        assert_eq!(startpc_offset(&g, 160, MAIN), None, "not goroutine 1");
        assert_eq!(startpc_offset(&g, 152, MAIN + 1), None, "no such word");
        assert_eq!(startpc_offset(&g[..304], 152, MAIN), None, "cut off");
        let twice = structure(456, &[(152, 1), (288, MAIN), (304, MAIN)]);
        assert_eq!(startpc_offset(&twice, 152, MAIN), None, "ambiguous");
    }

    #[test]
    fn m_offsets_agree_over_all_samples() {
        let m = |g, tid, noise| structure(512, &[(0, 0xc0_0000), (72, tid), (136, g), (192, g), (232, noise)]);
        let (one, two) = (m(0xc000_1000, 100, 101), m(0xc000_2000, 101, 7));
        let samples = [MSample { g: 0xc000_1000, m: &one }, MSample { g: 0xc000_2000, m: &two }];
        let tids = [100, 101, 102];
        assert_eq!(m_offsets(&samples, &tids), MOffsets { procid: Some(72), curg: Some(192) });
        // One sample leaves m.id a candidate.
        assert_eq!(m_offsets(&samples[..1], &tids), MOffsets { procid: None, curg: Some(192) });
        assert_eq!(m_offsets(&samples, &[]), MOffsets { procid: None, curg: Some(192) });
        assert_eq!(m_offsets(&[], &tids), MOffsets::default());
        // The same thread cannot have two m's.
        let same = [samples[0], MSample { g: 0xc000_1000, m: &one }];
        assert_eq!(m_offsets(&same, &tids).procid, None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(g in proptest::collection::vec(any::<u8>(), 0..600), goid in any::<u32>(), word in any::<u64>()) {
            startpc_offset(&g, goid, word);
            m_offsets(&[MSample { g: word, m: &g }, MSample { g: word, m: &g[..g.len() / 2] }], &[0, 1, word as u32]);
        }
    }
}
