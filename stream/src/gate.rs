//! A gate before the writer: closed, it stands for a disk or a broker that stalls.

use tokio::sync::watch;

/// Open unless it is held.
#[derive(Debug)]
pub(crate) struct WriteGate {
    held: watch::Sender<bool>,
}

impl WriteGate {
    pub(crate) fn new() -> Self {
        Self {
            held: watch::Sender::new(false),
        }
    }

    /// Holds writes back, or lets them through.
    pub(crate) fn hold(&self, held: bool) {
        self.held.send_replace(held);
    }

    /// Waits until writes may pass.
    pub(crate) async fn passed(&self) {
        self.held
            .subscribe()
            .wait_for(|held| !held)
            .await
            .expect("the sender lives in this gate, which is borrowed");
    }
}
