//! The `fgspy` command: see `fgspy --help` and README.md.

mod args;
mod doctor;
mod dump;
mod ending;
mod exit;
mod output;
mod record;
mod report;
mod requests;
mod serve;
mod signals;
mod terminal;
mod trace;
mod watchdog;

#[cfg(test)]
mod messages_test;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};
use terminal::message::print_message;

/// Bytes of stack for the command, as the first thread has them.
const STACK: usize = 8 << 20;

fn main() -> ExitCode {
    // The kernel hands signals to the first thread if it can. Should a read of the target never return, that thread must not be
    // the one that waits for it: no signal would arrive.
    let command = std::thread::Builder::new().name("command".into()).stack_size(STACK).spawn(command);
    match command.map(|thread| thread.join()) {
        Ok(Ok(code)) => code,
        Ok(Err(_)) => ExitCode::from(101), // It has panicked, and said so.
        Err(error) => {
            print_message(format_args!("fgspy: no thread can be started: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Runs the command.
fn command() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Record(args) => record::run(&args),
        Command::Dump(args) => dump::run(&args),
        Command::Requests(args) => requests::run(&args),
        Command::Trace(args) => trace::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Doctor(args) => match doctor::run(&args) {
            Ok(code) => return ExitCode::from(code),
            Err(failure) => Err(failure),
        },
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // The reader of our output has all that it wants (`fgspy dump | head`).
        Err(failure) if failure.is_broken_pipe() => ExitCode::SUCCESS,
        Err(failure) => {
            print_message(format_args!("fgspy: {}", failure.message()));
            ExitCode::from(failure.status().code())
        }
    }
}
