//! A Go executable: everything that can be asked about it.

use std::borrow::Cow;

use crate::elf::Segment;
use crate::image::Image;
use crate::module::{self, ModuleData};
use crate::pclntab::{Fuel, Func, InlinedCall, Pclntab, PclntabVersion};
use crate::symtab::{self, Symbol};
use crate::{Arch, BuildInfo, Error, GoVersion, Source, buildinfo, detect, notes};

/// One function of a source-level stack: a real one, or one that was inlined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFrame<'a> {
    /// Full name as the runtime prints it, `net/http.(*conn).serve`: type arguments are `[...]`. See [`printed_name`].
    pub function: Cow<'a, str>,
    /// Source file as the compiler recorded it; `?` when unknown.
    pub file: Cow<'a, str>,
    /// Line in that file; 0 when unknown.
    pub line: u32,
    /// Line of the `func` keyword; 0 when unknown (before Go 1.20).
    pub start_line: u32,
    /// Whether this function was inlined into the next frame's.
    pub inlined: bool,
    /// The runtime's number for functions it treats specially; 0 for all others. See [`Func::func_id`].
    pub func_id: u8,
    /// Made by the compiler: a method wrapper, or an equality or hash function. The runtime hides these in tracebacks
    /// unless they called `panic`.
    pub wrapper: bool,
}

/// A function's name as the runtime prints it in tracebacks and reports it in `runtime.Frame`: whatever is between the
/// first and the last square bracket becomes `...` (`funcNameForPrint` in `runtime/symtab.go`).
pub fn printed_name(name: Cow<'_, str>) -> Cow<'_, str> {
    let Some((before, rest)) = name.split_once('[') else { return name };
    let Some((arguments, after)) = rest.rsplit_once(']') else { return name };
    if arguments == "..." {
        return name;
    }
    Cow::Owned(format!("{before}[...]{after}"))
}

/// A Go executable, opened.
///
/// Holds the function table (about a quarter of the file) in memory and reads everything else from the [`Source`] on demand.
/// All addresses are link-time addresses: where a PIE is loaded, its load bias must be added.
pub struct GoBinary {
    image: Image,
    pclntab: Pclntab,
    module: ModuleData,
    build_id: Option<String>,
    build_info: Option<BuildInfo>,
    version: Option<GoVersion>,
    wrapper_id: u8,
}

impl GoBinary {
    /// Opens an executable.
    ///
    /// Takes no more than a few passes over the file, whatever it contains: the parts that are searched are limited to
    /// four times its length, and every table has a limit of its own.
    ///
    /// # Errors
    ///
    /// When it is not an ELF executable for a supported processor, not a Go executable, or from a Go before 1.17.
    pub fn parse(source: Box<dyn Source>) -> Result<GoBinary, Error> {
        let mut budget = source.len().saturating_mul(4);
        let image = Image::open(source)?;
        let build_info = buildinfo::read(&image, &mut budget);
        let stated = build_info.as_ref().and_then(|info| GoVersion::parse(&info.go_version));
        let located = module::locate(&image, &mut budget).map_err(|error| match (error, &stated) {
            (Error::TooOld { .. }, Some(version)) => Error::TooOld { go: version.text.clone() },
            (error, _) => error,
        })?;
        let mut module = located.module;
        let truncated = Error::Truncated { what: "Go function table" };
        let table = image.read_relocated(module.pclntab, located.table_len).ok_or(truncated)?.into_owned();
        let quantum = image.elf.arch.pc_quantum();
        let pclntab = Pclntab::new(located.header, table, module.pclntab, module.text, quantum);

        let fits = |version: &GoVersion| version.major == 1 && pclntab.version().fits_minor(version.minor);
        let version = stated.filter(fits).or_else(|| detect::version(&image, &pclntab, &mut budget));
        if let Some(version) = version.as_ref().filter(|version| !version.at_least(1, 17)) {
            return Err(Error::TooOld { go: version.text.clone() });
        }
        module.gofunc = detect::gofunc(&image, &pclntab, &module);
        let wrapper_id = detect::wrapper_id(version.as_ref(), &pclntab);
        let build_id = notes::build_id(&image);
        Ok(GoBinary { image, pclntab, module, build_id, build_info, version, wrapper_id })
    }

    /// The processor architecture.
    pub fn arch(&self) -> Arch {
        self.image.elf.arch
    }

    /// Whether the executable is position-independent, so that it is loaded at a random address.
    pub fn is_pie(&self) -> bool {
        self.image.elf.is_pie
    }

    /// The parts of the file that are mapped into memory.
    pub fn segments(&self) -> &[Segment] {
        &self.image.segments
    }

    /// The GNU build id in hexadecimal, else the Go build id (four parts, with slashes), if there is either.
    pub fn build_id(&self) -> Option<&str> {
        self.build_id.as_deref()
    }

    /// How and from what the executable was built.
    pub fn build_info(&self) -> Option<&BuildInfo> {
        self.build_info.as_ref()
    }

    /// The Go release: from the build information, else from `runtime.buildVersion`, found by its symbol or by search.
    ///
    /// `None` when nothing that goes with the function table's format was found, or when a search found different
    /// releases.
    pub fn version(&self) -> Option<&GoVersion> {
        self.version.as_ref()
    }

    /// The format of the function table.
    pub fn pclntab_version(&self) -> PclntabVersion {
        self.pclntab.version()
    }

    /// The runtime's description of the main module.
    pub fn module(&self) -> &ModuleData {
        &self.module
    }

    /// A symbol of the ELF symbol table; `None` when there is none of that name or the executable is stripped.
    ///
    /// Reads through the table each time; to look up several, use [`GoBinary::symbols`].
    pub fn symbol(&self, name: &str) -> Option<Symbol> {
        self.symbols(&[name]).pop().flatten()
    }

    /// Several symbols in one pass, in the order asked.
    pub fn symbols(&self, names: &[&str]) -> Vec<Option<Symbol>> {
        symtab::symbols(&self.image, names)
    }

    /// `len` bytes at a link-time address, as they are in the file. `None` when they are not all in one segment and
    /// backed by the file.
    pub fn read_vaddr(&self, vaddr: u64, len: usize) -> Option<Cow<'_, [u8]>> {
        self.image.read(vaddr, len)
    }

    /// The 8-byte word at a link-time address, as the loader would leave it for a load bias of 0.
    pub fn read_ptr(&self, vaddr: u64) -> Option<u64> {
        self.image.read_ptr(vaddr)
    }

    /// The function whose code has the address.
    pub fn func_at(&self, vaddr: u64) -> Option<Func> {
        self.pclntab.func_at(vaddr)
    }

    /// The function of that full name; the first in address order if there are several.
    pub fn func_named(&self, name: &str) -> Option<Func> {
        self.funcs_named(&[name]).pop().flatten()
    }

    /// Several functions in one pass, in the order asked.
    pub fn funcs_named(&self, names: &[&str]) -> Vec<Option<Func>> {
        self.pclntab.funcs_named(names)
    }

    /// All functions, in address order.
    pub fn funcs(&self) -> impl Iterator<Item = Func> {
        self.pclntab.funcs()
    }

    /// The full name of a function as it is in the table. From Go 1.21 on, instances of generic functions have their
    /// type arguments: `slices.Grow[go.shape.[]uint8,go.shape.uint8]`.
    pub fn func_name(&self, func: &Func) -> Cow<'_, str> {
        self.pclntab.name(func.name).unwrap_or(Cow::Borrowed("?"))
    }

    /// The machine code of a function, including the padding after it.
    pub fn code(&self, func: &Func) -> Option<Cow<'_, [u8]>> {
        self.image.read(func.entry, usize::try_from(func.end.checked_sub(func.entry)?).ok()?)
    }

    /// How far the stack pointer is below its value at the function's entry, in bytes, before the instruction at
    /// `vaddr` is executed. The address is used as given.
    pub fn sp_delta(&self, vaddr: u64) -> Option<i32> {
        self.pclntab.sp_delta(&self.pclntab.func_at(vaddr)?, vaddr)
    }

    /// Appends the functions that a code address is in, innermost first: those inlined there, then the real one.
    /// Appends nothing when no function has the address.
    ///
    /// The address is used as given. For a return address, give one that is inside the call, such as the address
    /// minus 1: the instruction after a call may belong to another line.
    pub fn source_frames<'a>(&'a self, vaddr: u64, out: &mut Vec<SourceFrame<'a>>) {
        /// The compiler stops inlining long before.
        const MAX_DEPTH: usize = 256;
        let mut fuel = Fuel::full();
        let Some(func) = self.pclntab.func_at(vaddr) else { return };
        let mut vaddr = vaddr;
        let tree = self.pclntab.inline_tree(&self.image, self.module.gofunc, &func);
        for _ in 0..MAX_DEPTH {
            let call = tree
                .zip(self.pclntab.inline_index(&func, vaddr, &mut fuel))
                .and_then(|(tree, index)| InlinedCall::read(&self.image, self.pclntab.version(), tree, index));
            let Some(call) = call else { break };
            let name = self.pclntab.name(call.name).unwrap_or(Cow::Borrowed("?"));
            let frame = SourceFrame { inlined: true, ..self.frame(name, call.start_line, call.func_id) };
            out.push(self.placed(frame, &func, vaddr, &mut fuel));
            vaddr = func.entry.saturating_add_signed(call.parent_pc.into()).max(func.entry);
        }
        let frame = self.frame(self.func_name(&func), func.start_line, func.func_id);
        out.push(self.placed(frame, &func, vaddr, &mut fuel));
    }

    fn frame<'a>(&self, function: Cow<'a, str>, start_line: u32, func_id: u8) -> SourceFrame<'a> {
        // Before there were generics, brackets only stood for array types, and the runtime printed them.
        let generics = self.pclntab.version() >= PclntabVersion::Go118;
        SourceFrame {
            function: if generics { printed_name(function) } else { function },
            file: Cow::Borrowed("?"),
            line: 0,
            start_line,
            inlined: false,
            func_id,
            wrapper: func_id == self.wrapper_id,
        }
    }

    /// The frame with the file and line that a function's tables have for an address.
    fn placed<'a>(&'a self, frame: SourceFrame<'a>, func: &Func, vaddr: u64, fuel: &mut Fuel) -> SourceFrame<'a> {
        let line = self.pclntab.line(func, vaddr, fuel);
        let file = self.pclntab.file(func, vaddr, fuel).unwrap_or(frame.file);
        SourceFrame { file, line, ..frame }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_generic_names_like_the_runtime() {
        let printed = |name| printed_name(Cow::Borrowed(name)).into_owned();
        assert_eq!(printed("main.main"), "main.main");
        assert_eq!(printed("a.F[go.shape.[]uint8,go.shape.int].func1"), "a.F[...].func1");
        assert_eq!(printed("a.(*M[go.shape.int]).Do[x]"), "a.(*M[...]");
        assert_eq!(printed("a.F[...]"), "a.F[...]");
        assert_eq!(printed("odd]["), "odd][");
    }
}
