//! Messages to the user.

use std::fmt::Display;
use std::io::{self, Write};

/// Writes a line (or lines, but for the last line's end) to standard error.
///
/// A closed terminal or pipe (`2>&1 | head`) is not a failure; `eprintln!` would panic.
pub(crate) fn print_message(text: impl Display) {
    let _ = io::stderr().write_all(format!("{text}\n").as_bytes());
}
