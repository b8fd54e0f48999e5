//! How `runtime/pprof` labels are stored, by the target's Go version.

/// How labels are stored in the target's Go version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `map[string]string` as `runtime.hmap`, up to Go 1.23.
    Map,
    /// A slice of pairs, from Go 1.24 on.
    Slice,
}

impl Shape {
    /// The shape in Go 1.`minor`.
    pub fn of(minor: u16) -> Shape {
        if minor >= 24 { Shape::Slice } else { Shape::Map }
    }
}
