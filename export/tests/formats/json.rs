//! The JSON schema, byte for byte.

use crate::common::{shop, text};
use fgspy_export::Format;

#[test]
fn the_schema_is_that_of_version_1() {
    let expected = r#"{
  "format": "fgspy-profile",
  "version": 1,
  "target": {"pid":4242,"executable":"/srv/shop","command":["shop","-v"],"go_version":"go1.27.3","build_id":"b1d","arch":"amd64"},
  "start_unix_ns": 1790000000000000000,
  "duration_ns": 500000000,
  "totals": {"time_ns":1000000000,"average_goroutines":2.0,"by_class_ns":{"running":340000000,"running off cpu":10000000,"runnable":0,"syscall":50000000,"mutex":600000000,"sync":0,"network":0,"chan":0,"select":0,"sleep":0,"gc":0,"other":0},"by_class_95_ns":{"running":12752558,"running off cpu":18842955,"runnable":0,"syscall":41787340,"mutex":46407157,"sync":0,"network":0,"chan":0,"select":0,"sleep":0,"gc":0,"other":0},"serving":null},
  "accounting": {"rate_hz":100.0,"ticks":50,"late_ticks":1,"squared_intervals_us2":5000000000,"accepted":100,"proven":60,"changed":2,"torn":1,"broken":3,"unmapped":4,"spread_ns":100000000,"unplaced_ns":40000000,"cpu_samples":34,"cpu_samples_lost":5,"expected_ns":1000000000,"goroutine_ticks":109,"own_cpu_ns":7000000,"first_look_ns":2000000,"max_cpu":0.01,"remarks":["no permission for perf_event_open"]},
  "frames": [
    {"function":"example.com/shop/cart.sum","file":"/src/cart/cart.go","line":42,"start_line":40,"address":"0x3000","inlined":true},
    {"function":"example.com/shop/cart.(*Cart).Price","file":"/src/cart/cart.go","line":22,"start_line":20,"address":"0x3000","inlined":false},
    {"function":"main.main","file":"/src/main.go","line":12,"start_line":10,"address":"0x2000","inlined":false},
    {"function":"sync.(*Mutex).Lock","file":"/go/sync/mutex.go","line":61,"start_line":60,"address":"0x4000","inlined":false},
    {"function":"example.com/shop/cart.(*Cart).Price","file":"/src/cart/cart.go","line":24,"start_line":20,"address":"0x3010","inlined":false},
    {"function":"libc.read","file":"","line":0,"start_line":0,"address":"0x7f0000000000","inlined":false},
    {"function":"[running: no perf_event permission]","file":"","line":0,"start_line":0,"address":"0x0","inlined":false}
  ],
  "stacks": [
    [0,1,2],
    [3,4,2],
    [5,2],
    [6]
  ],
  "samples": [
    {"stack":0,"goroutine":1,"state":"running","wait_reason":"","class":"running","labels":{"empty":"","state":"gold","tenant":"acme"},"creator":null,"serving":"unknown","idle":"","request":null,"count":30,"time_ns":300000000,"standard_error_ns":0},
    {"stack":1,"goroutine":2,"state":"waiting","wait_reason":"sync.Mutex.Lock","class":"mutex","labels":{},"creator":2,"serving":"unknown","idle":"","request":null,"count":50,"time_ns":500000000,"standard_error_ns":0},
    {"stack":1,"goroutine":3,"state":"waiting","wait_reason":"sync.Mutex.Lock","class":"mutex","labels":{},"creator":2,"serving":"unknown","idle":"","request":null,"count":10,"time_ns":100000000,"standard_error_ns":0},
    {"stack":2,"goroutine":2,"state":"syscall","wait_reason":"","class":"syscall","labels":{},"creator":2,"serving":"unknown","idle":"","request":null,"count":5,"time_ns":50000000,"standard_error_ns":0},
    {"stack":3,"goroutine":4,"state":"running","wait_reason":"","class":"running","labels":{},"creator":2,"serving":"unknown","idle":"","request":null,"count":4,"time_ns":40000000,"standard_error_ns":3000000},
    {"stack":0,"goroutine":3,"state":"running off cpu","wait_reason":"","class":"running off cpu","labels":{},"creator":2,"serving":"unknown","idle":"","request":null,"count":1,"time_ns":10000000,"standard_error_ns":0}
  ],
  "routes": [
  ],
  "requests": [
  ]
}
"#;
    assert_eq!(text(&shop(), Format::Json), expected);
}
