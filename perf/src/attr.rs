//! What we ask of the kernel: the three kinds of event.
//!
//! `parse` reads what this asks for; the order of the fields in a record follows from `SAMPLE_TYPE`, see
//! perf_event_open(2).

use perf_event_open_sys::bindings::{self, perf_event_attr};

use crate::config::Config;
use crate::ring_size;

/// Fields of the trailer of every record that is no sample.
const TRAILER_TYPE: u64 =
    (bindings::PERF_SAMPLE_IDENTIFIER | bindings::PERF_SAMPLE_TID | bindings::PERF_SAMPLE_TIME) as u64;

/// Fields of each sample; those of the trailer among them are in every other record too.
const SAMPLE_TYPE: u64 = TRAILER_TYPE
    | (bindings::PERF_SAMPLE_CALLCHAIN | bindings::PERF_SAMPLE_REGS_USER | bindings::PERF_SAMPLE_STACK_USER) as u64;

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

/// The sampling event of one thread. It counts time on the CPU (`cpu-clock`) by a timer that runs only while the thread
/// is on a CPU, so it needs no hardware counter and works in every virtual machine. It starts disabled, with a first
/// period of its own: see `sampler`. Its ring has `ring` bytes.
pub(crate) fn sampler(config: &Config, kernel: bool, first_period_ns: u64, ring: usize) -> perf_event_attr {
    let mut attr = software(bindings::PERF_COUNT_SW_CPU_CLOCK);
    attr.sample_period = first_period_ns;
    attr.sample_type = SAMPLE_TYPE;
    attr.sample_regs_user = USER_REGISTERS;
    attr.sample_stack_user = ring_size::stack_size(config, ring);
    attr.set_disabled(1);
    attr.set_exclude_kernel((!kernel).into());
    attr.set_exclude_callchain_kernel((!kernel).into());
    attr
}

/// The event that samples a CPU, idle time excepted, and records threads and programs that begin and end. Its ring has
/// `ring` bytes.
pub(crate) fn cpu_sampler(config: &Config, period_ns: u64, ring: usize) -> perf_event_attr {
    let mut attr = sampler(config, true, period_ns, ring);
    attr.set_disabled(0);
    attr.set_exclude_idle(1);
    track(&mut attr, &Config { switches: false, ..config.clone() });
    attr
}

/// The event that follows a thread and, being inherited, all threads it creates: it records context switches, forks,
/// exits and exec.
pub(crate) fn tracker(config: &Config, threads_only: bool) -> perf_event_attr {
    let mut attr = software(bindings::PERF_COUNT_SW_DUMMY);
    attr.sample_type = TRAILER_TYPE;
    attr.set_exclude_kernel(1);
    attr.set_inherit(1);
    attr.set_inherit_thread(threads_only.into());
    track(&mut attr, config);
    attr
}

/// Makes an event record what a tracker records.
pub(crate) fn track(attr: &mut perf_event_attr, config: &Config) {
    attr.set_context_switch(config.switches.into());
    attr.set_task(1); // fork and exit records
    attr.set_comm(1); // names, wanted only for the mark that tells exec
    attr.set_comm_exec(1);
}

/// An event that records nothing. It only owns the ring of a CPU, which then lives as long as we want, whatever thread
/// of the target ends, and exists before the first thread of the target is opened.
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
    attr.set_sample_id_all(1);
    attr
}
