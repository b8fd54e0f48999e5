//! The project's own commands: `cargo xtask COMMAND`.

mod bpf;
mod demo;
mod layouts;
mod suite;

use std::ffi::OsString;
use std::iter;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use fgspy_fixtures::{toolchains, workspace};

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "What developers of fgspy do, each with one command", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Profile a real Go service under load and show where the pictures are
    Demo(demo::Options),
    /// Run every check and every test
    Test(suite::Options),
    /// Measure what fgspy costs, and what its peers cost, and write bench/RESULTS.md
    #[command(disable_help_flag = true)]
    Bench(Passed),
    /// Compare profiles with programs that know where their time goes, and write bench/TRUTH.md
    #[command(disable_help_flag = true)]
    Truth(Passed),
    /// Fetch the Go toolchains that the tests use, and list them
    Toolchains,
    /// Compile the eBPF program of `fgspy trace`
    Bpf {
        /// Only compare with what is committed
        #[arg(long)]
        check: bool,
    },
    /// Write gobin/layouts.toml from the sources of Go releases
    Layouts {
        /// Roots of Go toolchains; without any, those found on this machine
        #[arg(value_name = "GOROOT")]
        goroots: Vec<PathBuf>,
        /// Only compare with what is committed
        #[arg(long)]
        check: bool,
    },
}

/// Arguments for a program of `bench/`. It is built only when it is wanted, as it needs all of fgspy.
#[derive(Debug, clap::Args)]
struct Passed {
    #[arg(value_name = "ARGUMENT", trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

impl Passed {
    fn run(self, command: &str) -> Result<()> {
        workspace::run_release("fgspy-bench", iter::once(command.into()).chain(self.arguments))
    }
}

fn main() -> Result<ExitCode> {
    match Cli::parse().command {
        Command::Demo(options) => demo::run(&options)?,
        Command::Test(options) => return suite::run(&options),
        Command::Bench(passed) => passed.run("bench")?,
        Command::Truth(passed) => passed.run("truth")?,
        Command::Toolchains => list_toolchains()?,
        Command::Bpf { check } => bpf::run(check)?,
        Command::Layouts { goroots, check } => layouts::run(&goroots, check)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn list_toolchains() -> Result<()> {
    let required = toolchains::required()?;
    let optional = toolchains::optional();
    for (kind, list) in [("required", &required[..]), ("optional", optional)] {
        for toolchain in list {
            println!("{kind}  {:<10} {}", toolchain.version, toolchain.goroot.display());
        }
    }
    Ok(())
}
