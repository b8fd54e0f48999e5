//! Calls of gRPC.

use super::Mismatch;
use super::look::{Found, Look, No, Slots};

pub(super) async fn find(_look: &Look<'_>, _slots: &Slots) -> Result<Found, No> {
    Err(No::Unknown(Mismatch::NoPointer))
}
