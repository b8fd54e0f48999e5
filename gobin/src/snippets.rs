//! Machine code of real executables, for tests: see `testdata/snippets.txt`.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::layout::Layout;
use crate::{Arch, GoVersion};

/// What is known of one executable.
pub(crate) struct Snippets {
    pub(crate) name: &'static str,
    pub(crate) version: GoVersion,
    pub(crate) arch: Arch,
    /// Addresses of variables.
    pub(crate) variables: HashMap<&'static str, u64>,
    /// Entries and code of functions.
    functions: HashMap<&'static str, (u64, Vec<u8>)>,
}

impl Snippets {
    pub(crate) fn code(&self, function: &str) -> Option<(Cow<'_, [u8]>, u64)> {
        let (entry, code) = self.functions.get(function)?;
        Some((Cow::Borrowed(code.as_slice()), *entry))
    }

    pub(crate) fn layout(&self) -> Layout {
        Layout::for_version(&self.version, self.arch).unwrap()
    }
}

/// All of them.
pub(crate) fn all() -> Vec<Snippets> {
    let mut found: Vec<Snippets> = Vec::new();
    for line in include_str!("../testdata/snippets.txt").lines().filter(|line| !line.is_empty()) {
        let number = |text: &str| u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap();
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["#", ..] => {}
            [version, arch, _] if line.starts_with('[') => found.push(Snippets {
                name: line,
                version: GoVersion::parse(&version[1..]).unwrap(),
                arch: if arch == "arm64" { Arch::Arm64 } else { Arch::Amd64 },
                variables: HashMap::new(),
                functions: HashMap::new(),
            }),
            [variable, "=", address] => {
                found.last_mut().unwrap().variables.insert(variable, number(address));
            }
            [function, "@", entry, code] => {
                let code = (0..code.len()).step_by(2).map(|at| number(&code[at..at + 2]) as u8).collect();
                found.last_mut().unwrap().functions.insert(function, (number(entry), code));
            }
            _ => panic!("{line}"),
        }
    }
    assert_eq!(found.len(), 10);
    found
}
