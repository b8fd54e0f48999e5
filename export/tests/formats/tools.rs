//! What other people's programs make of the files: `go tool pprof` and a browser. Skipped by name where they are missing.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use fgspy_export::Format;

use crate::common::{MS, Seen, profile, running, shop, text, waiting, written};

/// The program behind `go tool pprof`, which Go since 1.25 builds when it is first asked for.
fn pprof_tool() -> Option<&'static Path> {
    static TOOL: OnceLock<Option<PathBuf>> = OnceLock::new();
    let find = || {
        let go = std::env::var_os("FGSPY_GO").unwrap_or_else(|| OsString::from("go"));
        let output = Command::new(go).args(["tool", "-n", "pprof"]).env("GOTOOLCHAIN", "local").output().ok()?;
        assert!(output.status.success(), "go tool -n pprof: {}", String::from_utf8_lossy(&output.stderr));
        Some(PathBuf::from(String::from_utf8(output.stdout).unwrap().trim_end()))
    };
    TOOL.get_or_init(find).as_deref()
}

/// Runs `go tool pprof` with `arguments` on a profile; nothing when there is no `go`.
pub(crate) fn pprof(test: &str, profile: &fgspy_profile::Profile, arguments: &[&str]) -> Option<String> {
    let Some(tool) = pprof_tool() else {
        fgspy_fixtures::skip(test, "there is no go command; put one into PATH or its path into FGSPY_GO");
        return None;
    };
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("profile.pb.gz");
    std::fs::write(&file, written(profile, Format::Pprof)).unwrap();
    let output = Command::new(tool)
        .args(arguments)
        .arg(&file)
        .envs([("PPROF_TMPDIR", dir.path()), ("HOME", dir.path()), ("PPROF_BINARY_PATH", Path::new("/nonexistent"))])
        .env("TZ", "UTC")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "go tool pprof {arguments:?}: {err}");
    assert_eq!(err, "", "go tool pprof {arguments:?} complains");
    Some(out)
}

#[test]
fn go_tool_pprof_reads_every_field() {
    let mut shop = shop();
    shop.duration_ns = 2_000 * MS; // pprof cuts what it prints of it to four characters
    let Some(raw) = pprof("go_tool_pprof_reads_every_field", &shop, &["-raw"]) else { return };
    let comments: String =
        fgspy_export::summary::lines(&shop).iter().map(|line| format!("Comment: {line}\n")).collect();
    let expected = format!(
        "{comments}PeriodType: wallclock nanoseconds
Period: 10000000
Time: 2026-09-21 14:13:20 +0000 UTC
Duration: 2s
Samples:
samples/count time/nanoseconds[dflt] cpu/nanoseconds offcpu/nanoseconds
         30  300000000  300000000          0: 1 2 
                label.state:[gold] state:[running] tenant:[acme]
         60  600000000          0  600000000: 3 4 2 
                state:[waiting] wait_reason:[sync.Mutex.Lock]
          5   50000000          0   50000000: 5 2 
                state:[syscall]
          4   40000000   40000000          0: 6 
                state:[running]
          1   10000000          0   10000000: 1 2 
                state:[running off cpu]
Locations
     1: 0x3000 M=1 example.com/shop/cart.sum /src/cart/cart.go:42:0 s=40
             example.com/shop/cart.(*Cart).Price /src/cart/cart.go:22:0 s=20
     2: 0x2000 M=1 main.main /src/main.go:12:0 s=10
     3: 0x4000 M=1 sync.(*Mutex).Lock /go/sync/mutex.go:61:0 s=60
     4: 0x3010 M=1 example.com/shop/cart.(*Cart).Price /src/cart/cart.go:24:0 s=20
     5: 0x7f0000000000 libc.read :0:0 s=0
     6: 0x0 [running: no perf_event permission] :0:0 s=0
Mappings
1: 0x1000/0x9000/0x400 /srv/shop b1d [FN][FL][LN][IN]
"
    );
    assert_eq!(without_news(&raw), without_news(&expected));
}

/// Without what not every version of pprof prints: columns and first lines (`main.go:12:0 s=10`), spaces at the end.
fn without_news(raw: &str) -> Vec<String> {
    let numbers = |line: &str| line.rsplit(':').take_while(|part| part.parse::<u32>().is_ok()).count();
    let strip = |line: &str| {
        let place = line.split(" s=").next().unwrap_or(line).trim_end();
        let without_column = place.strip_suffix(":0").filter(|_| numbers(place) == 2);
        without_column.unwrap_or(place).to_owned()
    };
    raw.lines().map(strip).collect()
}

#[test]
fn go_tool_pprof_shows_wall_time_first() {
    let Some(top) = pprof("go_tool_pprof_shows_wall_time_first", &shop(), &["-top"]) else { return };
    // Before that stand the file, the build id, which not all versions print, and the comments; versions differ in how
    // they write the time.
    let report = top.lines().skip_while(|line| !line.starts_with("Type: ")).filter(|line| !line.starts_with("Time: "));
    let report: Vec<&str> = report.collect();
    assert_eq!(
        report,
        [
            "Type: time",
            "Duration: 500ms, Total samples = 1000ms (200.00%)",
            "Showing nodes accounting for 1000ms, 100% of 1000ms total",
            "      flat  flat%   sum%        cum   cum%",
            "     600ms 60.00% 60.00%      600ms 60.00%  sync.(*Mutex).Lock",
            "     310ms 31.00% 91.00%      310ms 31.00%  example.com/shop/cart.sum (inline)",
            "      50ms  5.00% 96.00%       50ms  5.00%  libc.read",
            "      40ms  4.00%   100%       40ms  4.00%  [running: no perf_event permission]",
            "         0     0%   100%      910ms 91.00%  example.com/shop/cart.(*Cart).Price",
            "         0     0%   100%      960ms 96.00%  main.main",
        ]
    );
}

#[test]
fn go_tool_pprof_slices_by_state_reason_and_label() {
    let test = "go_tool_pprof_slices_by_state_reason_and_label";
    let total = |arguments: &[&str]| {
        let all: Vec<&str> = ["-top"].iter().chain(arguments).copied().collect();
        let top = pprof(test, &shop(), &all)?;
        let line = top.lines().find(|line| line.starts_with("Showing nodes")).unwrap_or("nothing").to_owned();
        Some(line.trim_start_matches("Showing nodes accounting for ").to_owned())
    };
    let Some(waiting) = total(&["-tagfocus=state=waiting"]) else { return };
    assert_eq!(waiting, "600ms, 60.00% of 1000ms total");
    let focus = |focus: &str| total(&[&format!("-tagfocus={focus}")]).unwrap();
    assert_eq!(focus("wait_reason=Mutex"), "600ms, 60.00% of 1000ms total");
    assert_eq!(focus("state=^running$"), "340ms, 34.00% of 1000ms total");
    assert_eq!(focus("state=off cpu"), "10ms, 1.00% of 1000ms total");
    assert_eq!(focus("tenant=acme"), "300ms, 30.00% of 1000ms total");
    assert_eq!(focus("label.state=gold"), "300ms, 30.00% of 1000ms total");
    assert_eq!(total(&["-tagignore=state=waiting"]).unwrap(), "400ms, 40.00% of 1000ms total");
    assert_eq!(total(&["-sample_index=cpu"]).unwrap(), "340ms, 100% of 340ms total");
    assert_eq!(total(&["-sample_index=offcpu"]).unwrap(), "660ms, 100% of 660ms total");
    assert_eq!(total(&["-sample_index=samples"]).unwrap(), "100, 100% of 100 total");
}

#[test]
fn go_tool_pprof_prints_traces_and_comments() {
    let test = "go_tool_pprof_prints_traces_and_comments";
    let Some(traces) = pprof(test, &shop(), &["-traces"]) else { return };
    let syscall = "     state:  syscall\n      50ms   libc.read\n             main.main\n";
    assert!(traces.contains(syscall), "{traces}");
    let comments = pprof(test, &shop(), &["-comments"]).unwrap();
    assert_eq!(comments, fgspy_export::summary::lines(&shop()).join("\n") + "\n");
}

#[test]
fn go_tool_pprof_takes_profiles_of_nothing_and_of_odd_names() {
    let test = "go_tool_pprof_takes_profiles_of_nothing_and_of_odd_names";
    let mut empty = shop();
    empty.samples.clear();
    if pprof(test, &empty, &["-raw"]).is_none() {
        return;
    }
    let labels = [("", "no key"), ("k", "\u{0}\n<&>")];
    let odd = profile(&[Seen { labels: &labels, ..waiting(&["<&>\n\u{0}", "", "ü"], "odd\nreason", 5) }]);
    pprof(test, &odd, &["-raw"]).unwrap();
    let mut unknown = profile(&[running(&["f"], 10)]);
    unknown.target = fgspy_profile::Target::default();
    pprof(test, &unknown, &["-raw"]).unwrap();
}

/// Opens the picture in a browser `width` pixels wide, runs `script` in it, and gives what that returned.
fn browse(test: &str, profile: &fgspy_profile::Profile, width: u32, script: &str) -> Option<serde_json::Value> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("flame.svg");
    let probe = format!(
        "<script><![CDATA[
        const boxes = () => [...document.querySelectorAll('#flame > g')];
        const label = g => [...g.querySelectorAll('text')].map(t => t.textContent).join('|');
        const box = text => boxes().find(g => label(g) === text);
        const chip = word => [...document.querySelectorAll('.chip')].find(g => g.querySelector('.word').textContent === word);
        const fire = (e, type, more) => e.dispatchEvent(new MouseEvent(type, {{bubbles: true, ...more}}));
        const status = () => document.getElementById('status').textContent;
        const type = text => {{ const i = document.querySelector('input'); i.value = text; i.dispatchEvent(new Event('input')); }};
        const width = g => Math.round(g.querySelector('.body').getAttribute('width'));
        const key = name => document.dispatchEvent(new KeyboardEvent('keydown', {{key: name}}));
        const answer = document.createElementNS('http://www.w3.org/2000/svg', 'desc');
        let got;
        try {{ got = (() => {{ {script} }})(); }} catch (error) {{ got = String(error.stack); }}
        answer.id = 'answer';
        answer.textContent = encodeURIComponent(JSON.stringify(got));
        document.documentElement.appendChild(answer);
        ]]></script></svg>\n"
    );
    let svg = text(profile, Format::FlameGraph);
    std::fs::write(&file, svg.strip_suffix("</svg>\n").unwrap().to_owned() + &probe).unwrap();
    // timeout(1) says 127 when there is no such program.
    let output = Command::new("timeout")
        .args(["60", "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--hide-scrollbars", "--dump-dom", &format!("--window-size={width},900")])
        .arg(format!("--user-data-dir={}", dir.path().join("browser").display()))
        .arg(format!("file://{}", file.display()))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    if output.status.code() == Some(127) {
        fgspy_fixtures::skip(test, "there is no chromium");
        return None;
    }
    let dom = String::from_utf8_lossy(&output.stdout);
    let answer = dom.split("id=\"answer\">").nth(1).and_then(|rest| rest.split('<').next());
    let Some(answer) = answer else {
        panic!("no answer from chromium:\n{dom}\n{}", String::from_utf8_lossy(&output.stderr))
    };
    let bytes = answer.split('%').enumerate().flat_map(|(index, part)| {
        let (code, rest) = if index == 0 { ("", part) } else { part.split_at(2) };
        u8::from_str_radix(code, 16).ok().into_iter().chain(rest.bytes()).collect::<Vec<u8>>()
    });
    Some(serde_json::from_slice(&bytes.collect::<Vec<u8>>()).unwrap())
}

#[test]
fn a_browser_zooms_filters_and_searches() {
    let script = "
        const all = boxes().length, steps = {};
        const shot = () => ({boxes: boxes().map(g => [label(g), width(g)]), status: status()});
        steps.start = {count: all, main: width(box('main.main')), root: label(boxes()[0]), status: status()};

        fire(box('example.com/shop/cart.sum').querySelector('rect'), 'click');
        steps.zoomed = shot();
        key('Escape');
        steps.back = boxes().length === all;

        fire(chip('syscall'), 'click');
        steps.syscall = shot();
        fire(chip('running off cpu'), 'click', {shiftKey: true});
        steps.added = label(boxes()[0]);
        fire(document.querySelector('.link'), 'click');
        steps.reset = [boxes().length === all, document.querySelectorAll('.chip.off').length];

        type('CART');
        steps.none = [document.querySelectorAll('.found').length, status()];
        type('cart');
        steps.found = [[...document.querySelectorAll('.found')].map(label), document.querySelectorAll('.dim').length, status()];
        type('(');
        steps.bad = [document.querySelector('input').className, document.querySelectorAll('.found').length];
        type('');

        fire(box('sync.(*Mutex).Lock').querySelector('rect'), 'mousemove', {clientX: 100, clientY: 200});
        steps.tip = [...document.querySelectorAll('#tip text')].map(t => t.textContent);
        fire(document.getElementById('flame'), 'mouseleave');
        steps.hidden = document.getElementById('tip').getAttribute('class');
        return steps;";
    let Some(got) = browse("a_browser_zooms_filters_and_searches", &shop(), 1400, script) else { return };
    let help = "Click a box to zoom in. Click a class to see only it, shift-click to add or remove one. \
                Callers stand above what they call.";
    let expected = serde_json::json!({
        "start": {"count": 12, "main": 1312, "root": "running 34.0%|syscall|mutex 60.0%", "status": help},
        "zoomed": {
            "boxes": [
                ["running 34.0%|syscall|mutex 60.0%", 1367],
                ["main.main", 1367],
                ["example.com/shop/cart.(*Cart).Price", 1367],
                ["example.com/shop/cart.sum", 1367],
                ["running", 1323],
                ["runni", 43],
            ],
            "status": "zoomed into example.com/shop/cart.sum: 310 ms, 31.0% of allshow everything (Esc)",
        },
        "back": true,
        "syscall": {
            "boxes": [["syscall 5.0%", 1367], ["main.main", 1367], ["libc.read", 1367], ["syscall", 1367]],
            "status": "only syscall: 50.0 ms, 5.0% of allshow everything (Esc)",
        },
        "added": "running off cpu 1.0%|syscall 5.0%",
        "reset": [true, 0],
        "none": [0, "found 0 ns, 0% of what is shownshow everything (Esc)"],
        "found": [
            ["example.com/shop/cart.(*Cart).Price", "example.com/shop/cart.sum"],
            10,
            "found 910 ms, 91.0% of what is shownshow everything (Esc)",
        ],
        "bad": ["bad", 0],
        "tip": [
            "sync.(*Mutex).Lock",
            "/go/sync/mutex.go:61",
            "600 ms  ·  60.0% of all  ·  1.2 goroutines on average",
            "mutex  100.0%  600 ms",
        ],
        "hidden": "hidden",
    });
    assert_eq!(got, expected, "{got:#}");
}

#[test]
fn a_browser_draws_at_first_what_stands_in_the_file() {
    let names = [
        "github.com/acme/shop/cart.(*Cart).PriceOfEverythingInTheCart",
        "main.Map[go.shape.int,a/b.T]",
        "(*T).x",
        "runtime.gopark",
        "golang.org/x/sync/errgroup.(*Group).Go.func1",
        "[running: no perf_event permission]",
        "ünïcode.Näme",
        "a/b/",
        "main.",
    ];
    let mut seen = vec![];
    let mut width = 400_000_000;
    let reasons = ["select", "chan receive (nil chan)", "sync.RWMutex.RLock", "IO wait"];
    let stacks: Vec<[&str; 2]> = names.iter().flat_map(|a| names.iter().map(|b| [*a, *b])).collect();
    for (index, stack) in stacks.iter().enumerate() {
        width = width * 9 / 10;
        seen.push(running(stack, width / 3));
        seen.push(waiting(stack, reasons[index % reasons.len()], width));
    }
    // Many that are too narrow.
    let narrow: Vec<String> = (0..500).map(|index| format!("narrow{index}")).collect();
    let narrow: Vec<[&str; 2]> = narrow.iter().map(|name| ["main.main", name.as_str()]).collect();
    seen.extend(narrow.iter().map(|stack| running(stack, 500_000)));
    let p = profile(&seen);
    let script = "return boxes().map(g => [g.getAttribute('class'), label(g),
        [...g.querySelectorAll('rect')].map(r => r.getAttribute('class') || '').join('|'),
        [...g.querySelectorAll('rect')].map(r => ['x', 'y', 'width', 'height'].map(a => +r.getAttribute(a)))]);";
    let Some(got) = browse("a_browser_draws_at_first_what_stands_in_the_file", &p, 1200, script) else { return };
    let mut got: Vec<Drawn> = serde_json::from_value(got).unwrap();
    let svg = text(&p, Format::FlameGraph);
    let document = roxmltree::Document::parse(&svg).unwrap();
    let flame = document.descendants().find(|node| node.attribute("id") == Some("flame")).unwrap();
    let mut at_rest: Vec<Drawn> = flame.children().filter(roxmltree::Node::is_element).map(drawn).collect();
    // The script draws the grey boxes last.
    got.sort_by_key(|drawn| drawn.0 == "rest");
    at_rest.sort_by_key(|drawn| drawn.0 == "rest");
    assert!(at_rest.len() > 100, "{}", at_rest.len());
    assert_eq!(at_rest.iter().filter(|drawn| drawn.0 == "rest").count(), 1);
    assert_eq!(got.len(), at_rest.len());
    for (got, at_rest) in got.iter().zip(&at_rest) {
        assert_eq!((&got.0, &got.1, &got.2), (&at_rest.0, &at_rest.1, &at_rest.2));
        let apart = got.3.iter().flatten().zip(at_rest.3.iter().flatten()).map(|(a, b)| (a - b).abs());
        assert!(apart.fold(0.0, f64::max) < 0.02, "{got:?} in the browser, {at_rest:?} in the file");
    }
}

/// Of a box: its class, what is written on it, the classes of its rectangles, and their x, y, width and height.
type Drawn = (String, String, String, Vec<[f64; 4]>);

fn drawn(group: roxmltree::Node<'_, '_>) -> Drawn {
    let rects = || group.children().filter(|node| node.has_tag_name("rect"));
    let labels = group.children().filter(|node| node.has_tag_name("text")).filter_map(|node| node.text());
    let number = |rect: roxmltree::Node<'_, '_>, name| rect.attribute(name).unwrap().parse::<f64>().unwrap();
    (
        group.attribute("class").unwrap().to_owned(),
        labels.collect::<Vec<_>>().join("|"),
        rects().map(|rect| rect.attribute("class").unwrap_or("")).collect::<Vec<_>>().join("|"),
        rects().map(|rect| ["x", "y", "width", "height"].map(|name| number(rect, name))).collect(),
    )
}

#[test]
fn a_browser_runs_nothing_that_a_target_says() {
    let evil = "</script><script>document.title = 'evil'</script><image href=x onerror=\"document.title='evil'\"/>";
    let name = format!("]]>{evil}&lt;/script&gt;");
    let mut p = profile(&[waiting(&[&name, evil], evil, 700), running(&["main"], 300)]);
    p.target.executable = evil.into();
    p.target.go_version = evil.into();
    p.accounting.remarks.push(evil.into());
    let script = "
        fire(boxes()[1].querySelector('rect'), 'mousemove', {clientX: 100, clientY: 200});
        fire(boxes()[1].querySelector('rect'), 'click');
        return [document.title, document.querySelectorAll('script').length, document.querySelectorAll('image').length,
            label(boxes()[1])];";
    let Some(got) = browse("a_browser_runs_nothing_that_a_target_says", &p, 1400, script) else { return };
    let title = "</script><script>document.title = 'evil'</script><image href=x onerror=\"document.title='evil'\"/>";
    let title = title.rsplit('/').next().unwrap();
    assert_eq!(got[0], format!("{title} – fgspy"));
    assert_eq!((&got[1], &got[2], &got[3]), (&3.into(), &0.into(), &name.into()));
}
