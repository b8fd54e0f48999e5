//! What whole command lines mean.

use clap::{CommandFactory, Parser};
use fgspy_goroutines::request::RequestOptions;
use fgspy_profile::GroupBy;
use fgspy_sampler::Options;

use super::record::RecordArgs;
use super::view::group_by;
use super::{Cli, Command};

#[test]
fn the_definition_is_consistent() {
    Cli::command().debug_assert();
}

/// What fgspy prints for a command line that it does not run.
fn printed(arguments: &[&str]) -> String {
    let cli = Cli::command().term_width(100);
    match cli.try_get_matches_from(std::iter::once(&"fgspy").chain(arguments)) {
        Ok(_) => panic!("{arguments:?} is a command"),
        Err(error) => error.render().to_string(),
    }
}

#[test]
fn help() {
    insta::assert_snapshot!("help", printed(&["--help"]));
    for command in ["record", "dump", "requests", "trace", "serve", "report", "doctor"] {
        insta::assert_snapshot!(format!("help_{command}"), printed(&[command, "--help"]));
    }
}

#[test]
fn invalid_values() {
    let errors = [
        &["record"][..],
        &["record", "-p", "zoo"],
        &["record", "-p", "1", "--", "true"],
        &["record", "-p", "1", "-d", "0"],
        &["record", "-p", "1", "-d", "10x"],
        &["record", "-p", "1", "-d", "-1"],
        &["record", "-p", "1", "-r", "0"],
        &["record", "-p", "1", "-r", "fast"],
        &["record", "-p", "1", "-f", "png"],
        &["record", "-p", "1", "--max-cpu", "0%"],
        &["record", "-p", "1", "--max-memory", "1M"],
        &["record", "-p", "1", "--max-memory", "much"],
        &["record", "-p", "1", "--state", "idle"],
        &["record", "-p", "1", "--state", "mutex"],
        &["record", "-p", "1", "--label", "tenant"],
        &["record", "-p", "1", "--group-by", "label"],
        &["record", "-p", "1", "--no-requests", "--keep-query"],
        &["requests", "-p", "1", "--sort", "name"],
        &["trace", "-p", "1", "--trace", "xyz"],
        &["trace", "-p", "1", "--request", "a", "--route", "/a"],
        &["trace", "-p", "1", "--max-overhead", "none"],
        &["doctor", "-p", "1", "file"],
    ];
    let first_line = |arguments: &[&str]| {
        let text = printed(arguments);
        format!("fgspy {}\n  {}\n", arguments.join(" "), text.lines().next().unwrap_or_default())
    };
    insta::assert_snapshot!("invalid_values", errors.map(first_line).concat());
}

/// What `fgspy record -p 1` with these arguments makes of requests.
fn requests(arguments: &[&str]) -> Result<RecordArgs, clap::error::ErrorKind> {
    let all = ["fgspy", "record", "-p", "1"].iter().chain(arguments);
    match Cli::try_parse_from(all) {
        Ok(Cli { command: Command::Record(args) }) => Ok(args),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error.kind()),
    }
}

#[test]
fn what_is_read_of_requests() {
    let options = |arguments: &[&str]| requests(arguments).map(|args| args.requests.options());
    let (data, keep_query) = (true, false);
    assert_eq!(options(&[]), Ok(Some(RequestOptions { data, keep_query })));
    assert_eq!(options(&[]), Ok(Options::default().requests), "the defaults are the same");
    assert_eq!(options(&["--keep-query"]), Ok(Some(RequestOptions { data, keep_query: true })));
    assert_eq!(options(&["--no-request-data"]), Ok(Some(RequestOptions { data: false, keep_query })));
    assert_eq!(options(&["--no-requests"]), Ok(None));
    let conflict = Err(clap::error::ErrorKind::ArgumentConflict);
    assert_eq!(options(&["--no-requests", "--keep-query"]), conflict);
    assert_eq!(options(&["--no-requests", "--no-request-data"]), conflict);
    assert_eq!(options(&["--no-request-data", "--keep-query"]), conflict);
}

#[test]
fn views() {
    let args = requests(&["--group-by", "route", "--route-regex", "^GET (/x)"]).unwrap();
    assert_eq!(args.view.group_by, Some(GroupBy::Route));
    assert_eq!(args.view.route.route_regex.unwrap().as_str(), "^GET (/x)");
    assert_eq!(
        group_by("label"),
        Err("stacks cannot be grouped by `label`; choose one of request, route, state, creator".to_owned())
    );
    assert!(requests(&["--route-regex", "("]).is_err());
}
