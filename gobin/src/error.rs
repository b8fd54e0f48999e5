//! Why an executable cannot be read.

/// Why [`GoBinary::parse`](crate::GoBinary::parse) refused a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file does not begin with the ELF magic.
    #[error("not an ELF file")]
    NotElf,
    /// An ELF file for a 32-bit machine.
    #[error("a 32-bit executable; only 64-bit amd64 and arm64 are supported")]
    Not64Bit,
    /// An ELF file for a big-endian machine.
    #[error("a big-endian executable; only amd64 and arm64 are supported")]
    BigEndian,
    /// An ELF file for another processor.
    #[error("an executable for ELF machine {machine}; only amd64 (62) and arm64 (183) are supported")]
    UnsupportedArch {
        /// `e_machine` of the ELF header.
        machine: u16,
    },
    /// A part that must be there lies beyond the end of the file.
    #[error("the file ends before its {what}")]
    Truncated {
        /// Which part.
        what: &'static str,
    },
    /// A count or size is beyond what any real executable has.
    #[error("the {what} is implausibly large ({value}, limit {limit})")]
    TooLarge {
        /// Which part.
        what: &'static str,
        /// What the file says.
        value: u64,
        /// What is accepted.
        limit: u64,
    },
    /// No function table (pclntab): not written by the Go linker, or packed by a tool such as UPX.
    #[error("not a Go executable: it has no Go function table (a packed executable must be unpacked first)")]
    NotGo,
    /// A Go release whose runtime is not understood.
    #[error("built by {go}; Go 1.17 or newer is needed, so rebuild it with a newer Go")]
    TooOld {
        /// The release, as far as known: "go1.16.14" or "Go 1.2 to 1.15".
        go: String,
    },
    /// The section that holds the function table begins with an unknown magic: a Go release newer than fgspy, or a tool
    /// such as garble that changes it on purpose.
    #[error(
        "its Go function table has the unknown version {magic:#x}: a Go that only a newer fgspy may know, or obfuscated"
    )]
    UnknownPclntab {
        /// The magic found.
        magic: u32,
    },
    /// There is a function table, but no `runtime.firstmoduledata` that refers to it.
    #[error("found a Go function table at {pclntab:#x}, but no runtime.moduledata that refers to it")]
    NoModuleData {
        /// Link-time address of the table.
        pclntab: u64,
    },
}
