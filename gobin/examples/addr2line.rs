//! Which source lines code addresses of a Go executable belong to, stripped or not, with inlined calls:
//!
//!     cargo run -p fgspy-gobin --example addr2line -- EXECUTABLE 0x47e2a0...

use std::error::Error;
use std::fs;

use fgspy_gobin::GoBinary;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("usage: addr2line EXECUTABLE ADDRESS...")?;
    let binary = GoBinary::parse(Box::new(fs::read(path)?))?;
    for address in arguments {
        let vaddr = u64::from_str_radix(address.trim_start_matches("0x"), 16)?;
        let mut frames = Vec::new();
        binary.source_frames(vaddr, &mut frames);
        for frame in &frames {
            let inlined = if frame.inlined { " (inlined)" } else { "" };
            println!("{address} {}{inlined}\n    {}:{}", frame.function, frame.file, frame.line);
        }
        if frames.is_empty() {
            println!("{address} is in no function");
        }
    }
    Ok(())
}
