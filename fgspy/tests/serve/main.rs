//! `fgspy serve`, asked by clients of every kind.

mod oracle;
mod server;
mod target;

use std::collections::BTreeSet;
use std::io::Read;

use fgspy_fixtures::{Fixture, Signal, Variant, build, skip, toolchains, wait_until, zoo};
use server::{Reply, Server, fgspy};
use target::{Target, pprof};

/// A zoo as distributions would build it, of the newest Go.
fn zoo() -> (Fixture, Vec<zoo::ZooKind>) {
    let binary = build("zoo", &toolchains::newest().unwrap(), Variant::PieStripped).unwrap();
    zoo::spawn(&binary, &[]).unwrap()
}

#[test]
fn every_kind_of_goroutine_is_in_the_dump_and_in_the_profiles() {
    every_kind_is_shown(zoo());
}

#[test]
fn every_kind_of_goroutine_of_the_oldest_go_with_cgo_too() {
    let binary = build("zoo", &toolchains::get(19).unwrap(), Variant::Cgo).unwrap();
    every_kind_is_shown(zoo::spawn(&binary, &[]).unwrap());
}

fn every_kind_is_shown((fixture, kinds): (Fixture, Vec<zoo::ZooKind>)) {
    let server = Server::of(fixture.pid());
    let dump = server.text("/debug/pprof/goroutine?debug=2");
    let (fgprof, goroutine) = (server.url("/debug/fgprof?seconds=0.5"), server.url("/debug/pprof/goroutine"));
    let traces = [fgprof, goroutine].map(|url| pprof(&["-traces", &url]));
    assert!(kinds.len() >= 60, "{} kinds", kinds.len());
    for kind in &kinds {
        let goroutine: Vec<&str> =
            dump.split("\n\n").filter(|block| block.starts_with(&format!("goroutine {} [", kind.goid))).collect();
        assert_eq!(goroutine.len(), 1, "{kind:?}\n{dump}");
        if kind.function == "runtime.goexit" {
            // On every stack, and never shown: the kind is about something else.
            continue;
        }
        assert!(goroutine[0].contains(&format!("\n{}(...)\n", kind.function)), "{kind:?}\n{}", goroutine[0]);
        for traces in &traces {
            let found = traces.lines().any(|line| {
                let name = line.trim_end().strip_suffix(" (inline)").unwrap_or(line.trim_end());
                name.rsplit(' ').next() == Some(kind.function.as_str())
            });
            assert!(found, "{kind:?}\n{traces}");
        }
    }
}

#[test]
fn a_running_goroutine_is_counted_and_its_place_is_in_the_profile() {
    let name = "a_running_goroutine_is_counted_and_its_place_is_in_the_profile";
    let target = Target::spawn(&toolchains::newest().unwrap(), &[], &["spin"]);
    let server = Server::of(target.fixture.pid());
    // It is preempted now and then, and then its stack is in memory.
    wait_until("it is seen running", || {
        let text = server.text("/debug/pprof/goroutine?debug=1");
        let group = text.split("\n\n").find(|group| group.contains("\tmain.spin+")).unwrap();
        Ok(group.contains("\n# [running: /debug/fgprof shows where]\n#\t0x"))
    })
    .unwrap();
    wait_until("it is seen running", || {
        let traces = pprof(&["-traces", &server.url("/debug/pprof/goroutine")]);
        let mut lines = traces.lines().skip_while(|line| !line.ends_with(" 1   [running: /debug/fgprof shows where]"));
        Ok(lines.nth(1).is_some_and(|line| line.trim() == "main.spin"))
    })
    .unwrap();
    if server.said().contains("running goroutines have no stacks") {
        return skip(name, "perf_event_open is not permitted here");
    }
    let traces = pprof(&["-traces", &server.url("/debug/pprof/profile?seconds=1")]);
    let states: BTreeSet<&str> =
        traces.lines().filter_map(|line| line.trim().strip_prefix("state:")).map(str::trim).collect();
    assert_eq!(states, BTreeSet::from(["running"]), "{traces}");
    assert!(traces.lines().any(|line| line.trim_end().ends_with(" main.spin")), "{traces}");
    assert!(!traces.contains("gopark"), "{traces}");
}

#[test]
fn go_tool_pprof_reads_every_profile_with_its_types() {
    let (fixture, _) = zoo();
    let server = Server::of(fixture.pid());
    for (path, types) in [
        ("/debug/fgprof?seconds=0.3", "samples/count time/nanoseconds[dflt] cpu/nanoseconds offcpu/nanoseconds"),
        ("/debug/pprof/profile?seconds=0.3", "samples/count time/nanoseconds[dflt] cpu/nanoseconds offcpu/nanoseconds"),
        ("/debug/pprof/goroutine", "goroutine/count"),
    ] {
        let raw = pprof(&["-raw", &server.url(path)]);
        assert!(raw.lines().any(|line| line == types), "{path}:\n{raw}");
    }
}

#[test]
fn every_format_is_what_it_says() {
    let (fixture, _) = zoo();
    let server = Server::of(fixture.pid());
    for (format, media_type, file, start) in [
        ("pprof", "application/octet-stream", Some("fgprof.pb.gz"), &b"\x1f\x8b"[..]),
        ("folded", "text/plain; charset=utf-8", None, b""),
        ("flamegraph", "image/svg+xml", None, b"<svg"),
        ("json", "application/json", None, b"{"),
        ("raw", "application/octet-stream", Some("fgprof.fgspy"), b""),
    ] {
        let reply = server.get(&format!("/debug/fgprof?seconds=0.1&format={format}"));
        assert_eq!((reply.status, reply.header("content-type")), (200, Some(media_type)), "{format}");
        assert!(reply.body.starts_with(start) && reply.body.len() > 1000, "{format}: {} bytes", reply.body.len());
        let disposition = file.map(|file| format!("attachment; filename=\"{file}\""));
        assert_eq!(reply.header("content-disposition"), disposition.as_deref(), "{format}");
        assert_eq!(reply.header("cache-control"), Some("no-store"));
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
    }
}

/// The time adds up: nothing in the zoo starts or ends while it is recorded.
#[test]
fn a_recording_stands_for_all_goroutines_and_the_time_asked_for() {
    let (fixture, kinds) = zoo();
    let server = Server::of(fixture.pid());
    let profile = server.text("/debug/fgprof?seconds=0.5&format=json");
    let profile: serde_json::Value = serde_json::from_str(&profile).unwrap();
    let samples = profile["samples"].as_array().unwrap();
    let goroutines: BTreeSet<u64> = samples.iter().map(|s| s["goroutine"].as_u64().unwrap()).collect();
    for kind in &kinds {
        assert!(goroutines.contains(&kind.goid), "{kind:?}");
    }
    let duration = profile["duration_ns"].as_u64().unwrap();
    assert!(duration >= 500_000_000, "{duration}");
    let total: u64 = samples.iter().map(|s| s["time_ns"].as_u64().unwrap()).sum();
    assert_eq!(total, duration * goroutines.len() as u64);
}

#[test]
fn nonsense_is_answered_with_a_status_and_a_sentence() {
    let (fixture, _) = zoo();
    let server = Server::of(fixture.pid());
    for (path, status, sentence) in [
        ("/debug/fgprof?seconds=ten", 400, "`seconds` must be a number above 0 and at most 3600; it is `ten`\n"),
        ("/debug/fgprof?seconds=0", 400, "`seconds` must be a number above 0 and at most 3600; it is `0`\n"),
        ("/debug/pprof/goroutine?debug=x", 400, "`debug` must be 0, 1 or 2; it is `x`\n"),
        (
            "/debug/pprof/heap",
            404,
            "there is nothing here; there are /debug/fgprof, /debug/pprof/goroutine and /debug/pprof/profile\n",
        ),
    ] {
        let reply = server.get(path);
        assert_eq!((reply.status, reply.text().as_str()), (status, sentence), "{path}");
        assert_eq!(reply.header("content-type"), Some("text/plain; charset=utf-8"));
    }
    // `go tool pprof` shows the sentence to its user.
    let output = target::pprof_output(&["-top", &server.url("/debug/fgprof?format=zip")]);
    assert!(!output.status.success());
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("server response: 400 Bad Request - there is no `format` called `zip`;"), "{stderr}");

    let reply = Reply::read(server.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"));
    assert_eq!((reply.status, reply.text().as_str()), (405, "only GET is supported\n"));
    let long = format!("GET /?{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "x".repeat(20_000));
    let reply = Reply::read(server.send(&long));
    assert!([414, 431].contains(&reply.status), "{reply:?}");
}

#[test]
fn a_server_on_loopback_answers_only_to_its_own_names() {
    let (fixture, _) = zoo();
    let server = Server::of(fixture.pid());
    let status = |headers: &str| Reply::read(server.ask("/", headers)).status;
    for host in ["localhost", "localhost:6061", "127.0.0.1", "[::1]:6061"] {
        assert_eq!(status(&format!("Host: {host}\r\n")), 200, "{host}");
    }
    for host in ["evil.example", "evil.example:6061", "localhost.evil.example"] {
        assert_eq!(status(&format!("Host: {host}\r\n")), 403, "{host}");
    }
    assert_eq!(status("Host: localhost\r\nSec-Fetch-Site: cross-site\r\n"), 403);
    assert!(!server.said().contains("Warning"), "{}", server.said());

    let server = Server::listening(fixture.pid(), "0.0.0.0:0");
    assert_eq!(Reply::read(server.ask("/", "Host: checkout.internal\r\n")).status, 200);
    let warning = format!("Warning: anyone who can reach 0.0.0.0:{} can read", server.address.port());
    wait_until("the warning is there", || Ok(server.said().contains(&warning))).unwrap();
}

#[test]
fn the_index_leads_to_everything() {
    let (fixture, _) = zoo();
    let server = Server::of(fixture.pid());
    let page = server.text("/");
    assert!(page.contains(&format!("process {}: ", fixture.pid())), "{page}");
    let links: Vec<&str> = page.split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert_eq!(links.len(), 5);
    for link in links {
        let short = link.replace("&amp;", "&").replace("seconds=30", "seconds=0.1").replace("seconds=5", "seconds=0.1");
        assert_eq!(server.get(&short).status, 200, "{link}");
    }
    assert_eq!(server.text("/debug/pprof/"), page);
}

#[test]
fn too_many_recordings_are_refused_and_a_client_that_leaves_ends_its_own() {
    let (fixture, _) = zoo();
    let server = Server::of(fixture.pid());
    let clients: Vec<_> = (0..4).map(|_| server.ask("/debug/fgprof?seconds=3600", "Host: localhost\r\n")).collect();
    let mut refusal = server.get("/debug/fgprof?seconds=0.01");
    wait_until("all four are recorded for", || {
        if refusal.status == 200 {
            refusal = server.get("/debug/fgprof?seconds=0.01");
        }
        Ok(refusal.status != 200)
    })
    .unwrap();
    let expected = "4 recordings are under way, which is the limit; try again later\n";
    assert_eq!((refusal.status, refusal.text().as_str()), (503, expected));
    // Looking is still possible.
    assert_eq!(server.get("/debug/pprof/goroutine?debug=1").status, 200);
    drop(clients);
    wait_until("there is room again", || Ok(server.get("/debug/fgprof?seconds=0.01").status == 200)).unwrap();
}

#[test]
fn half_a_request_is_given_up_on() {
    let (fixture, _) = zoo();
    let server = Server::of(fixture.pid());
    let mut stream = server.send("GET / HTTP/1.1\r\nHost: local");
    let mut rest = Vec::new();
    // The server closes the connection, perhaps after a 408; else this fails after a minute.
    stream.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&rest));
}

/// A long recording that is surely under way: a short one, asked for later, has come to its end.
fn under_way(server: &Server) -> std::net::TcpStream {
    let stream = server.ask("/debug/fgprof?seconds=3600&format=json", "Host: localhost\r\n");
    assert_eq!(server.get("/debug/fgprof?seconds=0.3").status, 200);
    stream
}

#[test]
fn a_signal_ends_the_server_and_what_was_recorded_is_delivered() {
    let (fixture, _) = zoo();
    for signal in [Signal::INT, Signal::TERM] {
        let server = Server::of(fixture.pid());
        let recording = under_way(&server);
        let idle = server.send("");
        server.signal(signal);
        let reply = Reply::read(recording);
        assert_eq!(reply.status, 200);
        let profile: serde_json::Value = serde_json::from_str(&reply.text()).unwrap();
        assert!(profile["duration_ns"].as_u64().unwrap() < 3_600_000_000_000);
        assert!(!profile["samples"].as_array().unwrap().is_empty());
        assert_eq!(server.wait().0, Some(0));
        drop(idle);
    }
    // Its target did not notice.
    assert!(fixture.end().unwrap().0.success());
}

#[test]
fn the_server_ends_with_its_target() {
    let (fixture, _) = zoo();
    let server = Server::of(fixture.pid());
    let recording = under_way(&server);
    fixture.signal(Signal::KILL);
    let reply = Reply::read(recording);
    assert_eq!(reply.status, 200, "{}", reply.text());
    let remark = "the target exited; this is what was recorded until then";
    assert!(reply.text().contains(remark), "{}", reply.text());
    let (code, said) = server.wait();
    assert_eq!(code, Some(0), "{said}");
    let last = format!("Process {} has exited, so there is nothing left to serve.", fixture.pid());
    assert_eq!(said.lines().last(), Some(last.as_str()), "{said}");
}

#[test]
fn a_target_that_becomes_another_program_is_served_on() {
    let toolchain = toolchains::newest().unwrap();
    let zoo = build("zoo", &toolchain, Variant::Stripped).unwrap();
    let mut target = Target::spawn(&toolchain, &[], &[]);
    let server = Server::of(target.fixture.pid());
    assert!(server.text("/debug/pprof/goroutine?debug=2").contains("main.chooseOne"));

    let recording = under_way(&server);
    target.fixture.tell(&format!("exec {} nothing", zoo.display())).unwrap();
    let reply = Reply::read(recording);
    assert_eq!(reply.status, 200);
    assert!(reply.text().contains("the target replaced its program by another (exec)"), "{}", reply.text());
    while target.fixture.line().unwrap() != "ready" {}
    let dump = server.text("/debug/pprof/goroutine?debug=2");
    assert!(dump.contains("main.kindChanReceive") && !dump.contains("main.chooseOne"), "{dump}");
    assert_eq!(server.get("/debug/fgprof?seconds=0.1").status, 200);
}

#[test]
fn a_target_that_becomes_no_go_program_is_unavailable_until_it_exits() {
    let mut target = Target::spawn(&toolchains::newest().unwrap(), &[], &[]);
    let pid = target.fixture.pid();
    let server = Server::of(pid);
    target.fixture.tell("exec /bin/sleep 1000").unwrap();
    wait_until("it is another program", || {
        Ok(std::fs::read_link(format!("/proc/{pid}/exe"))?.file_name().is_some_and(|name| name != "self"))
    })
    .unwrap();
    let mut reply = server.get("/debug/pprof/goroutine");
    // While it is between the two, it may be neither.
    wait_until("it is seen as what it is", || {
        reply = server.get("/debug/pprof/goroutine");
        Ok(reply.text().contains("not a Go executable"))
    })
    .unwrap();
    assert_eq!(reply.status, 503);
    target.fixture.signal(Signal::KILL);
    assert_eq!(server.wait().0, Some(0));
}

#[test]
fn what_cannot_be_served_is_said_at_once() {
    let (fixture, _) = zoo();
    let pid = fixture.pid().to_string();
    let serve = |arguments: &[&str]| {
        let output = fgspy().arg("serve").args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let own = std::process::id().to_string();
    let (code, said) = serve(&["-p", &own]);
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains("not a Go executable"), "{said}");
    let (code, said) = serve(&["-p", "4194305"]);
    assert_eq!(code, Some(3), "{said}");
    let server = Server::of(fixture.pid());
    let (code, said) = serve(&["-p", &pid, "--listen", &server.address.to_string()]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("choose another address with --listen"), "{said}");
}
