//! A Go executable: everything that can be asked about it.

use std::borrow::Cow;

use crate::elf::{Elf, Segment};
use crate::image::Image;
use crate::module::{self, ModuleData};
use crate::pclntab::{Func, LiveSlots, Pclntab, PclntabVersion};
use crate::plugins::Plugins;
use crate::symtab::{self, Symbol};
use crate::{Arch, BuildInfo, Error, GoVersion, Source, buildinfo, detect, insn, notes};

/// A Go executable, opened.
///
/// Holds the function table (up to a quarter of the file) in memory and reads everything else from the [`Source`] on
/// demand. All addresses are link-time addresses: where a PIE is loaded, its load bias must be added.
pub struct GoBinary {
    pub(crate) image: Image,
    pub(crate) pclntab: Pclntab,
    pub(crate) module: ModuleData,
    /// The `func_id` of functions that the compiler made.
    pub(crate) wrapper_id: u8,
    build_id: Option<String>,
    build_info: Option<BuildInfo>,
    version: Option<GoVersion>,
    pub(crate) plugins: Plugins,
}

impl GoBinary {
    /// Opens an executable.
    ///
    /// Whatever the file contains, this reads at most eight times its length plus 4 MiB, and holds no more than about
    /// twice its length. A 50 MB executable takes some 20 ms and 14 MB.
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
        // A toolchain that has a name of its own is not called by what else looks like a version.
        let name = build_info.as_ref().map_or("", |info| &info.go_version);
        let version = stated
            .filter(fits)
            .or_else(|| name.is_empty().then(|| detect::version(&image, &pclntab, &mut budget))?)
            .or_else(|| detect::like(name, &pclntab));
        if let Some(version) = version.as_ref().filter(|version| !version.at_least(1, 17)) {
            return Err(Error::TooOld { go: version.text.clone() });
        }
        module.gofunc = detect::gofunc(&image, &pclntab, &module);
        let wrapper_id = detect::wrapper_id(version.as_ref(), &pclntab);
        let build_id = notes::build_id(&image);
        Ok(GoBinary { image, pclntab, module, wrapper_id, build_id, build_info, version, plugins: Plugins::new() })
    }

    /// Whether it is worth while to [`parse`](GoBinary::parse) a file that may be anything, such as a library: it has a
    /// section that only Go's linker writes, or no sections at all. Reads no more than the ELF headers.
    pub fn may_be_go(source: &dyn Source) -> bool {
        const MARKS: [&str; 4] = [".go.buildinfo", ".gopclntab", ".data.rel.ro.gopclntab", ".note.go.buildid"];
        Elf::parse(source)
            .is_ok_and(|elf| elf.sections.is_empty() || MARKS.iter().any(|mark| elf.section(mark).is_some()))
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

    /// The pages that the loader maps for the segment of Go's code: the first `vaddr`, the `vaddr` behind the last, and the file
    /// offset of the first, as `/proc/PID/maps` has them.
    pub fn text_pages(&self) -> Option<(u64, u64, u64)> {
        let text = self.module.text;
        let segment = self.image.segments.iter().find(|segment| text.wrapping_sub(segment.vaddr) < segment.mem_size)?;
        segment.pages()
    }

    /// The GNU build id in hexadecimal, else the Go build id (four parts, with slashes), if there is either.
    pub fn build_id(&self) -> Option<&str> {
        self.build_id.as_deref()
    }

    /// How and from what the executable was built.
    pub fn build_info(&self) -> Option<&BuildInfo> {
        self.build_info.as_ref()
    }

    /// The Go release: from the build information, else from `runtime.buildVersion`, found by its symbol or by search. Where
    /// neither names a release that goes with the function table's format, the one whose functions it has
    /// ([`GoVersion::is_inferred`]).
    ///
    /// `None` when it has not even the runtime's functions by their names.
    pub fn version(&self) -> Option<&GoVersion> {
        self.version.as_ref()
    }

    /// Whether it was built with an experiment (`GOEXPERIMENT`). The build settings tell, and the version's own text does
    /// where there are none (`go1.22.3 X:nocoverageredesign`).
    pub fn has_experiment(&self, name: &str) -> bool {
        let settings = self.build_info.iter().flat_map(|info| &info.settings);
        let set = settings.filter(|(key, _)| key == "GOEXPERIMENT").map(|(_, value)| value.as_str());
        let told = self.version.iter().map(GoVersion::experiments);
        set.chain(told).flat_map(|names| names.split(',')).any(|experiment| experiment.trim() == name)
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
        match self.home(vaddr) {
            Some(home) => home.binary.image.read(home.own(vaddr), len),
            None => self.image.read(vaddr, len),
        }
    }

    /// The 8-byte word at a link-time address, as the loader would leave it for a load bias of 0.
    pub fn read_ptr(&self, vaddr: u64) -> Option<u64> {
        self.image.read_ptr(vaddr)
    }

    /// The function whose code has the address.
    pub fn func_at(&self, vaddr: u64) -> Option<Func> {
        match self.home(vaddr) {
            Some(home) => home.binary.pclntab.func_at(home.own(vaddr)).map(|func| home.outward(func)),
            None => self.pclntab.func_at(vaddr),
        }
    }

    /// The function of that full name; the first in address order if there are several.
    pub fn func_named(&self, name: &str) -> Option<Func> {
        self.funcs_named(&[name]).pop().flatten()
    }

    /// Several functions in one pass, in the order asked.
    pub fn funcs_named(&self, names: &[&str]) -> Vec<Option<Func>> {
        self.pclntab.funcs_named(names)
    }

    /// All functions of the main module, in address order.
    pub fn funcs(&self) -> impl Iterator<Item = Func> {
        self.pclntab.funcs()
    }

    /// The full name of a function as it is in the table. From Go 1.21 on, instances of generic functions have their
    /// type arguments: `slices.Grow[go.shape.[]uint8,go.shape.uint8]`.
    pub fn func_name(&self, func: &Func) -> Cow<'_, str> {
        let binary = self.home(func.entry).map_or(self, |home| home.binary);
        binary.pclntab.name(func.name).unwrap_or(Cow::Borrowed("?"))
    }

    /// The machine code of a function, including the padding after it.
    pub fn code(&self, func: &Func) -> Option<Cow<'_, [u8]>> {
        self.read_vaddr(func.entry, usize::try_from(func.end.checked_sub(func.entry)?).ok()?)
    }

    /// How far the stack pointer is below its value at the function's entry, in bytes, before the instruction at
    /// `vaddr` is executed. The address is used as given.
    pub fn sp_delta(&self, vaddr: u64) -> Option<i32> {
        match self.home(vaddr) {
            Some(home) => home.binary.sp_delta(home.own(vaddr)),
            None => self.pclntab.sp_delta(&self.pclntab.func_at(vaddr)?, vaddr),
        }
    }

    /// The words that are live in a frame, as the compiler tells the garbage collector, while it makes the call that has the
    /// link-time address `vaddr`: give a return address minus 1. `None` where nothing is said: in assembly, and where the
    /// tables were not found.
    pub fn live_slots(&self, vaddr: u64) -> Option<LiveSlots> {
        if let Some(home) = self.home(vaddr) {
            return home.binary.live_slots(home.own(vaddr));
        }
        let func = self.pclntab.func_at(vaddr)?;
        self.pclntab.live_slots(&self.image, self.module.gofunc, &func, vaddr)
    }

    /// The size of a function's frame: how far the stack pointer is at most below its value at the function's entry, in
    /// bytes. Code that Go compiled is at that distance from the end of its prologue to its epilogue.
    pub fn frame_size(&self, func: &Func) -> Option<u32> {
        let size = match self.home(func.entry) {
            Some(home) => home.binary.pclntab.frame_size(&home.inward(func)),
            None => self.pclntab.frame_size(func),
        };
        size.and_then(|size| u32::try_from(size).ok())
    }

    /// The link-time addresses that a function calls directly, in the order of its code, of which at most `max` bytes are
    /// searched. What only looks like a call, within another instruction, is among them.
    pub fn calls(&self, func: &Func, max: usize) -> impl Iterator<Item = u64> + '_ {
        let step = if self.arch() == Arch::Amd64 { 1 } else { 4 };
        let ends = (func.entry..func.end).step_by(step).skip(1).take(max / step);
        ends.filter_map(|end| self.call_target(end))
    }

    /// The link-time address that the call before the return address `vaddr` calls; `None` when that is no direct call.
    pub fn call_target(&self, vaddr: u64) -> Option<u64> {
        insn::call_target(self.arch(), vaddr, |at, len| self.read_vaddr(at, len))
    }
}
