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

/// One in so many goroutines may go on before it can be told which request it served: that is no news, and how much of the time
/// it is, profiles say anyway.
const FEW: u64 = 50;
/// If more than one in so many was not found, this is no remark any more but a warning.
const MANY: u64 = 10;
/// So often it is chance.
const SELDOM: u64 = 10;

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

    /// What was not found, in words; `None` if all was, or nearly all, and everything was understood.
    pub fn missed(&self) -> Option<String> {
        let not_understood: u64 = self.unknown.iter().sum();
        let is_torn = self.torn >= SELDOM && self.torn > self.in_request() / FEW;
        if !is_torn && not_understood == 0 {
            return None;
        }
        let why = Mismatch::ALL.iter().zip(self.unknown).filter(|(_, count)| *count > 0);
        let why: Vec<String> = why.map(|(why, count)| format!("{count} {}", why.word())).collect();
        let why = if why.is_empty() { String::new() } else { format!(" ({})", why.join(", ")) };
        Some(format!(
            "of {} goroutines that were read in a server's handler or near it, {} had gone on before it could be told which \
             request they served, and {not_understood} were not understood{why}",
            self.in_request(),
            self.torn,
        ))
    }

    /// Whether so many were not found that what is said of requests may be far off.
    pub fn missed_many(&self) -> bool {
        let found = self.serving;
        self.in_request() - found > self.in_request() / MANY
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
        assert_eq!(counts.missed(), None);
        (0..9).for_each(|_| counts.add(Served::Torn));
        assert!(counts.missed().is_some());
        assert_eq!(RequestCounts { serving: 500, ..counts }.missed(), None);
        assert!(counts.missed_many() && !RequestCounts { serving: 200, ..counts }.missed_many());
        counts.torn = 1;
        counts.add(Served::Unknown(Mismatch::NoPointer));
        counts.add(Served::Unknown(Mismatch::NoPointer));
        assert_eq!((counts.in_request(), counts.unknown(Mismatch::NoPointer)), (13, 2));
        let said = counts.missed().unwrap();
        assert!(
            said.starts_with("of 13 goroutines") && said.ends_with("and 2 were not understood (2 no pointer)"),
            "{said}"
        );
    }
}
