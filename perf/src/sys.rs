//! The system calls, each behind a safe function. All `unsafe` of this crate is here.
#![allow(unsafe_code)] // System calls and the memory shared with the kernel have no safe interface.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use perf_event_open_sys::bindings::{self, perf_event_attr, perf_event_mmap_page};
use perf_event_open_sys::ioctls;

/// Every CPU, in the `cpu` argument of `perf_event_open`.
pub(crate) const ANY_CPU: i32 = -1;

/// The time now, in nanoseconds of `CLOCK_MONOTONIC`: the clock of every time in this crate.
pub fn monotonic_ns() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a valid timespec to write to, and this clock exists on every Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
    (now.tv_sec as u64).saturating_mul(1_000_000_000).saturating_add(now.tv_nsec as u64)
}

/// Bytes in a page of memory.
pub(crate) fn page_size() -> usize {
    // SAFETY: sysconf takes no pointer.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}

/// How many CPUs the kernel is configured for, online or not.
pub(crate) fn configured_cpus() -> u32 {
    // SAFETY: sysconf takes no pointer.
    u32::try_from(unsafe { libc::sysconf(libc::_SC_NPROCESSORS_CONF) }).unwrap_or(1)
}

/// Opens one event on thread `tid` (0: the calling thread) and `cpu`. The descriptor is closed on exec.
pub(crate) fn perf_event_open(attr: &perf_event_attr, tid: u32, cpu: i32) -> io::Result<OwnedFd> {
    open(attr, i32::try_from(tid).map_err(|_| io::Error::from_raw_os_error(libc::ESRCH))?, cpu)
}

/// Opens one event on `cpu`, whatever runs there. The descriptor is closed on exec.
pub(crate) fn perf_event_open_cpu(attr: &perf_event_attr, cpu: i32) -> io::Result<OwnedFd> {
    const ANYBODY: i32 = -1;
    open(attr, ANYBODY, cpu)
}

fn open(attr: &perf_event_attr, tid: i32, cpu: i32) -> io::Result<OwnedFd> {
    // The kernel writes the size it would have liked into the attribute when it refuses one.
    let mut attr = *attr;
    // SAFETY: `attr` is fully initialised and `attr.size` is its size; no group; the kernel keeps no pointer to it.
    let fd =
        unsafe { perf_event_open_sys::perf_event_open(&mut attr, tid, cpu, -1, bindings::PERF_FLAG_FD_CLOEXEC.into()) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just made this descriptor for us; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Sends what `event` records to the ring of `holder`, which must be for the same CPU.
pub(crate) fn set_output(event: BorrowedFd<'_>, holder: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: both descriptors are open; this ioctl takes a descriptor by value, not a pointer.
    match unsafe { ioctls::SET_OUTPUT(event.as_raw_fd(), holder.as_raw_fd()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Enables a disabled event until its next sample, which disables it again.
pub(crate) fn enable_once(event: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: the descriptor is open; this ioctl takes a number.
    match unsafe { ioctls::REFRESH(event.as_raw_fd(), 1) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Gives an event a new period, of which nothing has passed yet, and enables it.
pub(crate) fn enable_with_period(event: BorrowedFd<'_>, period_ns: u64) -> io::Result<()> {
    let fd = event.as_raw_fd();
    // The bindings take the period by value, but the kernel wants its address.
    // SAFETY: the descriptor is open, and `period_ns` lives until the kernel has read it.
    let set = unsafe { libc::ioctl(fd, bindings::PERIOD as _, &raw const period_ns) };
    // SAFETY: the descriptor is open; this ioctl takes a number.
    if set == 0 && unsafe { ioctls::ENABLE(fd, 0) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// How the calling thread is scheduled.
pub(crate) fn scheduling() -> io::Result<libc::sched_attr> {
    let size = size_of::<libc::sched_attr>() as u32;
    // SAFETY: all fields are numbers, for which 0 is valid.
    let mut attr: libc::sched_attr = unsafe { std::mem::zeroed() };
    // SAFETY: `attr` is a valid sched_attr of `size` bytes to write to; 0 is the calling thread.
    match unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attr, size, 0) } {
        0 => Ok(attr),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Changes how the calling thread is scheduled.
pub(crate) fn set_scheduling(attr: &libc::sched_attr) -> io::Result<()> {
    // SAFETY: `attr` is a valid sched_attr whose first field is its size; 0 is the calling thread.
    match unsafe { libc::syscall(libc::SYS_sched_setattr, 0, std::ptr::from_ref(attr), 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// By how many nanoseconds the kernel may delay the calling thread's timers (prctl(2), `PR_GET_TIMERSLACK`).
pub(crate) fn timer_slack() -> io::Result<u64> {
    // SAFETY: this reads and writes no memory of ours.
    let slack = unsafe { libc::prctl(libc::PR_GET_TIMERSLACK) };
    u64::try_from(slack).map_err(|_| io::Error::last_os_error())
}

/// Changes that; 0 is the default.
pub(crate) fn set_timer_slack(slack_ns: u64) -> io::Result<()> {
    // SAFETY: this reads and writes no memory of ours.
    match unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, slack_ns) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The soft and the hard limit on open descriptors.
pub(crate) fn descriptor_limits() -> io::Result<(u64, u64)> {
    limits(libc::RLIMIT_NOFILE)
}

/// Bytes of memory that this process may lock, by its soft limit.
pub(crate) fn locked_memory_limit() -> io::Result<u64> {
    limits(libc::RLIMIT_MEMLOCK).map(|(soft, _)| soft)
}

fn limits(resource: libc::__rlimit_resource_t) -> io::Result<(u64, u64)> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid rlimit to write to.
    match unsafe { libc::getrlimit(resource, &mut limit) } {
        0 => Ok((limit.rlim_cur, limit.rlim_max)),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Sets the soft limit on open descriptors of this process.
pub(crate) fn set_descriptor_limits(soft: u64, hard: u64) -> io::Result<()> {
    let limit = libc::rlimit { rlim_cur: soft, rlim_max: hard };
    // SAFETY: `limit` is a valid rlimit to read from.
    match unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The memory that an event shares with the kernel: one page of bookkeeping, then the ring's data.
///
/// The bytes are only ever copied out, never borrowed: no Rust reference into memory that the kernel writes exists.
pub(crate) struct Mapping {
    base: NonNull<u8>,
    page: usize,
    data: usize,
}

// SAFETY: the mapping is plain memory, valid from any thread of the process; the methods that move the read position
// take `&mut self`.
unsafe impl Send for Mapping {}

impl Mapping {
    /// Maps the ring of `event`, with `data` bytes for records: a power of two of at least one page.
    pub(crate) fn of_event(event: BorrowedFd<'_>, data: usize) -> io::Result<Mapping> {
        Mapping::map(data, libc::MAP_SHARED, event.as_raw_fd())
    }

    /// A mapping of the same shape that only the test writes to.
    #[cfg(test)]
    pub(crate) fn for_test(bytes: &[u8], head: u64) -> Mapping {
        let mapping = Mapping::map(bytes.len(), libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1).expect("anonymous memory");
        // SAFETY: the data area has `bytes.len()` bytes, and nobody else knows of it.
        unsafe { mapping.base.as_ptr().add(mapping.page).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        mapping.counter(std::mem::offset_of!(perf_event_mmap_page, data_head)).store(head, Ordering::Release);
        mapping
    }

    fn map(data: usize, flags: i32, fd: i32) -> io::Result<Mapping> {
        let page = page_size();
        if !data.is_power_of_two() || data < page || data > isize::MAX as usize / 2 {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        // Writable, because the kernel stops at unread data only in rings whose reader can say what it has read.
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice replaces nothing.
        let base = unsafe { libc::mmap(std::ptr::null_mut(), page + data, protection, flags, fd, 0) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base.cast()).ok_or(io::ErrorKind::Unsupported)?; // nobody maps address 0
        Ok(Mapping { base, page, data })
    }

    /// Bytes of the data area: a power of two.
    pub(crate) fn data_len(&self) -> usize {
        self.data
    }

    /// How many bytes the kernel has ever written. All of them that are still unread may be read after this.
    pub(crate) fn head(&self) -> u64 {
        self.counter(std::mem::offset_of!(perf_event_mmap_page, data_head)).load(Ordering::Acquire)
    }

    /// Gives the bytes before `tail` back to the kernel.
    pub(crate) fn set_tail(&mut self, tail: u64) {
        self.counter(std::mem::offset_of!(perf_event_mmap_page, data_tail)).store(tail, Ordering::Release);
    }

    /// The read position, as the kernel sees it.
    #[cfg(test)]
    pub(crate) fn tail(&self) -> u64 {
        self.counter(std::mem::offset_of!(perf_event_mmap_page, data_tail)).load(Ordering::Acquire)
    }

    /// Copies the bytes from position `from` on into `out`, across the end of the ring. Positions count from the first
    /// byte ever written. The caller reads only between tail and head, or it gets bytes of different records.
    pub(crate) fn copy(&self, from: u64, out: &mut [u8]) {
        let len = out.len().min(self.data);
        let start = (from % self.data as u64) as usize;
        let first = len.min(self.data - start);
        // SAFETY: `start < data`, `first <= data - start` and `len - first <= data`, so both copies read inside the
        // data area; `out` has `len` bytes and cannot overlap a mapping that is never borrowed. The kernel does not
        // write between tail and head; if a caller breaks that rule the bytes are wrong, but any byte is a valid `u8`.
        unsafe {
            let data = self.base.as_ptr().add(self.page);
            data.add(start).copy_to_nonoverlapping(out.as_mut_ptr(), first);
            data.copy_to_nonoverlapping(out.as_mut_ptr().add(first), len - first);
        }
    }

    fn counter(&self, offset: usize) -> &AtomicU64 {
        // SAFETY: the offset is that of an aligned u64 field of the bookkeeping page, which is mapped while `self`
        // lives; the kernel accesses it as a whole, as an atomic does.
        unsafe { AtomicU64::from_ptr(self.base.as_ptr().add(offset).cast()) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: this range was mapped by `map`, and no reference into it outlives `self`.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.page + self.data) };
    }
}
