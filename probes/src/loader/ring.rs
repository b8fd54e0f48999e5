//! The reading end of a BPF ring buffer (Documentation/bpf/ringbuf.rst, kernel/bpf/ringbuf.c).
#![allow(unsafe_code)] // Memory that is shared with the kernel has no safe interface.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use rustix::param::page_size;

/// Of a record's length: it is still being written.
const BUSY: u32 = 1 << 31;
/// It was given up.
const DISCARDED: u32 = 1 << 30;
const HEADER: u64 = 8;

/// A mapped part of a file.
struct Mapped {
    start: NonNull<u8>,
    len: usize,
}

impl Mapped {
    fn new(fd: &OwnedFd, at: usize, len: usize, protection: i32) -> io::Result<Mapped> {
        // SAFETY: a new mapping at an address that the kernel chooses.
        let start = unsafe {
            libc::mmap(std::ptr::null_mut(), len, protection, libc::MAP_SHARED, fd.as_raw_fd(), at as libc::off_t)
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Mapped { start, len })
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: this is a mapping of ours, and nothing borrowed from it is left.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}

/// The reading end.
pub(crate) struct Ring {
    /// One page: how far we have read.
    consumer: Mapped,
    /// One page: how far the kernel has written; then the data, twice in a row.
    producer: Mapped,
    size: u64,
}

// SAFETY: the mappings belong to this value alone, and do not care which thread uses them.
unsafe impl Send for Ring {}

impl Ring {
    /// Maps a ring of `size` bytes, a power of two.
    pub(crate) fn new(fd: &OwnedFd, size: u32) -> io::Result<Ring> {
        let (page, size) = (page_size(), size as usize);
        Ok(Ring {
            consumer: Mapped::new(fd, 0, page, libc::PROT_READ | libc::PROT_WRITE)?,
            producer: Mapped::new(fd, page, page + 2 * size, libc::PROT_READ)?,
            size: size as u64,
        })
    }

    fn consumed(&self) -> &AtomicU64 {
        // SAFETY: the page begins with an aligned number, and lives as long as `self`.
        unsafe { &*self.consumer.start.as_ptr().cast::<AtomicU64>() }
    }

    fn produced(&self) -> u64 {
        // SAFETY: as above; the kernel writes it.
        unsafe { &*self.producer.start.as_ptr().cast::<AtomicU64>() }.load(Ordering::Acquire)
    }

    /// Gives each record that is complete, in order, and frees it.
    pub(crate) fn drain(&mut self, each: &mut dyn FnMut(&[u8])) {
        let produced = self.produced();
        let mut at = self.consumed().load(Ordering::Relaxed);
        while at < produced {
            let place = (at & (self.size - 1)) as usize;
            // SAFETY: `place` is in the data, a multiple of 8 as all records are, and the data follows the first page.
            let start = unsafe { self.producer.start.as_ptr().add(page_size() + place) };
            // SAFETY: each record begins with its length, which the kernel sets atomically.
            let header = unsafe { &*start.cast::<AtomicU32>() }.load(Ordering::Acquire);
            if header & BUSY != 0 {
                break; // and what follows it, to keep the order
            }
            let len = u64::from(header & !(BUSY | DISCARDED));
            if len > self.size {
                // This cannot be; without a length there is no next record either.
                each(&[]);
                self.consumed().store(produced, Ordering::Release);
                break;
            }
            if header & DISCARDED == 0 {
                // SAFETY: the record's bytes follow its header, within the data, which is there twice in a row. The kernel
                // does not touch them until they are freed, which is below.
                each(unsafe { std::slice::from_raw_parts(start.add(HEADER as usize), len as usize) });
            }
            at += (len + HEADER).next_multiple_of(8);
            self.consumed().store(at, Ordering::Release);
        }
    }
}
