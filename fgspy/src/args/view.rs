//! What of requests to read, and which form a profile is shown in.

use std::borrow::Cow;

use clap::Args;
use fgspy_goroutines::request::RequestOptions;
use fgspy_profile::{Filter, GroupBy, Profile, apply, group};
use regex::Regex;

use crate::args::FilterArgs;
use crate::args::filter;

#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "Requests")]
pub(crate) struct RequestArgs {
    /// Do not find out which request a goroutine serves
    #[arg(long, conflicts_with_all = ["no_request_data", "keep_query"])]
    pub(crate) no_requests: bool,

    /// Tell requests apart, but read nothing of them: no method, path or header
    #[arg(long, conflicts_with = "keep_query")]
    pub(crate) no_request_data: bool,

    /// Keep what follows the `?` of a path; it often holds what should not be in a profile
    #[arg(long)]
    pub(crate) keep_query: bool,
}

impl RequestArgs {
    /// As the sampler takes them.
    pub(crate) fn options(self) -> Option<RequestOptions> {
        let RequestArgs { no_requests, no_request_data, keep_query } = self;
        (!no_requests).then_some(RequestOptions { data: !no_request_data, keep_query })
    }
}

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "View")]
pub(crate) struct ViewArgs {
    /// Put this at the root of stacks: request (its route, and below it its trace id), route, state or creator
    #[arg(long, value_name = "WHAT", value_parser = group_by)]
    pub(crate) group_by: Option<GroupBy>,

    #[command(flatten)]
    pub(crate) route: RouteArgs,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct RouteArgs {
    /// The route of a request is what the first group matches of its method and path (`GET /orders/17`), as in
    /// `^\w+ (/[^/]*)`; else the pattern it matched, or its path with `{id}` in place of ids
    #[arg(long, value_name = "REGEX")]
    pub(crate) route_regex: Option<Regex>,
}

/// Gives requests their routes by the user's own rule, if there is one.
pub(crate) fn reroute(profile: &mut Profile, args: &RouteArgs) {
    if let Some(rule) = &args.route_regex {
        profile.reroute(rule);
    }
}

/// The part of `profile` that the arguments describe, in the form that they describe. Its routes must be known.
pub(crate) fn view<'a>(profile: &'a Profile, filter: &FilterArgs, view: &ViewArgs) -> Cow<'a, Profile> {
    shown(profile, &filter::build(filter), view.group_by)
}

/// The part of `profile` that `filter` accepts, with what `by` says at the root of its stacks.
pub(crate) fn shown<'a>(profile: &'a Profile, filter: &Filter, by: Option<GroupBy>) -> Cow<'a, Profile> {
    let kept = apply(profile, filter);
    match by {
        None => kept,
        Some(by) => Cow::Owned(group(&kept, by)),
    }
}

fn group_by(text: &str) -> Result<GroupBy, String> {
    let words = || GroupBy::ALL.map(GroupBy::word).join(", ");
    GroupBy::from_word(text).ok_or_else(|| format!("stacks cannot be grouped by `{text}`, but by {}", words()))
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use fgspy_sampler::Options;

    use super::*;
    use crate::args::{Cli, Command, RecordArgs};

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
}
