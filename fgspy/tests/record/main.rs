//! `fgspy record` from outside: on real Go processes, for everything that can go wrong and for what others make of the
//! result.

#[path = "../common/mod.rs"]
mod common;

mod endings;
mod filters;
mod folded;
mod outputs;
mod permissions;
mod places;
mod pprof;
mod program;
mod refusals;
mod requests;
mod words;
