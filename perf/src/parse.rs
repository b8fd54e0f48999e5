//! Bytes of a perf record to values. The kernel is trusted, but nothing here panics whatever the bytes are.
//!
//! Layouts: perf_event_open(2), for the fields that `attr::SAMPLE_TYPE` asks for.

use perf_event_open_sys::bindings;

use crate::sample::{CpuSample, Registers};

/// Bytes of the header that starts each record: type, flags, size.
pub(crate) const HEADER: usize = 8;
/// Bytes of the trailer that ends every record but samples: thread, time, identifier.
const TRAILER: usize = 24;

/// A record with the things that all records have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parsed {
    /// Process that was on the CPU when the record was written.
    pub(crate) pid: u32,
    /// Thread that was on the CPU when the record was written.
    pub(crate) tid: u32,
    /// Nanoseconds of `CLOCK_MONOTONIC`.
    pub(crate) time_ns: u64,
    /// The event we opened, or the one from which this thread's event is inherited.
    pub(crate) event: u64,
    /// What happened.
    pub(crate) body: Body,
}

/// What a record says. Thread ids are as *we* see them here, in `CpuSample` too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    Sample(CpuSample),
    Switch { on_cpu: bool, preempted: bool },
    Lost { count: u64 },
    Fork { pid: u32, tid: u32 },
    Exit { pid: u32, tid: u32 },
    Exec,
    Throttled,
    Other,
}

/// Parses one whole record, header included.
pub(crate) fn record(bytes: &[u8]) -> Option<Parsed> {
    let mut fields = Fields(bytes);
    let (kind, misc, size) = (fields.u32()?, fields.u16()?, fields.u16()?);
    if usize::from(size) != bytes.len() {
        return None;
    }
    if kind == bindings::PERF_RECORD_SAMPLE { sample(fields) } else { other(kind, u32::from(misc), fields) }
}

fn sample(mut fields: Fields<'_>) -> Option<Parsed> {
    let event = fields.u64()?;
    let (pid, tid, time_ns) = (fields.u32()?, fields.u32()?, fields.u64()?);
    let count = fields.u64()?;
    let (user_chain, kernel_chain) = call_chain(fields.words(count)?);
    let registers = registers(&mut fields)?;
    let stack = stack(&mut fields)?;
    let body = Body::Sample(CpuSample { time_ns, tid, registers, user_chain, kernel_chain, stack });
    Some(Parsed { pid, tid, time_ns, event, body })
}

fn other(kind: u32, misc: u32, fields: Fields<'_>) -> Option<Parsed> {
    let (fields, trailer) = fields.0.split_at_checked(fields.0.len().checked_sub(TRAILER)?)?;
    let (mut fields, mut trailer) = (Fields(fields), Fields(trailer));
    let (pid, tid, time_ns, event) = (trailer.u32()?, trailer.u32()?, trailer.u64()?, trailer.u64()?);
    let body = match kind {
        bindings::PERF_RECORD_SWITCH => {
            let out = misc & bindings::PERF_RECORD_MISC_SWITCH_OUT != 0;
            let preempted = out && misc & bindings::PERF_RECORD_MISC_SWITCH_OUT_PREEMPT != 0;
            Body::Switch { on_cpu: !out, preempted }
        }
        bindings::PERF_RECORD_LOST => {
            fields.u64()?; // the event that found room again
            Body::Lost { count: fields.u64()? }
        }
        bindings::PERF_RECORD_LOST_SAMPLES => Body::Lost { count: fields.u64()? },
        bindings::PERF_RECORD_FORK | bindings::PERF_RECORD_EXIT => {
            let (pid, _parent_pid, tid) = (fields.u32()?, fields.u32()?, fields.u32()?);
            if kind == bindings::PERF_RECORD_FORK { Body::Fork { pid, tid } } else { Body::Exit { pid, tid } }
        }
        bindings::PERF_RECORD_COMM if misc & bindings::PERF_RECORD_MISC_COMM_EXEC != 0 => Body::Exec,
        bindings::PERF_RECORD_THROTTLE => Body::Throttled,
        _ => Body::Other,
    };
    Some(Parsed { pid, tid, time_ns, event, body })
}

/// Splits a call chain at its markers into the user part and the kernel part, both leaf first. What follows a marker of
/// another context (a guest's, a hypervisor's) is dropped.
fn call_chain(words: impl Iterator<Item = u64>) -> (Vec<u64>, Vec<u64>) {
    const FIRST_MARKER: u64 = bindings::PERF_CONTEXT_MAX;
    const USER: u64 = bindings::PERF_CONTEXT_USER;
    const KERNEL: u64 = bindings::PERF_CONTEXT_KERNEL;
    let (mut user, mut kernel, mut context) = (Vec::new(), Vec::new(), 0);
    for word in words {
        match (word, context) {
            (FIRST_MARKER.., _) => context = word,
            (_, USER) => user.push(word),
            (_, KERNEL) => kernel.push(word),
            _ => {}
        }
    }
    (user, kernel)
}

/// `Some(None)` when the kernel had no 64-bit user registers to give.
fn registers(fields: &mut Fields<'_>) -> Option<Option<Registers>> {
    let abi = fields.u64()?;
    if abi == u64::from(bindings::PERF_SAMPLE_REGS_ABI_NONE) {
        return Some(None); // no values follow
    }
    let registers = values_in_mask_order(fields)?;
    Some((abi == u64::from(bindings::PERF_SAMPLE_REGS_ABI_64)).then_some(registers))
}

#[cfg(target_arch = "x86_64")]
fn values_in_mask_order(fields: &mut Fields<'_>) -> Option<Registers> {
    let (fp, sp, pc, g) = (fields.u64()?, fields.u64()?, fields.u64()?, fields.u64()?);
    Some(Registers { pc, sp, fp, lr: 0, g })
}

#[cfg(target_arch = "aarch64")]
fn values_in_mask_order(fields: &mut Fields<'_>) -> Option<Registers> {
    let (g, fp, lr, sp, pc) = (fields.u64()?, fields.u64()?, fields.u64()?, fields.u64()?, fields.u64()?);
    Some(Registers { pc, sp, fp, lr, g })
}

/// The copied stack: room for `size` bytes, of which the kernel could copy the first `copied`.
fn stack(fields: &mut Fields<'_>) -> Option<Vec<u8>> {
    let size = fields.u64()?;
    if size == 0 {
        return Some(Vec::new()); // and no `copied` follows
    }
    let room = fields.take(usize::try_from(size).ok()?)?;
    let copied = usize::try_from(fields.u64()?).ok()?;
    room.get(..copied).map(<[u8]>::to_vec)
}

/// The rest of a record, read from the front.
#[derive(Clone, Copy)]
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(head)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*head)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_ne_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_ne_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_ne_bytes)
    }

    fn words(&mut self, count: u64) -> Option<impl Iterator<Item = u64> + use<'a>> {
        let bytes = self.take(usize::try_from(count).ok()?.checked_mul(8)?)?;
        Some(bytes.as_chunks().0.iter().map(|word| u64::from_ne_bytes(*word)))
    }
}

#[cfg(test)]
#[path = "parse_tests.rs"]
pub(crate) mod tests;
