//! The secrets of an installation: made once, readable by their owner only. An embedded one keeps
//! them in its data directory; processes that share external services are given the same file.

use std::{
    fs::{self, OpenOptions},
    io::{ErrorKind, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use api::auth::{JwtKeys, JwtKeysError};
use operations::{
    explain::proof::{ProofError, ProofKey},
    reference::Contacts,
};
use schemas::{
    contact::ContactKey,
    token::{KeyRingError, TokenKeys},
};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use sinks::sealing::{KeyRing, SealingError};

use crate::configuration::SecretsSource;

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
    /// Keys of sealed phone numbers and e-mail addresses, likewise. Old ones stay.
    contact_keys: String,
    /// Keys that proofs are signed with, newest first: id and seed of 32 bytes, hex. Secrets that
    /// were made before there were proofs have none.
    #[serde(default)]
    proof_keys: Vec<(u8, String)>,
    /// Keys that access tokens are signed with, newest first: id and seed of 32 bytes, hex. Secrets
    /// that were made before there was a sign-in have none, until `hissaback secrets --rotate`.
    #[serde(default)]
    access_token_keys: Vec<(u8, String)>,
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
    /// What the environment gives isn't what `hissaback secrets` writes.
    #[error("HISSABACK_SECRETS doesn't hold what `hissaback secrets` writes")]
    NotSecrets,
    /// There is no file, and nobody who may make one.
    #[error(
        "there are no secrets in {path}: make them once with `hissaback secrets {path}`, and give \
         every process the same file"
    )]
    Missing {
        /// Where they were to be.
        path: PathBuf,
    },
    /// There are some already.
    #[error("{path} is there already, and is left as it is: without it, old click tokens are lost")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Nothing says where they are.
    #[error(
        "the secrets that processes share are nowhere: name their file in secrets.file or \
         HISSABACK_SECRETS_FILE; `hissaback secrets FILE` makes it"
    )]
    Nowhere,
}

impl Secrets {
    /// The secrets that are configured, else those of the data directory, which are made where
    /// there are none.
    ///
    /// # Errors
    /// When they can't be read, written or parsed, or nothing says where they are.
    pub fn load(source: &SecretsSource, data: Option<&Path>) -> Result<Self, SecretsError> {
        if let Some(json) = &source.json {
            return Self::parse(json.expose_secret().as_bytes()).ok_or(SecretsError::NotSecrets);
        }
        match (&source.file, data) {
            (Some(path), _) => {
                Self::read(path)?.ok_or_else(|| SecretsError::Missing { path: path.clone() })
            }
            (None, Some(data)) => Self::open(data),
            (None, None) => Err(SecretsError::Nowhere),
        }
    }

    /// Reads the secrets of a data directory, or makes them.
    ///
    /// # Errors
    /// When the file can't be read, written, or parsed.
    pub fn open(data: &Path) -> Result<Self, SecretsError> {
        let path = data.join(FILE);
        if let Some(secrets) = Self::read(&path)? {
            return Ok(secrets);
        }
        let secrets = Self::generate();
        // One process holds the data directory: nobody else makes them meanwhile.
        secrets
            .write_beside(&path)
            .and_then(|beside| fs::rename(beside, &path))
            .map_err(|source| SecretsError::Io {
                path: path.clone(),
                source,
            })?;
        Ok(secrets)
    }

    /// Makes secrets in a new file. Of several processes at once, one makes them.
    ///
    /// # Errors
    /// When the file is there already, or can't be written.
    pub fn create(path: &Path) -> Result<(), SecretsError> {
        let io = |source| SecretsError::Io {
            path: path.to_owned(),
            source,
        };
        let beside = Self::generate().write_beside(path).map_err(io)?;
        // A link, unlike a renaming, doesn't replace what is there.
        let linked = fs::hard_link(&beside, path);
        fs::remove_file(&beside).map_err(io)?;
        linked.map_err(|source| match source.kind() {
            ErrorKind::AlreadyExists => SecretsError::Exists {
                path: path.to_owned(),
            },
            _ => io(source),
        })
    }

    /// Adds a key to a file of secrets, which signs access tokens from each process's next start
    /// on. The one before it stays, so that what it signed counts until it expires; older ones go.
    /// Gives the id of the new key.
    ///
    /// # Errors
    /// When there is no such file, or it can't be read or replaced.
    pub fn rotate(path: &Path) -> Result<u8, SecretsError> {
        let missing = || SecretsError::Missing {
            path: path.to_owned(),
        };
        let mut secrets = Self::read(path)?.ok_or_else(missing)?;
        let newest = secrets.access_token_keys.first().map_or(0, |(id, _)| *id);
        let id = newest.wrapping_add(1);
        let seed = hex::encode(rand::random::<[u8; KEY_BYTES]>());
        secrets.access_token_keys.insert(0, (id, seed));
        secrets.access_token_keys.truncate(2);
        secrets
            .write_beside(path)
            .and_then(|beside| fs::rename(beside, path))
            .map_err(|source| SecretsError::Io {
                path: path.to_owned(),
                source,
            })?;
        Ok(id)
    }

    fn read(path: &Path) -> Result<Option<Self>, SecretsError> {
        match fs::read(path) {
            Ok(bytes) => {
                let secrets = Self::parse(&bytes).ok_or_else(|| SecretsError::Damaged {
                    path: path.to_owned(),
                })?;
                Ok(Some(secrets))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(source) => Err(SecretsError::Io {
                path: path.to_owned(),
                source,
            }),
        }
    }

    fn parse(json: &[u8]) -> Option<Self> {
        serde_json::from_slice(json).ok().filter(Self::usable)
    }

    /// Writes them to a file of this process beside `path`, whole and synced, and names it.
    fn write_beside(&self, path: &Path) -> std::io::Result<PathBuf> {
        let beside = path.with_extension(format!("new-{}", std::process::id()));
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&beside)?;
        file.write_all(&serde_json::to_vec_pretty(self)?)?;
        file.sync_all()?;
        Ok(beside)
    }

    fn generate() -> Self {
        let secret = || hex::encode(rand::random::<[u8; KEY_BYTES]>());
        Self {
            click_token_keys: vec![(1, secret())],
            contact_key: secret(),
            claim_code_keys: format!("1:{}", secret()),
            contact_keys: format!("1:{}", secret()),
            proof_keys: vec![(1, secret())],
            access_token_keys: vec![(1, secret())],
            cron_token: secret(),
            operator_token: secret(),
        }
    }

    fn usable(&self) -> bool {
        self.token_keys().is_ok()
            && key(&self.contact_key).is_some()
            && self.claim_code_keys().is_ok()
            && self.contact_keys().is_ok()
            && self.jwt_keys().is_ok()
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

    /// The key that signs proofs: the newest.
    ///
    /// # Errors
    /// When it isn't 32 bytes. `None` where the secrets hold none.
    pub fn proof_key(&self) -> Result<Option<ProofKey>, ProofError> {
        let newest = self.proof_keys.first();
        let signer = |(id, text): &(u8, String)| {
            ProofKey::from_seed(*id, &key(text).ok_or(ProofError::Key)?)
        };
        newest.map(signer).transpose()
    }

    /// The keys of access tokens.
    ///
    /// # Errors
    /// When an id stands twice, or a key isn't 32 bytes. `None` where the secrets hold none.
    pub fn jwt_keys(&self) -> Result<Option<JwtKeys>, JwtKeysError> {
        if self.access_token_keys.is_empty() {
            return Ok(None);
        }
        let keys = self.access_token_keys.iter();
        let keys: Option<Vec<_>> = keys.map(|(id, text)| Some((*id, key(text)?))).collect();
        JwtKeys::new(&keys.unwrap_or_default()).map(Some)
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

    use api::auth::{Claims, Scope};

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
    fn a_file_is_made_once_and_shared() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("shared.json");
        let source = SecretsSource {
            file: Some(path.clone()),
            json: None,
        };
        assert!(matches!(
            Secrets::load(&source, None),
            Err(SecretsError::Missing { .. })
        ));
        Secrets::create(&path).expect("made");
        let first = Secrets::load(&source, None).expect("read");
        assert!(matches!(
            Secrets::create(&path),
            Err(SecretsError::Exists { .. })
        ));
        let json = fs::read_to_string(&path).expect("text");
        let given = SecretsSource {
            file: None,
            json: Some(json.into()),
        };
        let second = Secrets::load(&given, None).expect("parsed");
        assert_eq!(first.cron_token, second.cron_token);
        assert_eq!(fs::read_dir(directory.path()).expect("listed").count(), 1);
        assert!(matches!(
            Secrets::load(&SecretsSource::default(), None),
            Err(SecretsError::Nowhere)
        ));
    }

    #[test]
    fn access_token_keys_rotate_and_secrets_from_before_there_were_any_still_load() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("shared.json");
        Secrets::create(&path).expect("made");
        let text = fs::read_to_string(&path).expect("text");
        let mut json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        json.as_object_mut()
            .expect("an object")
            .remove("access_token_keys");
        fs::write(&path, json.to_string()).expect("written");
        let old = Secrets::read(&path).expect("read").expect("there");
        assert!(old.jwt_keys().expect("usable").is_none());
        let now = schemas::Timestamp::from_millis(1_790_000_000_000);
        let keys = || {
            let secrets = Secrets::read(&path).expect("read").expect("there");
            assert_eq!(secrets.cron_token, old.cron_token);
            secrets.jwt_keys().expect("usable").expect("keys")
        };
        assert_eq!(Secrets::rotate(&path).expect("rotated"), 1);
        let claims = Claims::new("a".to_owned(), Scope::Analyst, now);
        let token = keys().sign(&claims);
        assert_eq!(Secrets::rotate(&path).expect("rotated"), 2);
        assert!(keys().verify(&token, now).is_some());
        assert_eq!(Secrets::rotate(&path).expect("rotated"), 3);
        assert!(keys().verify(&token, now).is_none());
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
