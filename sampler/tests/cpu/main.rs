//! CPU time is true: how much of it there is by the scheduler's account.

mod account;

use fgspy_fixtures::toolchains;
use libtest_mimic::{Arguments, Failed, Trial};

fn main() {
    let arguments = Arguments::from_args();
    let toolchains = toolchains::required().expect("the required toolchains can be had");
    let newest = toolchains.last().cloned().expect("there is one");
    let run = |result: anyhow::Result<()>| result.map_err(|error| Failed::from(format!("{error:#}")));
    let mut trials = Vec::new();
    for (name, test) in account::TESTS {
        let toolchain = newest.clone();
        trials.push(Trial::test(name, move || run(test(&toolchain))));
    }
    // One after the other: each wants the processors for itself.
    libtest_mimic::run(&Arguments { test_threads: Some(1), ..arguments }, trials).exit();
}
