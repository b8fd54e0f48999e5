//! Why an executable cannot be read.

/// Why [`GoBinary::parse`](crate::GoBinary::parse) refused a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file does not begin with the ELF magic.
    #[error("not an ELF file")]
    NotElf,
    /// An ELF file for a 32-bit machine.
    #[error("a 32-bit executable for {}; only amd64 and arm64 are supported", machine_name(*.machine))]
    Not64Bit {
        /// `e_machine` of the ELF header.
        machine: u16,
    },
    /// An ELF file for a big-endian machine.
    #[error("a big-endian executable for {}; only amd64 and arm64 are supported", machine_name(*.machine))]
    BigEndian {
        /// `e_machine` of the ELF header.
        machine: u16,
    },
    /// An ELF file for another processor.
    #[error("an executable for {}; only amd64 and arm64 are supported", machine_name(*.machine))]
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
    /// No function table (pclntab): not written by the Go linker.
    #[error(
        "not a Go executable: it has no Go function table (gccgo and TinyGo write none; a packed executable must be \
         unpacked first)"
    )]
    NotGo,
    /// Go's linker left its mark (build information, or a build id), but there is no function table.
    #[error(
        "built by Go, but it has no Go function table that can be read: it is obfuscated (garble does that), or \
         damaged"
    )]
    NoTable,
    /// Packed by UPX: the file holds the program compressed.
    #[error("packed by UPX: the file has the program only compressed\n  unpack it and start that: upx -d FILE")]
    Packed,
    /// A Go release whose runtime is not understood.
    #[error("built by {go}; Go 1.17 or newer is needed, so rebuild it with a newer Go")]
    TooOld {
        /// The release, as far as known: "go1.16.14" or "Go 1.2 to 1.15".
        go: String,
    },
    /// The section that holds the function table begins with an unknown magic: a Go release newer than fgspy, or a tool
    /// such as garble that changes it on purpose.
    #[error(
        "its Go function table has the unknown version {magic:#x}: it is obfuscated (garble does that), or of a Go that \
         only a newer fgspy may know"
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

/// What Go calls a machine, by its number in ELF headers.
fn machine_name(machine: u16) -> String {
    let name = match machine {
        3 => "386",
        8 => "mips",
        20 => "ppc",
        21 => "ppc64",
        22 => "s390x",
        40 => "arm",
        43 => "sparc64",
        62 => "amd64",
        183 => "arm64",
        243 => "riscv64",
        258 => "loong64",
        _ => return format!("ELF machine {machine}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_are_named() {
        let text = |error: Error| error.to_string();
        assert_eq!(
            text(Error::Not64Bit { machine: 3 }),
            "a 32-bit executable for 386; only amd64 and arm64 are supported"
        );
        assert_eq!(
            text(Error::BigEndian { machine: 22 }),
            "a big-endian executable for s390x; only amd64 and arm64 are supported"
        );
        assert_eq!(
            text(Error::UnsupportedArch { machine: 243 }),
            "an executable for riscv64; only amd64 and arm64 are supported"
        );
        assert_eq!(
            text(Error::UnsupportedArch { machine: 999 }),
            "an executable for ELF machine 999; only amd64 and arm64 are supported"
        );
    }
}
