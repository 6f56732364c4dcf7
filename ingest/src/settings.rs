//! How ingest is configured.

use std::time::Duration;

use schemas::NetworkId;

use web::client_address::TrustedProxies;

use crate::{
    redaction::{DEFAULT_NAMES, Redaction},
    senders::Senders,
    signature::SigningSecrets,
};

/// The raw bytes of a report have to fit a record of the log (1 MiB) with room to spare.
const RAW_BYTES_CEILING: usize = 512 * 1024;

/// Settings of ingest.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Bounds on what one request may cost.
    pub limits: Limits,
    /// Whose `X-Forwarded-For`, `CF-IPCountry`, `X-Client-Signals` and `clicked_at` are believed.
    pub trusted_proxies: TrustedProxies,
    /// Which parameters' values never reach the log.
    pub redaction: Redaction,
    /// The network instance of a postback that names none.
    pub default_network: NetworkId,
    /// Whom postbacks are taken from.
    pub senders: Senders,
    /// What an edge signs with; without it nothing is taken from an edge.
    pub edge_secrets: Option<SigningSecrets>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            trusted_proxies: TrustedProxies::default(),
            redaction: Redaction::new(&DEFAULT_NAMES).expect("the default names are valid"),
            default_network: NetworkId::new(1),
            senders: Senders::new(),
            edge_secrets: None,
        }
    }
}

/// Bounds on what one request may cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The largest postback body that is read as a report. Of a larger one the head is kept.
    pub body_bytes_max: usize,
    /// How much of a body above that is still read, hashed and thrown away, so that its sender
    /// gets to see the answer.
    pub excess_bytes_max: usize,
    /// How many raw bytes of a report the log keeps.
    pub raw_bytes_max: usize,
    /// The largest body of a click.
    pub click_bytes_max: usize,
    /// How long a body may take to arrive.
    pub body_timeout: Duration,
    /// How long the log may take before the sender is told to try again.
    pub append_timeout: Duration,
    /// How long to wait for an event id when this millisecond's are drawn, or the clock stepped
    /// back.
    pub event_id_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes_max: 256 * 1024,
            excess_bytes_max: 16 * 1024 * 1024,
            raw_bytes_max: 64 * 1024,
            click_bytes_max: 16 * 1024,
            body_timeout: Duration::from_secs(15),
            append_timeout: Duration::from_secs(10),
            event_id_timeout: Duration::from_secs(2),
        }
    }
}

/// A setting can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` must lie between {min} and {max}")]
pub struct SettingError {
    /// The setting's name.
    pub name: &'static str,
    /// The smallest value allowed.
    pub min: usize,
    /// The largest value allowed.
    pub max: usize,
}

impl Limits {
    /// Refuses what would make reports unreadable, or too large for the log.
    pub(crate) fn check(&self) -> Result<(), SettingError> {
        for (name, value, max) in [
            ("body_bytes_max", self.body_bytes_max, 64 * 1024 * 1024),
            ("raw_bytes_max", self.raw_bytes_max, RAW_BYTES_CEILING),
            ("click_bytes_max", self.click_bytes_max, 1024 * 1024),
        ] {
            if !(1..=max).contains(&value) {
                return Err(SettingError { name, min: 1, max });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_beyond_reason_are_refused_by_name() {
        assert_eq!(Limits::default().check(), Ok(()));
        let limits = Limits {
            raw_bytes_max: RAW_BYTES_CEILING + 1,
            ..Limits::default()
        };
        assert_eq!(limits.check().unwrap_err().name, "raw_bytes_max");
        let limits = Limits {
            body_bytes_max: 0,
            ..Limits::default()
        };
        assert_eq!(limits.check().unwrap_err().name, "body_bytes_max");
    }
}
