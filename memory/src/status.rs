//! `/proc/PID/status`: who a task is (proc_pid_status(5)).

use crate::text::{lines, number, numbers};

/// What we use of a `status` file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Status {
    /// The process that this task is a thread of.
    pub(crate) tgid: u32,
    /// Real, effective, saved and file-system user id.
    pub(crate) uid: [u32; 4],
    /// Likewise for the group.
    pub(crate) gid: [u32; 4],
    /// The task's id in every PID namespace it is visible in, from that of the reader's `/proc` inwards. Never empty.
    pub(crate) ns_pid: Vec<u32>,
    /// Capability sets (capabilities(7)).
    pub(crate) cap_permitted: u64,
    pub(crate) cap_effective: u64,
    /// A seccomp filter is in force.
    pub(crate) seccomp: bool,
}

impl Status {
    /// `None` when the text is not that of a `status` file.
    pub(crate) fn parse(text: &[u8]) -> Option<Status> {
        let mut status = Status::default();
        let (mut tgid, mut pid) = (None, None);
        for line in lines(text) {
            let Some(colon) = line.iter().position(|&b| b == b':') else { continue };
            let (key, value) = (line.get(..colon)?, line.get(colon + 1..)?);
            match key {
                b"Tgid" => tgid = number(value, 10),
                b"Pid" => pid = number(value, 10),
                b"Uid" => status.uid = four(value)?,
                b"Gid" => status.gid = four(value)?,
                b"NSpid" => status.ns_pid = numbers(value),
                b"CapPrm" => status.cap_permitted = number(value, 16)?,
                b"CapEff" => status.cap_effective = number(value, 16)?,
                b"Seccomp" => status.seccomp = number(value, 10) == Some(2),
                _ => {}
            }
        }
        status.tgid = u32::try_from(tgid?).ok()?;
        if status.ns_pid.is_empty() {
            // A kernel without CONFIG_PID_NS.
            status.ns_pid.push(u32::try_from(pid?).ok()?);
        }
        Some(status)
    }
}

fn four(value: &[u8]) -> Option<[u32; 4]> {
    numbers(value).try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"Name:\tsl\\nTgid:\\teep\nState:\tS (sleeping)\nTgid:\t4711\nPid:\t4712\nPPid:\t1\n\
        Uid:\t1000\t1001\t1002\t1003\nGid:\t5\t6\t7\t8\nNStgid:\t4711\t1\nNSpid:\t4712\t2\n\
        CapPrm:\t000001ffffffffff\nCapEff:\t0000000000080000\nSeccomp:\t2\n";

    #[test]
    fn reads_what_it_needs() {
        let expected = Status {
            tgid: 4711,
            uid: [1000, 1001, 1002, 1003],
            gid: [5, 6, 7, 8],
            ns_pid: vec![4712, 2],
            cap_permitted: 0x1ff_ffff_ffff,
            cap_effective: 1 << 19,
            seccomp: true,
        };
        assert_eq!(Status::parse(TEXT), Some(expected));
    }

    #[test]
    fn without_namespaces_the_id_is_the_id() {
        let status = Status::parse(b"Tgid:\t7\nPid:\t8\nUid:\t0\t0\t0\t0\n").unwrap();
        assert_eq!((status.tgid, status.ns_pid), (7, vec![8]));
    }

    #[test]
    fn refuses_other_text() {
        assert_eq!(Status::parse(b""), None);
        assert_eq!(Status::parse(b"Tgid:\tx\nPid:\t1\n"), None);
        assert_eq!(Status::parse(b"Tgid:\t1\nPid:\t1\nUid:\t1\t2\t3\n"), None);
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            Status::parse(&text);
        }

        #[test]
        fn never_panics_on_damage(at in 0..TEXT.len(), with: u8) {
            let mut text = TEXT.to_vec();
            text[at] = with;
            Status::parse(&text);
        }
    }
}
