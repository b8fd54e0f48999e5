//! Who may sample what. The unprivileged observers are this program again, as user nobody.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use fgspy_perf::{Config, OnCpu, OpenError, diagnose};

use crate::child::ROLE;
use crate::seccomp;
use crate::target::{Target, own_path};
use crate::watch::Watch;

/// What the observer is to look at, or another number that it needs.
const SUBJECT: &str = "FGSPY_KERNEL_TEST_SUBJECT";

/// Runs this program as nobody in a role, and gives what it printed.
fn as_nobody(role: &str, subject: u32) -> String {
    // The build folder may be closed to others.
    let folder =
        tempfile::Builder::new().permissions(std::fs::Permissions::from_mode(0o755)).tempdir().expect("a folder");
    let program = folder.path().join("observer");
    fgspy_fixtures::install(&own_path(), &program);
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"]);
    run(command.arg(&program), role, subject)
}

/// Runs this program in a role.
fn run(command: &mut Command, role: &str, subject: u32) -> String {
    let output = command.env(ROLE, role).env(SUBJECT, subject.to_string()).output().expect("it starts");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "the observer failed: {out}{err}");
    out.trim().to_owned()
}

/// The observers' side.
pub(crate) fn observe(role: &str) {
    let subject = std::env::var(SUBJECT).ok().and_then(|pid| pid.parse().ok()).expect("a subject");
    match role {
        "own" => observe_own(),
        "foreign" => {
            let error = OnCpu::open(Config::new(subject)).err().expect("it belongs to root");
            assert_eq!(error, OpenError::TargetDenied { pid: subject });
            assert_eq!(diagnose(Some(subject)).can_target, Some(Err(error.clone())));
            println!("{error}\n{}", error.remedy());
        }
        "filtered" => {
            seccomp::refuse_perf(subject as i32);
            assert_eq!(OnCpu::open(Config::new(std::process::id())).err(), Some(OpenError::Seccomp));
            let support = diagnose(None);
            assert!(support.seccomp_filter);
            assert_eq!((&support.can_user, &support.can_kernel), (&Err(OpenError::Seccomp), &Err(OpenError::Seccomp)));
            println!("{}", OpenError::Seccomp.remedy());
        }
        other => panic!("unknown role {other}"),
    }
}

fn observe_own() {
    let mut target = Target::start();
    let config = Config::new(target.pid());
    let mut watch = Watch::open(config.clone());
    let threads = target.threads("spin 2");
    watch.until_samples(100);
    assert!(watch.samples().all(|sample| threads.contains(&sample.tid) || sample.tid == target.pid()));
    assert!(watch.samples().all(|sample| !sample.user_chain.is_empty() && sample.registers.is_some()));
    let coverage = watch.sampler.coverage();
    if !coverage.kernel {
        assert!(watch.samples().all(|sample| sample.kernel_chain.is_empty()));
        assert!(coverage.notes(&config).iter().any(|note| note.contains("kernel frames are not permitted")));
    }
    assert!(watch.sampler.counts().switches > 0);
    println!("kernel {}", coverage.kernel);
}

/// kernel.perf_event_paranoid.
pub(crate) fn paranoid() -> i32 {
    let setting = std::fs::read_to_string("/proc/sys/kernel/perf_event_paranoid").expect("the kernel has perf");
    setting.trim().parse().expect("a number")
}

pub(crate) fn an_unprivileged_user_samples_own_processes() {
    assert_eq!(as_nobody("own", 0), format!("kernel {}", paranoid() < 2));
}

pub(crate) fn an_unprivileged_user_is_told_why() {
    let target = Target::start();
    let told = as_nobody("foreign", target.pid());
    assert!(told.contains(&format!("process {} belongs to another user", target.pid())), "{told}");
    assert!(told.contains("sudo setcap cap_perfmon,cap_sys_ptrace+ep /"), "{told}");
}

pub(crate) fn a_seccomp_filter_is_named() {
    // Container runtimes answer one or the other.
    for errno in [libc::EPERM, libc::ENOSYS] {
        let told = run(&mut Command::new(own_path()), "filtered", errno as u32);
        assert!(told.contains("--cap-add PERFMON"), "{told}");
    }
}

pub(crate) fn diagnosis_agrees_with_opening() {
    let target = Target::start();
    let support = diagnose(Some(target.pid()));
    assert_eq!(support.can_user, Ok(()));
    assert_eq!(support.can_target, Some(Ok(())));
    assert_eq!(support.paranoid, Some(paranoid()));
    let opened = OnCpu::open(Config::new(target.pid())).expect("a child of one's own");
    assert_eq!(support.can_kernel.is_ok(), opened.coverage().kernel);
    let gone = u32::MAX;
    assert_eq!(diagnose(Some(gone)).can_target, Some(Err(OpenError::TargetGone { pid: gone })));
}
