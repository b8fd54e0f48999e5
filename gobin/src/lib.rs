//! What a Go executable says about itself (under construction).

mod source;

pub use source::Source;
