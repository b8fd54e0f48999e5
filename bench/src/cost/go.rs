//! The Go programs of the benchmarks, which are in `bench/go`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use fgspy_fixtures::{Toolchain, cache};

use fgspy_fixtures::workspace;

/// Go's own benchmarks of `encoding/json`, as one program that can be any arm of an experiment.
#[derive(Debug)]
pub(super) struct JsonBenchmarks {
    /// The test program.
    pub(super) binary: PathBuf,
    /// Where it has to run: it reads test data there.
    pub(super) folder: PathBuf,
}

/// Where the sources are.
fn sources() -> PathBuf {
    workspace::root().join("bench/go")
}

/// The version of fgprof that the module file pins.
pub(super) fn fgprof_version() -> Option<String> {
    let module = fs::read_to_string(sources().join("go.mod")).ok()?;
    let line = module.lines().find(|line| line.contains("/fgprof "))?;
    line.rsplit(' ').next().map(str::to_owned)
}

/// Downloads fgprof and what it needs, pinned by `go.sum`. Here the machine's own settings of proxy and checksum database
/// count; nothing else downloads anything.
///
/// # Errors
/// When they cannot be had.
pub(super) fn download(toolchain: &Toolchain) -> Result<()> {
    let mut go = Command::new(toolchain.go());
    go.current_dir(sources())
        .args(["mod", "download"])
        .env("GOROOT", &toolchain.goroot)
        .env("GOTOOLCHAIN", "local")
        .env("GOPATH", cache::dir()?.join("gopath"))
        .env("GOFLAGS", "-modcacherw");
    workspace::run(&mut go).context("the module of fgprof cannot be had")
}

/// Builds one of the programs.
///
/// # Errors
/// When it does not compile.
pub(super) fn program(toolchain: &Toolchain, name: &str) -> Result<PathBuf> {
    let binary = place(toolchain)?.join(name);
    let mut go = toolchain.command()?;
    go.arg("build").args(linking(toolchain)).arg("-o").arg(&binary).arg(format!("./{name}"));
    workspace::run(go.current_dir(sources()))?;
    Ok(binary)
}

/// Builds the benchmarks of `encoding/json`. Go's own files stay where they are; one file of ours is laid over them.
///
/// # Errors
/// When they do not compile.
pub(super) fn json_benchmarks(toolchain: &Toolchain) -> Result<JsonBenchmarks> {
    let place = place(toolchain)?;
    let folder = toolchain.goroot.join("src/encoding/json");
    let (binary, overlay) = (place.join("json.test"), place.join("overlay.json"));
    let laid_over = serde_json::json!({ "Replace": { path(&folder.join("fgspy_test.go")): path(&sources().join("seed/main_test.go")) } });
    fs::write(&overlay, laid_over.to_string())?;
    let mut go = toolchain.command()?;
    go.args(["test", "-c", "-vet=off", "-overlay"]).arg(overlay).args(linking(toolchain));
    workspace::run(go.arg("-o").arg(&binary).arg("encoding/json").current_dir(sources()))?;
    Ok(JsonBenchmarks { binary, folder })
}

/// A command to run a program of ours with none of the environment's Go settings.
pub(super) fn command(binary: &Path) -> Command {
    let mut command = Command::new(binary);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("GO")) {
        command.env_remove(name);
    }
    command
}

/// From Go 1.23 on the linker must be told to let a program use functions of the runtime.
fn linking(toolchain: &Toolchain) -> &'static [&'static str] {
    if toolchain.minor >= 23 { &["-ldflags=-checklinkname=0"] } else { &[] }
}

fn place(toolchain: &Toolchain) -> Result<PathBuf> {
    let place = workspace::root().join("target/bench").join(&toolchain.version);
    fs::create_dir_all(&place)?;
    Ok(place)
}

fn path(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
