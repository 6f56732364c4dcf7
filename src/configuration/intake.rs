//! `[postbacks.N]` and `[edge]`: whom reports and clicks are taken from.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use ingest::{
    senders::{Sender, Senders},
    signature::SigningSecrets,
};
use ipnet::IpNet;
use schemas::NetworkId;
use serde::Deserialize;
use web::client_address::TrustedProxies;

use super::{Configuration, ConfigurationError, refused};

/// Whom a network instance's postbacks are taken from.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Postbacks {
    /// The networks that it sends from; any, where there are none.
    pub sources: Vec<String>,
    /// A file with what its postbacks have to be signed with, one secret a line.
    pub signature_file: Option<PathBuf>,
}

/// A redirect that runs in a content delivery network.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Edge {
    /// A file with what it signs with, one secret a line. Without it nothing is taken from an edge.
    pub signature_file: Option<PathBuf>,
}

impl Configuration {
    /// How ingest is set up.
    ///
    /// # Errors
    /// When a network or an id can't be parsed, or a file can't be read.
    pub fn ingest_settings(&self) -> Result<ingest::Settings, ConfigurationError> {
        let edge_secrets = self.edge.signature_file.as_deref();
        Ok(ingest::Settings {
            trusted_proxies: TrustedProxies::new(networks(
                "http.trusted_proxies",
                &self.http.trusted_proxies,
            )?),
            senders: senders(&self.postbacks)?,
            edge_secrets: edge_secrets
                .map(|file| secrets("edge.signature_file", file))
                .transpose()?,
            ..ingest::Settings::default()
        })
    }
}

fn senders(postbacks: &BTreeMap<String, Postbacks>) -> Result<Senders, ConfigurationError> {
    let read = |(id, postbacks): (&String, &Postbacks)| {
        let id: NetworkId = id.parse().map_err(refused("postbacks"))?;
        let file = postbacks.signature_file.as_deref();
        let sender = Sender {
            sources: networks("postbacks.N.sources", &postbacks.sources)?,
            secrets: file
                .map(|file| secrets("postbacks.N.signature_file", file))
                .transpose()?,
        };
        Ok((id, sender))
    };
    postbacks.iter().map(read).collect()
}

fn networks(key: &'static str, texts: &[String]) -> Result<Vec<IpNet>, ConfigurationError> {
    let parsed = texts.iter().map(|text| text.parse::<IpNet>());
    parsed.collect::<Result<_, _>>().map_err(refused(key))
}

fn secrets(key: &'static str, file: &Path) -> Result<SigningSecrets, ConfigurationError> {
    let text = fs::read_to_string(file).map_err(refused(key))?;
    SigningSecrets::parse(&text).map_err(refused(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(toml: &str) -> Result<ingest::Settings, ConfigurationError> {
        let configuration: Configuration = toml::from_str(toml).expect("of the form");
        configuration.ingest_settings()
    }

    #[test]
    fn senders_are_read_by_network() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), "a secret that is long enough\n").expect("written");
        let read = settings(&format!(
            "[postbacks.2]\nsources = [\"203.0.113.0/24\"]\nsignature_file = {0:?}\n\
             [edge]\nsignature_file = {0:?}\n",
            file.path()
        ))
        .expect("usable");
        assert_eq!(read.senders.len(), 1);
        let sender = &read.senders[&NetworkId::new(2)];
        assert_eq!(
            sender.sources,
            ["203.0.113.0/24".parse().expect("a network")]
        );
        assert!(sender.secrets.is_some() && read.edge_secrets.is_some());
    }

    #[test]
    fn what_cannot_be_used_is_refused_by_its_key() {
        for (toml, key) in [
            (
                "[http]\ntrusted_proxies = [\"everybody\"]",
                "http.trusted_proxies",
            ),
            ("[postbacks.trackier]\n", "postbacks"),
            (
                "[postbacks.1]\nsources = [\"everybody\"]",
                "postbacks.N.sources",
            ),
            (
                "[postbacks.1]\nsignature_file = \"/nonexistent\"",
                "postbacks.N.signature_file",
            ),
            (
                "[edge]\nsignature_file = \"/dev/null\"",
                "edge.signature_file",
            ),
        ] {
            let error = settings(toml).expect_err(toml).to_string();
            assert!(error.contains(key), "{error}");
        }
    }
}
