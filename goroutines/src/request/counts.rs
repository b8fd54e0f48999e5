//! How often the request of a goroutine was found, and why not.

use super::{Mismatch, Served};

/// What became of looking for requests, counted once for each goroutine whose stack was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestCounts {
    /// Goroutines that belong to no server.
    pub nothing: u64,
    /// Goroutines of servers that served nothing.
    pub idle: u64,
    /// Goroutines whose request was found.
    pub serving: u64,
    /// Goroutines whose request changed while it was read.
    pub torn: u64,
    /// Goroutines in which no request was found, by the position of the reason in [`Mismatch::ALL`].
    pub unknown: [u64; Mismatch::ALL.len()],
}

impl RequestCounts {
    /// Counts one goroutine.
    pub(crate) fn add(&mut self, served: Served<'_>) {
        match served {
            Served::NotAsked => {}
            Served::Nothing => self.nothing += 1,
            Served::Idle(_) => self.idle += 1,
            Served::Serving(_) => self.serving += 1,
            Served::Torn => self.torn += 1,
            Served::Unknown(why) => {
                let count = Mismatch::ALL.iter().position(|other| *other == why);
                count.and_then(|at| self.unknown.get_mut(at)).into_iter().for_each(|count| *count += 1);
            }
        }
    }

    /// How often no request was found for a reason.
    pub fn unknown(&self, why: Mismatch) -> u64 {
        let at = Mismatch::ALL.iter().position(|other| *other == why);
        at.and_then(|at| self.unknown.get(at)).copied().unwrap_or(0)
    }

    /// What was not found, in words; `None` if all was.
    pub fn missed(&self) -> Option<String> {
        let not_understood: u64 = self.unknown.iter().sum();
        if self.torn == 0 && not_understood == 0 {
            return None;
        }
        let why = Mismatch::ALL.iter().zip(self.unknown).filter(|(_, count)| *count > 0);
        let why: Vec<String> = why.map(|(why, count)| format!("{count} {}", why.word())).collect();
        let why = if why.is_empty() { String::new() } else { format!(" ({})", why.join(", ")) };
        Some(format!(
            "{} times a goroutine was read in a server's handler or near it; {} times it had gone on before it could be told \
             which request it served, and {not_understood} times it was not understood{why}",
            self.in_request(),
            self.torn,
        ))
    }

    /// Goroutines that were in a request, as far as could be told: found, torn, or not understood.
    pub fn in_request(&self) -> u64 {
        self.serving + self.torn + self.unknown.iter().sum::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_missed_is_said_in_words() {
        let mut counts = RequestCounts { serving: 10, ..RequestCounts::default() };
        assert_eq!(counts.missed(), None);
        counts.add(Served::Torn);
        counts.add(Served::Unknown(Mismatch::NoPointer));
        counts.add(Served::Unknown(Mismatch::NoPointer));
        assert_eq!((counts.in_request(), counts.unknown(Mismatch::NoPointer)), (13, 2));
        let said = counts.missed().unwrap();
        assert!(
            said.starts_with("13 times") && said.ends_with("2 times it was not understood (2 no pointer)"),
            "{said}"
        );
    }
}
