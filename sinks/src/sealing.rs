//! Secrets at rest: claim codes, phone numbers, e-mail addresses.
//!
//! XChaCha20-Poly1305 with a random nonce; the associated data, such as `v1|payout:<id>|kid:<n>`,
//! ties a ciphertext to its subject and key, so that one copied to another row doesn't open.

use std::{collections::BTreeMap, fmt, sync::Arc};

use chacha20poly1305::{
    XChaCha20Poly1305, XNonce,
    aead::{Aead, KeyInit, Payload},
};
use schemas::{PayoutId, UserId};
use secrecy::{ExposeSecret, SecretBox, SecretString};

const KEY_BYTES: usize = 32;
/// Bytes of a nonce.
pub const NONCE_BYTES: usize = 24;

/// Names a key of the ring; stored beside what it encrypts.
pub type KeyId = i32;

/// What a sealed text is, and whose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// The claim code of a payout's card.
    ClaimCode(PayoutId),
    /// A person's phone number.
    Phone(UserId),
    /// A person's e-mail address.
    Email(UserId),
    /// Where a rail pays a person to.
    Destination(UserId),
}

impl fmt::Display for Subject {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClaimCode(payout_id) => write!(formatter, "payout:{payout_id}"),
            Self::Phone(user_id) => write!(formatter, "user:{user_id}:phone"),
            Self::Email(user_id) => write!(formatter, "user:{user_id}:email"),
            Self::Destination(user_id) => write!(formatter, "user:{user_id}:destination"),
        }
    }
}

/// The keys, of which one encrypts and all decrypt.
#[derive(Debug, Clone)]
pub struct KeyRing {
    keys: Arc<BTreeMap<KeyId, SecretBox<[u8; KEY_BYTES]>>>,
    current: KeyId,
}

/// An encrypted text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The key that opens it.
    pub key_id: KeyId,
    /// Random, one for each encryption.
    pub nonce: [u8; NONCE_BYTES],
    /// With its tag.
    pub ciphertext: Vec<u8>,
}

/// Why a text can't be encrypted or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealingError {
    /// The ring holds no such key: it was retired too early.
    #[error("there is no key {0}")]
    UnknownKey(KeyId),
    /// Damaged, or another subject's.
    #[error("a sealed text does not open with key {0}")]
    DoesNotOpen(KeyId),
    /// The keys' text is not `id:64 hexadecimal digits`, comma-separated.
    #[error("keys are written as id:64 hexadecimal digits, separated by commas")]
    Keys,
    /// The cipher refuses, which it does for texts of gigabytes only.
    #[error("a text can't be encrypted")]
    Encryption,
}

impl KeyRing {
    /// Reads `1:<64 hexadecimal digits>,2:<…>`. The highest id encrypts; the others only open
    /// what they once encrypted, until [`KeyRing::rewrap`] has seen to all of it.
    pub fn parse(text: &SecretString) -> Result<Self, SealingError> {
        let mut keys = BTreeMap::new();
        for entry in text.expose_secret().split(',') {
            let (id, digits) = entry.trim().split_once(':').ok_or(SealingError::Keys)?;
            let id: KeyId = id.parse().map_err(|_| SealingError::Keys)?;
            let mut key = SecretBox::new(Box::new([0; KEY_BYTES]));
            hex::decode_to_slice(
                digits,
                secrecy::ExposeSecretMut::expose_secret_mut(&mut key),
            )
            .map_err(|_| SealingError::Keys)?;
            if keys.insert(id, key).is_some() {
                return Err(SealingError::Keys);
            }
        }
        let current = *keys.last_key_value().ok_or(SealingError::Keys)?.0;
        Ok(Self {
            keys: Arc::new(keys),
            current,
        })
    }

    /// Encrypts a text with the current key.
    pub fn seal(&self, subject: Subject, text: &SecretString) -> Result<Sealed, SealingError> {
        let nonce: [u8; NONCE_BYTES] = rand::random();
        let payload = Payload {
            msg: text.expose_secret().as_bytes(),
            aad: &associated_data(subject, self.current),
        };
        let ciphertext = self
            .cipher(self.current)?
            .encrypt(&XNonce::from(nonce), payload)
            .map_err(|_| SealingError::Encryption)?;
        Ok(Sealed {
            key_id: self.current,
            nonce,
            ciphertext,
        })
    }

    /// Reads a text.
    pub fn open(&self, subject: Subject, sealed: &Sealed) -> Result<SecretString, SealingError> {
        let failed = || SealingError::DoesNotOpen(sealed.key_id);
        let payload = Payload {
            msg: &sealed.ciphertext,
            aad: &associated_data(subject, sealed.key_id),
        };
        let opened = self
            .cipher(sealed.key_id)?
            .decrypt(&XNonce::from(sealed.nonce), payload)
            .map_err(|_| failed())?;
        // The same buffer from here to the secret: nothing is left behind unwiped.
        String::from_utf8(opened)
            .map(SecretString::from)
            .map_err(|_| failed())
    }

    /// The same text under the current key; `None` where it is under it already.
    pub fn rewrap(
        &self,
        subject: Subject,
        sealed: &Sealed,
    ) -> Result<Option<Sealed>, SealingError> {
        if sealed.key_id == self.current {
            return Ok(None);
        }
        self.seal(subject, &self.open(subject, sealed)?).map(Some)
    }

    /// The key that encrypts.
    pub fn current(&self) -> KeyId {
        self.current
    }

    fn cipher(&self, key_id: KeyId) -> Result<XChaCha20Poly1305, SealingError> {
        let key = self
            .keys
            .get(&key_id)
            .ok_or(SealingError::UnknownKey(key_id))?;
        Ok(XChaCha20Poly1305::new(key.expose_secret().into()))
    }
}

fn associated_data(subject: Subject, key_id: KeyId) -> Vec<u8> {
    format!("v1|{subject}|kid:{key_id}").into_bytes()
}

impl Sealed {
    /// As one column: key id, nonce, ciphertext.
    pub fn to_bytes(&self) -> Vec<u8> {
        [
            &self.key_id.to_be_bytes(),
            &self.nonce[..],
            &self.ciphertext[..],
        ]
        .concat()
    }

    /// From such a column; `None` where it is too short to be one.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (key_id, rest) = bytes.split_first_chunk()?;
        let (nonce, ciphertext) = rest.split_first_chunk()?;
        Some(Self {
            key_id: KeyId::from_be_bytes(*key_id),
            nonce: *nonce,
            ciphertext: ciphertext.to_vec(),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn ring(text: &str) -> KeyRing {
        KeyRing::parse(&text.into()).expect("keys")
    }

    fn one_key() -> String {
        format!("1:{}", "11".repeat(KEY_BYTES))
    }

    fn two_keys() -> String {
        format!("{},2:{}", one_key(), "22".repeat(KEY_BYTES))
    }

    fn payout(number: u128) -> Subject {
        Subject::ClaimCode(PayoutId::new(Uuid::from_u128(number)))
    }

    #[test]
    fn opens_for_its_own_payout_only() {
        let ring = ring(&one_key());
        let sealed = ring
            .seal(payout(1), &"ABCD-EFGHIJ-KLMN".into())
            .expect("sealed");
        let opened = ring.open(payout(1), &sealed).expect("opened");
        assert_eq!(opened.expose_secret(), "ABCD-EFGHIJ-KLMN");
        assert_eq!(
            ring.open(payout(2), &sealed).err(),
            Some(SealingError::DoesNotOpen(1))
        );
    }

    #[test]
    fn a_contact_opens_for_its_own_person_and_field_only() {
        let ring = ring(&one_key());
        let (one, other) = (UserId::new(Uuid::nil()), UserId::new(Uuid::max()));
        let column = ring
            .seal(Subject::Phone(one), &"+9198451".into())
            .expect("sealed")
            .to_bytes();
        assert!(!column.windows(4).any(|window| window == b"9845"));
        let sealed = Sealed::from_bytes(&column).expect("a column");
        let opened = ring.open(Subject::Phone(one), &sealed).expect("opened");
        assert_eq!(opened.expose_secret(), "+9198451");
        for wrong in [
            Subject::Phone(other),
            Subject::Email(one),
            Subject::Destination(one),
        ] {
            assert_eq!(
                ring.open(wrong, &sealed).err(),
                Some(SealingError::DoesNotOpen(1))
            );
        }
        assert_eq!(Sealed::from_bytes(&column[..27]), None);
    }

    #[test]
    fn the_key_id_is_part_of_what_is_authenticated() {
        // Two ids for the same key: without the associated data this would open.
        let same = ring(&format!("{},2:{}", one_key(), "11".repeat(KEY_BYTES)));
        let mut sealed = same.seal(payout(1), &"ABCD".into()).expect("sealed");
        assert_eq!(sealed.key_id, 2);
        sealed.key_id = 1;
        assert_eq!(
            same.open(payout(1), &sealed).err(),
            Some(SealingError::DoesNotOpen(1))
        );
    }

    #[test]
    fn rotation_rewraps_and_an_old_ring_no_longer_opens() {
        let (before, after) = (ring(&one_key()), ring(&two_keys()));
        let sealed = before.seal(payout(1), &"ABCD".into()).expect("sealed");
        let rewrapped = after
            .rewrap(payout(1), &sealed)
            .expect("rewrapped")
            .expect("new");
        assert_eq!(rewrapped.key_id, 2);
        assert_eq!(after.rewrap(payout(1), &rewrapped), Ok(None));
        let opened = after.open(payout(1), &rewrapped).expect("opened");
        assert_eq!(opened.expose_secret(), "ABCD");
        assert_eq!(
            before.open(payout(1), &rewrapped).err(),
            Some(SealingError::UnknownKey(2))
        );
    }

    #[test]
    fn keys_are_read_strictly_and_never_printed() {
        for bad in [
            "",
            "1:",
            "1:zz",
            "x:11",
            &format!("{0},{0}", one_key()),
            "1:1111",
        ] {
            assert_eq!(
                KeyRing::parse(&bad.into()).err(),
                Some(SealingError::Keys),
                "{bad}"
            );
        }
        assert!(!format!("{:?}", ring(&two_keys())).contains("17, 17"));
    }

    proptest! {
        #[test]
        fn any_changed_bit_is_noticed(code in "[A-Z0-9-]{1,20}", bit in 0_usize..128) {
            let ring = ring(&one_key());
            let mut sealed = ring.seal(payout(1), &code.clone().into()).expect("sealed");
            let index = (bit / 8) % sealed.ciphertext.len();
            sealed.ciphertext[index] ^= 1 << (bit % 8);
            prop_assert!(ring.open(payout(1), &sealed).is_err());
        }

        #[test]
        fn no_two_encryptions_look_alike(code in "[A-Z0-9-]{1,20}") {
            let ring = ring(&one_key());
            let sealed = || ring.seal(payout(1), &code.clone().into()).expect("sealed");
            prop_assert_ne!(sealed().nonce, sealed().nonce);
        }
    }
}
