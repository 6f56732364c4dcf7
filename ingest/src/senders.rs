//! Whom a network's postbacks are taken from: by address, by signature, or both.

use std::{collections::BTreeMap, net::IpAddr};

use ipnet::IpNet;
use schemas::NetworkId;

use crate::signature::SigningSecrets;

/// Whom postbacks of each network instance are taken from. Of one that isn't in it: from anybody
/// who knows its `security_token`, where it has one.
pub type Senders = BTreeMap<NetworkId, Sender>;

/// Who sends a network's postbacks.
#[derive(Debug, Clone, Default)]
pub struct Sender {
    /// The addresses that it sends from; any, where there are none.
    pub sources: Vec<IpNet>,
    /// What its postbacks have to be signed with; nothing, where absent.
    pub secrets: Option<SigningSecrets>,
}

impl Sender {
    /// Whether it sends from this address.
    pub(crate) fn sends_from(&self, address: Option<IpAddr>) -> bool {
        let within = |address: IpAddr| self.sources.iter().any(|net| net.contains(&address));
        self.sources.is_empty() || address.is_some_and(|address| within(address.to_canonical()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_is_known_by_its_addresses() {
        let address = |text: &str| Some(text.parse().expect("an address"));
        let sender = Sender {
            sources: ["203.0.113.0/24", "2001:db8::/32"]
                .map(|text| text.parse().expect("a network"))
                .to_vec(),
            secrets: None,
        };
        for inside in ["203.0.113.9", "::ffff:203.0.113.9", "2001:db8::1"] {
            assert!(sender.sends_from(address(inside)), "{inside}");
        }
        for outside in ["203.0.114.9", "127.0.0.1", "2001:db9::1"] {
            assert!(!sender.sends_from(address(outside)), "{outside}");
        }
        assert!(!sender.sends_from(None));
        assert!(Sender::default().sends_from(None));
    }
}
