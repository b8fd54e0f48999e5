//! A ring whose memory the test writes instead of the kernel.

use perf_event_open_sys::bindings;
use proptest::prelude::*;

use super::*;
use crate::parse::Body;
use crate::parse::tests::{bytes, pair};
use crate::sys::page_size;

/// A context switch at a time: 32 bytes.
fn switch(time: u64) -> Vec<u8> {
    bytes(bindings::PERF_RECORD_SWITCH, 0, &[pair(1, 2), time, 3])
}

/// A ring of one page, with `stream` written from position `start` on.
fn ring(start: u64, stream: &[u8]) -> Ring {
    let page = page_size();
    let mut data = vec![0xaa; page];
    for (offset, byte) in stream.iter().enumerate() {
        data[start.wrapping_add(offset as u64) as usize % page] = *byte;
    }
    let mut ring = Ring::new(Mapping::for_test(&data, start.wrapping_add(stream.len() as u64)));
    ring.tail = start;
    ring.refresh();
    ring
}

fn times(ring: &mut Ring) -> Vec<u64> {
    std::iter::from_fn(|| ring.next()).map(|parsed| parsed.time_ns).collect()
}

#[test]
fn records_come_in_order_and_their_room_is_given_back() {
    let mut ring = ring(0, &[switch(1), switch(2), switch(3)].concat());
    assert_eq!(ring.next().map(|parsed| parsed.body), Some(Body::Switch { on_cpu: true, preempted: false }));
    assert_eq!(ring.mapping.tail(), 32);
    assert_eq!(times(&mut ring), [2, 3]);
    assert_eq!(ring.mapping.tail(), 96);
    assert_eq!(ring.next(), None);
    assert_eq!(ring.take_malformed(), 0);
}

#[test]
fn a_record_may_cross_the_end_of_the_ring() {
    let page = page_size() as u64;
    for before_the_end in [8, 16, 24, 32] {
        let start = 7 * page - before_the_end;
        let mut ring = ring(start, &[switch(1), switch(2)].concat());
        assert_eq!(times(&mut ring), [1, 2], "{before_the_end} bytes before the end");
        assert_eq!(ring.mapping.tail(), start + 64);
    }
}

#[test]
fn a_full_ring_is_read_whole() {
    let count = page_size() as u64 / 32;
    let stream: Vec<u8> = (0..count).flat_map(switch).collect();
    assert_eq!(times(&mut ring(32 * 5, &stream)), (0..count).collect::<Vec<_>>());
}

#[test]
fn the_position_may_wrap_around() {
    let start = u64::MAX - 31; // room for one record, then position 0
    let mut ring = ring(start, &[switch(1), switch(2)].concat());
    assert_eq!(times(&mut ring), [1, 2]);
    assert_eq!(ring.mapping.tail(), 32);
}

#[test]
fn a_senseless_record_is_counted_and_skipped() {
    let mut broken = switch(2);
    broken.truncate(16);
    broken[6] = 16; // its size: too small for the trailer
    let mut ring = ring(0, &[switch(1), broken, switch(3)].concat());
    assert_eq!(times(&mut ring), [1, 3]);
    assert_eq!((ring.take_malformed(), ring.take_malformed()), (1, 0));
}

#[test]
fn a_senseless_size_drops_what_is_unread() {
    for size in [0_u16, 7, 4000] {
        let mut broken = switch(2);
        broken[6..8].copy_from_slice(&size.to_ne_bytes());
        let mut ring = ring(0, &[switch(1), broken, switch(3)].concat());
        assert_eq!(times(&mut ring), [1], "size {size}");
        assert_eq!((ring.take_malformed(), ring.mapping.tail()), (1, 96));
    }
}

#[test]
fn a_head_beyond_the_ring_drops_everything() {
    let page = page_size();
    let mut ring = Ring::new(Mapping::for_test(&vec![0; page], 3 * page as u64));
    ring.refresh();
    assert_eq!(ring.next(), None);
    assert_eq!((ring.take_malformed(), ring.mapping.tail()), (1, 3 * page as u64));
}

proptest! {
    #[test]
    fn any_content_is_read_to_its_end(content in prop::collection::vec(any::<u8>(), 1..600), start in 0_u64..9000) {
        let mut ring = ring(start * 8, &content);
        let read = times(&mut ring).len();
        prop_assert!(read <= content.len() / 8);
        prop_assert_eq!(ring.mapping.tail(), start * 8 + content.len() as u64);
    }
}
