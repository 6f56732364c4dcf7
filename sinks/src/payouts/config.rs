//! How payouts are made: small structs, one per concern, parsed before they get here.

use std::num::NonZeroU32;

use processors::rules::rails::RailTerms;
use schemas::{Currency, Minor};

use super::{
    agcod::{Endpoint, PartnerId, signature::KeyPair},
    claim_codes::ClaimCodeStorage,
    lifecycle::RetryPolicy,
    messages::MessagesConfig,
};
use crate::sealing::KeyRing;

/// The path that Amazon documents for creating a card.
pub const CREATE_PATH: &str = "/CreateGiftCard";
/// The client time-out that Amazon recommends.
pub const TIMEOUT_MS: u64 = 6_000;
/// The rail's name in `payouts.method`.
pub const CHANNEL: &str = "agcod";

/// Most whole units that one card can hold (specification section 8.2).
const CARD_UNITS_MAX: i64 = 10_000;

/// The account with Amazon. What is settled by contract is configuration: no list that we know
/// names India.
#[derive(Debug, Clone)]
pub struct AgcodConfig {
    /// Where requests go: base address and [`CREATE_PATH`], unless the contract says otherwise.
    pub endpoint: Endpoint,
    /// The signing region, such as `eu-west-1`.
    pub region: String,
    /// Our account's id; every request id begins with it.
    pub partner_id: PartnerId,
    /// The programme, where the contract names one.
    pub program_id: Option<String>,
    /// The one currency that the account pays.
    pub currency: Currency,
    /// What signs.
    pub key_pair: KeyPair,
    /// From connecting to the last byte of the answer; Amazon recommends [`TIMEOUT_MS`].
    pub timeout_ms: u64,
}

/// How fast and how often.
#[derive(Debug, Clone)]
pub struct DispatchLimits {
    /// Calls a second, over all; Amazon allows ten.
    pub calls_per_second: NonZeroU32,
    /// Calls in flight at once.
    pub concurrency: usize,
    /// How long to wait for something to do, on the real clock.
    pub poll_interval_ms: u64,
    /// How often payouts are looked for that no record announced (after a restore), on the real
    /// clock.
    pub sweep_interval_ms: u64,
    /// How long an attempt may take beyond waiting for the rate and its call, on the database's
    /// clock, before it counts as interrupted.
    pub lease_margin_ms: u64,
    /// How often the rail is asked what is left of the funds, by whichever dispatcher comes to it
    /// first, on the real clock.
    pub funds_interval_ms: u64,
    /// When and how often an attempt is repeated.
    pub retry: RetryPolicy,
}

impl AgcodConfig {
    /// The rail as a payout run sees it: whole units, at most ₹10,000 a card (specification
    /// section 8.2).
    pub fn terms(&self) -> RailTerms {
        let unit = self.currency.minor_per_unit();
        RailTerms {
            name: CHANNEL,
            currency: self.currency,
            whole_units: true,
            transfer_min: Minor::new(unit),
            transfer_max: Minor::new(CARD_UNITS_MAX * unit),
        }
    }
}

impl Default for DispatchLimits {
    fn default() -> Self {
        Self {
            calls_per_second: NonZeroU32::new(10).expect("ten is not zero"),
            concurrency: 8,
            poll_interval_ms: 200,
            sweep_interval_ms: 30_000,
            lease_margin_ms: 10_000,
            funds_interval_ms: 60_000,
            retry: RetryPolicy::default(),
        }
    }
}

/// Everything that the dispatcher is told.
#[derive(Debug, Clone)]
pub struct PayoutsConfig {
    /// The account.
    pub agcod: AgcodConfig,
    /// How fast and how often.
    pub limits: DispatchLimits,
    /// The keys that shoppers' phone numbers are sealed with.
    pub contacts: KeyRing,
    /// Whether and how claim codes are kept until the message is out.
    pub claim_codes: ClaimCodeStorage,
    /// What shoppers are told, and how often.
    pub messages: MessagesConfig,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The account of the documentation's examples, on nobody's port.
    pub(crate) fn config_for_tests() -> AgcodConfig {
        AgcodConfig {
            endpoint: Endpoint::parse("http://127.0.0.1:9", CREATE_PATH).expect("an address"),
            region: "eu-west-1".into(),
            partner_id: "Awssb".parse().expect("a partner id"),
            program_id: None,
            currency: Currency::INR,
            key_pair: KeyPair {
                access_key_id: "test-key".into(),
                secret_access_key: "test-secret".into(),
            },
            timeout_ms: TIMEOUT_MS,
        }
    }
}
