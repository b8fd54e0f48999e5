//! The kernel's numbers for what a goroutine does, and the profile's words for it.

use fgspy_profile::Class;

use crate::shared::constants::{CLASSES, OTHER, RUNNABLE, RUNNING, SYSCALL};

/// Nanoseconds by class.
pub type Times = [u64; CLASSES];

/// By the kernel's number. A thread that no CPU runs is not told from one that runs: nothing but the scheduler of the
/// kernel knows.
const BY_NUMBER: [Class; 11] = [
    Class::Running,
    Class::Runnable,
    Class::Syscall,
    Class::Other,
    Class::Mutex,
    Class::Sync,
    Class::Network,
    Class::Chan,
    Class::Select,
    Class::Sleep,
    Class::Gc,
];

const _: () = assert!(BY_NUMBER.len() <= CLASSES);
const _: () = assert!(RUNNING == 0 && RUNNABLE == 1 && SYSCALL == 2 && OTHER == 3);

/// What the kernel's `number` stands for.
pub fn class(number: u8) -> Class {
    BY_NUMBER.get(usize::from(number)).copied().unwrap_or(Class::Other)
}

/// The kernel's number for `class`.
pub fn number(class: Class) -> u8 {
    match class {
        Class::RunningOffCpu => RUNNING,
        _ => BY_NUMBER.iter().position(|known| *known == class).map_or(OTHER, |number| number as u8),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_classes_are_the_same() {
        for known in Class::ALL {
            let expected = if known == Class::RunningOffCpu { Class::Running } else { known };
            assert_eq!(class(number(known)), expected);
        }
        assert_eq!(class(200), Class::Other);
    }
}
