//! From a code address to source lines, with inlined calls.

use std::borrow::Cow;

use crate::GoBinary;
use crate::pclntab::{Fuel, Func, Identity, InlinedCall, PclntabVersion};

/// The compiler stops inlining long before.
const MAX_DEPTH: usize = 256;

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

impl GoBinary {
    /// Appends the functions that a code address is in, innermost first: those inlined there, then the real one.
    /// Appends nothing when no function has the address.
    ///
    /// The address is used as given. For a return address, give one that is inside the call, such as the address
    /// minus 1: the instruction after a call may belong to another line.
    pub fn source_frames<'a>(&'a self, vaddr: u64, out: &mut Vec<SourceFrame<'a>>) {
        if let Some(home) = self.home(vaddr) {
            return home.binary.source_frames(home.own(vaddr), out);
        }
        let Some(func) = self.func_at(vaddr) else { return };
        let tree = self.pclntab.inline_tree(&self.image, self.module.gofunc, &func);
        let mut fuel = Fuel::full();
        let mut vaddr = vaddr;
        for _ in 0..MAX_DEPTH {
            let index = self.pclntab.inline_index(&func, vaddr, &mut fuel);
            let call = tree
                .zip(index)
                .and_then(|(tree, index)| InlinedCall::read(&self.image, self.pclntab_version(), tree, index));
            let Some(call) = call else { break };
            out.push(SourceFrame { inlined: true, ..self.frame(call.identity, &func, vaddr, &mut fuel) });
            vaddr = func.entry.saturating_add_signed(call.parent_pc.into()).max(func.entry);
        }
        out.push(self.frame(func.identity(), &func, vaddr, &mut fuel));
    }

    /// The frame of `identity`, whose code at `vaddr` is part of `func`'s.
    fn frame(&self, identity: Identity, func: &Func, vaddr: u64, fuel: &mut Fuel) -> SourceFrame<'_> {
        let unknown = Cow::Borrowed("?");
        let name = self.pclntab.name(identity.name).unwrap_or_else(|| unknown.clone());
        // Before there were generics, brackets only stood for array types, and the runtime printed them.
        let generics = self.pclntab_version() >= PclntabVersion::Go118;
        SourceFrame {
            function: if generics { printed_name(name) } else { name },
            file: self.pclntab.file(func, vaddr, fuel).unwrap_or(unknown),
            line: self.pclntab.line(func, vaddr, fuel),
            start_line: identity.start_line,
            inlined: false,
            func_id: identity.func_id,
            wrapper: identity.func_id == self.wrapper_id,
        }
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
