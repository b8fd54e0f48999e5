//! Tables of values by code address (`runtime.pcvalue`).
//!
//! A table is a list of (value delta, address delta) pairs: the value starts at -1, and each pair says the value that
//! holds up to the next address. A zero value delta, except in the first pair, ends the list.

use crate::bytes::varint;

/// More pairs than any function has: a table without an end must not be walked to the end of the file.
const MAX_PAIRS: usize = 4 << 20;

/// The value at `target`, a distance in bytes from the function's entry. `None` when the table ends before it.
pub(super) fn at(table: &[u8], target: u64, quantum: u8) -> Option<i32> {
    let mut cursor = 0;
    let mut value = -1i32;
    let mut pc = 0u64;
    for pair in 0..MAX_PAIRS {
        let delta = varint(table, &mut cursor)?;
        if delta == 0 && pair > 0 {
            return None;
        }
        value = value.wrapping_add(zigzag(delta));
        pc = pc.checked_add(u64::from(varint(table, &mut cursor)?) * u64::from(quantum))?;
        if target < pc {
            return Some(value);
        }
    }
    None
}

fn zigzag(delta: u32) -> i32 {
    (delta >> 1) as i32 ^ -((delta & 1) as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walks_the_pairs() {
        // 0 for 4 bytes, 16 for 10 bytes, 8 for 300 bytes.
        let table = [2, 4, 32, 10, 15, 0xac, 2, 0, 99];
        let value = |target| at(&table, target, 1);
        assert_eq!(value(0), Some(0));
        assert_eq!(value(3), Some(0));
        assert_eq!(value(4), Some(16));
        assert_eq!(value(13), Some(16));
        assert_eq!(value(14), Some(8));
        assert_eq!(value(313), Some(8));
        assert_eq!(value(314), None);
        assert_eq!(at(&table, 15, 4), Some(0));
        assert_eq!(at(&table, 16, 4), Some(16));
    }

    #[test]
    fn a_first_delta_of_zero_is_a_value() {
        assert_eq!(at(&[0, 5, 0], 2, 1), Some(-1));
        assert_eq!(at(&[0, 5, 0], 5, 1), None);
    }

    #[test]
    fn damage_is_no_value() {
        assert_eq!(at(&[], 0, 1), None);
        assert_eq!(at(&[2], 0, 1), None);
        assert_eq!(at(&[0x80; 20], 0, 1), None);
        // Value deltas without any address delta: bounded by the number of pairs.
        assert_eq!(at(&[2, 0].repeat(MAX_PAIRS + 2), 0, 1), None);
    }

    #[test]
    fn zigzag_covers_the_range() {
        assert_eq!(zigzag(0), 0);
        assert_eq!(zigzag(1), -1);
        assert_eq!(zigzag(2), 1);
        assert_eq!(zigzag(u32::MAX), i32::MIN);
        assert_eq!(zigzag(u32::MAX - 1), i32::MAX);
    }
}
