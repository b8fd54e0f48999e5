//! The real fgspy, on real Go processes.
#![allow(dead_code)] // Each test program uses a part.

pub(crate) mod outcome;
pub(crate) mod perfetto;
pub(crate) mod profile;
pub(crate) mod quota;
pub(crate) mod running;
pub(crate) mod terminal;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use fgspy_fixtures::zoo::{self, ZooKind};
use fgspy_fixtures::{Fixture, Toolchain, Variant, build, toolchains};

pub(crate) use outcome::Outcome;
#[allow(unused_imports)] // As above.
pub(crate) use profile::Profile;
pub(crate) use running::Running;

/// An `fgspy` to be given arguments; what it writes to standard output is kept.
pub(crate) fn fgspy() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fgspy"));
    command.stdout(Stdio::piped());
    command
}

/// An `fgspy record -p PID` to be given more arguments. It leaves its files in `folder`.
pub(crate) fn record(pid: u32, folder: &Path) -> Command {
    let mut command = fgspy();
    command.args(["record", "-p", &pid.to_string()]).current_dir(folder);
    command
}

/// Runs a command to its end, as a script would: without terminal and input.
pub(crate) fn run(command: Command) -> Outcome {
    Running::start(command).wait()
}

/// Writes a recording in another format to standard output, and gives that.
pub(crate) fn report(recording: &Path, arguments: &[&str]) -> Vec<u8> {
    let mut command = fgspy();
    command.arg("report").arg(recording).args(["--output", "-"]).args(arguments);
    run(command).succeeded().stdout
}

pub(crate) fn newest() -> Toolchain {
    toolchains::newest().unwrap()
}

/// The oldest version that every machine has, and the newest.
pub(crate) fn oldest_and_newest() -> [Toolchain; 2] {
    [toolchains::get(19).unwrap(), newest()]
}

/// The executable of a fixture program, with symbols.
pub(crate) fn program(name: &str, toolchain: &Toolchain) -> PathBuf {
    build(name, toolchain, Variant::Plain).unwrap()
}

/// A zoo of the newest version.
pub(crate) fn zoo(arguments: &[&str]) -> (Fixture, Vec<ZooKind>) {
    zoo::spawn(&program("zoo", &newest()), arguments).unwrap()
}

pub(crate) fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// The names of what is in a folder, in order.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
