//! Keyed hashes of contacts and addresses: personal data is compared, never carried (design
//! section 3).

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The secret that contacts and addresses are hashed with.
#[derive(Clone)]
pub struct ContactKey([u8; 32]);

impl ContactKey {
    /// From 32 secret bytes.
    pub const fn new(secret: [u8; 32]) -> Self {
        Self(secret)
    }

    /// Hash of a phone number: its digits, so that spacing and a leading `+` don't matter.
    pub fn phone(&self, phone: &str) -> String {
        let digits: String = phone.chars().filter(char::is_ascii_digit).collect();
        self.hash("phone", &digits)
    }

    /// Hash of an e-mail address: trimmed, lower case.
    pub fn email(&self, email: &str) -> String {
        self.hash("email", &email.trim().to_lowercase())
    }

    /// Hash of an IP address in its canonical text form.
    pub fn address(&self, address: &str) -> String {
        self.hash("address", address)
    }

    /// Hash of a one-time code, which counts for the request that it was made for only.
    pub fn one_time_code(&self, request_id: uuid::Uuid, code: &str) -> String {
        self.hash("one_time_code", &format!("{request_id}:{code}"))
    }

    /// HMAC-SHA-256, hex, of its first 16 bytes. The kind keeps equal texts of different kinds
    /// apart.
    fn hash(&self, kind: &str, text: &str) -> String {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes a key of any length");
        mac.update(kind.as_bytes());
        mac.update(b":");
        mac.update(text.as_bytes());
        let digest = mac.finalize().into_bytes();
        let head = <[u8; 16]>::try_from(&digest[..16]).expect("SHA-256 has 32 bytes");
        format!("{:032x}", u128::from_be_bytes(head))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_contact_are_one_and_keys_and_kinds_differ() {
        let key = ContactKey::new([1; 32]);
        assert_eq!(key.phone("+91 98765-43210"), key.phone("919876543210"));
        assert_eq!(key.email(" A@Example.org"), key.email("a@example.org"));
        assert_ne!(key.phone("1"), key.address("1"));
        assert_ne!(key.phone("1"), ContactKey::new([2; 32]).phone("1"));
    }
}
