//! `cargo xtask layouts`: writes `gobin/layouts.toml` from the sources of Go releases.
//!
//! The Go program in `xtask/layouts` computes the tables of one release (it needs `go/types`); this module finds the
//! releases on this machine, merges the answers of equal ones and keeps what the file already says about releases that
//! are not here. With `check` it only compares.

mod table;
mod toolchains;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use self::table::{Facts, Release, Table};
use self::toolchains::Toolchain;

/// Where the table lives, relative to the workspace.
const TABLE: &str = "gobin/layouts.toml";

/// Regenerates the layout table from `goroots`, or from the Go toolchains found on this machine when none is given.
///
/// With `check`, nothing is written: a release whose layout differs from the committed table is an error, and so is one
/// the table does not cover. Releases of the table that are not on this machine are named as not checked.
pub(crate) fn run(goroots: &[PathBuf], check: bool) -> Result<()> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask has no parent folder")?;
    let toolchains = if goroots.is_empty() { toolchains::found() } else { toolchains::at(goroots)? };
    ensure!(
        !toolchains.is_empty(),
        "no Go toolchain found; name one: cargo xtask layouts GOROOT... (a GOROOT holds bin/go and src/runtime)"
    );
    let facts = generate(workspace, &toolchains)?;
    let file = workspace.join(TABLE);
    let committed = match std::fs::read_to_string(&file) {
        Ok(text) => Table::parse(&text).with_context(|| format!("{TABLE} is not a layout table"))?,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound && !check => Table::default(),
        Err(e) => return Err(e).with_context(|| format!("cannot read {TABLE}")),
    };
    if check {
        return compare(&committed, &facts);
    }
    let merged = committed.with(&facts);
    std::fs::write(&file, merged.to_toml()).with_context(|| format!("cannot write {TABLE}"))?;
    let made: Vec<_> = facts.keys().map(Release::to_string).collect();
    println!("{TABLE}: {} releases; computed now: {}", merged.releases().count(), made.join(", "));
    Ok(())
}

/// Runs the generator with the newest toolchain: an old `go/types` cannot read newer sources.
fn generate(workspace: &Path, toolchains: &[Toolchain]) -> Result<Facts> {
    let newest = toolchains.iter().max_by_key(|t| t.release).context("no toolchain")?;
    let output = Command::new(newest.go())
        .current_dir(workspace.join("xtask/layouts"))
        .args(["run", "."])
        .args(toolchains.iter().map(|t| &t.root))
        .env("GOROOT", &newest.root)
        .envs([("GOTOOLCHAIN", "local"), ("GOENV", "off"), ("GOFLAGS", ""), ("GOWORK", "off")])
        .output()
        .with_context(|| format!("cannot run {}", newest.go().display()))?;
    if !output.status.success() {
        bail!("the layout generator failed:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    table::facts_from_json(&output.stdout)
}

fn compare(committed: &Table, facts: &Facts) -> Result<()> {
    let mut wrong = Vec::new();
    for (release, tables) in facts {
        match committed.lookup(*release) {
            Some((_, known)) if known == tables => {}
            Some((by, _)) => wrong.push(format!("Go {release}: differs from the entry made from Go {by}")),
            None => wrong.push(format!("Go {release}: no entry for Go 1.{}", release.minor)),
        }
    }
    let checked: Vec<_> = facts.keys().map(Release::to_string).collect();
    println!("layouts checked against sources: {}", checked.join(", "));
    let absent: Vec<_> = committed.releases().filter(|r| !facts.contains_key(r)).map(|r| r.to_string()).collect();
    if !absent.is_empty() {
        println!("NOT checked, no such GOROOT here: {}", absent.join(", "));
    }
    ensure!(wrong.is_empty(), "{TABLE} is out of date (run `cargo xtask layouts`):\n{}", wrong.join("\n"));
    Ok(())
}
