//! Go release numbers.

use std::cmp::Ordering;
use std::fmt;

/// A Go release, such as `go1.27.3`.
///
/// Compared by (major, minor, patch) alone: pre-releases, suffixes and the text do not count. A missing patch number
/// sorts before patch 0.
#[derive(Clone, Debug)]
pub struct GoVersion {
    /// The 1 of `go1.27.3`.
    pub major: u16,
    /// The 27 of `go1.27.3`.
    pub minor: u16,
    /// The 3 of `go1.27.3`. `None` for `go1.19`, release candidates and development versions.
    pub patch: Option<u16>,
    /// What the toolchain calls itself, in full: `go1.27.3-X:runtimesecret`, `devel go1.28-abc123 ...`.
    pub text: String,
    inferred: bool,
}

impl GoVersion {
    /// How much of a name that is no release's is kept, in characters.
    const MAX_NAME: usize = 64;

    /// A toolchain that calls itself `name`, which tells no release, and whose programs are like those of Go 1.`minor`.
    pub(crate) fn inferred(name: &str, minor: u16) -> GoVersion {
        let name: String = name.chars().filter(|c| !c.is_control()).take(Self::MAX_NAME).collect();
        let name = if name.trim().is_empty() { "a Go without a name" } else { name.trim() };
        GoVersion { major: 1, minor, patch: None, text: format!("{name} (like go1.{minor})"), inferred: true }
    }

    /// Whether the toolchain did not tell its release, so that it was inferred from the functions of the program.
    pub fn is_inferred(&self) -> bool {
        self.inferred
    }

    /// The longest text taken for a version, in bytes. Development versions with experiments reach about 150.
    pub const MAX_TEXT: usize = 512;

    /// Reads what `runtime.Version()` gives: `go1.19`, `go1.21rc2`, `go1.27.3-X:runtimesecret`, `go1.22.1 X:loopvar`,
    /// `devel go1.28-abc Tue ...`, `go1.26-devel_abc`. `None` when there is no `goX.Y` in that place.
    pub fn parse(text: &str) -> Option<GoVersion> {
        if text.len() > Self::MAX_TEXT || text.chars().any(char::is_control) {
            return None;
        }
        let rest = text.strip_prefix("devel ").unwrap_or(text).strip_prefix("go")?;
        let (major, rest) = number(rest)?;
        let (minor, rest) = number(rest.strip_prefix('.')?)?;
        let patch = match rest.strip_prefix('.') {
            Some(rest) => Some(number(rest)?.0),
            None => None,
        };
        Some(GoVersion { major, minor, patch, text: text.to_owned(), inferred: false })
    }

    /// Whether this is release `major.minor` or a later one.
    pub fn at_least(&self, major: u16, minor: u16) -> bool {
        (self.major, self.minor) >= (major, minor)
    }

    /// The experiments that it was built with beyond the release's own, as its text names them, separated by commas:
    /// `runtimesecret` of `go1.27.3-X:runtimesecret`. They follow a space up to Go 1.25, then a hyphen
    /// (`internal/buildcfg/exp.go`, and `gc.go` of the go command).
    pub fn experiments(&self) -> &str {
        let after = self.text.split_once(" X:").or_else(|| self.text.split_once("-X:")).map_or("", |(_, names)| names);
        after.split(' ').next().unwrap_or("")
    }

    fn key(&self) -> (u16, u16, Option<u16>) {
        (self.major, self.minor, self.patch)
    }
}

fn number(text: &str) -> Option<(u16, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at_checked(end)?;
    Some((digits.parse().ok()?, rest))
}

impl PartialEq for GoVersion {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for GoVersion {}

impl PartialOrd for GoVersion {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for GoVersion {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl fmt::Display for GoVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> Option<(u16, u16, Option<u16>)> {
        GoVersion::parse(text).map(|version| version.key())
    }

    #[test]
    fn reads_every_form() {
        assert_eq!(parts("go1.19"), Some((1, 19, None)));
        assert_eq!(parts("go1.27.3"), Some((1, 27, Some(3))));
        assert_eq!(parts("go1.27.3-X:runtimesecret"), Some((1, 27, Some(3))));
        assert_eq!(parts("go1.22.1 X:loopvar"), Some((1, 22, Some(1))));
        assert_eq!(parts("go1.21rc2"), Some((1, 21, None)));
        assert_eq!(parts("devel go1.28-abc123 Tue Jan 2"), Some((1, 28, None)));
        assert_eq!(parts("go1.26-devel_abc123"), Some((1, 26, None)));
        assert_eq!(parts("go1.19.8 (Debian)"), Some((1, 19, Some(8))));
        for bad in [
            "",
            "go",
            "go1",
            "go1.",
            "1.20",
            "go1.20.",
            "go1.20.x",
            "devel +abc",
            "unknown",
            "go1.99999999",
            "go1.20\n",
        ] {
            assert_eq!(parts(bad), None, "{bad:?}");
        }
        assert_eq!(parts(&format!("go1.20{}", " ".repeat(600))), None);
    }

    #[test]
    fn experiments_are_in_the_text() {
        let experiments = |text| GoVersion::parse(text).unwrap().experiments().to_owned();
        assert_eq!(experiments("go1.22.3 X:nocoverageredesign"), "nocoverageredesign");
        assert_eq!(experiments("go1.27.3-X:mapsplitgroup,simd"), "mapsplitgroup,simd");
        assert_eq!(experiments("devel go1.28-abc Tue X:simd (company)"), "simd");
        assert_eq!(experiments("go1.27.3"), "");
    }

    #[test]
    fn orders_by_number() {
        let version = |text| GoVersion::parse(text).unwrap();
        assert!(version("go1.9") < version("go1.19"));
        assert!(version("go1.21") < version("go1.21.0"));
        assert_eq!(version("go1.27.3-X:a"), version("go1.27.3"));
        assert!(version("go1.21rc2").at_least(1, 21));
        assert!(!version("go1.20.14").at_least(1, 21));
        assert_eq!(version("go1.27.3-X:a").to_string(), "go1.27.3-X:a");
    }
}
