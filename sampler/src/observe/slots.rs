//! What is known of each g, and since when.

use fgspy_goroutines::Fingerprint;
use fgspy_profile::Weight;

use crate::estimate::CellId;
use crate::tick::Now;

/// Ticks for which a goroutine is read each time after it was seen to move. One that has not moved for so long is read
/// by chance.
const HOT_TICKS: u32 = 16;

/// What is known of one g. A million of these should not be felt.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Slot {
    /// As it was last read.
    pub(crate) fingerprint: Fingerprint,
    /// The goroutine it was then.
    pub(crate) goid: u64,
    /// Where it was then; `None` for a g that is no goroutine, or one that is not counted.
    pub(crate) cell: Option<CellId>,
    /// Time from which on it is not yet credited for being there: of the recording, in nanoseconds.
    pub(crate) since_ns: u64,
    /// The tick at that time.
    pub(crate) since_tick: u32,
    /// The tick up to which it is hot; 0 for one that is cold.
    pub(crate) hot_until: u32,
    /// The last tick for which it was chosen.
    pub(crate) chosen: u32,
    /// When it was last looked at: until then all this is sure. In nanoseconds of the recording; 0 if it never was.
    pub(crate) looked_ns: u64,
    /// When it was last known which request it serves, or that it serves none: when the tick of that look began, in
    /// nanoseconds by the clock since the recording began. 0 if that was never known.
    pub(crate) known_ns: u64,
    /// Its stack was read, so that an unchanged fingerprint says all there is to say.
    pub(crate) walked: bool,
    /// The last look did not say which request it serves.
    pub(crate) unsure: bool,
}

impl Slot {
    /// It was looked at again, and has not moved.
    pub(crate) fn looked_again(&mut self, now: Now) {
        self.looked_ns = now.now_ns;
        if !self.unsure {
            self.known_ns = now.clock.tick_ns();
        }
    }

    /// The same goroutine in another cell, or in none, which nobody has read: its stack is to be read when it is chosen.
    pub(crate) fn taken_to_be_in(self, cell: Option<CellId>) -> Slot {
        Slot { fingerprint: Fingerprint::default(), cell, walked: false, ..self }
    }

    /// What the goroutine is to be credited for until then: its number, where it was, and for how long.
    pub(crate) fn due(&self, until_ns: u64, until_tick: u32) -> Option<(u64, CellId, Weight)> {
        let time_ns = until_ns.saturating_sub(self.since_ns);
        let count = until_tick.saturating_sub(self.since_tick).into();
        Some((self.goid, self.cell?, Weight { count, time_ns, variance_us2: 0 })).filter(|_| time_ns > 0)
    }
}

/// All g's, by their number in the runtime's list, and which of them are hot.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    pub(crate) all: Vec<Slot>,
    pub(crate) hot: Vec<u32>,
    /// Those whose g was read but not their stack.
    pub(crate) unwalked: Vec<u32>,
}

impl Slots {
    /// Notes that g number `index` moved at `tick`.
    pub(crate) fn heat(&mut self, index: u32, tick: u32) {
        if let Some(slot) = self.all.get_mut(index as usize) {
            if slot.hot_until == 0 {
                self.hot.push(index);
            }
            slot.hot_until = tick.saturating_add(HOT_TICKS);
        }
    }

    /// Lets go of those that have not moved for a while.
    pub(crate) fn cool(&mut self, tick: u32) {
        let all = &mut self.all;
        self.hot.retain(|&index| match all.get_mut(index as usize) {
            Some(slot) if slot.hot_until < tick => {
                slot.hot_until = 0;
                false
            }
            Some(_) => true,
            None => false,
        });
    }

    /// Bytes of memory that this takes.
    pub(crate) fn bytes(&self) -> usize {
        self.all.capacity() * size_of::<Slot>() + (self.hot.capacity() + self.unwalked.capacity()) * 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moved_is_hot_for_a_while_and_on_the_list_once() {
        let mut slots = Slots { all: vec![Slot::default(); 3], ..Slots::default() };
        slots.heat(1, 5);
        slots.heat(1, 7);
        slots.heat(9, 7);
        assert_eq!(slots.hot, [1]);
        slots.cool(7 + HOT_TICKS);
        assert_eq!(slots.hot, [1]);
        slots.cool(7 + HOT_TICKS + 1);
        assert_eq!((slots.hot.len(), slots.all[1].hot_until), (0, 0));
        slots.heat(1, 40);
        assert_eq!(slots.hot, [1]);
    }
}
