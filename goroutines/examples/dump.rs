//! Every goroutine of a running Go program, without pausing it:
//!
//!     cargo run -p fgspy-goroutines --example dump -- PID

use std::error::Error;

use fgspy_goroutines::{GoProcess, census, symbolize};

fn main() -> Result<(), Box<dyn Error>> {
    let pid = std::env::args().nth(1).ok_or("usage: dump PID")?.parse()?;
    let GoProcess { runtime, memory, .. } = GoProcess::open(pid)?;
    for goroutine in census(&runtime, &memory)? {
        println!("goroutine {} [{}]:", goroutine.g.goid, runtime.doing(goroutine.status, goroutine.g.wait_reason));
        for line in symbolize::frames(&runtime, goroutine.stack.pcs(), false).iter().flat_map(|frame| &frame.lines) {
            println!("    {}\n        {}:{}", line.function, line.file, line.line);
        }
    }
    Ok(())
}
