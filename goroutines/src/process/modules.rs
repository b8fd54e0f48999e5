//! The Go modules in a process: its executable, and shared libraries and plugins that Go's linker wrote.

use fgspy_gobin::{GoBinary, ModuleData, PclntabVersion};
use fgspy_memory::{Library, Memory, Process, Range, ReadError};

use crate::Runtime;

/// Words of the runtime's description of a module that are looked at for the next one's address; up to Go 1.27 it has 74.
const MODULE_WORDS: usize = 96;
/// The most libraries of Go's that are read.
const MAX_MODULES: usize = 64;

/// A Go module that is mapped.
pub(super) struct Module {
    /// The file's name.
    pub(super) name: String,
    /// The library; `None` for the executable.
    pub(super) library: Option<Library>,
    pub(super) binary: GoBinary,
    pub(super) bias: u64,
}

impl Module {
    /// Whether `asked` means this module: the name of its file, or its path.
    pub(super) fn is_named(&self, asked: &str) -> bool {
        let path = self.library.as_ref().map(|library| library.path().as_os_str());
        self.name == asked || path.is_some_and(|path| path == asked)
    }

    /// Where the runtime's description of it is in the target.
    fn address(&self) -> u64 {
        address_of(self.binary.module(), self.bias)
    }
}

fn address_of(module: &ModuleData, bias: u64) -> u64 {
    module.vaddr.wrapping_add(bias)
}

/// The Go libraries of a process, but for those whose description `is_known`. What cannot be read is left out.
pub(super) fn libraries(process: &Process, is_known: impl Fn(u64) -> bool) -> Vec<Module> {
    let read = |library: Library| {
        let file = process.open_library(&library).ok()?;
        if !GoBinary::may_be_go(&file) {
            return None;
        }
        let bias = process.library_bias(&library, &file).ok()?.bias;
        let binary = GoBinary::parse(Box::new(file)).ok()?;
        Some(Module { name: library.name(), library: Some(library), binary, bias })
    };
    let libraries = process.libraries().unwrap_or_default();
    libraries.into_iter().filter_map(read).filter(|module| !is_known(module.address())).take(MAX_MODULES).collect()
}

/// Gives each runtime its plugins: of `modules`, those that another one's list leads to (`runtime.moduledata.next`) become
/// plugins of the first one of the list.
pub(super) fn gather(memory: &dyn Memory, modules: Vec<Module>) -> Result<Vec<Module>, ReadError> {
    let addresses: Vec<u64> = modules.iter().map(Module::address).collect();
    let mut before: Vec<Option<usize>> = vec![None; modules.len()];
    for (at, &address) in addresses.iter().enumerate() {
        let words = words(memory, address)?;
        for (other, _) in addresses.iter().enumerate().filter(|&(other, there)| other != at && words.contains(there)) {
            if let Some(slot) = before.get_mut(other) {
                *slot = Some(at);
            }
        }
    }
    // Follow each back to the first one. Lists have no loops; a hostile one does not keep us.
    let first = |mut at: usize| {
        for _ in 0..before.len() {
            match before.get(at).copied().flatten() {
                Some(previous) => at = previous,
                None => break,
            }
        }
        at
    };
    let firsts: Vec<usize> = (0..modules.len()).map(first).collect();
    let (mut roots, mut plugins) = (Vec::new(), Vec::new());
    for (at, module) in modules.into_iter().enumerate() {
        match firsts.get(at) {
            Some(&first) if first != at => plugins.push((first, module)),
            _ => roots.push((at, module)),
        }
    }
    for (first, plugin) in plugins {
        if let Some((_, root)) = roots.iter().find(|(at, _)| *at == first) {
            let shift = plugin.bias.wrapping_sub(root.bias);
            root.binary.add_plugin(plugin.binary, shift);
        }
    }
    Ok(roots.into_iter().map(|(_, root)| root).collect())
}

/// The first words of a module's description; zeros where it cannot be read.
fn words(memory: &dyn Memory, address: u64) -> Result<Vec<u64>, ReadError> {
    let (mut buf, mut got) = (Vec::new(), Vec::new());
    memory.read_ranges(&[Range { addr: address, len: 8 * MODULE_WORDS }], &mut buf, &mut got)?;
    Ok(buf.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)).collect())
}

/// Makes the functions of plugins known that a program has loaded and that are not known yet.
pub(super) fn add_plugins(process: &Process, memory: &dyn Memory, runtime: &Runtime) -> Result<(), ReadError> {
    let mut plugins = PluginWatch::new(memory, runtime)?;
    let words: Vec<u64> = plugins.known.iter().flat_map(|(_, words)| words.iter().copied()).collect();
    if plugins.has_new(memory, &words)? { plugins.add(process, memory, runtime) } else { Ok(()) }
}

/// Looks for plugins that a program loads while it is watched.
pub struct PluginWatch {
    /// Where each known module's description is, and its words when it was last looked at.
    known: Vec<(u64, Vec<u64>)>,
}

/// The function that loads plugins. Only a program that uses the package has it.
const LOADER: &str = "plugin.open";

impl PluginWatch {
    /// Begins to watch. Looks at nothing if the program cannot load plugins.
    ///
    /// # Errors
    /// When nothing at all can be read from the target any more.
    pub fn new(memory: &dyn Memory, runtime: &Runtime) -> Result<PluginWatch, ReadError> {
        let binary = &runtime.binary;
        let mut known = Vec::new();
        if binary.func_named(LOADER).is_some() {
            let addresses = std::iter::once(binary.module().vaddr).chain(binary.plugin_modules());
            for address in addresses.map(|vaddr| vaddr.wrapping_add(runtime.bias)) {
                known.push((address, words(memory, address)?));
            }
        }
        Ok(PluginWatch { known })
    }

    /// Makes the functions of plugins known that were loaded since. What is read at each look is less than 1 KiB for each module;
    /// files are opened only if a description of a module leads to another one that it did not lead to before.
    ///
    /// # Errors
    /// When nothing at all can be read from the target any more.
    pub fn look(&mut self, process: &Process, memory: &dyn Memory, runtime: &Runtime) -> Result<(), ReadError> {
        let mut changed = Vec::new();
        for (address, before) in &mut self.known {
            let now = words(memory, *address)?;
            changed.extend(before.iter().zip(&now).filter(|(before, now)| before != now).map(|(_, now)| *now));
            *before = now;
        }
        if self.has_new(memory, &changed)? { self.add(process, memory, runtime) } else { Ok(()) }
    }

    /// Whether one of these words leads to a module that is not known.
    fn has_new(&self, memory: &dyn Memory, words: &[u64]) -> Result<bool, ReadError> {
        for &word in words {
            if !self.is_known(word) && is_description(memory, word)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Adds those to which a known one leads, and to which these lead.
    fn add(&mut self, process: &Process, memory: &dyn Memory, runtime: &Runtime) -> Result<(), ReadError> {
        let mut new = libraries(process, |address| self.is_known(address));
        while let Some(at) = new.iter().position(|module| self.leads_to(module.address())) {
            let module = new.swap_remove(at);
            self.known.push((module.address(), words(memory, module.address())?));
            runtime.add_plugin(module.binary, module.bias);
        }
        Ok(())
    }

    fn is_known(&self, address: u64) -> bool {
        self.known.iter().any(|(known, _)| *known == address)
    }

    fn leads_to(&self, address: u64) -> bool {
        self.known.iter().any(|(_, words)| words.contains(&address))
    }
}

/// Whether there is the description of a module at `address`: its first word leads to a function table.
fn is_description(memory: &dyn Memory, address: u64) -> Result<bool, ReadError> {
    let Some(table) = memory.read_u64(address)? else { return Ok(false) };
    Ok(memory.read_u64(table)?.is_some_and(|head| PclntabVersion::of_table(head).is_some()))
}
