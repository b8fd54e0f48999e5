//! The structure of the crates is the one that ARCHITECTURE.md draws: which crate builds on which, and no knots inside one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use fgspy_fixtures::workspace;

use super::modules::Modules;

/// Most files of a crate that may import each other in a circle. Two or three that belong together are easily read together.
const LARGEST_CIRCLE: usize = 3;
/// What all crates of the workspace are called, before their names.
const PREFIX: &str = "fgspy-";

/// What differs from the drawing: a crate that depends on another one that its row in ARCHITECTURE.md does not name, or the other
/// way around; more files than [`LARGEST_CIRCLE`] that import each other in a circle.
fn faults() -> Result<Vec<String>> {
    let root = workspace::root();
    let drawn = drawn(&fs::read_to_string(root.join("ARCHITECTURE.md"))?);
    let mut wrong = Vec::new();
    for krate in members(root)? {
        let built_on = built_on(&root.join(&krate).join("Cargo.toml"))?;
        match drawn.get(&krate) {
            None => wrong.push(format!("ARCHITECTURE.md has no row for the crate `{krate}`")),
            Some(row) if *row != built_on => {
                wrong.push(format!("`{krate}` builds on {built_on:?}, but its row in ARCHITECTURE.md says {row:?}"));
            }
            Some(_) => {}
        }
        let modules = Modules::of(&root.join(&krate).join("src"))?;
        let mut circles = modules.circles();
        circles.retain(|circle| circle.len() > LARGEST_CIRCLE);
        for circle in circles {
            let files: Vec<String> = circle.iter().map(|file| named(root, file)).collect();
            wrong.push(format!("{} files import each other in a circle: {}", files.len(), files.join(", ")));
        }
    }
    Ok(wrong)
}

/// The folders of the workspace's crates.
pub(super) fn members(root: &Path) -> Result<Vec<String>> {
    let manifest: toml::Table = fs::read_to_string(root.join("Cargo.toml"))?.parse()?;
    let members =
        manifest.get("workspace").and_then(|workspace| workspace.get("members")).and_then(|all| all.as_array());
    let members = members.context("Cargo.toml has no members")?;
    Ok(members.iter().filter_map(|member| member.as_str().map(str::to_owned)).collect())
}

/// The crates of the workspace that one needs to be built, tests apart.
fn built_on(manifest: &Path) -> Result<BTreeSet<String>> {
    let manifest: toml::Table = fs::read_to_string(manifest)?.parse()?;
    let Some(dependencies) = manifest.get("dependencies").and_then(|dependencies| dependencies.as_table()) else {
        bail!("no dependencies")
    };
    Ok(dependencies.keys().filter_map(|name| name.strip_prefix(PREFIX).map(str::to_owned)).collect())
}

/// What the table in ARCHITECTURE.md says: `| crate | its one job | builds on | ... |`, with crates in backquotes.
fn drawn(text: &str) -> BTreeMap<String, BTreeSet<String>> {
    let rows = text.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `")?.split('|').map(str::trim);
        let name = cells.next()?.trim_matches('`').to_owned();
        let built_on = cells.nth(1)?;
        Some((name, built_on.split('`').skip(1).step_by(2).map(str::to_owned).collect()))
    });
    rows.collect()
}

fn named(root: &Path, file: &Path) -> String {
    file.strip_prefix(root).unwrap_or(file).display().to_string()
}

#[test]
fn the_crates_are_as_drawn() {
    let faults = faults().expect("the workspace can be read");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_name_what_crates_build_on() {
        let text = "| crate | its one job | builds on | may not |\n|---|---|---|---|\n| `a` | all | `b`, `c` | x |\n| `b` | | | y |";
        let drawn = drawn(text);
        assert_eq!(drawn["a"], BTreeSet::from(["b".to_owned(), "c".to_owned()]));
        assert_eq!(drawn["b"], BTreeSet::new());
        assert_eq!(drawn.len(), 2);
    }
}
