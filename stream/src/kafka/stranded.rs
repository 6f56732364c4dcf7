//! Clients that know no broker any more.
//!
//! A client drops the brokers that its cluster doesn't name. Where it names none at all, as a
//! cluster of one does while that one is coming up, librdkafka may be left with nobody to ask, and
//! asks nobody ever again (its issue 5301; ADR 0019). A client's statistics say so, and then it
//! gets the addresses that it began with.

use std::{
    collections::BTreeMap,
    ffi::CString,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use rdkafka::{ClientConfig, ClientContext, bindings::rd_kafka_brokers_add, client::Client};
use serde::Deserialize;
use tracing::{debug, warn};

/// How often a client says whom it knows.
const TELLS_EVERY: Duration = Duration::from_secs(2);

/// Makes a client say whom it knows. Somebody has to poll it, or what it says piles up.
pub(super) fn watched(mut config: ClientConfig) -> ClientConfig {
    let every = TELLS_EVERY.as_millis().to_string();
    config.set("statistics.interval.ms", every);
    config
}

/// Whether a client knew no broker when it last said so.
#[derive(Default)]
pub(super) struct Stranded(AtomicBool);

/// A client's statistics (librdkafka's STATISTICS.md), as far as they are of use here.
#[derive(Deserialize)]
struct Statistics<'a> {
    #[serde(borrow)]
    brokers: BTreeMap<&'a str, Broker<'a>>,
}

#[derive(Deserialize)]
struct Broker<'a> {
    source: &'a str,
}

impl Stranded {
    /// Takes in a client's statistics.
    pub(super) fn hear(&self, statistics: &[u8]) {
        match serde_json::from_slice::<Statistics<'_>>(statistics) {
            Ok(told) => {
                // The others are its own: one for what has no broker yet, one for a group's.
                let known = told
                    .brokers
                    .values()
                    .any(|broker| matches!(broker.source, "learned" | "configured"));
                self.0.store(!known, Ordering::SeqCst);
            }
            Err(error) => debug!(%error, "statistics that can't be read"),
        }
    }

    /// Tells a client that knows no broker about `brokers` again.
    #[expect(
        unsafe_code,
        reason = "rdkafka has no name for this function of librdkafka"
    )]
    pub(super) fn rescue<C: ClientContext>(&self, client: &Client<C>, brokers: &str) {
        if !self.0.swap(false, Ordering::SeqCst) {
            return;
        }
        let Ok(addresses) = CString::new(brokers) else {
            return;
        };
        // SAFETY: the client lives as long as it is borrowed, librdkafka allows the call from any
        // thread, and copies the text, which ends with a zero.
        let added = unsafe { rd_kafka_brokers_add(client.native_ptr(), addresses.as_ptr()) };
        warn!(brokers, added, "a client knew no broker, and begins anew");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_knows_only_itself_is_stranded() {
        let told = |statistics: &str| {
            let stranded = Stranded::default();
            stranded.hear(statistics.as_bytes());
            stranded.0.load(Ordering::SeqCst)
        };
        let own = r#"":0/internal": {"source": "internal", "state": "INIT"},
            "GroupCoordinator": {"source": "logical", "state": "INIT"}"#;
        assert!(told(&format!(r#"{{"ts": 1, "brokers": {{{own}}}}}"#)));
        for source in ["learned", "configured"] {
            let broker = format!(r#""a:9092/1": {{"source": "{source}", "state": "DOWN"}}"#);
            assert!(!told(&format!(r#"{{"brokers": {{{own}, {broker}}}}}"#)));
        }
        assert!(!told("not what was expected"));
    }
}
