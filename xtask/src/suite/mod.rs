//! `cargo xtask test`: everything that has to hold before a change lands, from a fresh clone.

mod counts;
mod failures;
mod licences;
#[cfg(test)]
mod modules;
mod names;
#[cfg(test)]
mod prose;
mod report;
mod runner;
#[cfg(test)]
mod structure;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use fgspy_fixtures::{Program, Variant, build, cache, matrix_for, skip_to, toolchains, workspace};

use crate::{bpf, layouts};
use report::Report;
use runner::Told;

/// The fixture programs other than the zoo, which is built in every variant.
const PROGRAMS: [&str; 7] = ["churn", "crasher", "execer", "mix", "service", "shares", "transitions"];

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Only the oldest and the newest Go, plain and stripped
    #[arg(long)]
    quick: bool,
    /// Only tests whose name contains this, and no other checks
    #[arg(long, value_name = "NAME")]
    filter: Option<String>,
}

/// Runs all stages, then says what ran, what was skipped and how long it took. The exit code says whether all passed;
/// nothing is printed after the summary.
///
/// # Errors
/// When there is no cache folder.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let skips = cache::dir()?.join(format!("skips-{}", std::process::id()));
    let mut report = Report::new(skips.clone());
    if options.filter.is_none() {
        checks(&mut report, &skips);
    }
    let binaries = report.stage("toolchains and fixtures", || fixtures(options.quick));
    let fgspy = report.stage("release build", workspace::release_fgspy);
    if let (Some(binaries), Some(fgspy)) = (binaries, fgspy) {
        let mut told = Told::default();
        let environment = Environment { binaries, fgspy, skips };
        report.stage("tests", || tests(options, &environment, &mut told));
        report.add(told);
    }
    Ok(if report.finish() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What is checked without running anything of fgspy.
fn checks(report: &mut Report, skips: &Path) {
    report.stage("format", || workspace::run(workspace::cargo().args(["fmt", "--all", "--check"])));
    report.stage("names", names::check);
    report.stage("licences", licences::check);
    report.stage("clippy", || {
        let arguments = ["clippy", "--locked", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"];
        workspace::run(workspace::cargo().args(arguments))
    });
    report.stage("documentation", || {
        let arguments = ["doc", "--locked", "--quiet", "--workspace", "--no-deps"];
        workspace::run(workspace::cargo().args(arguments).env("RUSTDOCFLAGS", "-D warnings"))
    });
    report.stage("probe program", || match fgspy_fixtures::clang() {
        Ok(_) => bpf::run(true),
        Err(error) => {
            skip_to(Some(skips), "probe program", &format!("it cannot be compiled here: {error:#}"));
            Ok(())
        }
    });
    report.stage("layouts", || {
        let all = toolchains::required()?.into_iter().chain(toolchains::optional().iter().cloned());
        layouts::run(&all.map(|toolchain| toolchain.goroot).collect::<Vec<_>>(), true)
    });
}

/// Builds every fixture, so that no test waits for it; gives the zoo in all its variants.
fn fixtures(quick: bool) -> Result<Vec<PathBuf>> {
    let mut zoos = Vec::new();
    for (toolchain, variant) in matrix_for(quick)? {
        eprintln!("zoo, {}, {}", toolchain.version, variant.word());
        zoos.push(build("zoo", &toolchain, variant)?);
    }
    let newest = toolchains::newest()?;
    for program in PROGRAMS {
        build(program, &newest, Variant::Plain)?;
    }
    for program in Program::ALL {
        // The tests that want it skip it by name.
        if let Err(error) = program.binary() {
            eprintln!("no {}: {error:#}", program.name());
        }
    }
    Ok(zoos)
}

/// What the tests find in their environment.
struct Environment {
    /// `FGSPY_TEST_BINARIES`: Go executables to read, separated as in `PATH`.
    binaries: Vec<PathBuf>,
    /// `FGSPY_BIN`: the fgspy that users get.
    fgspy: PathBuf,
    /// `FGSPY_SKIPS`: where skipped tests are noted.
    skips: PathBuf,
}

/// Runs the tests of the workspace and counts them. Test programs of all packages run even if one fails.
fn tests(options: &Options, environment: &Environment, told: &mut Told) -> Result<()> {
    let gos = toolchains::required()?.into_iter().chain(toolchains::optional().iter().cloned()).map(|go| go.go());
    let mut cargo = workspace::cargo();
    cargo
        .args(["test", "--locked", "--workspace", "--no-fail-fast"])
        .args(&options.filter)
        .env("FGSPY_TEST_BINARIES", std::env::join_paths(&environment.binaries)?)
        .env("FGSPY_GO", toolchains::newest()?.go())
        .env("FGSPY_GO_TOOLCHAINS", std::env::join_paths(gos)?)
        .env("FGSPY_BIN", &environment.fgspy)
        .env("FGSPY_SKIPS", &environment.skips)
        .env("FGSPY_CACHE", cache::dir()?)
        // For tests that run a `go` themselves: the same as for those that let the fixtures do it.
        .envs([("GOENV", "off"), ("GOTOOLCHAIN", "local")])
        .env("GOCACHE", cache::dir()?.join("go-build"));
    if options.quick {
        cargo.env("FGSPY_QUICK", "1");
    }
    runner::run(&mut cargo, told)
}
