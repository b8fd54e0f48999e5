//! All stacks of a profile laid over each other from the root: what flame graphs and folded stacks are made of.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use crate::{Class, Profile, Sample, StackId, State, StringId};

/// All stacks of a profile, merged from the root by function name, each ending in what was going on there.
#[derive(Clone, Debug)]
pub struct Tree {
    /// The nodes; 0 is the root, and every other node stands after its parent.
    pub nodes: Vec<Node>,
}

/// A function in the place where it was called, or what a goroutine was doing at the end of its stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Index of the parent; the root's is its own.
    pub parent: u32,
    /// What it is.
    pub what: What,
    /// Lowest and highest line seen here (in the function, of the call or of the leaf); 0 when unknown.
    pub lines: (u32, u32),
    /// Nanoseconds of the samples that pass through or end here, by [`Class::index`].
    pub times: [u64; Class::COUNT],
}

/// What a [`Node`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum What {
    /// The root: all samples.
    Root,
    /// A function.
    Function {
        /// Its name.
        name: StringId,
        /// The source file of the first function with this name that was met here.
        file: StringId,
    },
    /// What goroutines were doing whose stacks end at the parent. Has no children.
    Activity {
        /// Its class.
        class: Class,
        /// The state.
        state: State,
        /// The wait reason, if there is one.
        wait_reason: Option<StringId>,
    },
}

impl Node {
    /// Nanoseconds of all classes.
    pub fn time(&self) -> u64 {
        self.times.iter().fold(0, |sum, &time| sum.saturating_add(time))
    }
}

impl What {
    /// The text of a node: the function name, the wait reason or the word of the state; nothing for the root.
    pub fn text(self, profile: &Profile) -> &str {
        match self {
            What::Root => "",
            What::Function { name, .. } => profile.string(name),
            What::Activity { state, wait_reason, .. } => wait_reason.map_or(state.word(), |id| profile.string(id)),
        }
    }
}

impl Tree {
    /// The tree of all samples of `profile`. Linear in the frames of its samples' stacks.
    pub fn new(profile: &Profile) -> Tree {
        let root = Node { parent: 0, what: What::Root, lines: (0, 0), times: [0; Class::COUNT] };
        let mut tree = Growing { nodes: vec![root], children: HashMap::default(), ends: HashMap::default() };
        for sample in &profile.samples {
            tree.add(profile, sample);
        }
        let mut nodes = tree.nodes;
        // Children stand after their parents: one pass from the back carries every time to the root.
        for index in (1..nodes.len()).rev() {
            let Some((parent, times)) = nodes.get(index).map(|node| (node.parent, node.times)) else { continue };
            if let Some(parent) = nodes.get_mut(parent as usize) {
                for (sum, time) in parent.times.iter_mut().zip(times) {
                    *sum = sum.saturating_add(time);
                }
            }
        }
        Tree { nodes }
    }

    /// The children of every node, those with the most time first; equals by name.
    pub fn children(&self, profile: &Profile) -> Vec<Vec<u32>> {
        let mut children = vec![Vec::new(); self.nodes.len()];
        for (index, node) in self.nodes.iter().enumerate().skip(1) {
            if let Some(siblings) = children.get_mut(node.parent as usize) {
                siblings.push(index as u32);
            }
        }
        let times: Vec<u64> = self.nodes.iter().map(Node::time).collect();
        let key = |&index: &u32| {
            let text = self.nodes.get(index as usize).map_or("", |node| node.what.text(profile));
            (std::cmp::Reverse(times.get(index as usize).copied().unwrap_or(0)), text)
        };
        for siblings in &mut children {
            siblings.sort_by(|a, b| key(a).cmp(&key(b)));
        }
        children
    }
}

/// What tells a child from its siblings.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Step {
    Function(StringId),
    Activity(State, Option<StringId>),
}

struct Growing {
    nodes: Vec<Node>,
    children: HashMap<(u32, Step), u32, RandomState>,
    /// The node where each stack ends: most samples share theirs with others and need not be walked again.
    ends: HashMap<StackId, u32, RandomState>,
}

impl Growing {
    fn add(&mut self, profile: &Profile, sample: &Sample) {
        let end = match self.ends.get(&sample.stack) {
            Some(&end) => end,
            None => {
                let end = self.walk(profile, sample.stack);
                self.ends.insert(sample.stack, end);
                end
            }
        };
        let class = sample.class(profile);
        let wait_reason = sample.wait_reason.filter(|_| !profile.wait_reason(sample).is_empty());
        let what = What::Activity { class, state: sample.state, wait_reason };
        let leaf = self.child(end, Step::Activity(sample.state, wait_reason), what, 0);
        let time = self.nodes.get_mut(leaf as usize).and_then(|node| node.times.get_mut(class.index()));
        if let Some(time) = time {
            *time = time.saturating_add(sample.time_ns);
        }
    }

    fn walk(&mut self, profile: &Profile, stack: StackId) -> u32 {
        let mut node = 0;
        for frame in profile.frames(stack).rev() {
            let Some(function) = profile.functions.get(frame.function.index()) else { continue };
            let what = What::Function { name: function.name, file: function.file };
            node = self.child(node, Step::Function(function.name), what, frame.line);
        }
        node
    }

    fn child(&mut self, parent: u32, step: Step, what: What, line: u32) -> u32 {
        let next = self.nodes.len() as u32;
        let index = *self.children.entry((parent, step)).or_insert(next);
        match self.nodes.get_mut(index as usize) {
            None => self.nodes.push(Node { parent, what, lines: (line, line), times: [0; Class::COUNT] }),
            Some(node) if line != 0 => {
                let (low, high) = node.lines;
                node.lines = (if low == 0 { line } else { low.min(line) }, high.max(line));
            }
            Some(_) => {}
        }
        index
    }
}
