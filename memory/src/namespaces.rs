//! Which namespaces a process shares with us (namespaces(7)).

use crate::procdir::ProcDir;

/// In which namespaces a process lives apart from us. `None` where the kernel does not show it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Namespaces {
    /// It has another PID namespace: its own ids for itself and its threads differ from ours.
    pub pid: Option<bool>,
    /// It has another mount namespace: its paths mean other files than ours.
    pub mount: Option<bool>,
    /// It has another user namespace: its user ids mean other users than ours.
    pub user: Option<bool>,
}

impl Namespaces {
    /// Compares the namespaces of a process with our own.
    pub(crate) fn of(dir: &ProcDir) -> Self {
        let differs = |name: &str| {
            let ours = std::fs::read_link(format!("/proc/self/{name}")).ok()?;
            Some(dir.link(name).ok()? != ours.as_os_str().as_encoded_bytes())
        };
        Namespaces { pid: differs("ns/pid"), mount: differs("ns/mnt"), user: differs("ns/user") }
    }
}
