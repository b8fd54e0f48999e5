//! The layout table as data: parsed, merged, looked up, written. Knows nothing about what its keys mean.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::str::FromStr;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

/// A Go release, `1.minor.patch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Release {
    pub(super) minor: u32,
    pub(super) patch: u32,
}

impl FromStr for Release {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let rest = text.strip_prefix("1.").with_context(|| format!("{text:?} is no Go 1 release"))?;
        // Up to 1.20 a first release had no patch number.
        let (minor, patch) = rest.split_once('.').unwrap_or((rest, "0"));
        let number = |part: &str| part.parse().with_context(|| format!("{text:?} is not 1.MINOR.PATCH"));
        Ok(Self { minor: number(minor)?, patch: number(patch)? })
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1.{}.{}", self.minor, self.patch)
    }
}

/// Table name to key to offset, size or constant.
pub(super) type Tables = BTreeMap<String, BTreeMap<String, u32>>;

/// The tables of one release, by GOARCH.
pub(super) type ByArch = BTreeMap<String, Tables>;

/// What the generator computed.
pub(super) type Facts = BTreeMap<Release, ByArch>;

/// Reads the generator's output.
pub(super) fn facts_from_json(json: &[u8]) -> Result<Facts> {
    #[derive(Deserialize)]
    struct Fact {
        version: String,
        arch: String,
        tables: Tables,
    }
    let list: Vec<Fact> = serde_json::from_slice(json).context("the generator's output")?;
    let mut facts = Facts::new();
    for fact in list {
        facts.entry(fact.version.parse()?).or_default().insert(fact.arch, fact.tables);
    }
    Ok(facts)
}

/// The whole layout table.
#[derive(Default)]
pub(super) struct Table {
    facts: Facts,
}

#[derive(Deserialize)]
struct File {
    layout: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    go: Vec<String>,
    arch: Vec<String>,
    #[serde(flatten)]
    tables: Tables,
}

impl Table {
    /// Reads what [`Table::to_toml`] wrote.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let mut facts = Facts::new();
        for entry in toml::from_str::<File>(text)?.layout {
            for release in &entry.go {
                for arch in &entry.arch {
                    let by_arch = facts.entry(release.parse()?).or_default();
                    let twice = by_arch.insert(arch.clone(), entry.tables.clone()).is_some();
                    ensure!(!twice, "two entries for Go {release} on {arch}");
                }
            }
        }
        Ok(Self { facts })
    }

    /// This table with `newer` in place of, or beside, what it has.
    pub(super) fn with(mut self, newer: &Facts) -> Self {
        self.facts.extend(newer.iter().map(|(release, tables)| (*release, tables.clone())));
        self
    }

    pub(super) fn releases(&self) -> impl Iterator<Item = &Release> {
        self.facts.keys()
    }

    /// What a reader of the table would use for `wanted`: that release, else the latest earlier patch of the same minor
    /// version, else its earliest.
    pub(super) fn lookup(&self, wanted: Release) -> Option<(&Release, &ByArch)> {
        let minor = || self.facts.iter().filter(|(r, _)| r.minor == wanted.minor);
        minor().rfind(|(r, _)| r.patch <= wanted.patch).or_else(|| minor().next())
    }

    /// One entry for each distinct layout.
    pub(super) fn to_toml(&self) -> String {
        let mut out = String::from(HEADER);
        for Group { archs, tables, releases } in self.groups() {
            let releases: Vec<_> = releases.iter().map(Release::to_string).collect();
            let _ = writeln!(out, "\n[[layout]]\ngo = {releases:?}\narch = {archs:?}");
            for (name, table) in tables {
                // By value: for a struct that is the order of its fields.
                let mut keys: Vec<_> = table.iter().map(|(key, value)| (value, key)).collect();
                keys.sort();
                let keys: Vec<_> = keys.iter().map(|(value, key)| format!("{} = {value}", quoted(key))).collect();
                let _ = writeln!(out, "{name} = {{ {} }}", keys.join(", "));
            }
        }
        out
    }

    fn groups(&self) -> Vec<Group<'_>> {
        let mut groups: Vec<Group<'_>> = Vec::new();
        for (release, by_arch) in &self.facts {
            let mut distinct: Vec<(&Tables, Vec<&str>)> = Vec::new();
            for (arch, tables) in by_arch {
                match distinct.iter_mut().find(|(known, _)| *known == tables) {
                    Some((_, archs)) => archs.push(arch),
                    None => distinct.push((tables, vec![arch])),
                }
            }
            for (tables, archs) in distinct {
                match groups.iter_mut().find(|group| group.archs == archs && group.tables == tables) {
                    Some(group) => group.releases.push(*release),
                    None => groups.push(Group { archs, tables, releases: vec![*release] }),
                }
            }
        }
        groups
    }
}

/// The releases and architectures that share a layout.
struct Group<'a> {
    archs: Vec<&'a str>,
    tables: &'a Tables,
    releases: Vec<Release>,
}

fn quoted(key: &str) -> String {
    if key.contains('.') { format!("{key:?}") } else { key.to_owned() }
}

const HEADER: &str = "\
# Where the Go runtime keeps what fgspy reads, computed from the runtime's sources. Do not edit: written by
#     cargo xtask layouts [GOROOT...]
# go: the releases whose sources gave exactly these numbers. A release that is not named takes the entry of its minor
# version (the latest earlier patch). Keys are the runtime's own names; offsets and sizes are in bytes.
";

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(json: &str) -> Facts {
        facts_from_json(json.as_bytes()).unwrap()
    }

    const TWO_EQUAL: &str = r#"[
        {"version": "1.18.10", "arch": "amd64", "tables": {"g": {"m": 48, "stack.lo": 0}}},
        {"version": "1.18.10", "arch": "arm64", "tables": {"g": {"m": 48, "stack.lo": 0}}},
        {"version": "1.19.8", "arch": "amd64", "tables": {"g": {"m": 48, "stack.lo": 0}}},
        {"version": "1.19.8", "arch": "arm64", "tables": {"g": {"m": 48, "stack.lo": 0}}}]"#;

    #[test]
    fn equal_layouts_share_an_entry_and_survive_a_round_trip() {
        let table = Table::default().with(&facts(TWO_EQUAL));
        let text = table.to_toml();
        let entry = "[[layout]]\ngo = [\"1.18.10\", \"1.19.8\"]\narch = [\"amd64\", \"arm64\"]\n\
                     g = { \"stack.lo\" = 0, m = 48 }\n";
        assert_eq!(text.strip_prefix(HEADER), Some(format!("\n{entry}").as_str()));
        assert_eq!(Table::parse(&text).unwrap().facts, table.facts);
    }

    #[test]
    fn an_architecture_that_differs_gets_its_own_entry() {
        let one = facts(
            r#"[{"version": "1.26.6", "arch": "amd64", "tables": {"p": {"size": 1}}},
                {"version": "1.26.6", "arch": "arm64", "tables": {"p": {"size": 2}}}]"#,
        );
        let text = Table::default().with(&one).to_toml();
        assert_eq!(text.matches("[[layout]]").count(), 2);
        assert_eq!(Table::parse(&text).unwrap().facts, one);
    }

    #[test]
    fn regenerating_one_release_keeps_the_others() {
        let newer = facts(r#"[{"version": "1.19.8", "arch": "amd64", "tables": {"g": {"m": 56}}}]"#);
        let table = Table::default().with(&facts(TWO_EQUAL)).with(&newer);
        assert_eq!(table.releases().count(), 2);
        assert_eq!(table.facts[&"1.19.8".parse().unwrap()]["amd64"]["g"]["m"], 56);
        assert_eq!(table.facts[&"1.18.10".parse().unwrap()]["amd64"]["g"]["m"], 48);
    }

    #[test]
    fn lookup_takes_the_latest_earlier_patch() {
        let list: Facts = ["1.24.3", "1.24.11", "1.25.5"].map(|r| (r.parse().unwrap(), ByArch::new())).into();
        let table = Table { facts: list };
        let found = |r: &str| table.lookup(r.parse().unwrap()).map(|(found, _)| found.to_string());
        assert_eq!(found("1.24.0").as_deref(), Some("1.24.3"));
        assert_eq!(found("1.24.10").as_deref(), Some("1.24.3"));
        assert_eq!(found("1.24.12").as_deref(), Some("1.24.11"));
        assert_eq!(found("1.23.1"), None);
    }

    #[test]
    fn a_release_is_numbers_only() {
        assert_eq!("1.20".parse::<Release>().unwrap().to_string(), "1.20.0");
        assert!("1.22rc1".parse::<Release>().is_err());
        assert!("1.22rc1.0".parse::<Release>().is_err());
        assert!("2.1.0".parse::<Release>().is_err());
    }
}
