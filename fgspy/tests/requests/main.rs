//! `fgspy requests` from outside: on a service of which it is known what its requests wait for.

#[path = "../common/mod.rs"]
mod common;

mod calls;
mod jobs;
mod known;
mod labels;
mod outputs;
mod places;
mod report;
mod words;
