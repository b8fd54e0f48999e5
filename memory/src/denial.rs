//! Why the kernel does not let us read a process, and what helps.

use std::fmt;

use rustix::io::Errno;

use crate::procdir::ProcDir;
use crate::status::Status;

/// Why the kernel does not let us read a process: the first of ptrace(2)'s checks that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// It runs under another user or group, and we lack `CAP_SYS_PTRACE`.
    OtherUser,
    /// It is ours but has made itself undumpable (it is setuid, has file capabilities, its file is not readable, or it
    /// called `prctl(PR_SET_DUMPABLE)`), and we lack `CAP_SYS_PTRACE`.
    NotDumpable,
    /// It is ours but has capabilities that we have not, and we lack `CAP_SYS_PTRACE`.
    MoreCapabilities,
    /// The Yama security module (`kernel.yama.ptrace_scope` 1 or 2) wants `CAP_SYS_PTRACE`, which we lack.
    Yama {
        /// The value of `kernel.yama.ptrace_scope`.
        scope: u8,
    },
    /// The Yama security module forbids it to everybody (`kernel.yama.ptrace_scope` 3).
    YamaForbids,
    /// We have `CAP_SYS_PTRACE`, but not in the user namespace of the process.
    OtherUserNamespace,
    /// None of the above explains it: a seccomp filter on us, SELinux or AppArmor.
    Policy {
        /// A seccomp filter is in force on us.
        seccomp: bool,
    },
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Denial::OtherUser => f.write_str("it runs under another user, and CAP_SYS_PTRACE is missing"),
            Denial::NotDumpable => f.write_str("it has made itself undumpable, and CAP_SYS_PTRACE is missing"),
            Denial::MoreCapabilities => {
                f.write_str("it has capabilities that fgspy has not, and CAP_SYS_PTRACE is missing")
            }
            Denial::Yama { scope } => {
                write!(f, "kernel.yama.ptrace_scope is {scope}, and CAP_SYS_PTRACE is missing")
            }
            Denial::YamaForbids => f.write_str("kernel.yama.ptrace_scope is 3, which forbids it to everybody"),
            Denial::OtherUserNamespace => {
                f.write_str("CAP_SYS_PTRACE does not reach into the user namespace of the process")
            }
            Denial::Policy { seccomp: true } => {
                f.write_str("a seccomp filter on fgspy, or a security module (SELinux, AppArmor), forbids it")
            }
            Denial::Policy { seccomp: false } => f.write_str("a security module (SELinux, AppArmor) forbids it"),
        }
    }
}

const SUDO: &str = "run as root: sudo fgspy ...";
const SETCAP: &str = "or once: sudo setcap cap_sys_ptrace,cap_perfmon+ep $(command -v fgspy)";
const DOCKER: &str = "in Docker: docker run --cap-add SYS_PTRACE --pid=container:TARGET ...";
const KUBERNETES: &str = "in Kubernetes: securityContext.capabilities.add: [SYS_PTRACE] for fgspy's container and \
    shareProcessNamespace: true for the pod";
const OWN_CHILD: &str = "or let fgspy start the program: fgspy record -- CMD";
const YAMA: &str = "or let every process read the others of its user: sudo sysctl kernel.yama.ptrace_scope=0";
const YAMA_REBOOT: &str = "set kernel.yama.ptrace_scope to 1 in /etc/sysctl.d and reboot (3 cannot be lowered before)";
const USER_NAMESPACE: &str = "run fgspy as root outside the container, or inside it as the user that started it";
const SECURITY_MODULE: &str = "look for the refusal in the audit log (SELinux: ausearch -m AVC, and setsebool \
    deny_ptrace 0; AppArmor: dmesg, and a profile with \"ptrace (read, trace)\")";
const UNCONFINED: &str = "in Docker: --security-opt seccomp=unconfined --security-opt apparmor=unconfined";

impl Denial {
    /// What helps, one way per line, the simplest first.
    pub fn remedies(&self) -> &'static [&'static str] {
        match self {
            Denial::OtherUser | Denial::NotDumpable | Denial::MoreCapabilities => &[SUDO, SETCAP, DOCKER, KUBERNETES],
            Denial::Yama { scope: 1 } => &[SUDO, SETCAP, OWN_CHILD, YAMA, DOCKER, KUBERNETES],
            Denial::Yama { .. } => &[SUDO, SETCAP, DOCKER, KUBERNETES],
            Denial::YamaForbids => &[YAMA_REBOOT],
            Denial::OtherUserNamespace => &[USER_NAMESPACE],
            Denial::Policy { seccomp: true } => &[UNCONFINED, DOCKER, KUBERNETES, SECURITY_MODULE],
            Denial::Policy { seccomp: false } => &[SECURITY_MODULE, UNCONFINED],
        }
    }
}

/// What the kernel looks at, as far as it shows it to us.
#[derive(Clone, Debug, Default)]
struct Evidence {
    ours: Status,
    theirs: Status,
    yama_scope: Option<u8>,
    /// `/proc/PID/mem` belongs to its user. It belongs to root where the process is not dumpable (proc(5)).
    owns_its_files: bool,
    /// Whether the two user namespaces are the same, where that can be seen.
    same_user_namespace: Option<bool>,
}

const CAP_SYS_PTRACE: u64 = 1 << 19;

impl Evidence {
    /// Follows `__ptrace_may_access` in the kernel's `kernel/ptrace.c` with `PTRACE_MODE_ATTACH_REALCREDS`, then
    /// `cap_ptrace_access_check` (`security/commoncap.c`) and `yama_ptrace_access_check` (`security/yama/yama_lsm.c`).
    fn judge(&self) -> Denial {
        if self.yama_scope == Some(3) {
            return Denial::YamaForbids;
        }
        let policy = Denial::Policy { seccomp: self.ours.seccomp };
        if self.ours.cap_effective & CAP_SYS_PTRACE != 0 {
            return if self.same_user_namespace == Some(false) { Denial::OtherUserNamespace } else { policy };
        }
        let [our_uid, ..] = self.ours.uid;
        let [our_gid, ..] = self.ours.gid;
        // The file-system ids do not count.
        let all = |[real, effective, saved, _]: [u32; 4], ours| [real, effective, saved] == [ours; 3];
        if !all(self.theirs.uid, our_uid) || !all(self.theirs.gid, our_gid) {
            Denial::OtherUser
        } else if !self.owns_its_files && our_uid != 0 {
            Denial::NotDumpable
        } else if self.theirs.cap_permitted & !self.ours.cap_permitted != 0 {
            Denial::MoreCapabilities
        } else if let Some(scope) = self.yama_scope.filter(|&scope| scope > 0) {
            Denial::Yama { scope }
        } else {
            policy
        }
    }
}

/// Finds out why the process in `dir` must not be read.
pub(crate) fn diagnose(dir: &ProcDir, theirs: &Status) -> Denial {
    let own = std::fs::read("/proc/self/status").ok().and_then(|text| Status::parse(&text));
    let yama = std::fs::read("/proc/sys/kernel/yama/ptrace_scope").ok();
    let namespaces = (std::fs::read_link("/proc/self/ns/user").ok(), dir.link("ns/user"));
    let evidence = Evidence {
        ours: own.unwrap_or_default(),
        theirs: theirs.clone(),
        yama_scope: yama.and_then(|text| u8::try_from(crate::text::number(&text, 10)?).ok()),
        owns_its_files: dir.stat("mem").is_ok_and(|stat| stat.st_uid == theirs.uid[1]),
        same_user_namespace: match namespaces {
            (Some(ours), Ok(theirs)) => Some(ours.as_os_str().as_encoded_bytes() == theirs),
            (Some(_), Err(Errno::ACCESS | Errno::PERM)) => same_id_map(dir),
            _ => None,
        },
    };
    evidence.judge()
}

/// Whether both see user ids mapped alike. The kernel shows `uid_map` to everybody, unlike the link to the namespace.
fn same_id_map(dir: &ProcDir) -> Option<bool> {
    Some(dir.read("uid_map", 4096).ok()? == std::fs::read("/proc/self/uid_map").ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(uid: u32) -> Status {
        Status { uid: [uid; 4], gid: [uid; 4], ..Status::default() }
    }

    fn evidence(ours: Status, theirs: Status) -> Evidence {
        Evidence { ours, theirs, owns_its_files: true, same_user_namespace: Some(true), yama_scope: None }
    }

    #[test]
    fn names_the_first_check_that_fails() {
        let root = Status { cap_effective: CAP_SYS_PTRACE, cap_permitted: u64::MAX, ..user(0) };
        let capable = Status { cap_permitted: 1, ..user(5) };
        let mixed = Status { gid: [5, 5, 6, 5], ..user(5) };
        let filtered = Status { seccomp: true, ..root.clone() };
        let same = evidence(user(5), user(5));
        let cases = [
            (evidence(user(5), user(0)), Denial::OtherUser),
            (evidence(user(5), mixed), Denial::OtherUser),
            (Evidence { owns_its_files: false, ..same.clone() }, Denial::NotDumpable),
            (evidence(user(5), capable), Denial::MoreCapabilities),
            (Evidence { yama_scope: Some(0), ..same.clone() }, Denial::Policy { seccomp: false }),
            (Evidence { yama_scope: Some(1), ..same.clone() }, Denial::Yama { scope: 1 }),
            (Evidence { yama_scope: Some(2), ..same.clone() }, Denial::Yama { scope: 2 }),
            (Evidence { yama_scope: Some(3), ..evidence(root.clone(), user(5)) }, Denial::YamaForbids),
            (evidence(root.clone(), user(5)), Denial::Policy { seccomp: false }),
            (evidence(filtered, user(5)), Denial::Policy { seccomp: true }),
            (Evidence { same_user_namespace: Some(false), ..evidence(root, user(5)) }, Denial::OtherUserNamespace),
        ];
        for (evidence, expected) in cases {
            assert_eq!(evidence.judge(), expected, "{evidence:?}");
        }
    }

    #[test]
    fn each_has_a_cause_and_a_remedy() {
        let yama = [1, 2].map(|scope| Denial::Yama { scope });
        let others = [Denial::OtherUser, Denial::NotDumpable, Denial::MoreCapabilities];
        for denial in others.into_iter().chain(yama) {
            let text = denial.remedies().join("\n");
            for part in ["sudo fgspy", "sudo setcap cap_sys_ptrace,cap_perfmon+ep $(command -v fgspy)"] {
                assert!(text.contains(part), "{denial:?} lacks {part}");
            }
            for part in ["--cap-add SYS_PTRACE", "--pid=container:", "capabilities.add: [SYS_PTRACE]"] {
                assert!(text.contains(part), "{denial:?} lacks {part}");
            }
            assert!(text.contains("shareProcessNamespace: true"), "{denial:?}");
            assert!(denial.to_string().contains("CAP_SYS_PTRACE"), "{denial:?}");
        }
        assert!(Denial::Yama { scope: 1 }.remedies().iter().any(|r| r.contains("sysctl kernel.yama.ptrace_scope=0")));
        for denial in [Denial::YamaForbids, Denial::OtherUserNamespace, Denial::Policy { seccomp: true }] {
            assert!(!denial.remedies().is_empty());
        }
    }
}
