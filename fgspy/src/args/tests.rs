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
    assert_eq!(options(&[]), Ok(Options::default().requests), "nobody says twice what the default is");
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
        Err("stacks cannot be grouped by `label`, but by request, route, state, creator".to_owned())
    );
    assert!(requests(&["--route-regex", "("]).is_err());
}
