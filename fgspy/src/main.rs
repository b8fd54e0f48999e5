//! The `fgspy` command: see `fgspy --help` and README.md.

mod args;
mod doctor;
mod dump;
mod exit;
mod output;
mod record;
mod report;
mod requests;
mod serve;
mod signals;
mod terminal;
mod trace;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};

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
            Err(error) => Err(error),
        },
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads our output has seen enough (`fgspy dump | head`).
        Err(error) if exit::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            terminal::message::print_message(format_args!("fgspy: {}", exit::message(&error)));
            ExitCode::from(exit::code(&error))
        }
    }
}
