//! Not being permitted, for every reason that can be arranged here.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use fgspy_memory::{BiasSource, LoadBias, Process};
use libtest_mimic::{Failed, Trial};

use crate::child::probe_as;
use crate::spawn::{NOBODY, ROLE, Target, copy_of, missing, not_root, wrapped_role};
use crate::test_if;

pub(crate) fn tests() -> Vec<Trial> {
    let no_setpriv = not_root().or_else(|| missing("no setpriv", "setpriv", &["--version"]));
    let no_userns = no_setpriv.or_else(|| missing("no user namespaces", "unshare", &["-U", "-r", "true"]));
    let no_mounts = no_setpriv.or_else(|| missing("no mount namespaces", "unshare", &["-m", "true"]));
    vec![
        test_if("denied: no, the same user may", no_setpriv, same_user),
        test_if("denied: another user", no_setpriv, another_user),
        test_if("denied: not dumpable", no_setpriv, not_dumpable),
        test_if("denied: more capabilities", no_setpriv, more_capabilities),
        test_if("denied: another user namespace", no_userns, another_user_namespace),
        test_if("denied: hidden by hidepid", no_mounts, hidden),
        test_if("denied: no, CAP_SYS_PTRACE suffices", no_setpriv, capability_suffices),
        test_if("denied: an unreadable executable", no_setpriv, unreadable_exe),
    ]
}

const AS_NOBODY: [&str; 5] = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"];

fn nobody(role: &str) -> Target {
    let mut target = Target::spawn(&mut wrapped_role(&AS_NOBODY, role));
    assert_eq!(target.line(), "ready");
    target
}

fn same_user() -> Result<(), Failed> {
    let target = nobody("wait");
    assert_eq!(probe_as(&AS_NOBODY, target.pid()), format!("ok {}\n", target.pid()));
    Ok(())
}

fn another_user() -> Result<(), Failed> {
    let mut target = Target::role("wait");
    target.line();
    let (pid, told) = (target.pid(), probe_as(&AS_NOBODY, target.pid()));
    let expected = format!(
        "PermissionDenied {{ pid: {pid}, owner: 0, ours: {NOBODY}, reason: OtherUser }}\n\
         reading process {pid} (user id 0) is not permitted to user id {NOBODY}: it runs under another user, and \
         CAP_SYS_PTRACE is missing\n  run as root: sudo fgspy ...\n"
    );
    assert!(told.starts_with(&expected), "{told}");
    assert!(told.contains("\n  in Docker: ") && told.contains("\n  in Kubernetes: "), "{told}");
    Ok(())
}

fn not_dumpable() -> Result<(), Failed> {
    let target = nobody("undumpable");
    let told = probe_as(&AS_NOBODY, target.pid());
    assert!(told.contains(&format!("owner: {NOBODY}, ours: {NOBODY}, reason: NotDumpable")), "{told}");
    Ok(())
}

fn nobody_with(capability: &str) -> Vec<String> {
    let [credentials @ .., end] = AS_NOBODY;
    let capabilities = [format!("--inh-caps=+{capability}"), format!("--ambient-caps=+{capability}")];
    credentials.map(String::from).into_iter().chain(capabilities).chain([end.to_owned()]).collect()
}

fn refs(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

fn more_capabilities() -> Result<(), Failed> {
    let mut target = Target::spawn(&mut wrapped_role(&refs(&nobody_with("net_raw")), "wait"));
    assert_eq!(target.line(), "ready");
    let told = probe_as(&AS_NOBODY, target.pid());
    assert!(told.contains("reason: MoreCapabilities"), "{told}");
    Ok(())
}

fn another_user_namespace() -> Result<(), Failed> {
    let mut target = Target::role("wait");
    target.line();
    let told = probe_as(&["unshare", "-U", "-r"], target.pid());
    assert!(told.contains("reason: OtherUserNamespace"), "{told}");
    Ok(())
}

fn hidden() -> Result<(), Failed> {
    let mut target = Target::role("wait");
    target.line();
    for how in [1, 2] {
        let script = format!("mount -t proc -o hidepid={how} proc /proc && exec {} \"$0\"", AS_NOBODY.join(" "));
        let told = probe_as(&["unshare", "-m", "sh", "-c", &script], target.pid());
        assert!(told.starts_with(&format!("Hidden {{ pid: {} }}\n", target.pid())), "hidepid={how}: {told}");
    }
    Ok(())
}

/// The rights that `setcap cap_sys_ptrace` gives: to memory, but not to the files of others, `/proc/PID/mem` included.
fn capability_suffices() -> Result<(), Failed> {
    let capable = nobody_with("sys_ptrace");
    let mut target = Target::role("exec-self");
    target.line();
    let watch = |pid: u32| {
        let mut watch = Target::spawn(&mut wrapped_role(&refs(&capable), &format!("watch {pid}")));
        let bias = watch.line();
        (watch, bias)
    };
    let (mut first, bias) = watch(target.pid());
    let expected = Process::open(target.pid())?.load_bias()?;
    assert_eq!(
        (expected.from, bias),
        (BiasSource::Auxv, format!("{:?}", LoadBias { from: BiasSource::Maps, ..expected }))
    );
    let now = |watch: &mut Target| {
        watch.say("now");
        watch.line()
    };
    assert_eq!(now(&mut first), "Same Ok(None)");
    target.say("go");
    assert_eq!(target.line(), "ready");
    assert_eq!(now(&mut first), "Execed Err(TargetGone)");
    let (mut second, _) = watch(target.pid());
    assert_eq!(now(&mut second), "Same Ok(None)");
    target.kill();
    assert_eq!((now(&mut first), now(&mut second)), ("Exited Err(TargetGone)".into(), "Exited Err(TargetGone)".into()));
    target.reap();
    assert_eq!(now(&mut second), "Exited Err(TargetGone)");
    Ok(())
}

fn unreadable_exe() -> Result<(), Failed> {
    let (_dir, path) = copy_of(&std::env::current_exe()?, "private");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700))?;
    let mut target = Target::spawn(Command::new(&path).env(ROLE, "wait"));
    target.line();
    let told = probe_as(&refs(&nobody_with("sys_ptrace")), target.pid());
    assert!(told.starts_with(&format!("UnreadableExe {{ pid: {}, ours: {NOBODY} }}\n", target.pid())), "{told}");
    assert!(told.contains("cap_dac_read_search"), "{told}");
    Ok(())
}
