//! Sets of numbers of g's.

/// A set of small numbers.
#[derive(Debug, Default)]
pub(super) struct Bits(Vec<u64>);

impl Bits {
    pub(super) fn has(&self, number: u32) -> bool {
        self.0.get(number as usize / 64).is_some_and(|word| word >> (number % 64) & 1 != 0)
    }

    pub(super) fn set(&mut self, number: u32) {
        let place = number as usize / 64;
        if place >= self.0.len() {
            self.0.resize(place + 1, 0);
        }
        self.0.get_mut(place).into_iter().for_each(|word| *word |= 1 << (number % 64));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_what_was_set_and_nothing_else() {
        let mut bits = Bits::default();
        assert!(!bits.has(0) && !bits.has(u32::MAX));
        for number in [0, 63, 64, 1000] {
            bits.set(number);
        }
        assert_eq!((0..2000).filter(|number| bits.has(*number)).collect::<Vec<_>>(), [0, 63, 64, 1000]);
    }
}
