//! The report: one section for each part that was measured, now or earlier.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::machine::Circumstances;

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

/// What is kept of a part; nothing where nothing is, or where this program does not understand it.
pub(super) fn kept<D: DeserializeOwned>(folder: &Path, name: &str) -> Option<D> {
    let kept = fs::read(folder.join(format!("data/{name}.json"))).ok()?;
    serde_json::from_slice::<Measured<D>>(&kept).ok().map(|measured| measured.data)
}

/// The section of a part, from what is kept of it; nothing if nothing is. What an older version of this program kept and
/// this one does not understand has to be measured again: the section says so.
///
/// # Errors
/// When what is kept cannot be read.
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
    let kept = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let Ok(measured) = serde_json::from_slice::<Measured<D>>(&kept) else {
        return Ok(format!("\n## {title}\n\nTo be measured again: `cargo xtask bench {name}`.\n"));
    };
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
- **fgspy**: `fgspy record --max-cpu 1%`, attached from outside.
- **fgprof**: [fgprof](https://github.com/felixge/fgprof) in the program, as its documentation says.
- **issue 31**: the method of [fgprof's issue 31](https://github.com/felixge/fgprof/issues/31), in the program: stop the \
world, walk all stacks by frame pointers, start the world; through `go:linkname`, with `-checklinkname=0` where Go wants it.

All profilers sample at 99 Hz as far as they get. Parked goroutines are nine calls deep and wait for a channel.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_reported_and_what_is_not_understood_is_to_be_measured_again() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let circumstances = Circumstances::now("of test", &["go1.27.3", "go1.19.8"], Some("v0.9.5".to_owned()));
        let of = |quick| Measured {
            circumstances: circumstances.clone(),
            command: "c".into(),
            quick,
            seconds: 61.0,
            data: 7,
        };
        let section = || section(folder, "part", "A part", |seven: &u32| format!("The number {seven}.\n")).unwrap();
        assert_eq!(section(), "");
        keep(folder, "part", &of(false)).unwrap();
        assert!(section().starts_with("\n## A part\n\nMeasured with `c` in 2 min, "), "{}", section());
        assert!(section().ends_with("\n\nThe number 7.\n") && !section().contains("quick"), "{}", section());
        keep(folder, "part", &of(true)).unwrap();
        assert!(section().contains("**A quick run: it shows that everything works."), "{}", section());
        fs::write(folder.join("data/part.json"), "{}").unwrap();
        assert_eq!(section(), "\n## A part\n\nTo be measured again: `cargo xtask bench part`.\n");
    }
}
