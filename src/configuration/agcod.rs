//! `[agcod]`: the account with Amazon Gift Codes On Demand.

use std::{num::NonZeroU32, path::PathBuf};

use secrecy::SecretString;
use serde::Deserialize;
use sinks::payouts::{
    AgcodConfig, CREATE_PATH, DispatchLimits, PayoutsConfig, TIMEOUT_MS,
    agcod::{Endpoint, signature::KeyPair},
    claim_codes::ClaimCodeStorage,
    sms::MessageText,
};

use super::{ConfigurationError, refused};
use crate::secrets::Secrets;

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
    /// Calls a second, at most, of one process; several share the account's rate.
    #[serde(default = "default_rate")]
    pub calls_per_second: NonZeroU32,
    /// Whether claim codes may be stored, sealed, until their message is out.
    #[serde(default = "default_true")]
    pub store_claim_codes: bool,
    /// File that messages are appended to: the development gateway.
    pub sms_file: PathBuf,
}

fn default_path() -> String {
    CREATE_PATH.to_owned()
}

fn default_rate() -> NonZeroU32 {
    DispatchLimits::default().calls_per_second
}

const fn default_true() -> bool {
    true
}

impl Agcod {
    /// How payouts are made.
    ///
    /// # Errors
    /// When a value can't be used; the error names its key.
    pub fn payouts(&self, secrets: &Secrets) -> Result<PayoutsConfig, ConfigurationError> {
        let claim_codes = if self.store_claim_codes {
            let keys = secrets
                .claim_code_keys()
                .map_err(refused("agcod.store_claim_codes"))?;
            ClaimCodeStorage::Encrypted(keys)
        } else {
            ClaimCodeStorage::NotStored
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
            message: MessageText::default(),
        })
    }
}
