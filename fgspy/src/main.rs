//! fgspy
fn main() {}
