//! What of requests to read, and which form a profile is shown in.

use std::borrow::Cow;

use clap::Args;
use fgspy_goroutines::request::RequestOptions;
use fgspy_profile::{Filter, GroupBy, Profile, apply, group};
use regex::Regex;

use super::filter::FilterArgs;

#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "Requests")]
pub(crate) struct RequestArgs {
    /// Do not look for the requests that goroutines serve
    #[arg(long, conflicts_with_all = ["no_request_data", "keep_query"])]
    pub(crate) no_requests: bool,

    /// Distinguish requests, but read no method, path or header
    #[arg(long, conflicts_with = "keep_query")]
    pub(crate) no_request_data: bool,

    /// Keep the query of a path (after `?`), which may contain private data
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
    /// Group stacks, at their root, by request (route, and below it trace id), route, state or creator
    #[arg(long, value_name = "WHAT", value_parser = group_by)]
    pub(crate) group_by: Option<GroupBy>,

    #[command(flatten)]
    pub(crate) route: RouteArgs,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct RouteArgs {
    /// Name routes by what the first group of this expression matches in method and path (`GET /orders/17`), as in
    /// `^\w+ (/[^/]*)`. Default: the pattern that the request matched, else its path with `{id}` in place of ids
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
    shown(profile, &filter.filter(), view.group_by)
}

/// The part of `profile` that `filter` accepts, with what `by` says at the root of its stacks.
pub(crate) fn shown<'a>(profile: &'a Profile, filter: &Filter, by: Option<GroupBy>) -> Cow<'a, Profile> {
    let kept = apply(profile, filter);
    match by {
        None => kept,
        Some(by) => Cow::Owned(group(&kept, by)),
    }
}

pub(super) fn group_by(text: &str) -> Result<GroupBy, String> {
    let words = || GroupBy::ALL.map(GroupBy::word).join(", ");
    GroupBy::from_word(text).ok_or_else(|| format!("stacks cannot be grouped by `{text}`; choose one of {}", words()))
}
