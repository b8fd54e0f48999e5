//! Modules that the program loaded beside the main one: plugins, each with a function table of its own
//! (`runtime.moduledata.next`).

use std::ops::Range;
use std::sync::OnceLock;

use crate::{Func, GoBinary};

/// The most plugins that are kept.
const MAX_PLUGINS: usize = 256;

/// One plugin, loaded.
struct Plugin {
    binary: GoBinary,
    /// What must be added to its link-time addresses to get addresses of the main module's.
    shift: u64,
    /// Its code, in the main module's link-time addresses.
    text: Range<u64>,
}

/// The plugins of a program. They are added while others look things up, and never taken out: Go cannot unload them.
#[derive(Default)]
pub(crate) struct Plugins {
    slots: Vec<OnceLock<Plugin>>,
}

/// A plugin that has an address.
pub(crate) struct Home<'a> {
    pub(crate) binary: &'a GoBinary,
    pub(crate) shift: u64,
}

impl Home<'_> {
    /// An address of the main module's as one of the plugin's.
    pub(crate) fn own(&self, vaddr: u64) -> u64 {
        vaddr.wrapping_sub(self.shift)
    }

    /// A function of the plugin's with its addresses as those of the main module's.
    pub(crate) fn outward(&self, func: Func) -> Func {
        Func { entry: func.entry.wrapping_add(self.shift), end: func.end.wrapping_add(self.shift), ..func }
    }

    /// The same, back.
    pub(crate) fn inward(&self, func: &Func) -> Func {
        Func { entry: self.own(func.entry), end: self.own(func.end), ..*func }
    }
}

impl Plugins {
    pub(crate) fn new() -> Plugins {
        Plugins { slots: (0..MAX_PLUGINS).map(|_| OnceLock::new()).collect() }
    }

    fn all(&self) -> impl Iterator<Item = &Plugin> {
        self.slots.iter().map_while(OnceLock::get)
    }

    /// The plugin whose code has the address.
    pub(crate) fn home(&self, vaddr: u64) -> Option<Home<'_>> {
        let plugin = self.all().find(|plugin| plugin.text.contains(&vaddr))?;
        Some(Home { binary: &plugin.binary, shift: plugin.shift })
    }

    /// Adds one. `false` if there is code at its addresses already, or there are too many.
    fn add(&self, binary: GoBinary, shift: u64) -> bool {
        let (start, end) = (binary.module.text.wrapping_add(shift), binary.module.etext.wrapping_add(shift));
        if start >= end || self.all().any(|other| other.text.start < end && start < other.text.end) {
            return false;
        }
        let mut plugin = Plugin { binary, shift, text: start..end };
        for slot in &self.slots {
            match slot.set(plugin) {
                Ok(()) => return true,
                Err(back) => plugin = back,
            }
        }
        false
    }
}

impl GoBinary {
    /// Makes the functions of a plugin known under link-time addresses of this binary's: `shift` is what must be added to
    /// the plugin's own, which is the difference of the two load biases. All that is asked of an address of code is answered
    /// for those of the plugin from then on; what is asked by name is not. `false` if there is code at these addresses already,
    /// or there are too many plugins.
    pub fn add_plugin(&self, plugin: GoBinary, shift: u64) -> bool {
        self.plugins.add(plugin, shift)
    }

    /// The plugins that are known, and what must be added to the addresses of each to get addresses of this binary's.
    pub fn plugins(&self) -> impl Iterator<Item = (&GoBinary, u64)> {
        self.plugins.all().map(|plugin| (&plugin.binary, plugin.shift))
    }

    /// All functions of these names, with their places in `names`: the main module's, and the copies that plugins have.
    pub fn all_funcs_named(&self, names: &[&str]) -> Vec<(usize, Func)> {
        let own = self.funcs_named(names).into_iter().enumerate().filter_map(|(at, func)| Some((at, func?)));
        let mut found: Vec<(usize, Func)> = own.collect();
        for plugin in self.plugins.all() {
            let home = Home { binary: &plugin.binary, shift: plugin.shift };
            let theirs = plugin.binary.funcs_named(names).into_iter().enumerate();
            found.extend(theirs.filter_map(|(at, func)| Some((at, home.outward(func?)))));
        }
        found
    }

    /// Where the descriptions of the plugins that are known are (`runtime.moduledata`), as link-time addresses of this
    /// binary's.
    pub fn plugin_modules(&self) -> impl Iterator<Item = u64> + '_ {
        self.plugins.all().map(|plugin| plugin.binary.module.vaddr.wrapping_add(plugin.shift))
    }

    /// The plugin whose code has the address.
    pub(crate) fn home(&self, vaddr: u64) -> Option<Home<'_>> {
        if (self.module.text..self.module.etext).contains(&vaddr) { None } else { self.plugins.home(vaddr) }
    }
}
