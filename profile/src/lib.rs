//! The profile: stacks, weighted samples, labels, requests; filter and merge; the recording file.
//!
//! A [`Profile`] says how much wall time each goroutine spent where, doing what. It does not know where its samples came
//! from (`fgspy-sampler` makes them with a [`Builder`]) nor what will be drawn of them (`fgspy-export`).

mod access;
mod builder;
mod class;
mod error;
mod filter;
mod findings;
mod group;
mod ids;
mod merge;
mod model;
mod pattern;
pub mod quantiles;
mod queueing;
pub mod recording;
pub mod replicates;
mod request;
mod request_totals;
mod route;
mod sample;
mod serving;
mod short_stack;
mod sighting;
mod state;
mod timeline;
mod totals;
mod tree;
pub mod units;

pub use access::Frame;
pub use builder::Builder;
pub use class::Class;
pub use filter::{Filter, LabelMatch, LabelMatchError, ValueMatch, apply};
pub use findings::{Mean, RequestFindings, RequestSelection, RouteOrder, StackGrouping};
pub use group::{GroupBy, group};
pub use ids::{FunctionId, LabelSetId, LocationId, RequestId, StackId, StringId};
pub use merge::merge;
pub use model::{Accounting, Function, Line, Location, Mapping, Profile, Target};
pub use pattern::Patterns;
pub use request::{Idle, NewRequest, Protocol, Request, Serving, Span};
pub use request_totals::{Breakdown, Phase, PhaseTime, RequestBreakdown, RouteBreakdown, StackTime};
pub use route::route;
pub use sample::{Sample, SampleKey, Weight};
pub use serving::{RouteTime, ServingTotals};
pub use short_stack::short_stack;
pub use sighting::{Bounds, Known, Length, Sighting};
pub use state::{State, WaitClass};
pub use timeline::{timeline_phases, timeline_window};
pub use tree::{Node, Tree, What};
