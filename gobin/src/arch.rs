//! The processor architectures that fgspy reads.

/// A processor architecture. Both are 64-bit and little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arch {
    /// x86-64 (ELF `EM_X86_64`, 62).
    Amd64,
    /// AArch64 (ELF `EM_AARCH64`, 183).
    Arm64,
}

impl Arch {
    /// Size of a pointer in bytes.
    pub const POINTER_SIZE: u8 = 8;

    /// Go's name for it (`GOARCH`).
    pub const fn name(self) -> &'static str {
        match self {
            Arch::Amd64 => "amd64",
            Arch::Arm64 => "arm64",
        }
    }

    /// The unit of code addresses in bytes: the smallest instruction, and what pclntab's pc deltas count in
    /// (`MinLC` in Go's `cmd/internal/sys`).
    pub const fn pc_quantum(self) -> u8 {
        match self {
            Arch::Amd64 => 1,
            Arch::Arm64 => 4,
        }
    }

    pub(crate) const fn from_elf_machine(machine: u16) -> Option<Arch> {
        match machine {
            62 => Some(Arch::Amd64),
            183 => Some(Arch::Arm64),
            _ => None,
        }
    }

    /// The number of the dynamic relocation "base address + addend" (`R_X86_64_RELATIVE`, `R_AARCH64_RELATIVE`).
    pub(crate) const fn relative_relocation(self) -> u32 {
        match self {
            Arch::Amd64 => 8,
            Arch::Arm64 => 1027,
        }
    }
}
