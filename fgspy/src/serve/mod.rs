//! `fgspy serve`: what net/http/pprof and fgprof serve, for a program that imports neither.

mod answer;
mod ending;
mod goroutines;
mod guard;
mod index;
mod jobs;
mod request;
mod server;
mod target;

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use fgspy_goroutines::GoProcess;
use fgspy_sampler::{Options, Stop};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::args::serve::ServeArgs;
use crate::exit::{Context, Failure};
use crate::signals;
use crate::terminal::message::print_message;
use ending::End;
use jobs::Jobs;
use target::Watched;

/// How often the target is looked at, to notice its exit.
const WATCH: Duration = Duration::from_millis(200);

/// Serves a process until it exits or a signal ends the server.
pub(crate) fn run(args: &ServeArgs) -> Result<(), Failure> {
    let process = args.runtime.open(args.pid)?;
    let stop = signals::stop_on_signal()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    let listener = runtime.block_on(TcpListener::bind(args.listen)).with_context(|| {
        format!("{} cannot be listened on (choose another address with --listen ADDRESS:PORT)", args.listen)
    })?;
    let address = listener.local_addr()?;
    greet(&process, address);
    let watched = Arc::new(Watched::new(process, args.runtime.clone()));
    let (tell, ending) = watch::channel(None);
    let watcher = {
        let watched = Arc::clone(&watched);
        move || tell.send_replace(Some(watch_for_end(&watched, &stop)))
    };
    thread::Builder::new().name("watcher".into()).spawn(watcher)?;
    let pid = watched.pid();
    let options = Options { requests: args.requests.options(), ..args.limits.options() };
    let jobs = Jobs::new(watched, options, args.route.clone(), ending.clone());
    let end = runtime.block_on(server::serve(listener, jobs, ending));
    // Jobs that still run have been stopped, and their clients are gone.
    runtime.shutdown_background();
    if end == End::TargetExited {
        print_message(format_args!("Process {pid} has exited, so there is nothing left to serve."));
    }
    Ok(())
}

/// Waits until there is a reason to end.
fn watch_for_end(watched: &Watched, stop: &Stop) -> End {
    loop {
        if stop.sleep(WATCH) {
            return End::Asked;
        }
        if watched.has_exited() {
            return End::TargetExited;
        }
    }
}

/// Says what is served and how to get it.
fn greet(process: &GoProcess, address: SocketAddr) {
    let url = format!("http://{}", reachable(address));
    print_message(format_args!(
        "Serving process {} ({:?}, {}) until it exits or Ctrl-C.\n  \
         {url}/\n  \
         where its time goes:  go tool pprof '{url}/debug/fgprof?seconds=5'\n  \
         its goroutines now:   go tool pprof {url}/debug/pprof/goroutine\n  \
         the same as text:     curl '{url}/debug/pprof/goroutine?debug=2'",
        process.process.pid(),
        process.process.exe_path(),
        process.runtime.version,
    ));
    let notes = fgspy_sampler::open_on_cpu(process.process.pid(), false).1;
    let held = process.process.held().map(|held| held.to_string());
    for remark in fgspy_sampler::remarks(process).into_iter().chain(held).chain(notes) {
        print_message(format_args!("Note: {remark}"));
    }
    if !guard::is_loopback(address) {
        print_message(format_args!(
            "Warning: anyone who can reach {address} can read the stacks, labels and requests of this process: there is no \
             password and no encryption.\n  To keep it to this machine, leave out --listen and forward a port: \
             ssh -L 6061:127.0.0.1:6061 HOST"
        ));
    }
}

/// An address to put into a URL: 0.0.0.0 is not an address to connect to; loopback leads to the same server.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_lead_somewhere() {
        let url = |address: &str| reachable(address.parse().unwrap()).to_string();
        assert_eq!(url("0.0.0.0:80"), "127.0.0.1:80");
        assert_eq!(url("[::]:80"), "[::1]:80");
        assert_eq!(url("10.1.2.3:80"), "10.1.2.3:80");
    }
}
