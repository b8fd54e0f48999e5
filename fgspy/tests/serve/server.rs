//! A running `fgspy serve`, and a client for it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use fgspy_fixtures::{Signal, wait_until};
use rustix::process::{Pid, kill_process};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The program under test.
pub(crate) fn fgspy() -> Command {
    let given = std::env::var_os("FGSPY_BIN").map(PathBuf::from);
    Command::new(given.unwrap_or_else(|| env!("CARGO_BIN_EXE_fgspy").into()))
}

/// A running server. It is killed when this is dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    said: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

/// What a server answered.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: String,
    pub(crate) body: Vec<u8>,
}

impl Server {
    /// Serves a process on a free port of loopback.
    pub(crate) fn of(pid: u32) -> Server {
        Server::listening(pid, "127.0.0.1:0")
    }

    pub(crate) fn listening(pid: u32, address: &str) -> Server {
        let mut command = fgspy();
        command.args(["serve", "-p", &pid.to_string(), "--listen", address]);
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut greeting = String::new();
        let address = loop {
            assert_ne!(stderr.read_line(&mut greeting).unwrap(), 0, "fgspy serve ended: {greeting}");
            let url = greeting.lines().last().unwrap().trim();
            if let Some(address) = url.strip_prefix("http://").and_then(|rest| rest.strip_suffix('/')) {
                break address.parse().unwrap();
            }
        };
        let said = Arc::new(Mutex::new(greeting));
        let reader = std::thread::spawn({
            let said = Arc::clone(&said);
            move || stderr.lines().map_while(Result::ok).for_each(|line| *said.lock().unwrap() += &(line + "\n"))
        });
        Server { child, address, said, reader: Some(reader) }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// What it has written to standard error so far.
    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// Opens a connection and sends the head of a request.
    pub(crate) fn ask(&self, path: &str, headers: &str) -> TcpStream {
        self.send(&format!("GET {path} HTTP/1.1\r\n{headers}\r\n"))
    }

    pub(crate) fn send(&self, bytes: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(bytes.as_bytes()).unwrap();
        stream
    }

    /// Asks, and waits for the reply.
    pub(crate) fn get(&self, path: &str) -> Reply {
        Reply::read(self.ask(path, "Host: localhost\r\n"))
    }

    /// The text of a reply that is expected to be 200.
    pub(crate) fn text(&self, path: &str) -> String {
        let reply = self.get(path);
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        reply.text()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for its end. Gives its exit code and all that it wrote to standard error.
    pub(crate) fn wait(mut self) -> (Option<i32>, String) {
        let mut status = None;
        wait_until("the server has ended", || {
            status = self.child.try_wait()?;
            Ok(status.is_some())
        })
        .unwrap();
        self.reader.take().unwrap().join().unwrap();
        (status.unwrap().code(), self.said())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Reply {
    /// Reads the reply to what was asked on a connection, up to its end.
    pub(crate) fn read(mut stream: TcpStream) -> Reply {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a reply has a head");
        let body = bytes.split_off(end + 4);
        let head = String::from_utf8(bytes).unwrap().to_ascii_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let reply = Reply { status, headers: head, body };
        assert_eq!(reply.header("content-length"), Some(reply.body.len().to_string().as_str()), "{reply:?}");
        reply
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }
}
