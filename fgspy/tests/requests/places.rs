//! What stands under a route is what its handler calls, in the report and in what `fgspy serve` answers.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};

use fgspy_fixtures::requests::{Load, Service};

use crate::common::{fgspy, newest, program};
use crate::report::watch;

/// Functions that the handler of one route calls, and that route (`fixtures/go/requests/own.go`).
const OWNERS: [(&str, &str); 7] = [
    ("main.ownBrief", "/own/brief"),
    ("main.ownLong", "/own/long"),
    ("main.ownNaps", "/own/naps"),
    ("main.ownNap", "/own/naps"),
    ("main.ownKernel", "/own/kernel"),
    ("main.ownDeep", "/own/deep"),
    ("main.ownMaps", "/own/maps"),
];
const PATHS: &str = "-paths=/own/brief,/own/long,/own/naps,/own/kernel,/own/deep,/own/maps";

/// The routes of these functions, if any of them belongs to one.
fn owners<'a>(functions: impl Iterator<Item = &'a str>) -> Vec<&'static str> {
    let routes = functions.filter_map(|name| OWNERS.iter().find(|(function, _)| *function == name));
    routes.map(|(_, route)| *route).collect()
}

/// `fgspy serve`, killed when this is dropped.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn of(pid: u32) -> Server {
        let mut command = fgspy();
        command.args(["serve", "-p", &pid.to_string(), "--listen", "127.0.0.1:0", "--max-cpu", "unlimited"]);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = lines.find_map(|line| {
            let line = line.unwrap();
            let rest = line.split_once("http://")?.1;
            Some(rest.split(['/', ' ']).next()?.to_owned())
        });
        std::thread::spawn(move || lines.for_each(drop));
        Server { child, address: address.expect("it says where it listens") }
    }

    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer:.200}");
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_function_that_one_route_calls_stands_under_no_other() {
    let binary = program("requests", &newest());
    let mut service = Service::start(&binary, &["-delay=20ms"], &[]).unwrap();
    let address = service.addresses.get_key_value("http1").unwrap();
    let mut load = Load::start(&binary, [address], &["-clients=3", PATHS]).unwrap();

    let report = watch(service.fixture.pid(), "4s");
    let mut found_ns = 0;
    for route in &report.routes {
        for place in &route.stacks {
            let owners = owners(place.frames.iter().map(String::as_str));
            let is_right = owners.iter().all(|owner| route.route.ends_with(owner));
            assert!(is_right, "{} has {:?} for {} ns", route.route, place.frames, place.time_ns);
            found_ns += if owners.is_empty() { 0 } else { place.time_ns };
        }
    }
    assert!(found_ns > 500_000_000, "only {found_ns} ns in functions of one route: this proves nothing");

    let server = Server::of(service.fixture.pid());
    let folded = server.get("/debug/fgprof?seconds=4&format=folded&group-by=route");
    let mut lines = 0;
    for line in folded.lines() {
        let (stack, _) = line.rsplit_once(' ').unwrap_or((line, ""));
        let owners = owners(stack.split(';'));
        let Some(group) = stack.split(';').next().filter(|_| !owners.is_empty()) else { continue };
        // Time of which the request is unknown is under no route.
        let is_unknown = group.starts_with('[');
        let is_right = owners.iter().all(|owner| group.ends_with(owner));
        assert!(is_right || is_unknown, "{line}");
        lines += u32::from(is_right);
    }
    assert!(lines >= 6, "only {lines} stacks in functions of one route: this proves nothing\n{folded}");
    load.must_run().unwrap();
    load.end().unwrap();
    service.log().unwrap();
}
