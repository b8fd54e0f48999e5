//! The report: one section for each part that was measured, now or earlier.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::machine::Circumstances;

/// What is kept of a part.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Measured<D> {
    /// Where and with what.
    pub(super) circumstances: Circumstances,
    /// How it is repeated.
    pub(super) command: String,
    /// Whether it was a short run, from which little can be concluded.
    pub(super) quick: bool,
    /// How long it took, in seconds.
    pub(super) seconds: f64,
    /// What was measured.
    pub(super) data: D,
}

/// Keeps what was measured in `FOLDER/data/NAME.json`.
///
/// # Errors
/// When it cannot be written.
pub(super) fn keep<D: Serialize>(folder: &Path, name: &str, measured: &Measured<D>) -> Result<()> {
    let file = folder.join(format!("data/{name}.json"));
    fs::create_dir_all(folder.join("data"))?;
    let text = serde_json::to_string(measured)? + "\n";
    fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))
}

/// The section of a part, from what is kept of it; nothing if nothing is.
///
/// # Errors
/// When the file is there and cannot be read: what an older version of this program measured has to be measured again.
pub(super) fn section<D: DeserializeOwned>(
    folder: &Path,
    name: &str,
    title: &str,
    render: impl FnOnce(&D) -> String,
) -> Result<String> {
    let file = folder.join(format!("data/{name}.json"));
    if !file.exists() {
        return Ok(String::new());
    }
    let again = || format!("{} is not understood: measure again with cargo xtask bench {name}", file.display());
    let measured: Measured<D> = serde_json::from_slice(&fs::read(&file)?).with_context(again)?;
    let quick = if measured.quick {
        "\n**A quick run: it shows that everything works. Nothing can be concluded from its numbers.**\n"
    } else {
        ""
    };
    Ok(format!(
        "\n## {title}\n\nMeasured with `{}` in {:.0} min, {}\n{quick}\n{}",
        measured.command,
        (measured.seconds / 60.0).ceil(),
        measured.circumstances.describe(),
        render(&measured.data)
    ))
}

/// Writes the report.
///
/// # Errors
/// When it cannot be written.
pub(super) fn write(folder: &Path, sections: &[String]) -> Result<()> {
    let file = folder.join("RESULTS.md");
    let text = format!("{INTRODUCTION}{}", sections.concat());
    fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    eprintln!("wrote {}", file.display());
    Ok(())
}

const INTRODUCTION: &str = "\
# Benchmarks

Written by `cargo xtask bench` from what it measured (`data/`); nothing here is typed in by hand. What is compared:

- **A**: no profiler, and **A′**: the same again. What differs between the two is noise.
- **fgspy**: `fgspy record` with its defaults, attached from outside.
- **fgprof**: [fgprof](https://github.com/felixge/fgprof) in the program, as its documentation says.
- **issue 31**: the method of [fgprof's issue 31](https://github.com/felixge/fgprof/issues/31), in the program: stop the \
world, walk all stacks by frame pointers, start the world; through `go:linkname`, with `-checklinkname=0` where Go wants it.

All profilers sample at 99 Hz as far as they get. Parked goroutines are nine calls deep and wait for a channel.
";
