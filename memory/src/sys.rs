//! The one system call that no crate wraps safely.
#![allow(unsafe_code)] // process_vm_readv takes raw pointers, and rustix does not offer it.

use libc::{c_void, iovec};
use rustix::io::Errno;

/// `IOV_MAX`: how many ranges the kernel takes in one call (`UIO_MAXIOV` in the kernel's `include/uapi/linux/uio.h`).
pub(crate) const IOV_MAX: usize = 1024;

/// A range in the *target's* address space, as the kernel wants it. Never dereferenced by us.
pub(crate) fn remote(addr: usize, len: usize) -> iovec {
    iovec { iov_base: addr as *mut c_void, iov_len: len }
}

/// Copies `ranges` of process `pid`, back to back, into `out`; says how many bytes arrived.
///
/// The kernel stops at the first range that is not mapped to its end: what precedes it has arrived, and of itself a
/// prefix (process_vm_readv(2)). When nothing at all could be copied the answer is `EFAULT`.
pub(crate) fn read_remote(pid: i32, ranges: &[iovec], out: &mut [u8]) -> Result<usize, Errno> {
    let local = iovec { iov_base: out.as_mut_ptr().cast(), iov_len: out.len() };
    // SAFETY: `local` describes `out`, which is ours alone for the whole call, and the kernel writes nowhere else.
    // `ranges` is a valid array of the given length that the kernel only reads; the addresses in it are looked up in
    // the other process, where a bad one makes the call return early.
    let copied = unsafe { libc::process_vm_readv(pid, &local, 1, ranges.as_ptr(), ranges.len() as libc::c_ulong, 0) };
    usize::try_from(copied).map_err(|_| {
        let errno = std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO);
        Errno::from_raw_os_error(errno)
    })
}
