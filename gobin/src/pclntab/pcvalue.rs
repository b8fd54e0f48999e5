//! Tables of values by code address (`runtime.pcvalue`).
//!
//! A table is a list of (value delta, address delta) pairs: the value starts at -1, and each pair says the value that
//! holds up to the next address. A zero value delta, except in the first pair, ends the list.

use crate::bytes::varint;

/// How many pairs may still be read for one question.
///
/// A damaged table may have no end, and one question (the frames at an address) takes several walks; the largest real
/// functions have some 100,000 pairs.
pub(crate) struct Fuel(u32);

impl Fuel {
    /// Enough for every real question; some 30 ms when it is used up.
    pub(crate) const fn full() -> Fuel {
        Fuel(8 << 20)
    }
}

/// The value at `target`, a distance in bytes from the function's entry. `None` when the table ends before it.
pub(super) fn at(table: &[u8], target: u64, quantum: u8, fuel: &mut Fuel) -> Option<i32> {
    let mut cursor = 0;
    let mut value = -1i32;
    let mut pc = 0u64;
    loop {
        fuel.0 = fuel.0.checked_sub(1)?;
        let is_first = cursor == 0;
        let delta = varint(table, &mut cursor)?;
        if delta == 0 && !is_first {
            return None;
        }
        value = value.wrapping_add(zigzag(delta));
        pc = pc.checked_add(u64::from(varint(table, &mut cursor)?) * u64::from(quantum))?;
        if target < pc {
            return Some(value);
        }
    }
}

/// The largest value of the table. `None` when there is none.
pub(super) fn largest(table: &[u8], fuel: &mut Fuel) -> Option<i32> {
    let mut cursor = 0;
    let mut value = -1i32;
    let mut largest = None;
    loop {
        fuel.0 = fuel.0.checked_sub(1)?;
        let is_first = cursor == 0;
        let delta = varint(table, &mut cursor)?;
        if delta == 0 && !is_first {
            return largest;
        }
        value = value.wrapping_add(zigzag(delta));
        varint(table, &mut cursor)?;
        largest = largest.max(Some(value));
    }
}

fn zigzag(delta: u32) -> i32 {
    (delta >> 1) as i32 ^ -((delta & 1) as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(table: &[u8], target: u64, quantum: u8) -> Option<i32> {
        at(table, target, quantum, &mut Fuel::full())
    }

    #[test]
    fn walks_the_pairs() {
        // 0 for 4 bytes, 16 for 10 bytes, 8 for 300 bytes.
        let table = [2, 4, 32, 10, 15, 0xac, 2, 0, 99];
        let value1 = |target| value(&table, target, 1);
        assert_eq!(value1(0), Some(0));
        assert_eq!(value1(3), Some(0));
        assert_eq!(value1(4), Some(16));
        assert_eq!(value1(13), Some(16));
        assert_eq!(value1(14), Some(8));
        assert_eq!(value1(313), Some(8));
        assert_eq!(value1(314), None);
        assert_eq!(value(&table, 15, 4), Some(0));
        assert_eq!(value(&table, 16, 4), Some(16));
    }

    #[test]
    fn the_largest_value_is_found() {
        assert_eq!(largest(&[2, 4, 32, 10, 15, 0xac, 2, 0, 99], &mut Fuel::full()), Some(16));
        assert_eq!(largest(&[1, 4, 0], &mut Fuel::full()), Some(-2));
        assert_eq!(largest(&[2, 4, 32], &mut Fuel::full()), None);
        assert_eq!(largest(&[2, 0].repeat(1000), &mut Fuel(999)), None);
    }

    #[test]
    fn a_first_delta_of_zero_is_a_value() {
        assert_eq!(value(&[0, 5, 0], 2, 1), Some(-1));
        assert_eq!(value(&[0, 5, 0], 5, 1), None);
    }

    #[test]
    fn damage_is_no_value() {
        assert_eq!(value(&[], 0, 1), None);
        assert_eq!(value(&[2], 0, 1), None);
        assert_eq!(value(&[0x80; 20], 0, 1), None);
    }

    #[test]
    fn fuel_ends_a_table_without_an_end() {
        // Value deltas without any address delta.
        let table = [2, 0].repeat(1000);
        let mut fuel = Fuel(999);
        assert_eq!(at(&table, 0, 1, &mut fuel), None);
        assert_eq!(fuel.0, 0);
        assert_eq!(at(&[2, 1], 0, 1, &mut fuel), None);
        assert_eq!(at(&[2, 1], 0, 1, &mut Fuel(1)), Some(0));
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
