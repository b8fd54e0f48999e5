//! What works on this machine, whatever the target.

use fgspy_memory::{Denial, Process};
use fgspy_perf::{OpenError, PerfSupport, diagnose};
use fgspy_probes::{TraceError, TrapCost, measure_trap_cost};

use super::check::{Check, Mark, Section};
use super::host;

/// fgspy's own rate; the kernel must allow as many samples.
const RATE_HZ: u32 = 99;
/// Threads that should be sampled without losing the start of new ones.
const MANY_THREADS: u64 = 256;

/// Looks at everything that does not need a target.
pub(super) fn examine() -> Section {
    let perf = diagnose(None);
    let mut checks = vec![Check::ok("kernel", host::kernel()), user(&perf), reading(&perf), on_cpu(&perf)];
    checks.push(kernel_frames(&perf));
    if perf.can_kernel.is_ok() && !perf.kernel_symbols {
        checks.push(
            Check::warn("kernel names", "/proc/kallsyms hides addresses (kernel.kptr_restrict)")
                .so("kernel frames have no names")
                .fix(["sudo sysctl kernel.kptr_restrict=0", "run with CAP_SYSLOG, as root has it"]),
        );
    }
    checks.push(open_files());
    checks.extend(host::container().map(|place| {
        Check::warn("container", format!("this is {place}")).so("only processes of the same container can be seen").fix(
            [
                "to see others, run fgspy on the host",
                "in Docker: docker run --pid=container:TARGET ... (or --pid=host)",
                "in Kubernetes: shareProcessNamespace: true for the pod",
            ],
        )
    }));
    checks.push(tracing());
    Section { title: "This machine".to_owned(), checks }
}

fn user(perf: &PerfSupport) -> Check {
    let user = match host::user() {
        Some(0) => "root (user id 0)".to_owned(),
        Some(id) => format!("user id {id}"),
        None => "unknown user id".to_owned(),
    };
    let rights = [(perf.cap_sys_ptrace, "CAP_SYS_PTRACE"), (perf.cap_perfmon, "CAP_PERFMON")];
    let has: Vec<&str> = rights.iter().filter(|(has, _)| *has).map(|&(_, name)| name).collect();
    let has = if has.is_empty() { "neither CAP_SYS_PTRACE nor CAP_PERFMON".to_owned() } else { has.join(" and ") };
    let filter = if perf.seccomp_filter { ", under a seccomp filter" } else { "" };
    Check::ok("user", format!("{user} with {has}{filter}"))
}

/// Reading other processes is what fgspy does.
fn reading(perf: &PerfSupport) -> Check {
    const TOPIC: &str = "reading memory";
    // Every process may read itself, so this shows whether the system call works at all.
    if let Err(error) = Process::open(std::process::id()) {
        return Check::fail(TOPIC, &error.into());
    }
    rights_to_read(TOPIC, perf.cap_sys_ptrace, host::yama_scope().unwrap_or(0))
}

/// What of ptrace(2)'s checks does not depend on the target.
fn rights_to_read(topic: &'static str, cap_sys_ptrace: bool, yama_scope: u8) -> Check {
    let denial = match (cap_sys_ptrace, yama_scope) {
        (_, 3..) => Denial::YamaForbids,
        (true, _) => {
            return Check::ok(topic, "process_vm_readv works, on the processes of every user (CAP_SYS_PTRACE)");
        }
        (false, 0) => {
            return Check::warn(topic, "process_vm_readv works, but only on processes of the same user")
                .so("processes of other users and with more rights (setuid, capabilities) cannot be profiled")
                .fix(Denial::OtherUser.remedies().iter().copied());
        }
        (false, scope) => Denial::Yama { scope },
    };
    let consequence = match denial {
        Denial::Yama { scope: 1 } => "only programs that fgspy itself starts can be profiled",
        _ => "no process can be profiled",
    };
    // As an attempt to record would end.
    let error = fgspy_memory::OpenError::PermissionDenied { pid: 0, owner: 0, ours: 0, reason: denial };
    let Check { mark, .. } = Check::fail(topic, &error.into());
    Check { mark, ..Check::ok(topic, denial.to_string()) }.so(consequence).fix(denial.remedies().iter().copied())
}

fn on_cpu(perf: &PerfSupport) -> Check {
    const TOPIC: &str = "on-CPU stacks";
    match (&perf.can_user, perf.max_sample_rate) {
        (Err(error), _) => refused(TOPIC, error).so(OpenError::CONSEQUENCE),
        (Ok(()), Some(max)) if max < RATE_HZ => {
            Check::warn(TOPIC, format!("kernel.perf_event_max_sample_rate is {max}, less than fgspy's {RATE_HZ}"))
                .so(OpenError::CONSEQUENCE)
                .fix(["sudo sysctl kernel.perf_event_max_sample_rate=100000"])
        }
        (Ok(()), _) => Check::ok(TOPIC, format!("perf_event_open works{}", paranoia(perf))),
    }
}

/// Whether the kernel's part of stacks is seen.
pub(super) fn kernel_frames(perf: &PerfSupport) -> Check {
    const TOPIC: &str = "kernel frames";
    match &perf.can_kernel {
        Ok(()) => Check::ok(TOPIC, format!("permitted{}", paranoia(perf))),
        Err(error) => {
            refused(TOPIC, error).so("CPU time inside system calls is not sampled, and stacks end at the system call")
        }
    }
}

/// An error of perf as a warning, with its remedies one by one.
pub(super) fn refused(topic: &'static str, error: &OpenError) -> Check {
    let remedy = error.remedy();
    Check { mark: Mark::Warn, ..Check::ok(topic, error.to_string()) }.fix(remedy.split("; "))
}

fn paranoia(perf: &PerfSupport) -> String {
    perf.paranoid.map_or(String::new(), |level| format!(" (kernel.perf_event_paranoid is {level})"))
}

/// Whether `fgspy trace` works, by setting a probe at fgspy itself.
pub(super) fn tracing() -> Check {
    const TOPIC: &str = "tracing";
    match measure_trap_cost() {
        Ok(TrapCost { emulated_ns, stepped_ns }) => Check::ok(
            TOPIC,
            format!(
                "works; the trap of a probe costs the target {:.1} µs here ({:.1} µs at an instruction that the kernel has to \
                 single-step); `fgspy trace` reports what each hit cost in total",
                emulated_ns / 1e3,
                stepped_ns / 1e3
            ),
        ),
        Err(error @ TraceError::Denied { .. }) => {
            let text = error.to_string();
            let (finding, remedy) = text.split_once(". ").unwrap_or((text.as_str(), ""));
            Check::warn(TOPIC, finding).so("`fgspy trace` does not work; everything else does").fix(remedy.split("; "))
        }
        Err(error) => Check::warn(TOPIC, error.to_string()).so("`fgspy trace` does not work; everything else does"),
    }
}

fn open_files() -> Check {
    const TOPIC: &str = "open files";
    let (files, cpus) = (host::max_files().unwrap_or(u64::MAX), host::cpus());
    let threads = files / cpus;
    if threads < MANY_THREADS {
        return Check::warn(TOPIC, format!("at most {files}, and each sampled thread takes {cpus}"))
            .so(format!("of a target with more than {threads} threads, some CPU time of new threads is missed"))
            .fix(["sudo prlimit --pid $$ --nofile=1048576", "in a systemd unit: LimitNOFILE=1048576"]);
    }
    let limit = if files == u64::MAX { "no limit".to_owned() } else { format!("at most {files}") };
    Check::ok(TOPIC, format!("{limit}; each sampled thread takes {cpus}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_to_read_follow_the_kernel() {
        let check = |capable, scope| rights_to_read("reading memory", capable, scope);
        assert_eq!(check(true, 0).mark, Mark::Ok);
        assert_eq!(check(true, 2).mark, Mark::Ok);
        let same_user = check(false, 0);
        assert_eq!(same_user.mark, Mark::Warn);
        assert!(same_user.remedies.iter().any(|remedy| remedy.contains("sudo setcap cap_sys_ptrace")));
        let yama = check(false, 1);
        assert_eq!(yama.mark, Mark::Fail(5));
        assert_eq!(yama.finding, "kernel.yama.ptrace_scope is 1, and CAP_SYS_PTRACE is missing");
        assert_eq!(yama.consequence.as_deref(), Some("only programs that fgspy itself starts can be profiled"));
        assert!(yama.remedies.iter().any(|remedy| remedy.ends_with("sudo sysctl kernel.yama.ptrace_scope=0")));
        assert_eq!(check(false, 2).consequence.as_deref(), Some("no process can be profiled"));
        for capable in [false, true] {
            assert_eq!(check(capable, 3).mark, Mark::Fail(5));
        }
    }

    #[test]
    fn remedies_stand_one_by_one() {
        let check = refused("on-CPU stacks", &OpenError::Paranoid { level: 3 });
        assert_eq!(check.mark, Mark::Warn);
        assert!(check.remedies.iter().any(|r| r.ends_with("sudo sysctl kernel.perf_event_paranoid=2")), "{check:?}");
        assert!(check.remedies.iter().all(|remedy| !remedy.contains("; ")), "{check:?}");
    }
}
