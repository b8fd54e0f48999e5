//! Which file of a crate imports which.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use syn::visit::{self, Visit};
use syn::{Attribute, Item, ItemMod, ItemUse, Meta, UseTree, Visibility};

/// The names that lead to a module, from the root of the crate.
type ModulePath = Vec<String>;

/// The files of a crate, and what each names of the others.
pub(super) struct Modules {
    files: BTreeMap<ModulePath, PathBuf>,
    /// By module: the paths it names, resolved to begin at the root of the crate.
    named: BTreeMap<ModulePath, BTreeSet<Vec<String>>>,
    /// What a module imports, and its children can name as if it were its own.
    handed_on: BTreeMap<Vec<String>, Vec<String>>,
}

impl Modules {
    /// Reads the crate whose sources are in a folder, tests apart.
    ///
    /// # Errors
    /// When a file is missing, or is no Rust.
    pub(super) fn of(folder: &Path) -> Result<Modules> {
        let mut modules = Modules { files: BTreeMap::new(), named: BTreeMap::new(), handed_on: BTreeMap::new() };
        for root in ["lib.rs", "main.rs"].map(|name| folder.join(name)).into_iter().filter(|root| root.exists()) {
            modules.add(Vec::new(), root, folder)?;
        }
        Ok(modules)
    }

    fn add(&mut self, module: ModulePath, file: PathBuf, folder: &Path) -> Result<()> {
        let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let syntax = syn::parse_file(&text).with_context(|| file.display().to_string())?;
        let children = syntax.items.iter().filter_map(|item| match item {
            Item::Mod(ItemMod { attrs, ident, content: None, .. }) if !is_test(attrs) => Some(ident.to_string()),
            _ => None,
        });
        let children: BTreeSet<String> = children.collect();
        let mut paths =
            Paths { module: module.clone(), children: &children, named: BTreeSet::new(), handed_on: Vec::new() };
        paths.visit_file(&syntax);
        let Paths { named, handed_on, .. } = paths;
        self.handed_on.extend(handed_on);
        self.named.insert(module.clone(), named);
        self.files.insert(module.clone(), file);
        for child in children {
            let (flat, nested) = (folder.join(format!("{child}.rs")), folder.join(&child).join("mod.rs"));
            let file = if flat.exists() { flat } else { nested };
            let path = module.iter().cloned().chain([child.clone()]).collect();
            self.add(path, file, &folder.join(child))?;
        }
        Ok(())
    }

    /// The module in which what a path names is defined, as far as the names of modules and what they hand on say.
    fn definer(&self, path: &[String]) -> Option<&ModulePath> {
        let mut path = path.to_vec();
        // What is handed on may be handed on from there.
        for _ in 0..=self.handed_on.len() {
            let longest = (1..=path.len()).rev().find_map(|len| {
                // A function may have the name of the module that it comes from: `a::b` is in the module.
                let is_module = len < path.len() && self.files.contains_key(&path[..len]);
                let on = self.handed_on.get(&path[..len]).filter(|_| !is_module)?;
                Some(on.iter().chain(&path[len..]).cloned().collect::<Vec<_>>())
            });
            match longest {
                Some(on) if on != path => path = on,
                _ => break,
            }
        }
        (0..=path.len()).rev().find_map(|len| self.files.get_key_value(&path[..len])).map(|(module, _)| module)
    }

    fn imports(&self) -> BTreeMap<&ModulePath, BTreeSet<&ModulePath>> {
        let of = |(module, named): (_, &BTreeSet<Vec<String>>)| {
            let others = named.iter().filter_map(|path| self.definer(path)).filter(|other| *other != module);
            (module, others.collect())
        };
        self.named.iter().map(of).collect()
    }

    /// The sets of more than one file each of which leads to every other one by imports.
    pub(super) fn circles(&self) -> Vec<Vec<&PathBuf>> {
        let imports = self.imports();
        let reached: BTreeMap<_, _> = imports.keys().map(|from| (*from, reached(&imports, from))).collect();
        let mut circles = BTreeSet::new();
        for (from, all) in &reached {
            let circle: Vec<_> = all.iter().filter(|to| reached[*to].contains(from)).copied().collect();
            if circle.len() > 1 {
                circles.insert(circle);
            }
        }
        circles.iter().map(|circle| circle.iter().map(|module| &self.files[*module]).collect()).collect()
    }
}

/// All modules that imports lead to from one, itself if they lead back.
fn reached<'a>(
    imports: &BTreeMap<&'a ModulePath, BTreeSet<&'a ModulePath>>,
    from: &ModulePath,
) -> BTreeSet<&'a ModulePath> {
    let mut reached = BTreeSet::new();
    let mut open = vec![from];
    while let Some(module) = open.pop() {
        for next in imports.get(module).into_iter().flatten() {
            if reached.insert(*next) {
                open.push(next);
            }
        }
    }
    reached
}

/// Whether something is there for tests only.
fn is_test(attributes: &[Attribute]) -> bool {
    let says = |attribute: &Attribute| match &attribute.meta {
        Meta::List(list) => list.path.is_ident("cfg") && list.tokens.to_string() == "test",
        _ => false,
    };
    attributes.iter().any(says)
}

/// Collects the paths that a file names.
struct Paths<'a> {
    module: ModulePath,
    children: &'a BTreeSet<String>,
    named: BTreeSet<Vec<String>>,
    handed_on: Vec<(Vec<String>, Vec<String>)>,
}

impl Paths<'_> {
    /// From the root of the crate; `None` for what is of another crate, or the module's own.
    fn resolved(&self, path: &[String]) -> Option<Vec<String>> {
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => Some(rest.to_vec()),
            "self" => Some(self.module.iter().chain(rest).cloned().collect()),
            "super" => {
                let ups = path.iter().take_while(|name| *name == "super").count();
                let above = self.module.get(..self.module.len().checked_sub(ups)?)?;
                Some(above.iter().chain(&path[ups..]).cloned().collect())
            }
            child if self.children.contains(child) => Some(self.module.iter().chain(path).cloned().collect()),
            _ => None,
        }
    }

    fn take_use(&mut self, tree: &UseTree, before: &mut Vec<String>) {
        match tree {
            UseTree::Path(path) => {
                before.push(path.ident.to_string());
                self.take_use(&path.tree, before);
                before.pop();
            }
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.take_use(tree, before)),
            UseTree::Name(name) => self.take_name(&name.ident.to_string(), &name.ident.to_string(), before),
            UseTree::Rename(name) => self.take_name(&name.ident.to_string(), &name.rename.to_string(), before),
            UseTree::Glob(_) => self.named.extend(self.resolved(before)),
        }
    }

    fn take_name(&mut self, name: &str, here: &str, before: &[String]) {
        let path: Vec<String> = before.iter().cloned().chain((name != "self").then(|| name.to_owned())).collect();
        let Some(resolved) = self.resolved(&path) else { return };
        let mine = self.module.iter().cloned().chain([here.to_owned()]).collect();
        self.handed_on.push((mine, resolved.clone()));
        self.named.insert(resolved);
    }
}

impl<'ast> Visit<'ast> for Paths<'_> {
    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        // What stands inside is one level deeper: only tests do.
        if item.content.is_none() || !is_test(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.take_use(&item.tree, &mut Vec::new());
    }

    // `pub(in crate::a)` names who may look, not what is looked at.
    fn visit_visibility(&mut self, _: &'ast Visibility) {}

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if names.len() > 1 {
            self.named.extend(self.resolved(&names));
        }
        visit::visit_path(self, path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crate_of(files: &[(&str, &str)]) -> (tempfile::TempDir, Modules) {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let file = folder.path().join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        let modules = Modules::of(folder.path()).unwrap();
        (folder, modules)
    }

    fn circles(files: &[(&str, &str)]) -> Vec<Vec<String>> {
        let (folder, modules) = crate_of(files);
        let named = |file: &&PathBuf| file.strip_prefix(folder.path()).unwrap().display().to_string();
        modules.circles().iter().map(|circle| circle.iter().map(named).collect()).collect()
    }

    #[test]
    fn finds_circles_however_they_are_written() {
        let root = ("lib.rs", "mod a;\nmod b;\nmod c;\nmod d;\npub use a::A;");
        let found = circles(&[
            root,
            // By what the root hands on, by a path in an expression, by `super`, by a child.
            ("a.rs", "pub struct A; fn f() { crate::b::g() }"),
            ("b.rs", "mod deep; pub fn g() { deep::h() }"),
            ("b/deep.rs", "use super::super::c::C; pub fn h(c: C) {}"),
            ("c.rs", "use crate::A; pub struct C(A);"),
            ("d.rs", "use crate::c::C;"),
        ]);
        assert_eq!(found, [["a.rs", "b.rs", "b/deep.rs", "c.rs"]]);
    }

    #[test]
    fn trees_and_tests_are_no_circles() {
        let found = circles(&[
            ("lib.rs", "mod a;\nmod b;"),
            ("a.rs", "use crate::b::B; #[cfg(test)] mod tests;"),
            ("a/tests.rs", "use super::*;"),
            ("b.rs", "pub(in crate::a) struct B; #[cfg(test)] mod tests { use crate::a::A; }"),
        ]);
        assert!(found.is_empty(), "{found:?}");
    }
}
