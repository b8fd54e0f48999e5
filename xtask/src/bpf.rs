//! `cargo xtask bpf`: makes the committed object of the probe program from its source.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use fgspy_fixtures::clang;

use fgspy_fixtures::workspace;

/// Where source and objects are, relative to the workspace.
const FOLDER: &str = "probes/bpf";
const SOURCE: &str = "trace.bpf.c";
const OBJECT: &str = "trace.amd64.bpf.o";

/// Compiles it. With `check`, nothing is written: an object that differs from the committed one is an error.
///
/// # Errors
/// When there is no compiler, the source does not compile, or the objects differ.
pub(crate) fn run(check: bool) -> Result<()> {
    let folder = workspace::root().join(FOLDER);
    let scratch = tempfile::tempdir()?;
    let made = compile(&folder, scratch.path())?;
    let object = folder.join(OBJECT);
    if check {
        let committed = std::fs::read(&object).with_context(|| format!("cannot read {FOLDER}/{OBJECT}"))?;
        ensure!(made == committed, "{FOLDER}/{OBJECT} is not what {SOURCE} gives: run `cargo xtask bpf` and commit it");
        println!("{FOLDER}/{OBJECT}: {} bytes, as made from {SOURCE}", made.len());
        return Ok(());
    }
    std::fs::write(&object, &made).with_context(|| format!("cannot write {FOLDER}/{OBJECT}"))?;
    println!("{FOLDER}/{OBJECT}: {} bytes", made.len());
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
