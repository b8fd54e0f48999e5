//! Where the Go runtime keeps what fgspy reads, by Go release.
//!
//! The numbers are data: `layouts.toml`, generated from the runtime's sources by `cargo xtask layouts` and equal on
//! amd64 and arm64 so far. Offsets and sizes are in bytes. Every field names the Go field it stands for; the types are
//! in `runtime/runtime2.go` unless said otherwise. A field that a release does not have is `None`.

mod func_kind;
mod requests;
pub mod status;
mod structs;
mod table;

pub use func_kind::{FuncIds, FuncKind};
pub use requests::{ContextLayout, HttpLayout, MapsLayout, RequestFields, TablesLayout};
pub use structs::{
    BucketLayout, GLayout, GobufLayout, HmapLayout, LabelListLayout, LabelsLayout, MLayout, McacheLayout,
    ModuleDataLayout, PLayout, PStatus, SchedLayout, SudogLayout,
};

use crate::{Arch, GoVersion};

/// The layout of one Go release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// `type g`: a goroutine.
    pub g: GLayout,
    /// `type gobuf`: a saved context, such as `g.sched`.
    pub gobuf: GobufLayout,
    /// `type m`: an operating system thread.
    pub m: MLayout,
    /// `type p`: the right to run Go code.
    pub p: PLayout,
    /// `type mcache`: a p's cache of free memory.
    pub mcache: McacheLayout,
    /// Values of `p.status`.
    pub p_status: PStatus,
    /// `type schedt`, the type of the variable `runtime.sched`.
    pub sched: SchedLayout,
    /// `type moduledata` (`runtime/symtab.go`).
    pub moduledata: ModuleDataLayout,
    /// `type sudog`: a goroutine in a wait queue.
    pub sudog: SudogLayout,
    /// What `g.labels` points to.
    pub labels: LabelsLayout,
    /// How maps are laid out, unless the program was built with an experiment that changes that.
    pub maps: MapsLayout,
    /// Structures of `net/http`.
    pub http: HttpLayout,
    /// `type ServerRequest` of `net/http/internal/http2`. Go 1.27 on.
    pub http2: Option<RequestFields>,
    /// Structures of `context`.
    pub context: ContextLayout,
    /// Number of wait reasons (length of `runtime.waitReasonStrings`). It has grown within a minor release.
    pub wait_reasons: u32,
    /// Numbers of the functions that traceback treats specially.
    pub func_ids: FuncIds,
}

impl Layout {
    /// The layout of a release. `None` when its minor version is not in the table: its runtime may differ anywhere, so
    /// there is no guessing; see [`calibrate`](crate::calibrate).
    ///
    /// Of the releases of a minor version in the table, the latest that is not newer than `version` counts, else the
    /// earliest. Patch releases rarely change the runtime's structures; known cases are fields of `m` behind
    /// `m.ncgo`, which moved by 24 bytes when `m.allpSnapshot` was added within 1.24 (golang/go issue 74414).
    /// [`Layout::made_from`] says which releases are exact.
    pub fn for_version(version: &GoVersion, arch: Arch) -> Option<Layout> {
        table::find(version, arch).map(|known| known.layout)
    }

    /// The layout of the newest release in the table: the best guess for what is newer still.
    pub fn newest(arch: Arch) -> Layout {
        table::newest(arch).layout
    }

    /// The releases whose sources the table was made from, oldest first.
    pub fn made_from(arch: Arch) -> impl Iterator<Item = &'static GoVersion> {
        table::all(arch).map(|known| &known.version)
    }
}
