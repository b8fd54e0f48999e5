//! What the formats say of requests.

use fgspy_export::{Format, summary};
use fgspy_profile::{GroupBy, Idle, Serving, StringId, group};
use serde_json::{Value, json};

use crate::common::{MS, TRACE, profile, running, service, shop, text};
use crate::pprof::{pprof, samples};
use crate::tools;

#[test]
fn pprof_samples_carry_their_requests() {
    let got: Vec<(i64, String)> =
        samples(&pprof(&service())).into_iter().map(|(_, values, labels)| (values[1] / MS as i64, labels)).collect();
    let wait = "state=waiting wait_reason=IO wait";
    let expected = [
        // The target's own labels win over ours, but not where they are empty.
        (1, format!("{wait} span_id=00f067aa0ba902b7 http.method=GET http.route=mine idle=never trace_id=theirs")),
        (
            2,
            format!(
                "state=running trace_id={TRACE} span_id=00f067aa0ba902b7 http.method=GET http.route=GET /orders/{{id}}"
            ),
        ),
        (4, format!("{wait} http.method=GET http.route=GET /orders/{{id}}")),
        (8, format!("{wait} http.method=POST http.route=POST /login")),
        (16, format!("{wait} request_id=r-1 rpc.method=/shop.Orders/Get")),
        (32, format!("{wait} idle=connection")),
        (64, format!("{wait} idle=accepting")),
        (128 + 256, wait.to_owned()),
    ];
    assert_eq!(got, expected);
}

#[test]
fn requests_that_pprof_cannot_tell_apart_are_one() {
    let mut alike = service();
    for request in &mut alike.requests {
        [request.method, request.route, request.path] = [StringId(0); 3];
        [request.trace_id, request.span_id, request.request_id] = [StringId(0); 3];
    }
    let times: Vec<i64> = samples(&pprof(&alike)).iter().map(|(_, values, _)| values[1] / MS as i64).collect();
    assert_eq!(times, [1, 2, 4 + 8 + 16, 32, 64, 128 + 256], "what served one request and what served another");
}

#[test]
fn go_tool_pprof_slices_by_request() {
    let test = "go_tool_pprof_slices_by_request";
    let total = |filter: &str| {
        let top = tools::pprof(test, &service(), &["-top", filter])?;
        let line = top.lines().find(|line| line.starts_with("Showing nodes")).unwrap_or("nothing").to_owned();
        Some(line.trim_start_matches("Showing nodes accounting for ").split(',').next().unwrap().to_owned())
    };
    let Some(of_trace) = total(&format!("-tagfocus=trace_id={TRACE}")) else { return };
    assert_eq!(of_trace, "2ms");
    let sum = |filter: &str| total(filter).unwrap();
    assert_eq!(sum("-tagfocus=http.route=GET /orders/{id}"), "6ms");
    assert_eq!(sum("-tagfocus=http.route=/orders/"), "6ms");
    assert_eq!(sum("-tagfocus=http.method=POST"), "8ms");
    assert_eq!(sum("-tagfocus=rpc.method=/shop.Orders/Get"), "16ms");
    assert_eq!(sum("-tagfocus=request_id=r-1"), "16ms");
    assert_eq!(sum("-tagfocus=span_id=00f067aa0ba902b7"), "3ms");
    assert_eq!(sum("-tagfocus=idle=^connection$"), "32ms");
    assert_eq!(sum("-tagignore=idle=."), "414ms");
    assert_eq!(sum("-tagignore=idle=accepting|connection"), "415ms");
    let roots = tools::pprof(test, &service(), &["-top", "-cum", "-tagroot=http.route"]).unwrap();
    let of_route = roots.lines().find(|line| line.ends_with(" GET /orders/{id}")).unwrap_or_else(|| panic!("{roots}"));
    assert!(of_route.split_whitespace().any(|cumulated| cumulated == "6ms"), "{of_route}");
}

#[test]
fn json_has_requests_routes_and_whose_time_is_whose() {
    let json: Value = serde_json::from_str(&text(&service(), Format::Json)).unwrap();
    let ms = |time: u64| time * MS;
    assert_eq!(
        json["totals"]["serving"],
        json!({
            "requests": 4, "routes": 3, "request_ns": ms(31), "idle_ns": ms(96),
            "by_idle_ns": {"accepting": ms(64), "connection": ms(32), "transport": 0, "worker": 0},
            "nothing_ns": ms(128), "unknown_ns": ms(256),
        })
    );
    let serving: Vec<Value> = json["samples"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| json!([row["serving"], row["idle"], row["request"]]))
        .collect();
    assert_eq!(
        Value::from(serving),
        json!([
            ["request", "", 0],
            ["request", "", 0],
            ["request", "", 1],
            ["request", "", 2],
            ["request", "", 3],
            ["idle", "connection", null],
            ["idle", "accepting", null],
            ["nothing", "", null],
            ["unknown", "", null],
        ])
    );
    let routes: Vec<Value> = json["routes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            json!([
                row["route"],
                row["requests"],
                row["time_ns"],
                row["by_class_ns"]["running"],
                row["by_class_ns"]["network"]
            ])
        })
        .collect();
    assert_eq!(
        Value::from(routes),
        json!([
            ["/shop.Orders/Get", 1, ms(16), 0, ms(16)],
            ["POST /login", 1, ms(8), 0, ms(8)],
            ["GET /orders/{id}", 2, ms(7), ms(2), ms(5)],
        ])
    );
    assert_eq!(
        json["requests"][0],
        json!({
            "protocol": "http/1", "method": "GET", "path": "/orders/17", "pattern": "GET /orders/{id}",
            "route": "GET /orders/{id}", "trace_id": TRACE, "span_id": "00f067aa0ba902b7", "request_id": "",
            "goroutine": 7, "first_ns": 10, "last_ns": 40, "at_least_ns": 20, "at_most_ns": 41,
            "spans": [{"from_ns": 10, "to_ns": 30, "goroutine": 7, "state": "waiting", "wait_reason": "IO wait"}],
        })
    );
    let protocols: Vec<&Value> = json["requests"].as_array().unwrap().iter().map(|row| &row["protocol"]).collect();
    assert_eq!(protocols, ["http/1", "http/1", "http/2", "grpc"]);
}

#[test]
fn routes_say_what_their_time_is_made_of_and_how_sure_that_is() {
    let mut profile = service();
    // Where goroutines are not kept apart, all of them serve.
    profile.samples.iter_mut().for_each(|sample| (sample.goid, sample.count) = (0, sample.time_ns / MS));
    let lines = summary::routes(&profile);
    let all = summary::lines(&profile);
    let of_lines: Vec<&str> = all[3..6].iter().map(|line| line.strip_prefix("route ").unwrap()).collect();
    assert_eq!(of_lines, lines);
    let json: Value = serde_json::from_str(&text(&profile, Format::Json)).unwrap();
    assert_eq!(lines.len(), 3);
    for (line, row) in lines.iter().zip(json["routes"].as_array().unwrap()) {
        let (name, rest) = line.split_once(": ").unwrap();
        assert_eq!(row["route"], name);
        let (_, phases) = rest.split_once("; ").unwrap();
        let own = &row["own"];
        assert!(own["time_ns"].as_u64().unwrap() <= row["time_ns"].as_u64().unwrap(), "without what they started");
        for phase in phases.split(" · ") {
            let (phase, error) = phase.split_once(" ±").unwrap();
            let (word, share) = phase.rsplit_once(' ').unwrap();
            let said = &own["by_state"][if word == "on-CPU" { "on_cpu" } else { word }];
            let number = |key: &str| said[key].as_f64().unwrap();
            assert_eq!(format!("{:.1}%", 100.0 * number("share")), share, "{line}");
            let half = (number("high") - number("share")).max(number("share") - number("low"));
            assert_eq!(format!("{:.1}", 100.0 * half), error, "{line}");
        }
    }
    // Of the two requests on this route one waits for the network, one does that and computes.
    let orders = lines.iter().find(|line| line.starts_with("GET /orders/{id}: ")).unwrap();
    assert!(orders.contains("; network ") && orders.contains(" · on-CPU "), "{orders}");
    profile.strings.iter_mut().for_each(|string| *string = string.replace("GET /orders", "GET\n/orders"));
    assert!(summary::routes(&profile).iter().any(|line| line.starts_with("GET?/orders/{id}: ")));
}

#[test]
fn a_line_says_whose_time_is_whose_if_anything_is_known() {
    let line = "requests: 4 seen on 3 routes; 6.1% of goroutine time in requests, 18.8% idle connections and workers, \
                50.1% unknown";
    assert_eq!(summary::requests(&service()).as_deref(), Some(line));
    assert_eq!(summary::lines(&service())[2], line);
    assert_eq!(summary::requests(&shop()), None);
    let mut idle = profile(&[running(&["f"], 10)]);
    idle.samples[0].serving = Serving::Nothing;
    assert_eq!(summary::requests(&idle), None, "it is no server");
    idle.samples[0].serving = Serving::Idle(Idle::Accepting);
    assert_eq!(
        summary::requests(&idle).as_deref(),
        Some(
            "requests: none was seen; 0% of goroutine time in requests, 100.0% idle connections and workers, 0% unknown"
        )
    );
    let svg = text(&service(), Format::FlameGraph);
    assert_eq!(svg.matches(">route GET /orders/{id}: ").count(), 1);
    assert_eq!(svg.matches(" seen on 3 routes; ").count(), 1, "above the boxes, and not below them again");
    assert!(svg.contains(">Requests: 4 seen on 3 routes; 6.1% of goroutine time in requests"), "{svg}");
}

#[test]
fn what_stacks_are_grouped_by_is_in_every_format() {
    let grouped = group(&service(), GroupBy::Route);
    assert_eq!(
        text(&grouped, Format::Folded),
        "[request not known];main;[IO wait] 256000\n\
         [not in a request];main;[IO wait] 128000\n\
         [idle: accepting];main;[IO wait] 64000\n\
         [idle: connection];main;[IO wait] 32000\n\
         /shop.Orders/Get;main;[IO wait] 16000\n\
         POST /login;main;[IO wait] 8000\n\
         GET /orders/{id};main;[IO wait] 5000\n\
         GET /orders/{id};main;[running] 2000\n"
    );
    assert!(text(&grouped, Format::FlameGraph).contains(">GET /orders/{id}"));
    assert_eq!(samples(&pprof(&grouped))[1].0, "main:0<GET /orders/{id}:0");
}
