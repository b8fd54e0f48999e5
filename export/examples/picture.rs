//! Writes a made-up profile of a web shop, to look at the formats without a Go program at hand:
//! `cargo run -p fgspy-export --example picture -- shop.svg`

use std::error::Error;
use std::fs::File;
use std::path::Path;

use fgspy_export::Format;
use fgspy_profile::{Accounting, Builder, LocationId, Profile, SampleKey, Serving, State, Target};

/// Stacks, root first, with how many goroutines sit there on average and what they do; `run`, `off`, `ready` and `sys` are
/// states, anything else a wait reason. What stands in braces is one of several.
const STACKS: &str = "
net/http.(*conn).serve;bufio.(*Reader).Peek;bufio.(*Reader).fill;net/http.(*connReader).Read;net.(*conn).Read;net.(*netFD).Read;internal/poll.(*FD).Read;internal/poll.(*pollDesc).waitRead;internal/poll.runtime_pollWait;runtime.netpollblock;runtime.gopark|18|IO wait
HTTP;handle{Checkout,Cart,Search,Product};SQL{Begin,Query,Commit}|9|IO wait
HTTP;handle{Checkout,Cart,Search,Product};github.com/acme/shop/price.(*Engine).Quote;github.com/acme/shop/cache.(*LRU[...]).Get;sync.(*Mutex).Lock;internal/sync.(*Mutex).lockSlow;internal/sync.runtime_SemacquireMutex;runtime.goparkunlock;runtime.gopark|4|sync.Mutex.Lock
HTTP;handle{Checkout,Cart,Search,Product};github.com/acme/shop/price.(*Engine).Quote;github.com/acme/shop/price.{applyRules,taxes,rounding}|1.4|run
HTTP;handle{Checkout,Cart,Search,Product};encoding/json.(*Encoder).Encode;encoding/json.(*encodeState).marshal;encoding/json.structEncoder.encode;encoding/json.{stringEncoder,arrayEncoder.encode,mapEncoder.encode,(*encodeState).reflectValue}|1.1|run
HTTP;handle{Checkout,Cart,Search,Product};encoding/json.(*Encoder).Encode;encoding/json.(*encodeState).marshal;encoding/json.structEncoder.encode;runtime.mallocgc;runtime.gcAssistAlloc;runtime.gopark|0.3|GC assist wait
HTTP;handle{Checkout,Cart,Search,Product};golang.org/x/sync/errgroup.(*Group).Wait;sync.(*WaitGroup).Wait;sync.runtime_SemacquireWaitGroup;runtime.gopark|2.2|sync.WaitGroup.Wait
HTTP;handle{Checkout,Cart,Search,Product};log/slog.(*Logger).Info;log/slog.(*JSONHandler).Handle;os.(*File).Write;internal/poll.(*FD).Write;syscall.Write;syscall.write;syscall.Syscall;internal/runtime/syscall.Syscall6|0.35|sys
HTTP;handle{Checkout,Cart};github.com/acme/shop/payment.(*Client).{Authorize,Capture};google.golang.org/grpc.(*ClientConn).Invoke;google.golang.org/grpc.(*clientStream).RecvMsg;google.golang.org/grpc/internal/transport.(*recvBufferReader).readClient;runtime.selectgo;runtime.gopark|3.1|select
golang.org/x/sync/errgroup.(*Group).Go.func1;github.com/acme/shop/search.(*Index).shard.func{1,2,3,4};github.com/acme/shop/search.{score,tokenize,(*postings).next}|0.9|run
golang.org/x/sync/errgroup.(*Group).Go.func1;github.com/acme/shop/search.(*Index).shard.func{1,2,3,4};github.com/acme/shop/search.{score,tokenize,(*postings).next}|0.25|ready
golang.org/x/sync/errgroup.(*Group).Go.func1;github.com/acme/shop/search.(*Index).shard.func{1,2,3,4};github.com/acme/shop/search.score|0.2|off
google.golang.org/grpc/internal/transport.newHTTP2Client.gowrap{1,2};google.golang.org/grpc/internal/transport.(*http2Client).reader;golang.org/x/net/http2.(*Framer).ReadFrame;io.ReadFull;bufio.(*Reader).Read;net.(*conn).Read;internal/poll.(*FD).Read;internal/poll.runtime_pollWait;runtime.gopark|4|IO wait
google.golang.org/grpc/internal/transport.newHTTP2Client.func6;google.golang.org/grpc/internal/transport.(*loopyWriter).run;google.golang.org/grpc/internal/transport.(*controlBuffer).get;runtime.selectgo;runtime.gopark|4|select
database/sql.(*DB).connectionOpener;runtime.selectgo;runtime.gopark|1|select
github.com/acme/shop/jobs.(*Pool).worker;github.com/acme/shop/jobs.(*Pool).next;runtime.chanrecv2;runtime.chanrecv;runtime.gopark|8|chan receive
github.com/acme/shop/jobs.(*Pool).worker;github.com/acme/shop/jobs.(*Pool).run;github.com/acme/shop/jobs.{sendMail,resizeImage,syncStock};github.com/acme/shop/jobs.retry;time.Sleep;runtime.gopark|2.4|sleep
github.com/acme/shop/metrics.Push.func1;runtime.chansend1;runtime.chansend;runtime.gopark|1|chan send
main.main;net/http.ListenAndServe;net/http.(*Server).Serve;net.(*TCPListener).Accept;internal/poll.(*FD).Accept;internal/poll.runtime_pollWait;runtime.gopark|1|IO wait
os/signal.loop;os/signal.signal_recv;runtime.notetsleepg|1|sys
runtime.gcBgMarkWorker;runtime.gopark|4|GC worker (idle)
runtime.bgsweep;runtime.goparkunlock;runtime.gopark|1|GC sweep wait
runtime.runfinq;runtime.gopark|1|finalizer wait
runtime.forcegchelper;runtime.goparkunlock;runtime.gopark|1|force gc (idle)
";

const HTTP: &str = "net/http.(*conn).serve;net/http.serverHandler.ServeHTTP;github.com/acme/shop/web.logging.func1;\
                    net/http.HandlerFunc.ServeHTTP;net/http.(*ServeMux).ServeHTTP;net/http.HandlerFunc.ServeHTTP";
const SQL: &str = "database/sql.(*Tx).{};database/sql.(*Stmt).QueryContext;github.com/jackc/pgx/v5.(*Conn).Query;\
                   github.com/jackc/pgx/v5/pgconn.(*PgConn).receiveMessage;net.(*conn).Read;internal/poll.(*FD).Read;\
                   internal/poll.runtime_pollWait;runtime.gopark";

const SECONDS: u64 = 10;

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("usage: picture FILE")?;
    let format = Format::from_path(Path::new(&path)).ok_or("the ending of FILE is none that stands for a format")?;
    fgspy_export::write(&shop(), format, &mut File::create(&path)?)?;
    Ok(())
}

fn shop() -> Profile {
    let target = Target {
        pid: 4242,
        executable: "/srv/checkout".into(),
        command: vec!["/srv/checkout".into(), "-listen=:8080".into()],
        go_version: "go1.27.3".into(),
        build_id: "8Jt1x9/abcdef".into(),
        arch: "amd64".into(),
        text: (0x40_1000, 0xc0_0000, 0x1000),
    };
    let mut builder = Builder::new(target, 1_790_000_000_000_000_000);
    let mut goid = 1;
    for line in STACKS.lines().filter(|line| !line.is_empty()) {
        let mut parts = line.split('|');
        let stack = parts.next().unwrap_or("").replace("HTTP;", &format!("{HTTP};"));
        let stack = stack.replace("handle", "github.com/acme/shop/web.(*Shop).handle");
        let stack = stack.replace("SQL{Begin,Query,Commit}", &SQL.replace("{}", "{Begin,Query,Commit}"));
        let goroutines: f64 = parts.next().and_then(|number| number.parse().ok()).unwrap_or(0.0);
        let activity = parts.next().unwrap_or("");
        for (stack, share) in alternatives(&stack) {
            let seconds = goroutines * share * SECONDS as f64;
            add(&mut builder, &stack, &mut goid, activity, (seconds * 1e9) as u64);
        }
    }
    let accounting = Accounting {
        rate_hz: 99.0,
        ticks: 989,
        late_ticks: 1,
        squared_intervals_us2: 9_000_000_000,
        accepted: 71_032,
        goroutine_ticks: 71_044,
        changed: 12,
        torn: 0,
        cpu_samples: 3_610,
        own_cpu_ns: 183_000_000,
        ..Accounting::default()
    };
    let mut profile = builder.finish(SECONDS * 1_000_000_000, accounting);
    profile.accounting.expected_ns = profile.total_time() + 1_000_000_000;
    profile
}

/// What a text with braces stands for, with falling shares that add up to 1.
fn alternatives(text: &str) -> Vec<(String, f64)> {
    let Some((before, rest)) = text.split_once('{') else { return vec![(text.to_owned(), 1.0)] };
    let Some((choice, after)) = rest.split_once('}') else { return vec![(text.to_owned(), 1.0)] };
    let choices: Vec<&str> = choice.split(',').collect();
    let whole: f64 = (1..=choices.len()).map(|rank| 1.0 / (rank * rank) as f64).sum();
    let mut all = Vec::new();
    for (index, choice) in choices.iter().enumerate() {
        let share = 1.0 / ((index + 1) * (index + 1)) as f64 / whole;
        let tails = alternatives(&format!("{choice}{after}"));
        all.extend(tails.into_iter().map(|(tail, part)| (format!("{before}{tail}"), share * part)));
    }
    all
}

fn add(builder: &mut Builder, stack: &str, goid: &mut u64, activity: &str, time_ns: u64) {
    let mut locations: Vec<LocationId> = stack.split(';').map(|name| frame(builder, name)).collect();
    locations.reverse();
    let (state, reason) = match activity {
        "run" => (State::Running, None),
        "off" => (State::RunningOffCpu, None),
        "ready" => (State::Runnable, None),
        "sys" => (State::Syscall, None),
        reason => (State::Waiting, Some(builder.string(reason))),
    };
    *goid += 1;
    let key = SampleKey {
        stack: builder.stack(&locations),
        goid: *goid,
        state,
        wait_reason: reason,
        labels: builder.labels(&[]),
        creator: None,
        serving: Serving::Unknown,
    };
    builder.add(key, time_ns / 10_101_010 + 1, time_ns);
}

fn frame(builder: &mut Builder, name: &str) -> LocationId {
    let hash = name.bytes().fold(7u32, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into()));
    let package = name.rsplit('/').next().and_then(|local| local.split('.').next()).unwrap_or("main");
    let function = builder.function(name, &format!("/src/{package}/{package}.go"), hash % 900 + 1);
    builder.location(u64::from(0x40_1000 + hash % 0x7f_0000), &[(function, hash % 900 + 12)])
}
