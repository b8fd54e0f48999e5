//! Words to the user.

use std::fmt::Display;
use std::io::{self, Write};

/// Writes a line (or lines, but for the last line's end) to standard error.
///
/// That nobody listens (the terminal is closed, `2>&1 | head` has seen enough) is no failure; `eprintln!` would panic.
pub(crate) fn print_message(text: impl Display) {
    let _ = io::stderr().write_all(format!("{text}\n").as_bytes());
}
