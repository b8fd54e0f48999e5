//! CPU time is true: how much of it there is by the scheduler's account, and where it is spent by `runtime/pprof` in the same
//! run.

mod account;
mod pprof;

use fgspy_fixtures::toolchains;
use libtest_mimic::{Arguments, Failed, Trial};

fn main() {
    let arguments = Arguments::from_args();
    let toolchains = toolchains::required().expect("the required toolchains can be had");
    let ends = [toolchains.first().cloned(), toolchains.last().cloned()];
    let newest = toolchains.last().cloned().expect("there is one");
    let run = |result: anyhow::Result<()>| result.map_err(|error| Failed::from(format!("{error:#}")));
    let mut trials = Vec::new();
    for (name, test) in account::TESTS {
        let toolchain = newest.clone();
        trials.push(Trial::test(name, move || run(test(&toolchain))));
    }
    for toolchain in ends.into_iter().flatten() {
        for (name, group) in pprof::GROUPS {
            let toolchain = toolchain.clone();
            let name = format!("pprof::{name}::{}", toolchain.version);
            trials.push(Trial::test(name.clone(), move || run(pprof::compare(&name, &toolchain, group))));
        }
    }
    // One after the other: each wants the processors for itself.
    libtest_mimic::run(&Arguments { test_threads: Some(1), ..arguments }, trials).exit();
}
