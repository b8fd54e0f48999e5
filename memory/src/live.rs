//! The memory of a live process, by `process_vm_readv`.

use std::cell::RefCell;
use std::sync::Arc;

use libc::iovec;
use rustix::io::Errno;

use crate::read::{Memory, Range, ReadError, batch_bytes};
use crate::space::AddressSpace;
use crate::sys::{self, IOV_MAX};
use crate::under_way::counted;

/// The most bytes in one system call: longer calls would only delay whoever waits for us.
const CALL_BYTES: usize = 4 << 20;

/// The fewest ranges in one call after a failure. Up to 8 of them the kernel takes without allocating (`UIO_FASTIOV`).
const MIN_WINDOW: usize = 8;

/// The smallest page of any machine that runs Go. Where pages are larger we only ask more often than needed.
const PAGE: u64 = 4096;

thread_local! {
    /// The ranges of the call being made; here so that readers need neither a lock nor an allocation.
    static RANGES: RefCell<Vec<iovec>> = const { RefCell::new(Vec::new()) };
}

/// The memory of a live process. Cheap to clone; made by [`Process::memory`](crate::Process::memory).
///
/// It reads while the process runs: nothing is stopped, signalled or written. It reads from the address space that the
/// process had when it was opened, and every read ends with a check that it still exists, so that another program's
/// memory is never handed out: after an exit or an exec the answer is [`ReadError::TargetGone`].
///
/// Measured once, on a virtual machine whose empty system call takes 0.2 µs: a batch of one range 2 µs, of 64 and of 1024
/// ranges 0.35 µs a range (8 to 512 bytes each), a range that is not mapped 1.6 µs, long ranges 0.1 µs a KiB.
#[derive(Clone, Debug)]
pub struct Live {
    pid: i32,
    space: Arc<AddressSpace>,
    /// Whether each batch ends with the check.
    is_checked: bool,
}

impl Live {
    pub(crate) fn new(pid: i32, space: Arc<AddressSpace>) -> Self {
        Live { pid, space, is_checked: true }
    }

    /// The same memory without the check at the end of each read, for who makes many reads at a time:
    /// [`Process::still_same`](crate::Process::still_same) must be asked after the last of them, and vouches for all that
    /// were made before. Until then what was read may be another program's.
    #[must_use]
    pub fn unchecked(&self) -> Live {
        Live { is_checked: false, ..self.clone() }
    }

    fn copy(&self, ranges: &[Range], buf: &mut [u8], got: &mut [usize]) -> Result<(), ReadError> {
        let read = |iovecs: &[iovec], out: &mut [u8]| counted(|| sys::read_remote(self.pid, iovecs, out));
        RANGES.with_borrow_mut(|iovecs| Batch::new(ranges, buf, got).run(iovecs, read))?;
        // Must follow the copying, not precede it: it vouches for everything that was copied before.
        if !self.is_checked || self.space.is_alive() { Ok(()) } else { Err(ReadError::TargetGone) }
    }
}

impl Memory for Live {
    fn read_ranges(&self, ranges: &[Range], buf: &mut Vec<u8>, got: &mut Vec<usize>) -> Result<(), ReadError> {
        let total = batch_bytes(ranges)?;
        buf.resize(total, 0); // Old bytes may stay: each is either overwritten or zeroed below.
        got.clear();
        got.resize(ranges.len(), 0);
        self.copy(ranges, buf, got)
    }

    fn read_into(&self, addr: u64, out: &mut [u8]) -> Result<bool, ReadError> {
        let range = [Range { addr, len: out.len() }];
        batch_bytes(&range)?;
        let mut got = [0];
        self.copy(&range, out, &mut got)?;
        Ok(got == [out.len()])
    }
}

/// A batch on its way: everything before the cursor is settled.
struct Batch<'a> {
    ranges: &'a [Range],
    buf: &'a mut [u8],
    got: &'a mut [usize],
    /// The cursor: a range, how much of it is settled, and where in `buf` that is.
    range: usize,
    inside: usize,
    at: usize,
    /// How many ranges the next call may hold. A call that fails has to be taken up again behind the range that failed,
    /// so the window shrinks to about what succeeded and grows back: each failure costs a short call, not a full one.
    window: usize,
    /// The page that the last failure fell on; it is not asked for again. Bad pointers tend to be the same pointer.
    bad_page: Option<u64>,
}

impl<'a> Batch<'a> {
    fn new(ranges: &'a [Range], buf: &'a mut [u8], got: &'a mut [usize]) -> Self {
        Batch { ranges, buf, got, range: 0, inside: 0, at: 0, window: IOV_MAX, bad_page: None }
    }

    /// Reads it all by calls of `read`, which fills a buffer from the given ranges as `sys::read_remote` does.
    fn run(
        &mut self,
        iovecs: &mut Vec<iovec>,
        mut read: impl FnMut(&[iovec], &mut [u8]) -> Result<usize, Errno>,
    ) -> Result<(), ReadError> {
        while self.skip_hopeless() {
            let asked = self.fill(iovecs);
            let Some(out) = self.buf.get_mut(self.at..self.at + asked) else { break };
            let copied = match read(iovecs, out) {
                Ok(copied) => copied.min(asked),
                Err(Errno::SRCH) => return Err(ReadError::TargetGone),
                Err(Errno::PERM | Errno::ACCESS | Errno::NOSYS) => return Err(ReadError::Denied),
                Err(_) => 0, // EFAULT: the first range. (ENOMEM, should it come, is as local.)
            };
            let done = self.settle(copied);
            if copied == asked {
                self.window = (self.window * 2).min(IOV_MAX);
            } else {
                self.window = (done * 2).clamp(MIN_WINDOW, IOV_MAX);
                self.bad_page = self.next_addr().map(|addr| addr / PAGE);
            }
        }
        Ok(())
    }

    /// The address that the cursor stands on.
    fn next_addr(&self) -> Option<u64> {
        self.ranges.get(self.range)?.addr.checked_add(self.inside as u64)
    }

    /// Moves the cursor over ranges that need no call: empty ones and those that cannot succeed. `false` at the end.
    fn skip_hopeless(&mut self) -> bool {
        while let Some(range) = self.ranges.get(self.range) {
            let left = range.len - self.inside;
            if left > 0 && !self.hopeless(range, self.inside) {
                return true;
            }
            if let Some(rest) = self.buf.get_mut(self.at..self.at + left) {
                rest.fill(0);
            }
            self.at += left;
            self.inside = 0;
            self.range += 1;
        }
        false
    }

    /// Whether the rest of `range` cannot be read: it wraps round, or starts on the page that just failed.
    fn hopeless(&self, range: &Range, inside: usize) -> bool {
        let Some(addr) = range.addr.checked_add(inside as u64) else { return true };
        let end = range.addr.checked_add(range.len as u64).and_then(|end| usize::try_from(end).ok());
        end.is_none() || self.bad_page == Some(addr / PAGE)
    }

    /// Lists what the next call shall read, from the cursor on, and says how many bytes that is.
    fn fill(&self, iovecs: &mut Vec<iovec>) -> usize {
        iovecs.clear();
        let (mut bytes, mut inside) = (0, self.inside);
        for range in self.ranges.get(self.range..).unwrap_or_default() {
            if iovecs.len() == self.window || bytes == CALL_BYTES || self.hopeless(range, inside) {
                break;
            }
            let len = (range.len - inside).min(CALL_BYTES - bytes);
            if len > 0 {
                iovecs.push(sys::remote(range.addr as usize + inside, len));
                bytes += len;
            }
            inside = 0;
        }
        bytes
    }

    /// Credits `copied` bytes to the ranges from the cursor on; says how many of them it completed.
    fn settle(&mut self, mut copied: usize) -> usize {
        let before = self.range;
        while let (Some(range), Some(got)) = (self.ranges.get(self.range), self.got.get_mut(self.range)) {
            let step = copied.min(range.len - self.inside);
            *got += step;
            self.inside += step;
            self.at += step;
            copied -= step;
            if self.inside < range.len {
                break;
            }
            self.inside = 0;
            self.range += 1;
        }
        self.range - before
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A target whose every byte is a function of its address, mapped page by page; counts what it is asked.
    struct Model {
        mapped: fn(u64) -> bool,
        calls: usize,
        iovecs: usize,
    }

    fn byte_at(addr: u64) -> u8 {
        (addr.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8 | 1
    }

    impl Model {
        fn new(mapped: fn(u64) -> bool) -> Self {
            Model { mapped, calls: 0, iovecs: 0 }
        }

        /// As process_vm_readv(2) describes it: stops at the first page that is not mapped.
        fn read(&mut self, iovecs: &[iovec], out: &mut [u8]) -> Result<usize, Errno> {
            self.calls += 1;
            self.iovecs += iovecs.len();
            assert!(iovecs.len() <= IOV_MAX && out.len() <= CALL_BYTES && !iovecs.is_empty());
            let mut done = 0;
            for range in iovecs {
                assert!(range.iov_len > 0, "an empty range would make the failing one ambiguous");
                for addr in (range.iov_base as u64)..(range.iov_base as u64 + range.iov_len as u64) {
                    if !(self.mapped)(addr / PAGE) {
                        return if done > 0 { Ok(done) } else { Err(Errno::FAULT) };
                    }
                    out[done] = byte_at(addr);
                    done += 1;
                }
            }
            assert_eq!(done, out.len());
            Ok(done)
        }

        fn read_ranges(&mut self, ranges: &[Range]) -> (Vec<u8>, Vec<usize>) {
            let mut buf = vec![0xee; batch_bytes(ranges).unwrap()];
            let mut got = vec![0; ranges.len()];
            Batch::new(ranges, &mut buf, &mut got).run(&mut Vec::new(), |iovecs, out| self.read(iovecs, out)).unwrap();
            (buf, got)
        }

        fn check(&mut self, ranges: &[Range]) {
            let (buf, got) = self.read_ranges(ranges);
            let mut at = 0;
            for (range, &got) in ranges.iter().zip(&got) {
                let fits = range.addr.checked_add(range.len as u64).is_some();
                let mapped = |i: &usize| fits && (self.mapped)((range.addr + *i as u64) / PAGE);
                let expected = (0..range.len).take_while(mapped).count();
                assert_eq!(got, expected, "{range:x?}");
                let bytes = &buf[at..at + range.len];
                for (i, &byte) in bytes.iter().enumerate() {
                    assert_eq!(byte, if i < got { byte_at(range.addr + i as u64) } else { 0 }, "{range:x?} at {i}");
                }
                at += range.len;
            }
        }
    }

    proptest! {
        #[test]
        fn each_range_gets_its_own_bytes(
            ranges in prop::collection::vec((0u64..40 * PAGE, 0usize..9000), 0..60),
            which in 0usize..4,
        ) {
            let maps: [fn(u64) -> bool; 4] = [|_| true, |_| false, |page| page % 3 != 1, |page| page % 11 == 5];
            let ranges: Vec<Range> = ranges.into_iter().map(|(addr, len)| Range { addr, len }).collect();
            Model::new(maps[which]).check(&ranges);
        }
    }

    #[test]
    fn addresses_at_the_end_are_no_trap() {
        let ranges = [(u64::MAX, 8), (u64::MAX - 7, 8), (u64::MAX - 8, 8), (5, 0), (u64::MAX, 0), (4, 4)];
        Model::new(|page| page < 3).check(&ranges.map(|(addr, len)| Range { addr, len }));
    }

    #[test]
    fn a_long_range_is_read_in_several_calls() {
        let mut model = Model::new(|page| page != 2100);
        let len = 2 * CALL_BYTES + 5 * PAGE as usize;
        model.check(&[Range { addr: PAGE, len: 3 }, Range { addr: PAGE, len }, Range { addr: 2 * PAGE, len: 5 }]);
        assert!(model.calls <= 5, "{}", model.calls);
    }

    #[test]
    fn work_grows_with_the_ranges_not_with_their_square() {
        let scattered = |step: u64| (0..20_000).map(|i| Range { addr: i * step, len: 8 }).collect::<Vec<_>>();
        let mut all_bad = Model::new(|_| false);
        all_bad.check(&scattered(PAGE));
        assert_eq!(all_bad.calls, 20_000, "each page has to be tried");
        assert!(all_bad.iovecs < 20_000 * MIN_WINDOW + IOV_MAX, "{}", all_bad.iovecs);
        let mut same_bad = Model::new(|_| false);
        same_bad.check(&scattered(0));
        assert_eq!(same_bad.calls, 1, "a page that just failed is not tried again");
        let mut all_good = Model::new(|_| true);
        all_good.check(&scattered(PAGE));
        assert_eq!(all_good.calls, 20_000usize.div_ceil(IOV_MAX));
        let mut few_bad = Model::new(|page| page % 1000 != 999);
        few_bad.check(&scattered(PAGE));
        assert!(few_bad.calls < 150 && few_bad.iovecs < 60_000, "{} {}", few_bad.calls, few_bad.iovecs);
    }

    #[test]
    fn a_refusal_ends_the_batch() {
        for (errno, expected) in [(Errno::SRCH, ReadError::TargetGone), (Errno::PERM, ReadError::Denied)] {
            let (mut buf, mut got) = ([0; 8], [0]);
            let range = [Range { addr: 0, len: 8 }];
            let result = Batch::new(&range, &mut buf, &mut got).run(&mut Vec::new(), |_, _| Err(errno));
            assert_eq!(result, Err(expected));
        }
    }
}
