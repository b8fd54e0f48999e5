//! The request that a goroutine serves, from its stack alone: nothing is asked of the target, no probe is set.
//!
//! A [`crate::Reader`] made by [`crate::Reader::with_requests`] looks, for each goroutine whose stack it reads, whether a
//! server's function is near the root of that stack, and follows the pointers in its frame to the request:
//!
//! - HTTP/1: `net/http.(*conn).serve` keeps its connection, that its response, and that its request. While the handler
//!   runs, the frame of `net/http.serverHandler.ServeHTTP` has the request too: both ways must agree.
//! - HTTP/2: the frame of `serverHandler.ServeHTTP`, or of `runHandler`.
//! - gRPC: the stream that `google.golang.org/grpc.(*Server).handleStream` was called with.
//!
//! Nothing is believed by its place alone: what is there must have the shape of a request and point back to where it was
//! found, and must still be there after everything was read.
//!
//! Of the headers, only those are copied out of the target that say which request this is: `Traceparent`, `B3`,
//! `X-B3-Traceid`, `X-B3-Spanid`, `Uber-Trace-Id`, `X-Request-Id`, and of HTTP/2 `Content-Type`. To find them, the names
//! of other headers with as many letters are read as well, their values never. Queries (`?id=7`) are dropped unless
//! [`RequestOptions::keep_query`] is set. With [`RequestOptions::data`] off, none of it is read.

mod anchors;
mod bits;
mod children;
mod counts;
mod finder;
mod frames;
mod generation;
mod grpc;
mod headers;
mod http;
mod jobs;
mod look;
mod model;
mod own;
mod plan;
mod sampled;
mod search;
mod trace;
mod types;

pub use children::{Child, ChildCounts, Kinship, Parent, Parentage, Proofs};
pub(crate) use children::{Gathered, LEAF_CALLS, Word};
pub use counts::RequestCounts;
pub(crate) use finder::{Answer, Finder, Sought};
pub use jobs::{job, job_of_trace};
pub use model::{Identity, Idle, MAX_TEXT, Mismatch, Protocol, Request, RequestOptions, Served};
pub use sampled::{SampledServing, SampledStack};
pub use trace::{SpanId, Trace, TraceId, TraceSource, span_of_labels, trace_of_labels};
