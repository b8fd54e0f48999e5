//! Texts that are written once and referred to by numbers: they are few, and events are many.

use std::collections::HashMap;

use fgspy_export::perfetto::{DebugAnnotation, InternedData, Name, Text};
use fgspy_goroutines::GoProcess;
use fgspy_goroutines::symbolize;
use fgspy_probes::CLASSES;

use crate::terminal::escape::clean;
use crate::trace::words::state_word;

/// Stacks that are known at a time. Of more, all are forgotten, and written anew.
const MAX_STACKS: usize = 1 << 14;
/// Numbers of stacks come after those of wait reasons.
const FIRST_STACK: u64 = 1 << 8;
/// The number of the name of an instant; those of states come before.
pub(super) const WAKES: u64 = CLASSES as u64 + 1;

/// Names of arguments, by their numbers from 1 on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Argument {
    Reason = 1,
    Stack,
    Goroutine,
    Route,
    Id,
    Began,
}

const ARGUMENTS: [(Argument, &str); 6] = [
    (Argument::Reason, "reason"),
    (Argument::Stack, "stack"),
    (Argument::Goroutine, "goroutine"),
    (Argument::Route, "route"),
    (Argument::Id, "id"),
    (Argument::Began, "began"),
];

impl Argument {
    pub(super) fn text(self, text: &str) -> DebugAnnotation {
        DebugAnnotation { string_value: Some(clean(text)), ..self.named() }
    }

    pub(super) fn number(self, number: u64) -> DebugAnnotation {
        DebugAnnotation { uint_value: Some(number), ..self.named() }
    }

    pub(super) fn interned(self, text: u64) -> DebugAnnotation {
        DebugAnnotation { string_value_iid: Some(text), ..self.named() }
    }

    fn named(self) -> DebugAnnotation {
        DebugAnnotation { name_iid: self as u64, ..DebugAnnotation::default() }
    }
}

/// The number of the name of a state.
pub(super) fn state(class: u8) -> u64 {
    u64::from(class).min(CLASSES as u64 - 1) + 1
}

/// The number of the text of a wait reason.
pub(super) fn reason(number: u8) -> u64 {
    u64::from(number) + 1
}

/// What every packet may refer to.
pub(super) fn always(target: &GoProcess) -> InternedData {
    let states = (0..CLASSES as u8).map(|class| Name { iid: state(class), name: state_word(class).to_owned() });
    let wakes = Name { iid: WAKES, name: "wakes".to_owned() };
    let arguments = ARGUMENTS.map(|(argument, name)| Name { iid: argument as u64, name: name.to_owned() });
    let reasons = (0..=u8::MAX).zip(&target.runtime.wait_reasons).take(FIRST_STACK as usize - 1);
    InternedData {
        event_names: states.chain([wakes]).collect(),
        debug_annotation_names: arguments.into(),
        debug_annotation_string_values: reasons
            .map(|(number, text)| Text { iid: reason(number), str: clean(text).into_bytes() })
            .collect(),
    }
}

/// Stacks that were written.
#[derive(Default)]
pub(super) struct Stacks {
    known: HashMap<Vec<u64>, u64>,
}

/// What became of asking for the number of a stack.
pub(super) enum Stack {
    /// It was written.
    Known(u64),
    /// It has to be written.
    New(Text),
}

impl Stacks {
    /// Whether no more can be known: then all are to be forgotten.
    pub(super) fn are_full(&self) -> bool {
        self.known.len() >= MAX_STACKS
    }

    pub(super) fn forget(&mut self) {
        self.known.clear();
    }

    /// The number of a stack, innermost frame first.
    pub(super) fn number(&mut self, target: &GoProcess, pcs: &[u64]) -> Stack {
        if let Some(&iid) = self.known.get(pcs) {
            return Stack::Known(iid);
        }
        let iid = FIRST_STACK + self.known.len() as u64 + 1;
        self.known.insert(pcs.to_vec(), iid);
        Stack::New(Text { iid, str: line(target, pcs).into_bytes() })
    }
}

/// `sync.(*Mutex).Lock ← main.lock ← main.main`
fn line(target: &GoProcess, pcs: &[u64]) -> String {
    let mut names: Vec<String> = Vec::new();
    let mut callee: Option<String> = None;
    for frame in symbolize::frames(&target.runtime, pcs, false) {
        for line in &frame.lines {
            if symbolize::is_shown(line, callee.as_deref()) {
                names.push(clean(&line.function));
            }
            callee = Some(line.function.to_string());
        }
    }
    names.join(" ← ")
}
