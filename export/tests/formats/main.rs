//! What the formats look like, to people, to their schemas, to `go tool pprof` and to a browser.

mod all;
mod common;
mod folded;
mod json;
mod pprof;
mod requests;
mod svg;
mod tools;
