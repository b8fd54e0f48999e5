//! The tree of all stacks.

use fgspy_profile::{Accounting, Builder, Class, Profile, SampleKey, Serving, StackId, State, Target, Tree, What};

struct Make(Builder);

impl Make {
    fn new() -> Make {
        Make(Builder::new(Target::default(), 0))
    }

    /// A stack of `name:line` frames, root first.
    fn stack(&mut self, frames: &[(&str, u32)]) -> StackId {
        let locations: Vec<_> = frames
            .iter()
            .rev()
            .map(|&(name, line)| {
                let function = self.0.function(name, "f.go", 1);
                self.0.location(u64::from(line) + 1, &[(function, line)])
            })
            .collect();
        self.0.stack(&locations)
    }

    fn add(&mut self, stack: StackId, state: State, reason: Option<&str>, time_ns: u64) {
        let wait_reason = reason.map(|reason| self.0.string(reason));
        let labels = self.0.labels(&[]);
        self.0.add(
            SampleKey { stack, goid: time_ns, state, wait_reason, labels, creator: None, serving: Serving::Unknown },
            1,
            time_ns,
        );
    }

    fn finish(self) -> Profile {
        self.0.finish(1, Accounting::default())
    }
}

/// The tree as indented lines: text, lines, time.
fn draw(profile: &Profile) -> String {
    let tree = Tree::new(profile);
    let children = tree.children(profile);
    let mut out = String::new();
    let mut todo = vec![(0u32, 0usize)];
    while let Some((index, depth)) = todo.pop() {
        let node = &tree.nodes[index as usize];
        let text = node.what.text(profile);
        let mark = if matches!(node.what, What::Activity { .. }) { "*" } else { "" };
        out.push_str(&format!("{}{text}{mark} {:?} {}\n", " ".repeat(depth), node.lines, node.time()));
        todo.extend(children[index as usize].iter().rev().map(|&child| (child, depth + 1)));
    }
    out
}

#[test]
fn stacks_share_their_roots_and_end_in_what_was_going_on() {
    let mut m = Make::new();
    let a = m.stack(&[("main", 3), ("a", 7)]);
    let a_elsewhere = m.stack(&[("main", 4), ("a", 9)]);
    let main = m.stack(&[("main", 5)]);
    m.add(a, State::Waiting, Some("select"), 10);
    m.add(a_elsewhere, State::Waiting, Some("select"), 5);
    m.add(a, State::Running, None, 20);
    m.add(main, State::Syscall, None, 40);
    m.add(a, State::Waiting, None, 1);
    assert_eq!(
        draw(&m.finish()),
        " (0, 0) 76\n main (3, 5) 76\n  syscall* (0, 0) 40\n  a (7, 9) 36\n   running* (0, 0) 20\n   select* (0, 0) 15\n   waiting* (0, 0) 1\n"
    );
}

#[test]
fn times_are_kept_by_class_up_to_the_root() {
    let mut m = Make::new();
    let a = m.stack(&[("main", 3), ("a", 7)]);
    let b = m.stack(&[("main", 3), ("b", 8)]);
    m.add(a, State::Waiting, Some("chan receive"), 10);
    m.add(b, State::Waiting, Some("chan send"), 5);
    m.add(b, State::Running, None, 2);
    let profile = m.finish();
    let tree = Tree::new(&profile);
    for node in &tree.nodes[..2] {
        let mut expected = [0; Class::COUNT];
        expected[Class::Chan.index()] = 15;
        expected[Class::Running.index()] = 2;
        assert_eq!(node.times, expected);
    }
}

#[test]
fn siblings_of_equal_time_stand_in_the_order_of_their_names() {
    let mut m = Make::new();
    for name in ["c", "a", "b"] {
        let stack = m.stack(&[(name, 1)]);
        m.add(stack, State::Running, None, 7);
    }
    assert_eq!(
        draw(&m.finish()),
        " (0, 0) 21\n a (1, 1) 7\n  running* (0, 0) 7\n b (1, 1) 7\n  running* (0, 0) 7\n c (1, 1) 7\n  running* (0, 0) 7\n"
    );
}

#[test]
fn recursion_is_not_folded_and_a_deep_stack_is_no_trouble() {
    let mut m = Make::new();
    let frames = vec![("f", 1); 50_000];
    let stack = m.stack(&frames);
    m.add(stack, State::Running, None, 7);
    let profile = m.finish();
    let tree = Tree::new(&profile);
    assert_eq!(tree.nodes.len(), 50_002);
    assert!(tree.nodes.iter().all(|node| node.time() == 7));
    assert_eq!(tree.children(&profile).iter().map(Vec::len).sum::<usize>(), 50_001);
}
