//! Processes in other namespaces.

use fgspy_memory::{Memory, Process, Thread};
use libtest_mimic::{Failed, Trial};

use crate::child::{probe_as, word_at};
use crate::spawn::{Target, child_of, missing, not_root, wrapped_role};
use crate::test_if;

pub(crate) fn tests() -> Vec<Trial> {
    let no_unshare = not_root().or_else(|| missing("no PID namespaces", "unshare", &UNSHARE_TRUE));
    vec![
        test_if("namespaces: threads by both names", no_unshare, both_names),
        test_if("namespaces: memory is read across", no_unshare, memory_across),
        test_if("namespaces: an inner id is not an outer id", no_unshare, foreign_proc),
    ]
}

const UNSHARE: [&str; 5] = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"];
const UNSHARE_TRUE: [&str; 5] = ["--pid", "--fork", "--kill-child", "--mount-proc", "true"];

fn both_names() -> Result<(), Failed> {
    let mut target = Target::spawn(&mut wrapped_role(&UNSHARE, "threads"));
    target.line();
    let pid = child_of(target.pid());
    let process = Process::open(pid)?;
    assert_eq!((process.pid(), process.ns_pid(), process.ns_pids()), (pid, 1, &[pid, 1][..]));
    let namespaces = process.namespaces();
    assert_eq!((namespaces.pid, namespaces.mount, namespaces.user), (Some(true), Some(true), Some(false)));
    assert!(process.in_container());
    let mut inner = vec![1];
    for _ in 0..3 {
        target.say("start");
        inner.push(target.numbers()[0] as u32); // what gettid says inside
        let threads = process.threads()?;
        assert_eq!(threads.iter().map(|thread| thread.ns_tid).collect::<Vec<_>>(), inner);
        assert_eq!(threads[0], Thread { tid: pid, ns_tid: 1 });
        for Thread { tid, ns_tid } in threads {
            let status = std::fs::read_to_string(format!("/proc/{pid}/task/{tid}/status"))?;
            assert!(status.contains(&format!("\nNSpid:\t{tid}\t{ns_tid}\n")));
            assert_eq!(Process::open(tid)?.pid(), pid);
        }
    }
    Ok(())
}

fn memory_across() -> Result<(), Failed> {
    let mut target = Target::spawn(&mut wrapped_role(&UNSHARE, "holes"));
    let base = target.numbers()[0];
    let process = Process::open(child_of(target.pid()))?;
    assert_eq!(process.memory().read_u64(base + 64), Ok(Some(word_at(0, 64))));
    assert!(process.load_bias()?.confirmed);
    assert_eq!(process.exe_path(), std::env::current_exe()?);
    Ok(())
}

/// In a new PID namespace with the old `/proc`, ids in `/proc` mean other processes than ids in system calls.
fn foreign_proc() -> Result<(), Failed> {
    let told = probe_as(&["unshare", "--pid", "--fork", "--kill-child"], 1);
    assert!(told.starts_with("ForeignProc { mounted: true }\n"), "{told}");
    assert!(told.contains("mount -t proc proc /proc"), "{told}");
    Ok(())
}
