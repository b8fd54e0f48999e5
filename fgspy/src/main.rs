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

#[cfg(test)]
mod messages_test;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};
use terminal::message::print_message;

fn main() -> ExitCode {
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
