//! Records written by hand as perf_event_open(2) lays them out, and bytes of any kind.

use perf_event_open_sys::bindings;
use proptest::prelude::*;

use super::*;

/// A record of the given type, flags and words after the header.
pub(crate) fn bytes(kind: u32, misc: u16, words: &[u64]) -> Vec<u8> {
    let size = u16::try_from(HEADER + words.len() * 8).expect("fits");
    let mut bytes = Vec::new();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(misc.to_ne_bytes());
    bytes.extend(size.to_ne_bytes());
    bytes.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
    bytes
}

/// Two 32-bit fields in one word, in the order of memory.
pub(crate) fn pair(first: u32, second: u32) -> u64 {
    let ([a, b, c, d], [e, f, g, h]) = (first.to_ne_bytes(), second.to_ne_bytes());
    u64::from_ne_bytes([a, b, c, d, e, f, g, h])
}

#[cfg(target_arch = "x86_64")]
const REGISTERS: ([u64; 4], Registers) =
    ([0xb0, 0x50, 0x1b, 0x6e], Registers { pc: 0x1b, sp: 0x50, fp: 0xb0, lr: 0, g: 0x6e });
#[cfg(target_arch = "aarch64")]
const REGISTERS: ([u64; 5], Registers) =
    ([0x6e, 0xb0, 0x12, 0x50, 0x1b], Registers { pc: 0x1b, sp: 0x50, fp: 0xb0, lr: 0x12, g: 0x6e });

fn sample_words(chain: &[u64], abi: u64, registers: &[u64], stack: &[u64]) -> Vec<u64> {
    let mut words = vec![77, pair(10, 11), 5000, chain.len() as u64];
    words.extend(chain);
    words.push(abi);
    words.extend(registers);
    words.extend(stack);
    words
}

fn parsed_sample(words: &[u64]) -> Option<CpuSample> {
    let parsed = record(&bytes(bindings::PERF_RECORD_SAMPLE, 0, words))?;
    assert_eq!((parsed.event, parsed.pid, parsed.tid, parsed.time_ns), (77, 10, 11, 5000));
    match parsed.body {
        Body::Sample(sample) => Some(sample),
        other => panic!("not a sample: {other:?}"),
    }
}

#[test]
fn a_sample_in_the_kernel_has_two_chains() {
    let chain = [
        bindings::PERF_CONTEXT_KERNEL,
        0xffff_ffff_8100_0001,
        0xffff_ffff_8100_0002,
        bindings::PERF_CONTEXT_USER,
        0x40_1000,
        0x40_2000,
    ];
    let stack = [16, 0x1111, 0x2222, 8];
    let sample = parsed_sample(&sample_words(&chain, 2, &REGISTERS.0, &stack)).expect("parses");
    assert_eq!(sample.tid, 11);
    assert_eq!(sample.time_ns, 5000);
    assert_eq!(sample.kernel_chain, [0xffff_ffff_8100_0001, 0xffff_ffff_8100_0002]);
    assert_eq!(sample.user_chain, [0x40_1000, 0x40_2000]);
    assert_eq!(sample.registers, Some(REGISTERS.1));
    assert_eq!(sample.stack, 0x1111_u64.to_ne_bytes(), "8 of 16 bytes were copied");
}

#[test]
fn frames_of_a_guest_or_of_no_context_are_dropped() {
    let chain = [1, bindings::PERF_CONTEXT_GUEST_KERNEL, 2, bindings::PERF_CONTEXT_USER, 3];
    let sample = parsed_sample(&sample_words(&chain, 2, &REGISTERS.0, &[0])).expect("parses");
    assert_eq!((sample.user_chain, sample.kernel_chain), (vec![3], vec![]));
}

#[test]
fn a_thread_without_64_bit_user_registers_has_none() {
    assert_eq!(parsed_sample(&sample_words(&[], 0, &[], &[0])).expect("no registers").registers, None);
    assert_eq!(parsed_sample(&sample_words(&[], 1, &REGISTERS.0, &[0])).expect("32-bit").registers, None);
}

#[test]
fn impossible_lengths_are_refused() {
    let mut words = sample_words(&[], 2, &REGISTERS.0, &[0]);
    words[3] = u64::MAX; // frames
    assert_eq!(parsed_sample(&words), None);
    assert_eq!(parsed_sample(&sample_words(&[], 2, &REGISTERS.0, &[u64::MAX, 0])), None, "stack");
    assert_eq!(parsed_sample(&sample_words(&[], 2, &REGISTERS.0, &[8, 1, 9])), None, "more copied than there is room");
    assert_eq!(parsed_sample(&sample_words(&[], 2, &REGISTERS.0, &[])), None, "cut off");
    let mut cut = bytes(bindings::PERF_RECORD_SAMPLE, 0, &sample_words(&[], 2, &REGISTERS.0, &[0]));
    cut.push(0);
    assert_eq!(record(&cut), None, "longer than its header says");
}

/// A record of another type, with the trailer that all of them have.
fn parsed_other(kind: u32, misc: u16, fields: &[u64]) -> Option<Parsed> {
    let words: Vec<u64> = fields.iter().copied().chain([pair(10, 11), 6000, 78]).collect();
    record(&bytes(kind, misc, &words))
}

#[test]
fn records_other_than_samples() {
    let switch = bindings::PERF_RECORD_SWITCH;
    let cases = [
        (switch, 0x0000, vec![], Body::Switch { on_cpu: true, preempted: false }),
        (switch, 0x2000, vec![], Body::Switch { on_cpu: false, preempted: false }),
        (switch, 0x6000, vec![], Body::Switch { on_cpu: false, preempted: true }),
        (switch, 0x4000, vec![], Body::Switch { on_cpu: true, preempted: false }),
        (bindings::PERF_RECORD_LOST, 0, vec![9, 1234], Body::Lost { count: 1234 }),
        (bindings::PERF_RECORD_LOST_SAMPLES, 0, vec![5], Body::Lost { count: 5 }),
        (bindings::PERF_RECORD_FORK, 0, vec![pair(1, 2), pair(3, 4), 99], Body::Fork { pid: 1, tid: 3 }),
        (bindings::PERF_RECORD_EXIT, 0, vec![pair(1, 2), pair(3, 4), 99], Body::Exit { pid: 1, tid: 3 }),
        (bindings::PERF_RECORD_COMM, 0x2000, vec![pair(1, 3), 0x61], Body::Exec),
        (bindings::PERF_RECORD_COMM, 0, vec![pair(1, 3), 0x61], Body::Other),
        (bindings::PERF_RECORD_THROTTLE, 0, vec![1, 2, 3], Body::Throttled),
        (12345, 0, vec![1], Body::Other),
    ];
    for (kind, misc, fields, body) in cases {
        let parsed = parsed_other(kind, misc, &fields);
        assert_eq!(parsed, Some(Parsed { pid: 10, tid: 11, time_ns: 6000, event: 78, body }), "type {kind}");
    }
}

#[test]
fn records_that_are_too_short_are_refused() {
    assert_eq!(parsed_other(bindings::PERF_RECORD_LOST, 0, &[9]), None);
    assert_eq!(parsed_other(bindings::PERF_RECORD_FORK, 0, &[1]), None);
    assert_eq!(record(&bytes(bindings::PERF_RECORD_SWITCH, 0, &[1, 2])), None, "no room for the trailer");
    assert_eq!(record(&[]), None);
    assert_eq!(record(&[1, 0, 0]), None);
}

proptest! {
    #[test]
    fn any_bytes_parse_or_do_not_but_never_panic(
        kind in 0_u32..25,
        misc in any::<u16>(),
        words in prop::collection::vec(prop_oneof![any::<u64>(), 0_u64..64], 0..200),
    ) {
        let bytes = bytes(kind, misc, &words);
        if let Some(Parsed { body: Body::Sample(sample), .. }) = record(&bytes) {
            let size = sample.stack.len() + 8 * (sample.user_chain.len() + sample.kernel_chain.len());
            prop_assert!(size <= bytes.len(), "more came out than was in it");
        }
        let _ = record(bytes.get(..bytes.len() / 2).unwrap_or_default());
    }
}
