//! Folded stacks, line by line.

use crate::common::{Seen, profile, running, shop, text, waiting};
use fgspy_export::Format;
use fgspy_profile::State;

#[test]
fn a_line_for_each_stack_root_first_with_what_was_going_on() {
    assert_eq!(
        text(&shop(), Format::Folded),
        "main.main;example.com/shop/cart.(*Cart).Price;sync.(*Mutex).Lock;[sync.Mutex.Lock] 600000\n\
         main.main;example.com/shop/cart.(*Cart).Price;example.com/shop/cart.sum;[running] 300000\n\
         main.main;example.com/shop/cart.(*Cart).Price;example.com/shop/cart.sum;[running off cpu] 10000\n\
         main.main;libc.read;[syscall] 50000\n\
         [running: no perf_event permission];[running] 40000\n"
    );
}

#[test]
fn nanoseconds_are_rounded_to_microseconds() {
    let p = profile(&[running(&["a"], 1_499), running(&["b"], 1_500), running(&["c"], 499), running(&["d"], 500)]);
    assert_eq!(text(&p, Format::Folded), "b;[running] 2\na;[running] 1\nd;[running] 1\n");
}

#[test]
fn equal_names_are_one_line_whatever_their_address() {
    let p = profile(&[waiting(&["main", "f"], "select", 2_000), waiting(&["main", "g"], "select", 3_000)]);
    let mut same = p.clone();
    let g = same.functions[2].name;
    same.functions[1].name = g;
    assert_eq!(text(&same, Format::Folded), "main;g;[select] 5\n");
}

#[test]
fn names_cannot_break_the_lines() {
    let p = profile(&[
        waiting(&["main.F[struct { A int; B string }]", "new\nline\u{0}", ""], "odd;\nreason", 5_000),
        Seen { state: State::Waiting, ..running(&["x"], 1_000) },
    ]);
    assert_eq!(
        text(&p, Format::Folded),
        "main.F[struct { A int, B string }];new line ;[unknown];[odd, reason] 5\nx;[waiting] 1\n"
    );
}
