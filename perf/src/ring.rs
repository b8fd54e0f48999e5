//! One ring of records, read by the kernel's protocol: take the head, copy what is before it, give it back by the tail.

use crate::parse::{self, HEADER, Parsed};
use crate::sys::Mapping;

/// The reading end of a ring.
pub(crate) struct Ring {
    mapping: Mapping,
    tail: u64,
    head: u64,
    record: Vec<u8>,
    malformed: u64,
}

impl Ring {
    pub(crate) fn new(mapping: Mapping) -> Ring {
        Ring { mapping, tail: 0, head: 0, record: Vec::new(), malformed: 0 }
    }

    /// Bytes of records that it can hold.
    pub(crate) fn len(&self) -> usize {
        self.mapping.data_len()
    }

    /// Learns what the kernel has written. `next` ends there, so that a fast writer cannot keep a reader for ever.
    pub(crate) fn refresh(&mut self) {
        self.head = self.mapping.head();
    }

    /// How many records made no sense since this was last asked.
    pub(crate) fn take_malformed(&mut self) -> u64 {
        std::mem::take(&mut self.malformed)
    }

    /// The next record, whose place in the ring is free from then on. `None` at the end of what `refresh` saw.
    pub(crate) fn next(&mut self) -> Option<Parsed> {
        loop {
            let unread = self.head.wrapping_sub(self.tail);
            if unread == 0 {
                return None;
            }
            let size = self.size_of_next(unread);
            let Some(size) = size else {
                // Without a size there is no next record either: start afresh at the head.
                self.malformed += 1;
                self.release(unread);
                return None;
            };
            self.record.resize(size, 0);
            self.mapping.copy(self.tail, &mut self.record);
            self.release(size as u64);
            match parse::record(&self.record) {
                Some(parsed) => return Some(parsed),
                None => self.malformed += 1,
            }
        }
    }

    /// The size in the header at the tail, if there can be such a record.
    fn size_of_next(&self, unread: u64) -> Option<usize> {
        if unread > self.mapping.data_len() as u64 || unread < HEADER as u64 {
            return None;
        }
        let mut header = [0; HEADER];
        self.mapping.copy(self.tail, &mut header);
        let [.., low, high] = header;
        let size = u16::from_ne_bytes([low, high]);
        (usize::from(size) >= HEADER && u64::from(size) <= unread).then_some(size.into())
    }

    fn release(&mut self, bytes: u64) {
        self.tail = self.tail.wrapping_add(bytes);
        self.mapping.set_tail(self.tail);
    }
}

#[cfg(test)]
#[path = "ring_tests.rs"]
mod tests;
