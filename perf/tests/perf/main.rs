//! Sampling of real processes. The children are this program itself, told by an environment variable what to be.
//!
//! Everything needs perf_event_open; where it is refused, each test is skipped by name and counted as ignored.

mod attaching;
mod child;
mod cpus;
mod limits;
mod rights;
mod sampling;
mod seccomp;
mod switching;
mod target;
mod watch;

use fgspy_perf::diagnose;
use libtest_mimic::{Arguments, Trial};

fn main() {
    if child::run_if_told() {
        return;
    }
    let mut arguments = Arguments::from_args();
    // The tests measure CPU time, so they must not compete with each other.
    arguments.test_threads = Some(1);
    let support = diagnose(None);
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
    let mut trials = Vec::new();
    for (name, needs, test) in tests() {
        let missing = match needs {
            _ if support.can_user.is_err() => support.can_user.as_ref().err().map(ToString::to_string),
            Needs::Perf => None,
            Needs::KernelFrames => support.can_kernel.as_ref().err().map(ToString::to_string),
            Needs::Root | Needs::AnotherUser if !is_root => Some("needs root".to_owned()),
            Needs::Root => None,
            Needs::AnotherUser => {
                (rights::paranoid() > 2).then(|| "kernel.perf_event_paranoid forbids users everything".to_owned())
            }
        };
        if let Some(reason) = &missing {
            eprintln!("SKIPPED {name}: {reason}");
        }
        let trial = Trial::test(name, move || {
            test();
            Ok(())
        });
        trials.push(trial.with_ignored_flag(missing.is_some()));
    }
    libtest_mimic::run(&arguments, trials).exit();
}

/// What a test cannot do without.
enum Needs {
    Perf,
    KernelFrames,
    Root,
    /// Root, and users may use perf.
    AnotherUser,
}

fn tests() -> Vec<(&'static str, Needs, fn())> {
    vec![
        ("samples_add_up_to_cpu_time", Needs::Perf, sampling::samples_add_up_to_cpu_time),
        ("threads_that_do_little_get_their_share", Needs::Perf, sampling::threads_that_do_little_get_their_share),
        ("samples_carry_what_unwinding_needs", Needs::Perf, sampling::samples_carry_what_unwinding_needs),
        ("time_in_the_kernel_is_sampled", Needs::KernelFrames, sampling::time_in_the_kernel_is_sampled),
        ("records_come_in_order_of_time", Needs::Perf, sampling::records_come_in_order_of_time),
        ("presence_agrees_with_the_scheduler", Needs::Perf, switching::presence_agrees_with_the_scheduler),
        ("threads_on_one_cpu_preempt_each_other", Needs::Perf, switching::threads_on_one_cpu_preempt_each_other),
        ("a_sleeping_thread_is_blocked", Needs::Perf, switching::a_sleeping_thread_is_blocked),
        ("an_overflowing_ring_says_so", Needs::Perf, switching::an_overflowing_ring_says_so),
        ("new_threads_are_followed_once", Needs::Perf, attaching::new_threads_are_followed_once),
        ("child_processes_are_not_sampled", Needs::Perf, attaching::child_processes_are_not_sampled),
        ("the_end_of_the_target_is_quiet", Needs::Perf, attaching::the_end_of_the_target_is_quiet),
        ("whole_cpus_give_the_target_s_samples_only", Needs::Root, cpus::whole_cpus_give_the_target_s_samples_only),
        (
            "whole_cpus_tell_of_exec_and_know_who_is_gone",
            Needs::Root,
            cpus::whole_cpus_tell_of_exec_and_know_who_is_gone,
        ),
        ("waiting_for_a_cpu_is_told", Needs::Perf, cpus::waiting_for_a_cpu_is_told),
        ("exec_is_reported", Needs::Perf, attaching::exec_is_reported),
        ("ids_are_those_of_the_target_s_namespace", Needs::Root, attaching::ids_are_those_of_the_target_s_namespace),
        ("few_events_suffice", Needs::Perf, limits::few_events_suffice),
        ("threads_beyond_the_limit_are_counted", Needs::Perf, limits::threads_beyond_the_limit_are_counted),
        ("an_impossible_rate_is_refused", Needs::Perf, limits::an_impossible_rate_is_refused),
        ("a_missing_process_is_refused", Needs::Perf, limits::a_missing_process_is_refused),
        (
            "an_unprivileged_user_samples_own_processes",
            Needs::AnotherUser,
            rights::an_unprivileged_user_samples_own_processes,
        ),
        ("an_unprivileged_user_is_told_why", Needs::AnotherUser, rights::an_unprivileged_user_is_told_why),
        ("a_seccomp_filter_is_named", Needs::Perf, rights::a_seccomp_filter_is_named),
        ("diagnosis_agrees_with_opening", Needs::Perf, rights::diagnosis_agrees_with_opening),
    ]
}
