//! Prints `shared.h`, the C half of what the BPF program and fgspy share. `cargo xtask bpf` keeps it beside the program.

use std::io::{self, Write};

fn main() -> io::Result<()> {
    io::stdout().write_all(fgspy_probes::c_header().as_bytes())
}
