//! What fgspy costs, and whether what it prints is true: measured, not tested.
//!
//! Run by `cargo xtask bench` and `cargo xtask truth`. It is a program of its own because it needs all of fgspy, and nobody who
//! wants a toolchain should have to build that.

mod cost;
mod machine;
mod truth;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure what fgspy costs, and what its peers cost, and write bench/RESULTS.md
    Bench(cost::Options),
    /// Compare profiles with programs that know where their time goes, and write bench/TRUTH.md
    Truth(truth::Options),
}

fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Bench(options) => cost::run(&options),
        Command::Truth(options) => truth::run(&options),
    }
}
