//! Configuration: one TOML file, small structs per concern, read once. `hissaback.example.toml`
//! documents every key with its default. A key that isn't known, or a value that can't be used,
//! is refused at start with the key's name.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use ingest::client_address::TrustedProxies;
use ipnet::IpNet;
use secrecy::SecretString;
use serde::Deserialize;
use sinks::payouts::{
    AgcodConfig, CREATE_PATH, DispatchLimits, PayoutsConfig, TIMEOUT_MS,
    agcod::{Endpoint, signature::KeyPair},
    claim_codes::ClaimCodeStorage,
    sms::MessageText,
};

use crate::secrets::Secrets;

/// Everything that can be configured.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Configuration {
    /// HTTP.
    pub http: Http,
    /// Gift cards; without it, payouts are requested and stay queued.
    pub agcod: Option<Agcod>,
}

/// How HTTP is served.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// Address and port.
    pub listen: SocketAddr,
    /// Networks of proxies whose forwarded headers are believed.
    pub trusted_proxies: Vec<String>,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            trusted_proxies: vec!["127.0.0.0/8".to_owned(), "::1/128".to_owned()],
        }
    }
}

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
    /// Whether claim codes may be stored, sealed, until their message is out.
    #[serde(default = "default_true")]
    pub store_claim_codes: bool,
    /// File that messages are appended to: the development gateway.
    pub sms_file: PathBuf,
}

fn default_path() -> String {
    CREATE_PATH.to_owned()
}

const fn default_true() -> bool {
    true
}

/// Why a configuration can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigurationError {
    /// The file can't be read.
    #[error("the configuration {path} can't be read: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file isn't valid TOML, or has a key or type that isn't known.
    #[error("the configuration {path} is not valid: {source}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// A value can't be used.
    #[error("the configuration's {key} can't be used: {reason}")]
    Value {
        /// The key, dotted.
        key: &'static str,
        /// Why.
        reason: String,
    },
}

fn refused<E: std::fmt::Display>(key: &'static str) -> impl FnOnce(E) -> ConfigurationError {
    move |error| ConfigurationError::Value {
        key,
        reason: error.to_string(),
    }
}

impl Configuration {
    /// Reads a file; the defaults where there is none.
    ///
    /// # Errors
    /// When the file can't be read, or holds a key or value that can't be used.
    pub fn read(path: Option<&Path>) -> Result<Self, ConfigurationError> {
        let Some(path) = path else {
            return Ok(Self::default());
        };
        let text = fs::read_to_string(path).map_err(|source| ConfigurationError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        toml::from_str(&text).map_err(|source| ConfigurationError::Invalid {
            path: path.to_owned(),
            source: Box::new(source),
        })
    }
}

impl Http {
    /// How ingest is set up.
    ///
    /// # Errors
    /// When a network can't be parsed.
    pub fn ingest_settings(&self) -> Result<ingest::Settings, ConfigurationError> {
        let networks = self
            .trusted_proxies
            .iter()
            .map(|network| network.parse::<IpNet>())
            .collect::<Result<_, _>>()
            .map_err(refused("http.trusted_proxies"))?;
        let trusted_proxies = TrustedProxies::new(networks);
        Ok(ingest::Settings {
            trusted_proxies,
            ..ingest::Settings::default()
        })
    }
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
            limits: DispatchLimits::default(),
            claim_codes,
            message: MessageText::default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_file_is_valid_and_says_what_the_defaults_are() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("hissaback.example.toml");
        let documented = Configuration::read(Some(&path)).expect("valid");
        let default = Configuration::default();
        assert_eq!(documented.http.listen, default.http.listen);
        assert_eq!(
            documented.http.trusted_proxies,
            default.http.trusted_proxies
        );
    }

    #[test]
    fn a_key_that_is_not_known_is_refused_by_name() {
        let error =
            toml::from_str::<Configuration>("[http]\nlisten_on = \"x\"").expect_err("refused");
        assert!(error.to_string().contains("listen_on"), "{error}");
    }

    #[test]
    fn a_value_that_cannot_be_used_is_refused_with_its_key() {
        let http = Http {
            trusted_proxies: vec!["everybody".to_owned()],
            ..Http::default()
        };
        let error = http.ingest_settings().expect_err("refused");
        assert!(
            error.to_string().contains("http.trusted_proxies"),
            "{error}"
        );
    }
}
