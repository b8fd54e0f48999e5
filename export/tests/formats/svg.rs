//! The flame graph as a document: well formed, self-contained, and its boxes where they belong.

use fgspy_export::Format;
use fgspy_export::svg::{Options, write};
use fgspy_profile::{Profile, State};
use roxmltree::{Document, Node};

use crate::common::{MS, Seen, profile, running, shop, text, waiting};

fn drawn(profile: &Profile, options: &Options) -> String {
    let mut out = Vec::new();
    write(profile, options, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn by_id<'a>(document: &'a Document<'_>, id: &str) -> Node<'a, 'a> {
    document.descendants().find(|node| node.attribute("id") == Some(id)).unwrap()
}

fn class<'a>(node: Node<'a, '_>) -> &'a str {
    node.attribute("class").unwrap_or("")
}

fn words(node: Node<'_, '_>) -> String {
    node.descendants().filter(Node::is_text).filter_map(|node| node.text()).collect()
}

/// The boxes at rest: colour, x, y, width, what is written on them.
fn boxes(svg: &str) -> Vec<(String, f64, f64, f64, String)> {
    let document = Document::parse(svg).unwrap();
    let groups = by_id(&document, "flame").children().filter(|group| class(*group).starts_with("b "));
    let describe = |group: Node<'_, '_>| {
        let body = group.children().find(|node| class(*node).starts_with("body ")).unwrap();
        let number = |name: &str| body.attribute(name).unwrap().parse::<f64>().unwrap();
        let label = group.children().filter(|node| node.has_tag_name("text")).map(words).collect::<Vec<_>>().join("|");
        (class(body)[5..].to_owned(), number("x"), number("y"), number("width"), label)
    };
    groups.map(describe).collect()
}

#[test]
fn each_stack_is_a_column_from_the_root_down_to_what_was_going_on() {
    let expected = [
        ("root", 0.0, 0.0, 1167.0, "running 34.0%|syscall|mutex 60.0%"),
        ("f4", 0.0, 19.0, 1120.28, "main.main"),
        ("f4", 0.0, 38.0, 1061.88, "example.com/shop/cart.(*Cart).Price"),
        ("f4", 0.0, 57.0, 699.8, "sync.(*Mutex).Lock"),
        ("a4", 0.0, 76.0, 699.8, "sync.Mutex.Lock"),
        ("f0", 700.8, 57.0, 361.08, "example.com/shop/cart.sum"),
        ("a0", 700.8, 76.0, 349.4, "running"),
        ("a1", 1051.2, 76.0, 10.68, ""),
        ("f3", 1062.88, 38.0, 57.4, "read"),
        ("a3", 1062.88, 57.0, 57.4, "syscall"),
        ("f0", 1121.28, 19.0, 45.72, "[runni"),
        ("a0", 1121.28, 38.0, 45.72, "runnin"),
    ];
    let expected: Vec<_> = expected.iter().map(|&(c, x, y, w, t)| (c.to_owned(), x, y, w, t.to_owned())).collect();
    assert_eq!(boxes(&text(&shop(), Format::FlameGraph)), expected);
}

#[test]
fn a_mixed_box_has_a_strip_with_the_shares() {
    let svg = text(&shop(), Format::FlameGraph);
    let document = Document::parse(&svg).unwrap();
    let groups: Vec<_> = by_id(&document, "flame").children().filter(Node::is_element).collect();
    let strip = |group: Node<'_, '_>| -> Vec<(String, String, String)> {
        let rects = group.children().filter(|node| node.has_tag_name("rect")).skip(1);
        let get = |node: Node<'_, '_>, name: &str| node.attribute(name).unwrap().to_owned();
        rects.map(|node| (get(node, "class"), get(node, "width"), get(node, "height"))).collect()
    };
    let main = [("a0", "350.09", "3"), ("a1", "11.67", "3"), ("a3", "58.35", "3"), ("a4", "700.17", "3")];
    assert_eq!(strip(groups[1]), main.map(|(c, w, h)| (c.to_owned(), w.to_owned(), h.to_owned())));
    assert_eq!(strip(groups[3]), [], "a box of one class needs no strip");
}

#[test]
fn tooltips_without_scripts_say_it_all() {
    let svg = text(&shop(), Format::FlameGraph);
    let document = Document::parse(&svg).unwrap();
    let groups: Vec<_> = by_id(&document, "flame").children().filter(Node::is_element).collect();
    let tooltip = |index: usize| words(groups[index].first_element_child().unwrap());
    assert_eq!(
        tooltip(2),
        "example.com/shop/cart.(*Cart).Price\n/src/cart/cart.go:22–24\n910 ms, 91.0% of all, 1.8 goroutines on average\n\
         mutex 600 ms, 65.9%\nrunning 300 ms, 33.0%\nrunning off cpu 10.0 ms, 1.1%"
    );
    assert_eq!(tooltip(4), "sync.Mutex.Lock\n600 ms, 60.0% of all, 1.2 goroutines on average\nmutex 600 ms, 100.0%");
}

#[test]
fn the_head_says_what_this_is_and_how_to_read_it() {
    let svg = text(&shop(), Format::FlameGraph);
    let document = Document::parse(&svg).unwrap();
    let head: Vec<String> = document
        .root_element()
        .children()
        .filter(|node| node.has_tag_name("text") || node.has_tag_name("title"))
        .map(words)
        .collect();
    assert_eq!(
        head,
        [
            "shop – fgspy",
            "shoppid 4242 · go1.27.3 · recorded 2026-09-21T14:13:20Z",
            "Wall-clock time of 500 ms: 2.0 goroutines on average, together 1.00 s of goroutine time. \
         One goroutine that was there all the time is 50.0% of the width."
        ]
    );
    let legend: Vec<String> = by_id(&document, "legend")
        .children()
        .filter(Node::is_element)
        .map(|chip| words(chip.children().find(|node| node.has_tag_name("text")).unwrap()))
        .collect();
    assert_eq!(
        legend,
        ["running 34.0% 340 ms", "running off cpu 1.0% 10.0 ms", "syscall 5.0% 50.0 ms", "mutex 60.0% 600 ms"]
    );
    assert_eq!(words(by_id(&document, "remarks")).trim(), "Note: no permission for perf_event_open");
    assert!(words(by_id(&document, "foot")).contains("34 on-CPU samples, 5 more lost\n"));
}

/// Of a busy server some requests are always missed: only many of them are worth a warning.
#[test]
fn a_remark_about_some_requests_is_no_warning() {
    let mut profile = shop();
    profile.accounting.remarks =
        ["requests: of 995 goroutines", "many requests were not found: of 995", "other"].map(str::to_owned).to_vec();
    let svg = drawn(&profile, &Options::default());
    let document = Document::parse(&svg).unwrap();
    let remarks = by_id(&document, "remarks").children().filter(Node::is_element);
    let classes: Vec<&str> = remarks.map(|remark| remark.attribute("class").unwrap()).collect();
    assert_eq!(classes, ["lead", "remark", "remark"]);
}

#[test]
fn a_title_can_be_given() {
    let svg = drawn(&shop(), &Options { title: Some("before <the> fix".into()), ..Options::default() });
    assert!(svg.contains("<title>before &lt;the&gt; fix – fgspy</title>"));
    assert_eq!(svg.matches("before &lt;the&gt; fix").count(), 2);
}

#[test]
fn nothing_is_loaded_from_anywhere() {
    let svg = text(&shop(), Format::FlameGraph);
    let urls: Vec<&str> = svg.split("http").skip(1).map(|rest| rest.split(['"', '\'']).next().unwrap()).collect();
    assert_eq!(
        urls,
        ["://www.w3.org/2000/svg", "://www.w3.org/2000/svg", "://www.w3.org/1999/xhtml"],
        "only namespaces"
    );
    for word in ["href", "url(", "import", "fetch(", "XMLHttpRequest", "innerHTML", "eval"] {
        assert!(!svg.contains(word), "{word}");
    }
}

fn many(widths: &[u64]) -> Profile {
    let names: Vec<String> = (0..widths.len()).map(|index| format!("f{index}")).collect();
    let stacks: Vec<[&str; 1]> = names.iter().map(|name| [name.as_str()]).collect();
    let seen: Vec<Seen<'_>> = stacks.iter().zip(widths).map(|(stack, &width)| running(stack, width)).collect();
    profile(&seen)
}

/// The names in the data for the script.
fn in_data(svg: &str) -> Vec<String> {
    let document = Document::parse(svg).unwrap();
    let data: serde_json::Value = serde_json::from_str(by_id(&document, "data").text().unwrap()).unwrap();
    let name = |row: &serde_json::Value| data["texts"][row[1].as_u64().unwrap() as usize].as_str().unwrap().to_owned();
    data["boxes"].as_array().unwrap().iter().map(name).filter(|name| name.starts_with('f')).collect()
}

#[test]
fn narrow_boxes_are_left_for_zooming_and_the_narrowest_are_counted() {
    let p = many(&[1_000_000 - 1_000 - 999 - 10 - 9 - 1, 1_000, 999, 10, 9, 1]);
    let svg = drawn(&p, &Options::default());
    let at_rest: Vec<String> = boxes(&svg).into_iter().filter(|b| b.0 == "f0").map(|b| format!("{:.2}", b.3)).collect();
    assert_eq!(at_rest, ["1164.64", "1.17"], "0.1 % is there, 0.0999 % is not");
    assert_eq!(in_data(&svg), ["f0", "f1", "f2", "f3"]);
    let document = Document::parse(&svg).unwrap();
    assert!(words(by_id(&document, "foot")).contains(
        "4 boxes are too narrow to be shown even when zoomed in; stacks that end in them stand for 10 ns, <0.01% of all"
    ));
    let all = drawn(&p, &Options { min_width_percent: 0.0, ..Options::default() });
    assert_eq!(in_data(&all), ["f0", "f1", "f2", "f3", "f4", "f5"]);
    assert!(!words(by_id(&Document::parse(&all).unwrap(), "foot")).contains("too narrow"));
}

#[test]
fn what_is_too_narrow_has_a_grey_box_in_its_place() {
    let mut widths = vec![900_000];
    widths.extend([100; 1_000]);
    let svg = text(&many(&widths), Format::FlameGraph);
    let document = Document::parse(&svg).unwrap();
    let rests: Vec<_> = document.descendants().filter(|node| class(*node) == "rest").collect();
    let [rest] = rests.as_slice() else { panic!("{} grey boxes", rests.len()) };
    let rect = rest.children().find(|node| node.has_tag_name("rect")).unwrap();
    let place: Vec<&str> = ["x", "y", "width"].map(|name| rect.attribute(name).unwrap()).to_vec();
    assert_eq!(place, ["1051.20", "19", "115.80"]);
    assert_eq!(words(*rest), "boxes too narrow to be shown: 100 µs, 10.0% of alltoo narrow");
}

#[test]
fn a_profile_of_a_hundred_thousand_boxes_gives_a_file_of_half_as_many() {
    let widths: Vec<u64> = (0..60_000).map(|index| MS + index).collect();
    let svg = drawn(&many(&widths), &Options { min_width_percent: 0.0, ..Options::default() });
    let kept = in_data(&svg);
    assert!((24_000..=25_000).contains(&kept.len()), "{} of 60000 functions, each with its activity", kept.len());
    assert_eq!(kept[0], "f59999", "the widest stay");
}

#[test]
fn samples_without_time_and_absurd_options_are_drawn() {
    let p = profile(&[Seen { state: State::Syscall, ..running(&["f"], 0) }]);
    assert!(drawn(&p, &Options::default()).contains("There are no samples."));
    for min_width_percent in [f64::NAN, f64::INFINITY, -1.0, 1e9] {
        Document::parse(&drawn(&shop(), &Options { min_width_percent, ..Options::default() })).unwrap();
    }
    let p = profile(&[running(&["f"], u64::MAX), waiting(&["g"], "select", u64::MAX)]);
    Document::parse(&drawn(&p, &Options::default())).unwrap();
}
