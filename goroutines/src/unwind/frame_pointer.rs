//! Unwinding by the chain of frame pointers.

use super::{Bounds, End, MAX_FRAMES, StackBytes};

/// Follows the chain that starts at frame pointer `fp`, appending return addresses to `pcs`.
///
/// Go lays frames out the same way on amd64 and arm64: `[fp]` is the caller's frame pointer, `[fp + 8]` the return
/// address (`runtime/traceback.go`, `fpTracebackPCs` since Go 1.21). Links must rise, from the stack pointer on, and stay
/// within the stack; anything else means that the chain left the stack (C frames) or that it was torn while it was read.
pub(super) fn walk(fp: u64, bounds: Bounds, stack: StackBytes<'_>, pcs: &mut Vec<u64>) -> End {
    let mut fp = fp;
    let mut lowest = stack.start;
    while fp != 0 {
        if pcs.len() >= MAX_FRAMES {
            return End::TooDeep;
        }
        if fp < lowest || !bounds.holds(fp, 16) {
            return End::Broken;
        }
        let (Some(caller), Some(return_address)) = (stack.word(fp), stack.word(fp + 8)) else {
            return End::NeedsBytes { up_to: fp + 16 };
        };
        pcs.push(return_address);
        lowest = fp + 16;
        fp = caller;
    }
    End::Bottom
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { lo: 0x1000, hi: 0x1040 };

    fn bytes(words: [u64; 8]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    fn walked(words: [u64; 8], fp: u64) -> (End, Vec<u64>) {
        let bytes = bytes(words);
        let mut pcs = Vec::new();
        let end = walk(fp, BOUNDS, StackBytes { start: 0x1000, bytes: &bytes }, &mut pcs);
        (end, pcs)
    }

    #[test]
    fn a_chain_ends_at_a_zero_link() {
        assert_eq!(walked([0, 0, 0x1020, 77, 0, 88, 0, 0], 0x1010), (End::Bottom, vec![77, 88]));
        assert_eq!(walked([0, 0, 0x1020, 77, 0, 88, 0, 0], 0x1020), (End::Bottom, vec![88]));
        assert_eq!(walked([0, 0, 0x1030, 77, 0, 0, 0, 99], 0x1010), (End::Bottom, vec![77, 99]));
    }

    #[test]
    fn links_must_rise_and_stay_inside() {
        assert_eq!(walked([0, 0, 0x1010, 77, 0, 0, 0, 0], 0x1010).0, End::Broken);
        assert_eq!(walked([0, 0, 0x1038, 77, 0, 0, 0, 0], 0x1010).0, End::Broken);
        assert_eq!(walked([0, 0, u64::MAX - 7, 77, 0, 0, 0, 0], 0x1010).0, End::Broken);
    }

    #[test]
    fn missing_bytes_are_asked_for() {
        let short = bytes([0, 0, 0x1030, 77, 0, 0, 0, 0]);
        let mut pcs = Vec::new();
        let end = walk(0x1010, BOUNDS, StackBytes { start: 0x1000, bytes: &short[..0x28] }, &mut pcs);
        assert_eq!((end, pcs), (End::NeedsBytes { up_to: 0x1040 }, vec![77]));
    }
}
