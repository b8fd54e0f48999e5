//! A terminal for fgspy to write to: on one it says at once that it records.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// What was written to a pseudo terminal so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Said(Arc<Mutex<Vec<u8>>>);

impl Said {
    /// As text.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

/// A new terminal: its inner side, which a program takes for its own, and what is written to it.
///
/// # Errors
/// When the kernel gives none.
pub(super) fn open() -> io::Result<(OwnedFd, Said)> {
    let outer = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&outer)?;
    unlockpt(&outer)?;
    let name = ptsname(&outer, Vec::new())?.to_string_lossy().into_owned();
    let inner = File::options().read(true).write(true).open(name)?;
    let said = Said::default();
    let (mut outer, written) = (File::from(outer), said.clone());
    thread::spawn(move || {
        let mut bytes = [0; 4096];
        // It ends with an error when nobody holds the inner side any more.
        while let Ok(count @ 1..) = outer.read(&mut bytes) {
            written.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&bytes[..count]);
        }
    });
    Ok((inner.into(), said))
}
