//! What we ask of the kernel: the two kinds of event.
//!
//! `parse` reads what this asks for; the order of the fields in a record follows from `SAMPLE_TYPE`, see
//! perf_event_open(2).

use perf_event_open_sys::bindings::{self, perf_event_attr};

use crate::config::Config;

/// Fields of each sample, and (of these, identifier, thread and time) the trailer of every other record.
pub(crate) const SAMPLE_TYPE: u64 = (bindings::PERF_SAMPLE_IDENTIFIER
    | bindings::PERF_SAMPLE_TID
    | bindings::PERF_SAMPLE_TIME
    | bindings::PERF_SAMPLE_CALLCHAIN
    | bindings::PERF_SAMPLE_REGS_USER
    | bindings::PERF_SAMPLE_STACK_USER) as u64;

/// The registers to copy. The kernel delivers them in the order of their bits: rbp 6, rsp 7, rip 8, r14 22.
#[cfg(target_arch = "x86_64")]
pub(crate) const USER_REGISTERS: u64 = 1 << bindings::PERF_REG_X86_BP
    | 1 << bindings::PERF_REG_X86_SP
    | 1 << bindings::PERF_REG_X86_IP
    | 1 << bindings::PERF_REG_X86_R14;

/// The registers to copy. The kernel delivers them in the order of their bits: x28, x29, lr 30, sp 31, pc 32.
#[cfg(target_arch = "aarch64")]
pub(crate) const USER_REGISTERS: u64 = 1 << bindings::PERF_REG_ARM64_X28
    | 1 << bindings::PERF_REG_ARM64_X29
    | 1 << bindings::PERF_REG_ARM64_LR
    | 1 << bindings::PERF_REG_ARM64_SP
    | 1 << bindings::PERF_REG_ARM64_PC;

/// What this kernel and our permissions allow, found by trying.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Allowed {
    /// Sample while the thread is in the kernel too, with kernel frames.
    pub(crate) kernel: bool,
    /// Follow new threads but not new processes (Linux 5.13). Without it child processes are followed as well, and
    /// their records thrown away.
    pub(crate) threads_only: bool,
}

/// The sampling event. It counts time on the CPU (`cpu-clock`) by a timer that runs only while the thread is on a CPU,
/// so it needs no hardware counter and works in every virtual machine.
pub(crate) fn sampling(config: &Config, allowed: Allowed, inherit: bool) -> perf_event_attr {
    let mut attr = software(bindings::PERF_COUNT_SW_CPU_CLOCK);
    attr.set_freq(1);
    attr.sample_freq = u64::from(config.frequency.get());
    attr.sample_type = SAMPLE_TYPE;
    attr.sample_regs_user = USER_REGISTERS;
    attr.sample_stack_user = config.stack_size();
    attr.set_sample_id_all(1);
    attr.set_inherit(inherit.into());
    attr.set_inherit_thread((inherit && allowed.threads_only).into());
    attr.set_exclude_kernel((!allowed.kernel).into());
    attr.set_exclude_callchain_kernel((!allowed.kernel).into());
    attr.set_context_switch(config.switches.into());
    attr.set_task(1); // fork and exit records
    attr.set_comm(1); // names, wanted only for the mark that tells exec
    attr.set_comm_exec(1);
    attr
}

/// An event that records nothing. It only owns a ring: rings then live as long as we want, whatever thread of the
/// target ends, and exist before the first thread of the target is opened.
pub(crate) fn ring_holder() -> perf_event_attr {
    let mut attr = software(bindings::PERF_COUNT_SW_DUMMY);
    attr.set_disabled(1);
    attr.set_exclude_kernel(1);
    attr
}

/// Events may share a ring only if they share a clock, hence the clock here.
fn software(config: bindings::perf_sw_ids) -> perf_event_attr {
    let mut attr = perf_event_attr::default();
    attr.type_ = bindings::PERF_TYPE_SOFTWARE;
    attr.size = size_of::<perf_event_attr>() as u32;
    attr.config = config.into();
    attr.clockid = libc::CLOCK_MONOTONIC;
    attr.set_use_clockid(1);
    attr.set_exclude_hv(1);
    attr
}
