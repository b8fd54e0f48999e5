//! A seccomp filter like those of container runtimes: everything is allowed but perf_event_open.
#![allow(unsafe_code)] // prctl has no safe interface.

use libc::{sock_filter, sock_fprog};

/// Refuses perf_event_open with an error number, in this process, for good.
pub(crate) fn refuse_perf(errno: i32) {
    const LOAD_WORD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const JUMP_IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let step = |code, k, jt, jf| sock_filter { code, jt, jf, k };
    let mut filter = [
        step(LOAD_WORD, 0, 0, 0), // the number of the call is the first field of seccomp_data
        step(JUMP_IF_EQUAL, libc::SYS_perf_event_open as u32, 0, 1),
        step(RETURN, libc::SECCOMP_RET_ERRNO | errno as u32, 0, 0),
        step(RETURN, libc::SECCOMP_RET_ALLOW, 0, 0),
    ];
    let program = sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the first call takes numbers only; the second reads `program` and `filter`, which both live until then.
    let done = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) == 0
    };
    assert!(done, "{}", std::io::Error::last_os_error());
}
