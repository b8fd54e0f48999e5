//! `cargo xtask bpf`: makes the committed header of the probe program from what it shares with Rust, and the committed object
//! from its source.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use fgspy_fixtures::clang;

use fgspy_fixtures::workspace;

/// Where source and objects are, relative to the workspace.
const FOLDER: &str = "probes/bpf";
const HEADER: &str = "shared.h";
const SOURCE: &str = "trace.bpf.c";
const OBJECT: &str = "trace.amd64.bpf.o";

/// Makes both. With `check`, nothing is written: a file that differs from the committed one is an error.
///
/// # Errors
/// When there is no compiler, the source does not compile, or a file differs.
pub(crate) fn run(check: bool) -> Result<()> {
    let folder = workspace::root().join(FOLDER);
    keep(&folder, HEADER, &header()?, check)?;
    let scratch = tempfile::tempdir()?;
    keep(&folder, OBJECT, &compile(&folder, scratch.path())?, check)
}

/// The header, as the crate `probes` prints it: this program does not need that crate for anything else.
fn header() -> Result<Vec<u8>> {
    let mut cargo = workspace::cargo();
    cargo.args(["run", "--locked", "--quiet", "--package", "fgspy-probes", "--example", "c_header"]);
    let output = cargo.stderr(Stdio::inherit()).output().context("cannot run cargo")?;
    ensure!(output.status.success(), "the crate probes does not print its header ({})", output.status);
    Ok(output.stdout)
}

/// Writes a file, or compares it with what is there.
fn keep(folder: &Path, name: &str, made: &[u8], check: bool) -> Result<()> {
    let file = folder.join(name);
    let what = format!("{FOLDER}/{name}");
    if check {
        let committed = std::fs::read(&file).with_context(|| format!("cannot read {what}"))?;
        ensure!(made == committed, "{what} is not what its source gives: run `cargo xtask bpf` and commit it");
    } else {
        std::fs::write(&file, made).with_context(|| format!("cannot write {what}"))?;
    }
    println!("{what}: {} bytes", made.len());
    Ok(())
}

fn compile(folder: &Path, scratch: &Path) -> Result<Vec<u8>> {
    let object = scratch.join(OBJECT);
    let mut command = clang()?;
    command
        .current_dir(folder)
        .args(["-O2", "-target", "bpf", "-mcpu=v3", "-Wall", "-Werror", "-Wno-unused-function"])
        .args(["-fno-stack-protector", "-fno-ident", "-nostdinc", "-c", SOURCE, "-o"])
        .arg(&object);
    workspace::run(&mut command)?;
    std::fs::read(&object).context("the compiler made nothing")
}
