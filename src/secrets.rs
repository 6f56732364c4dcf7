//! The secrets of an embedded installation: made once, kept in the data directory, readable by
//! its owner only.

use std::{
    fs::{self, OpenOptions},
    io::{ErrorKind, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use operations::reference::Contacts;
use schemas::{
    contact::ContactKey,
    token::{KeyRingError, TokenKeys},
};
use serde::{Deserialize, Serialize};
use sinks::sealing::{KeyRing, SealingError};

const FILE: &str = "secrets.json";
const KEY_BYTES: usize = 32;

/// Keys and tokens of one installation. Old click-token keys stay, so that a replay can open
/// what was sealed with them.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Secrets {
    /// Keys of click tokens, newest first: id and 32 bytes, hex.
    click_token_keys: Vec<(u8, String)>,
    /// Key of the hashes of contacts and addresses, 32 bytes, hex.
    contact_key: String,
    /// Keys of sealed gift-card claim codes, `id:hex` of 32 bytes, comma-separated; the highest id
    /// seals.
    claim_code_keys: String,
    /// Keys of sealed phone numbers and e-mail addresses, likewise. Old ones stay. Missing in files
    /// of older versions: made then.
    #[serde(default)]
    contact_keys: String,
    /// Bearer token of scheduled jobs.
    pub cron_token: String,
    /// Bearer token of operators.
    pub operator_token: String,
}

/// Why there are no secrets.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// The file can't be read or written.
    #[error("the secrets in {path} can't be read or written: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file isn't what was written.
    #[error("{path} is damaged: restore it from a backup; without it, old click tokens are lost")]
    Damaged {
        /// The file.
        path: PathBuf,
    },
}

impl Secrets {
    /// Reads the secrets of a data directory, or makes them.
    ///
    /// # Errors
    /// When the file can't be read, written, or parsed.
    pub fn open(data: &Path) -> Result<Self, SecretsError> {
        let path = data.join(FILE);
        let io = |source| SecretsError::Io {
            path: path.clone(),
            source,
        };
        let secrets = match fs::read(&path) {
            Ok(bytes) => {
                let secrets = serde_json::from_slice(&bytes).ok();
                let mut secrets: Self =
                    secrets.ok_or_else(|| SecretsError::Damaged { path: path.clone() })?;
                let complete = !secrets.contact_keys.is_empty();
                if !complete {
                    secrets.contact_keys = Self::generate().contact_keys;
                }
                if !secrets.usable() {
                    return Err(SecretsError::Damaged { path });
                }
                if complete {
                    return Ok(secrets);
                }
                secrets
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Self::generate(),
            Err(error) => return Err(io(error)),
        };
        secrets.write(&path).map_err(io)?;
        Ok(secrets)
    }

    /// Whole or not at all: written beside, then renamed.
    fn write(&self, path: &Path) -> std::io::Result<()> {
        let json = serde_json::to_vec_pretty(self)?;
        let beside = path.with_extension("new");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&beside)?;
        file.write_all(&json)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    }

    fn generate() -> Self {
        let secret = || hex::encode(rand::random::<[u8; KEY_BYTES]>());
        Self {
            click_token_keys: vec![(1, secret())],
            contact_key: secret(),
            claim_code_keys: format!("1:{}", secret()),
            contact_keys: format!("1:{}", secret()),
            cron_token: secret(),
            operator_token: secret(),
        }
    }

    fn usable(&self) -> bool {
        self.token_keys().is_ok()
            && key(&self.contact_key).is_some()
            && self.claim_code_keys().is_ok()
            && self.contact_keys().is_ok()
            && !self.cron_token.is_empty()
            && !self.operator_token.is_empty()
    }

    /// The ring of click-token keys.
    ///
    /// # Errors
    /// When there is no key, or an id stands twice; [`Secrets::open`] rules that out.
    pub fn token_keys(&self) -> Result<TokenKeys, KeyRingError> {
        let keys: Option<Vec<_>> = self
            .click_token_keys
            .iter()
            .map(|(id, text)| Some((*id, key(text)?)))
            .collect();
        TokenKeys::new(&keys.unwrap_or_default())
    }

    /// The key of contact hashes.
    pub fn contact_key(&self) -> ContactKey {
        ContactKey::new(key(&self.contact_key).unwrap_or_default())
    }

    /// The ring of keys that seal claim codes.
    ///
    /// # Errors
    /// When there is no key; [`Secrets::open`] rules that out.
    pub fn claim_code_keys(&self) -> Result<KeyRing, SealingError> {
        KeyRing::parse(&self.claim_code_keys.clone().into())
    }

    /// The ring of keys that seal phone numbers and e-mail addresses.
    ///
    /// # Errors
    /// When there is no key; [`Secrets::open`] rules that out.
    pub fn contact_keys(&self) -> Result<KeyRing, SealingError> {
        KeyRing::parse(&self.contact_keys.clone().into())
    }

    /// What an import of people needs: a key to hash contacts with, and a ring to seal them.
    ///
    /// # Errors
    /// As [`Secrets::contact_keys`].
    pub fn contacts(&self) -> Result<Contacts, SealingError> {
        Ok(Contacts {
            hashed: self.contact_key(),
            sealed: self.contact_keys()?,
        })
    }
}

fn key(text: &str) -> Option<[u8; KEY_BYTES]> {
    hex::decode(text).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn secrets_are_made_once_and_kept_from_others() {
        let directory = tempfile::tempdir().expect("a directory");
        let first = Secrets::open(directory.path()).expect("made");
        let second = Secrets::open(directory.path()).expect("read");
        assert_eq!(first.cron_token, second.cron_token);
        let mode = fs::metadata(directory.path().join(FILE))
            .expect("a file")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_file_of_an_older_version_is_completed_and_keeps_what_it_has() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join(FILE);
        let first = Secrets::open(directory.path()).expect("made");
        let mut json: serde_json::Value =
            serde_json::from_slice(&fs::read(&path).expect("read")).expect("JSON");
        json.as_object_mut()
            .expect("an object")
            .remove("contact_keys");
        fs::write(&path, json.to_string()).expect("written");
        let completed = Secrets::open(directory.path()).expect("completed");
        let again = Secrets::open(directory.path()).expect("read");
        assert_eq!(completed.cron_token, first.cron_token);
        assert_eq!(completed.contact_keys, again.contact_keys);
    }

    #[test]
    fn a_damaged_file_is_never_replaced() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join(FILE);
        fs::write(&path, b"{}").expect("written");
        assert!(matches!(
            Secrets::open(directory.path()),
            Err(SecretsError::Damaged { .. })
        ));
        assert_eq!(fs::read(&path).expect("read"), b"{}");
    }
}
