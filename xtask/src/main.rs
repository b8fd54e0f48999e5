//! xtask

mod layouts;

fn main() {}
