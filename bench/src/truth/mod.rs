//! `cargo xtask truth`: whether what fgspy prints is true, within the errors that it prints.
//!
//! The programs of the fixture `timekeeper` keep accounts of where their goroutines spend their time. Each is recorded
//! many times, in every [`Mode`]; what its accounts say of exactly the recorded time is compared, cell by cell, with the
//! profile. Then each is recorded while Go itself writes an execution trace, and the totals of each state are compared.

mod accounts;
mod cell;
mod comparison;
mod go_trace;
mod mode;
mod places;
mod plan;
mod report;
mod statistics;
mod table;
mod timekeeper;
mod tracing;
mod verdict;

use anyhow::{Result, ensure};
use fgspy_fixtures::{Variant, build, toolchains};

use comparison::Compared;
use mode::Mode;
use plan::Plan;
use timekeeper::PROGRAMS;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Programs of the fixture `timekeeper`; without any, all of them
    #[arg(value_name = "PROGRAM")]
    programs: Vec<String>,
    /// Few and short recordings, as a smoke test
    #[arg(long)]
    quick: bool,
    /// Recordings of each program in each mode
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..))]
    runs: Option<u32>,
    /// Seconds of each recording
    #[arg(long, value_name = "N")]
    seconds: Option<f64>,
}

/// Records, compares, writes `bench/TRUTH.md` and says where fgspy is wrong.
///
/// # Errors
/// When something cannot be run, or fgspy is wrong beyond what chance explains.
pub(crate) fn run(options: &Options) -> Result<()> {
    for name in &options.programs {
        ensure!(PROGRAMS.contains(&name.as_str()), "no program {name:?}; there are {}", PROGRAMS.join(", "));
    }
    let wanted = |name: &&str| options.programs.is_empty() || options.programs.iter().any(|wanted| wanted == name);
    let programs: Vec<&str> = PROGRAMS.into_iter().filter(wanted).collect();
    let plan = Plan::new(options.quick, options.runs, options.seconds)?;
    let toolchain = toolchains::newest()?;
    let binary = build("timekeeper", &toolchain, Variant::Stripped)?;

    let mut compared: Vec<Compared> = Vec::new();
    for program in &programs {
        compared.extend(comparison::compare(&binary, program, &Mode::of(program), plan)?);
        for row in compared.iter().filter(|row| row.program == *program) {
            eprintln!("{}", table::line(row));
        }
    }
    let mut traced = Vec::new();
    for program in &programs {
        traced.push(tracing::compare(&binary, &toolchain, program, plan.traced)?);
        eprintln!("{program}: compared with Go's execution trace");
    }
    let file = report::write(&report::Results { plan, go: &toolchain.version, compared: &compared, traced: &traced })?;
    println!("{}", file.display());
    let wrong: Vec<String> = compared.iter().flat_map(Compared::wrong).collect();
    ensure!(wrong.is_empty(), "fgspy is wrong beyond chance:\n{}", wrong.join("\n"));
    Ok(())
}
