//! A terminal for fgspy to write to.

use std::fs::File;
use std::os::fd::OwnedFd;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// A pseudo terminal.
pub(crate) struct Terminal {
    /// What a person would see.
    pub(crate) outer: File,
    /// What a program takes for its terminal.
    pub(crate) inner: OwnedFd,
}

impl Terminal {
    pub(crate) fn open() -> Terminal {
        let outer = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&outer).unwrap();
        unlockpt(&outer).unwrap();
        let name = ptsname(&outer, Vec::new()).unwrap().into_string().unwrap();
        let inner = File::options().read(true).write(true).open(name).unwrap();
        Terminal { outer: outer.into(), inner: inner.into() }
    }
}
