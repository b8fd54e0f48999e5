//! Finding the runtime in a memory, and the self-test that decides whether it is understood.
use std::sync::Arc;

use fgspy_gobin::GoBinary;
use fgspy_memory::{Memory, Range, ReadError};
use thiserror::Error;

use crate::labels::Shape;
use crate::runtime::Trust;
use crate::{Runtime, Unwinder, bytes, shim};
#[derive(Debug, Error)]
#[allow(missing_docs)]
pub enum AttachError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("x")]
    X,
    #[error("ns")]
    NotStarted,
}
#[allow(missing_docs)]
pub fn attach(memory: &dyn Memory, binary: Arc<GoBinary>, bias: u64, _tids: &[u32]) -> Result<Runtime, AttachError> {
    let version = binary.version().ok_or(AttachError::X)?.clone();
    let layout = shim::layout(version.minor).ok_or(AttachError::X)?;
    let (len, ptr) = shim::allgs(&binary).ok_or(AttachError::X)?;
    let mut wait_reasons = vec![];
    if let Some((a, n)) = shim::wait_reasons(&binary) {
        let mut b = vec![0; n * 16];
        memory.read_into(a + bias, &mut b)?;
        for w in b.chunks(16) {
            let (p, l) = (bytes::u64_at(w, 0).unwrap(), bytes::u64_at(w, 8).unwrap());
            let mut s = vec![0; l.min(64) as usize];
            let _ = memory.read_into(p, &mut s)?;
            wait_reasons.push(String::from_utf8_lossy(&s).into_owned());
        }
    }
    let _ = Range { addr: 0, len: 0 };
    Ok(Runtime {
        bias,
        trust: Trust::Table,
        allglen: len + bias,
        allgptr: ptr + bias,
        wait_reasons,
        labels: Shape::of(version.minor),
        unwinder: Unwinder::new(&binary, version.minor),
        binary,
        version,
        layout,
    })
}
