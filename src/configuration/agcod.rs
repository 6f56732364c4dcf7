//! `[agcod]`: the account with Amazon Gift Codes On Demand.

use std::num::NonZeroU32;

use secrecy::SecretString;
use serde::Deserialize;
use sinks::payouts::{
    AgcodConfig, CREATE_PATH, DispatchLimits, PayoutsConfig, TIMEOUT_MS,
    agcod::{Endpoint, signature::KeyPair},
    claim_codes::ClaimCodeStorage,
    store::rates::CallRate,
};

use super::{ConfigurationError, Messages, refused};
use crate::{schedules::PayoutSchedule, secrets::Secrets};

/// The account with Amazon Gift Codes On Demand. What is settled by contract is configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agcod {
    /// Base address, such as `https://agcod-v2-eu.amazon.com`.
    pub url: String,
    /// Path of the create call.
    #[serde(default = "default_path")]
    pub path: String,
    /// Signing region, such as `eu-west-1`.
    pub region: String,
    /// Our account's id.
    pub partner_id: String,
    /// The programme, where the contract names one.
    pub program_id: Option<String>,
    /// The currency that the account pays.
    pub currency: String,
    /// Access key id.
    pub access_key_id: String,
    /// The secret access key.
    pub secret_access_key: SecretString,
    /// Calls a second, at most, over all processes together.
    #[serde(default = "default_rate")]
    pub calls_per_second: NonZeroU32,
    /// Hours between payout runs of the role schedule; 0: only when they are asked for.
    #[serde(default = "default_payout_run_hours")]
    pub payout_run_hours: u32,
    /// Whether the role schedule compares each day with what the service did.
    #[serde(default = "default_reconcile_daily")]
    pub reconcile_daily: bool,
    /// What becomes of claim codes between the card and its message.
    #[serde(default)]
    pub claim_codes: ClaimCodes,
}

impl Agcod {
    /// When payouts are made and compared without being asked for.
    pub fn schedule(&self) -> PayoutSchedule {
        PayoutSchedule {
            run_every_hours: NonZeroU32::new(self.payout_run_hours),
            reconcile_daily: self.reconcile_daily,
            rate: CallRate::per_second(self.calls_per_second),
        }
    }
}

const fn default_payout_run_hours() -> u32 {
    24
}

const fn default_reconcile_daily() -> bool {
    true
}

fn default_path() -> String {
    CREATE_PATH.to_owned()
}

fn default_rate() -> NonZeroU32 {
    DispatchLimits::default().calls_per_second
}

/// What becomes of claim codes between the card and its message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClaimCodes {
    /// Kept sealed until their message is there.
    #[default]
    Encrypted,
    /// Never stored, as Amazon's terms ask: fetched again when their message is due.
    NotStored,
}

impl Agcod {
    /// How payouts are made.
    ///
    /// # Errors
    /// When a value can't be used; the error names its key.
    pub fn payouts(
        &self,
        messages: &Messages,
        secrets: &Secrets,
    ) -> Result<PayoutsConfig, ConfigurationError> {
        let claim_codes = match self.claim_codes {
            ClaimCodes::Encrypted => ClaimCodeStorage::Encrypted(
                secrets
                    .claim_code_keys()
                    .map_err(refused("secrets.claim_code_keys"))?,
            ),
            ClaimCodes::NotStored => ClaimCodeStorage::NotStored,
        };
        Ok(PayoutsConfig {
            contacts: secrets
                .contact_keys()
                .map_err(refused("secrets.contact_keys"))?,
            agcod: AgcodConfig {
                endpoint: Endpoint::parse(&self.url, &self.path).map_err(refused("agcod.url"))?,
                region: self.region.clone(),
                partner_id: self
                    .partner_id
                    .parse()
                    .map_err(refused("agcod.partner_id"))?,
                program_id: self.program_id.clone(),
                currency: self.currency.parse().map_err(refused("agcod.currency"))?,
                key_pair: KeyPair {
                    access_key_id: self.access_key_id.clone(),
                    secret_access_key: self.secret_access_key.clone(),
                },
                timeout_ms: TIMEOUT_MS,
            },
            limits: DispatchLimits {
                calls_per_second: self.calls_per_second,
                ..DispatchLimits::default()
            },
            claim_codes,
            messages: messages.config()?,
        })
    }
}
