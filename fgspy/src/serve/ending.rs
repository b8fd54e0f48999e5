//! The end of the server, and how its parts learn of it.

use tokio::sync::watch;

/// Why the server ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Ctrl-C or another signal.
    Asked,
    /// There is nothing left to serve.
    TargetExited,
}

/// Receives the end of the server, once it is decided.
pub(super) type Ending = watch::Receiver<Option<End>>;

/// Waits for the end of the server.
pub(super) async fn end(ending: &mut Ending) -> End {
    match ending.wait_for(Option::is_some).await {
        Ok(end) => (*end).unwrap_or(End::Asked),
        // The sender is gone, and with it the server.
        Err(_) => End::Asked,
    }
}
