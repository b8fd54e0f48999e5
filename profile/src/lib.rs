//! The profile: stacks, weighted samples, labels; filter and merge; the recording file (under construction).

mod builder;
mod model;
mod state;

pub use builder::{Builder, SampleKey};
pub use model::{
    Accounting, Function, FunctionId, LabelSetId, Line, Location, LocationId, Profile, Sample, StackId, StringId,
    Target,
};
pub use state::{State, WaitClass};
