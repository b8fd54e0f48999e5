//! A regular expression as a table that the kernel can follow.

use std::collections::HashMap;

use crate::Dfa;
use regex_automata::dfa::{Automaton, StartKind, dense};
use regex_automata::util::primitives::StateID;
use regex_automata::util::{start, syntax};
use regex_automata::{Anchored, MatchKind};

/// Bytes of an automaton, while it is made.
const MAX_BYTES: usize = 16 << 20;

/// Why a regular expression cannot be followed by the kernel.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooLarge {
    /// It takes more states than there is room for.
    #[error(
        "the pattern is too large to be followed in the kernel ({states} states of {classes} classes, and there is room for {} cells): make it simpler, for example by leaving out counted repetitions",
        Dfa::MAX_CELLS
    )]
    Cells {
        /// States.
        states: usize,
        /// Classes of bytes.
        classes: usize,
    },
    /// It is none, or takes far too much.
    #[error("the pattern cannot be followed in the kernel: {0}")]
    Unsupported(String),
}

/// The automaton that accepts the texts in which `pattern` matches somewhere.
pub(crate) fn of(pattern: &str) -> Result<Dfa, TooLarge> {
    let unsupported = |error: &dyn std::fmt::Display| TooLarge::Unsupported(error.to_string());
    let build = |unicode: bool| {
        let config = dense::Config::new()
            .start_kind(StartKind::Unanchored)
            .match_kind(MatchKind::All)
            .dfa_size_limit(Some(MAX_BYTES))
            .determinize_size_limit(Some(MAX_BYTES));
        // Paths are bytes; what is no UTF-8 must not end the search.
        let syntax = syntax::Config::new().utf8(false).unicode(unicode);
        dense::Builder::new().configure(config).syntax(syntax).build(pattern).map_err(Box::new)
    };
    // By bytes it is smaller; some expressions are about characters.
    let dfa = build(false).or_else(|_| build(true)).map_err(|error| unsupported(&error))?;
    let start = dfa.start_state(&start::Config::new().anchored(Anchored::No)).map_err(|error| unsupported(&error))?;
    table(&dfa, start)
}

/// Numbers the states that can be reached, and writes down where each byte leads. Once there was a match, whatever comes is
/// accepted.
fn table(dfa: &dense::DFA<Vec<u32>>, start: StateID) -> Result<Dfa, TooLarge> {
    let (class_of, representatives) = byte_classes(dfa);
    let classes = representatives.len() + 1;
    let mut numbers: HashMap<StateID, u16> = HashMap::from([(start, 0)]);
    let mut states = vec![start];
    let mut table = Vec::new();
    let mut next = 0;
    while let Some(&state) = states.get(next) {
        next += 1;
        if next * classes > Dfa::MAX_CELLS {
            return Err(TooLarge::Cells { states: states.len(), classes });
        }
        // A match is reported one byte late: when the state after it is entered.
        let done = dfa.is_match_state(state);
        for &byte in &representatives {
            let to = if done { state } else { dfa.next_state(state, byte) };
            let fresh = numbers.len();
            let number = *numbers.entry(to).or_insert_with(|| {
                states.push(to);
                fresh.min(usize::from(u16::MAX)) as u16
            });
            table.push(number);
        }
        table.push(u16::from(done || dfa.is_match_state(dfa.next_eoi_state(state))));
    }
    if states.len() > usize::from(u16::MAX) {
        return Err(TooLarge::Cells { states: states.len(), classes });
    }
    Ok(Dfa { class_of, classes: classes as u16, start: 0, table })
}

/// The class of each byte, and a byte of each class.
fn byte_classes(dfa: &dense::DFA<Vec<u32>>) -> ([u8; 256], Vec<u8>) {
    let classes = dfa.byte_classes();
    let mut class_of = [0; 256];
    let mut representatives = Vec::new();
    let mut seen: HashMap<u8, u8> = HashMap::new();
    for byte in 0..=255u8 {
        let number = representatives.len() as u8;
        let class = *seen.entry(classes.get(byte)).or_insert_with(|| {
            representatives.push(byte);
            number
        });
        if let Some(place) = class_of.get_mut(usize::from(byte)) {
            *place = class;
        }
    }
    (class_of, representatives)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PATTERNS: [&str; 10] = [
        "^GET /orders/",
        "orders",
        "^(GET|POST) /a/[^/]*$",
        "",
        "x$",
        "^GET /users/[0-9]+/orders/[0-9a-f]{4}$",
        "(?i)slow",
        r"\bcart\b",
        "é",
        "^$",
    ];

    #[test]
    fn it_accepts_what_the_expression_matches() {
        let texts = [
            "GET /orders/17",
            "POST /orders/17",
            "GET /a/b",
            "GET /a/b/c",
            "GET /x",
            "GET /users/7/orders/beef",
            "GET /SLOW",
            "GET /cart/1",
            "GET /carts",
            "GET /café",
            "",
            "GET /users/7/orders/beefy",
        ];
        for pattern in PATTERNS {
            let (dfa, regex) = (of(pattern).unwrap(), regex::Regex::new(pattern).unwrap());
            for text in texts {
                assert_eq!(dfa.accepts(text.as_bytes()), regex.is_match(text), "{pattern} {text}");
            }
        }
    }

    #[test]
    fn what_is_too_large_is_refused() {
        assert!(of("[a-q][^u-z]{13}x").is_err() || of("([a-c]{1,200}[d-z]{1,200}){20}").is_err());
        assert!(of("(a|b)*a(a|b){18}").is_err());
        assert!(of("(").is_err());
    }

    proptest! {
        #[test]
        fn it_agrees_with_the_regex_crate(pattern in "\\^?[ab/][ab/.]{0,4}[*+?]?[ab]?\\$?", text in "[ab/]{0,12}") {
            if let Ok(regex) = regex::Regex::new(&pattern) {
                prop_assert_eq!(of(&pattern).unwrap().accepts(text.as_bytes()), regex.is_match(&text));
            }
        }
    }
}
