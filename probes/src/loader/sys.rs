//! bpf(2): commands, and what they take (include/uapi/linux/bpf.h of Linux 6.18).
#![allow(unsafe_code)] // bpf(2) has no safe interface.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use crate::shared::tables::MapSpec;

const MAP_CREATE: u32 = 0;
const MAP_LOOKUP_ELEM: u32 = 1;
const MAP_UPDATE_ELEM: u32 = 2;
const MAP_GET_NEXT_KEY: u32 = 4;
const PROG_LOAD: u32 = 5;
const MAP_FREEZE: u32 = 22;
const LINK_CREATE: u32 = 28;

const PROG_TYPE_KPROBE: u32 = 2;
const TRACE_UPROBE_MULTI: u32 = 48;
/// A map of constants: the program may only read it (BPF_F_RDONLY_PROG).
pub(crate) const READ_ONLY: u32 = 1 << 7;

/// Bytes of the verifier's log that are asked for.
const LOG_BYTES: usize = 1 << 20;
/// How often a program is loaded anew that a signal interrupted.
const MAX_LOADS: usize = 16;

#[repr(C)]
#[derive(Default)]
struct MapCreate {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    map_flags: u32,
    inner_map_fd: u32,
    numa_node: u32,
    map_name: [u8; 16],
}

#[repr(C)]
#[derive(Default)]
struct MapElement {
    map_fd: u32,
    pad: u32,
    key: u64,
    value: u64,
    flags: u64,
}

#[repr(C)]
#[derive(Default)]
struct ProgLoad {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
    prog_ifindex: u32,
    expected_attach_type: u32,
}

#[repr(C)]
#[derive(Default)]
struct LinkCreate {
    prog_fd: u32,
    target_fd: u32,
    attach_type: u32,
    flags: u32,
    path: u64,
    offsets: u64,
    ref_ctr_offsets: u64,
    cookies: u64,
    count: u32,
    multi_flags: u32,
    pid: u32,
    pad: u32,
}

fn address<T: ?Sized>(of: *const T) -> u64 {
    of.cast::<u8>() as u64
}

/// # Safety
/// `attr` is what the command takes, and its pointers are to memory that is as large as the command says.
unsafe fn bpf<T>(command: u32, attr: &mut T) -> io::Result<i32> {
    // SAFETY: `attr` is as large as is said; the caller vouches for what it points to.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attr), size_of::<T>()) };
    match result {
        0.. => Ok(result as i32),
        _ => Err(io::Error::last_os_error()),
    }
}

fn descriptor(number: i32) -> OwnedFd {
    // SAFETY: the kernel has just made this descriptor for us, and nobody else has it.
    unsafe { OwnedFd::from_raw_fd(number) }
}

pub(crate) fn create_map(spec: MapSpec) -> io::Result<OwnedFd> {
    let mut attr = MapCreate {
        map_type: spec.kind,
        key_size: spec.key_size,
        value_size: spec.value_size,
        max_entries: spec.max_entries,
        map_flags: spec.flags,
        ..MapCreate::default()
    };
    // SAFETY: this command takes no pointers.
    unsafe { bpf(MAP_CREATE, &mut attr) }.map(descriptor)
}

/// Makes a map one that this process can no longer change.
pub(crate) fn freeze_map(map: &OwnedFd) -> io::Result<()> {
    let mut attr = MapElement { map_fd: map.as_raw_fd() as u32, ..MapElement::default() };
    // SAFETY: this command takes no pointers; it wants what follows the descriptor to be 0.
    unsafe { bpf(MAP_FREEZE, &mut attr) }.map(drop)
}

/// Sets what is at `key`. Both must be as long as the map's.
pub(crate) fn update(map: &OwnedFd, spec: MapSpec, key: &[u8], value: &[u8]) -> io::Result<()> {
    if key.len() != spec.key_size as usize || value.len() != spec.value_size as usize {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut attr = MapElement {
        map_fd: map.as_raw_fd() as u32,
        key: address(key),
        value: address(value),
        ..MapElement::default()
    };
    // SAFETY: key and value have the map's sizes.
    unsafe { bpf(MAP_UPDATE_ELEM, &mut attr) }.map(drop)
}

/// Reads what is at `key` into `value`, which must be as long as the map gives (by possible CPU, for maps that have a value
/// for each).
pub(crate) fn lookup(map: &OwnedFd, spec: MapSpec, cpus: usize, key: &[u8], value: &mut [u8]) -> io::Result<()> {
    if key.len() != spec.key_size as usize || value.len() < (spec.value_size as usize).next_multiple_of(8) * cpus {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut attr = MapElement {
        map_fd: map.as_raw_fd() as u32,
        key: address(key),
        value: address(value),
        ..MapElement::default()
    };
    // SAFETY: the key has the map's size, and the value is large enough for all CPUs that there can be.
    unsafe { bpf(MAP_LOOKUP_ELEM, &mut attr) }.map(drop)
}

/// The key after `key`; the first one without. `None` after the last.
pub(crate) fn next_key(map: &OwnedFd, spec: MapSpec, key: Option<&[u8]>) -> io::Result<Option<Vec<u8>>> {
    let mut next = vec![0; spec.key_size as usize];
    if key.is_some_and(|key| key.len() != next.len()) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut attr = MapElement {
        map_fd: map.as_raw_fd() as u32,
        key: key.map_or(0, |key| address(key)),
        value: address(next.as_mut_slice()),
        ..MapElement::default()
    };
    // SAFETY: both keys have the map's size.
    match unsafe { bpf(MAP_GET_NEXT_KEY, &mut attr) } {
        Ok(_) => Ok(Some(next)),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Loads a program for `uprobe.multi`. With the error comes what the verifier said.
pub(crate) fn load(instructions: &[u8], license: &CStr) -> Result<OwnedFd, (io::Error, String)> {
    let load = |log: &mut [u8]| {
        let mut attr = ProgLoad {
            prog_type: PROG_TYPE_KPROBE,
            insn_cnt: (instructions.len() / 8) as u32,
            insns: address(instructions),
            license: address(license.to_bytes_with_nul()),
            log_level: u32::from(!log.is_empty()),
            log_size: log.len() as u32,
            log_buf: if log.is_empty() { 0 } else { address(log) },
            prog_name: *b"fgspy_trace\0\0\0\0\0",
            expected_attach_type: TRACE_UPROBE_MULTI,
            ..ProgLoad::default()
        };
        // SAFETY: the instructions are as many as is said, the licence ends in a zero byte, and the log is as large as is
        // said.
        unsafe { bpf(PROG_LOAD, &mut attr) }.map(descriptor)
    };
    retried(MAX_LOADS, || load(&mut [])).map_err(|error| {
        if matches!(error.raw_os_error(), Some(libc::EPERM | libc::EAGAIN | libc::EINTR)) {
            return (error, String::new());
        }
        let mut log = vec![0; LOG_BYTES];
        let _ = load(&mut log);
        let len = log.iter().position(|byte| *byte == 0).unwrap_or(log.len());
        (error, String::from_utf8_lossy(log.get(..len).unwrap_or(&[])).into_owned())
    })
}

/// Does it again, up to so many times in all, as long as a signal comes in between: the verifier takes its time, and gives up with
/// EAGAIN when a signal is pending (`do_check` in the kernel's kernel/bpf/verifier.c), one that stops and continues us too.
fn retried<T>(most: usize, mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    for _ in 1..most {
        match call() {
            Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EINTR)) => {}
            result => return result,
        }
    }
    call()
}

/// Attaches a program to places in a file, for one process only.
pub(crate) fn attach(
    program: &OwnedFd,
    path: &CStr,
    offsets: &[u64],
    cookies: &[u64],
    pid: u32,
) -> io::Result<OwnedFd> {
    let mut attr = LinkCreate {
        prog_fd: program.as_raw_fd() as u32,
        attach_type: TRACE_UPROBE_MULTI,
        path: address(path.to_bytes_with_nul()),
        offsets: address(offsets),
        cookies: address(cookies),
        count: offsets.len().min(cookies.len()) as u32,
        pid,
        ..LinkCreate::default()
    };
    // SAFETY: the path ends in a zero byte, and there are at least as many offsets and cookies as is said.
    unsafe { bpf(LINK_CREATE, &mut attr) }.map(descriptor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_that_a_signal_interrupts_is_done_again() {
        let mut calls = 0;
        let mut answer = |errors: &[i32]| {
            calls += 1;
            errors.get(calls - 1).map_or(Ok(calls), |&error| Err(io::Error::from_raw_os_error(error)))
        };
        assert_eq!(retried(4, || answer(&[libc::EAGAIN, libc::EINTR])).ok(), Some(3));
        let mut calls = 0;
        let failed = retried(4, || {
            calls += 1;
            Err::<(), _>(io::Error::from_raw_os_error(if calls == 1 { libc::EACCES } else { libc::EAGAIN }))
        });
        assert_eq!((failed.unwrap_err().raw_os_error(), calls), (Some(libc::EACCES), 1));
        let mut calls = 0;
        let failed = retried(4, || {
            calls += 1;
            Err::<(), _>(io::Error::from_raw_os_error(libc::EAGAIN))
        });
        assert_eq!((failed.unwrap_err().raw_os_error(), calls), (Some(libc::EAGAIN), 4));
    }
}
