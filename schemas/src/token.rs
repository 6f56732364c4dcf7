//! The click token: what a smart link hands to the network and gets back with the sale.
//!
//! Opaque and authenticated (design section 4): XChaCha20-Poly1305 over a fixed layout, so that
//! the join is a pure function and nobody can make up a click. 94 bytes, 126 URL-safe
//! characters.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chacha20::{R20, hchacha};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use uuid::Uuid;

use crate::{ClickId, Country, LinkId, OfferId, Timestamp, UserId, events::ClickSignals};

/// Longest token there is, in characters.
pub const MAX_LENGTH: usize = 128;
/// Bytes of nonce that sealing needs; random, or unique per key.
pub const NONCE_BYTES: usize = 24;

const AAD: &[u8] = b"hissaback click token v1";
const BODY_BYTES: usize = 53;
const TAG_BYTES: usize = 16;
const SEALED_BYTES: usize = BODY_BYTES + TAG_BYTES;
const TOKEN_BYTES: usize = 1 + NONCE_BYTES + SEALED_BYTES;
/// What the longest text that can be a token may hold.
const DECODED_BYTES_MAX: usize = MAX_LENGTH / 4 * 3;
/// Bytes of the nonce that make a key of their own; the rest is the nonce under that.
const SUBKEY_NONCE_BYTES: usize = 16;

/// What a token holds. Tenant and campaign follow from the link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClickToken {
    /// The click.
    pub click_id: ClickId,
    /// The click's time.
    pub clicked_at: Timestamp,
    /// The smart link.
    pub link_id: LinkId,
    /// The link's offer.
    pub offer_id: OfferId,
    /// The shopper, where known.
    pub user_id: Option<UserId>,
    /// The shopper's country, where known.
    pub country: Option<Country>,
    /// What looked odd about the click.
    pub signals: ClickSignals,
}

/// The keys that tokens are sealed with. Old keys stay as long as `conversions` is kept, so that
/// a replay can open what was sealed then.
#[derive(Clone)]
pub struct TokenKeys {
    current: u8,
    keys: Vec<(u8, TokenKey)>,
}

/// XChaCha20-Poly1305 as its draft defines it (draft-irtf-cfrg-xchacha): ChaCha20-Poly1305 under a
/// key made of this one and the nonce's first part. Every report's token is opened at least twice,
/// and ring's cipher takes a fraction of the time for so few bytes that chacha20poly1305's takes,
/// which the tests hold this against.
#[derive(Clone)]
struct TokenKey([u8; 32]);

impl TokenKey {
    fn cipher(&self, nonce: [u8; NONCE_BYTES]) -> (LessSafeKey, Nonce) {
        let (first, rest) = nonce
            .split_first_chunk::<SUBKEY_NONCE_BYTES>()
            .expect("a nonce of 24 bytes has 16");
        let subkey = hchacha::<R20>(&self.0.into(), &(*first).into());
        let subkey = UnboundKey::new(&CHACHA20_POLY1305, &subkey)
            .expect("a key of ChaCha20 has the 32 bytes that HChaCha20 makes");
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(rest);
        let nonce = Nonce::assume_unique_for_key(nonce);
        (LessSafeKey::new(subkey), nonce)
    }
}

/// Why a text is not one of our tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not base64url of a token's length.
    #[error("not a click token")]
    NotAToken,
    /// Sealed with a key that isn't configured.
    #[error("sealed with the unknown key {0}")]
    UnknownKey(u8),
    /// The seal doesn't hold.
    #[error("the token's seal is broken")]
    Forged,
}

/// The key ring has no key, or one twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the key ring needs at least one key, each id once")]
pub struct KeyRingError;

impl TokenKeys {
    /// A key ring. The first key seals; all of them open.
    ///
    /// # Errors
    /// When there is no key, or an id stands twice.
    pub fn new(keys: &[(u8, [u8; 32])]) -> Result<Self, KeyRingError> {
        let (current, _) = keys.first().ok_or(KeyRingError)?;
        let twice = |index: usize, id: u8| keys[..index].iter().any(|(earlier, _)| *earlier == id);
        if keys
            .iter()
            .enumerate()
            .any(|(index, (id, _))| twice(index, *id))
        {
            return Err(KeyRingError);
        }
        let keys = keys.iter().map(|(id, key)| (*id, TokenKey(*key)));
        Ok(Self {
            current: *current,
            keys: keys.collect(),
        })
    }

    fn key(&self, id: u8) -> Option<&TokenKey> {
        self.keys
            .iter()
            .find(|(known, _)| *known == id)
            .map(|(_, key)| key)
    }

    /// Seals a token with the current key. The nonce comes from the caller, who has the
    /// randomness.
    ///
    /// # Panics
    /// Never: the ring holds its current key, and the body is within the cipher's limit.
    pub fn seal(&self, token: &ClickToken, nonce: [u8; NONCE_BYTES]) -> String {
        let mut body = token.to_bytes();
        let key = self
            .key(self.current)
            .expect("the current key is in the ring");
        let (cipher, under) = key.cipher(nonce);
        let tag = cipher
            .seal_in_place_separate_tag(under, Aad::from(AAD), &mut body)
            .expect("a body of 53 bytes is below the cipher's limit");
        let mut bytes = Vec::with_capacity(TOKEN_BYTES);
        bytes.push(self.current);
        bytes.extend_from_slice(&nonce);
        bytes.extend_from_slice(&body);
        bytes.extend_from_slice(tag.as_ref());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Opens a token.
    ///
    /// # Errors
    /// When the text is no token, its key is unknown, or its seal is broken.
    pub fn open(&self, text: &str) -> Result<ClickToken, TokenError> {
        if text.len() > MAX_LENGTH {
            return Err(TokenError::NotAToken);
        }
        let mut bytes = [0; DECODED_BYTES_MAX];
        let length = URL_SAFE_NO_PAD
            .decode_slice(text, &mut bytes)
            .map_err(|_| TokenError::NotAToken)?;
        if length != TOKEN_BYTES {
            return Err(TokenError::NotAToken);
        }
        let (head, sealed) = bytes[..length].split_at_mut(1 + NONCE_BYTES);
        let nonce = <[u8; NONCE_BYTES]>::try_from(&head[1..]).map_err(|_| TokenError::NotAToken)?;
        let key = self.key(head[0]).ok_or(TokenError::UnknownKey(head[0]))?;
        let (cipher, under) = key.cipher(nonce);
        let body = cipher
            .open_in_place(under, Aad::from(AAD), sealed)
            .map_err(|_| TokenError::Forged)?;
        let body = <[u8; BODY_BYTES]>::try_from(&*body).map_err(|_| TokenError::Forged)?;
        ClickToken::from_bytes(&body).ok_or(TokenError::Forged)
    }
}

impl ClickToken {
    /// click id 8, clicked at 6 (ms), link 16, offer 4, user 16, country 2, signals 1.
    fn to_bytes(&self) -> [u8; BODY_BYTES] {
        let mut bytes = [0; BODY_BYTES];
        bytes[0..8].copy_from_slice(&self.click_id.get().to_be_bytes());
        bytes[8..14].copy_from_slice(&self.clicked_at.millis().to_be_bytes()[2..]);
        bytes[14..30].copy_from_slice(self.link_id.uuid().as_bytes());
        bytes[30..34].copy_from_slice(&self.offer_id.get().to_be_bytes());
        let user = self.user_id.map_or(Uuid::nil(), UserId::uuid);
        bytes[34..50].copy_from_slice(user.as_bytes());
        if let Some(country) = self.country {
            bytes[50..52].copy_from_slice(&country.letters());
        }
        bytes[52] = self.signals.byte();
        bytes
    }

    fn from_bytes(bytes: &[u8; BODY_BYTES]) -> Option<Self> {
        let mut millis = [0; 8];
        millis[2..].copy_from_slice(&bytes[8..14]);
        let user = Uuid::from_slice(&bytes[34..50]).ok()?;
        let country = [bytes[50], bytes[51]];
        Some(Self {
            click_id: ClickId::new(i64::from_be_bytes(bytes[0..8].try_into().ok()?)),
            clicked_at: Timestamp::from_millis(i64::from_be_bytes(millis)),
            link_id: LinkId::new(Uuid::from_slice(&bytes[14..30]).ok()?),
            offer_id: OfferId::new(i32::from_be_bytes(bytes[30..34].try_into().ok()?)),
            user_id: (!user.is_nil()).then(|| UserId::new(user)),
            country: match country {
                [0, 0] => None,
                letters => Some(Country::from_letters(letters).ok()?),
            },
            signals: ClickSignals::from_byte(bytes[52]),
        })
    }
}

#[cfg(test)]
mod tests {
    use chacha20poly1305::{
        KeyInit, XChaCha20Poly1305, XNonce,
        aead::{Aead, Payload},
    };
    use proptest::prelude::*;

    use super::*;

    fn ring(ids: &[u8]) -> TokenKeys {
        let keys: Vec<_> = ids.iter().map(|id| (*id, [*id; 32])).collect();
        TokenKeys::new(&keys).expect("a valid ring")
    }

    prop_compose! {
        fn tokens()(
            click_id in 1_i64..,
            millis in 0_i64..(1 << 47),
            link in any::<u128>(),
            offer in 1_i32..,
            user in prop::option::of(1_u128..),
            country in prop::option::of(prop::sample::select(vec!["IN", "US", "DE"])),
            signals in any::<u8>(),
        ) -> ClickToken {
            ClickToken {
                click_id: ClickId::new(click_id),
                clicked_at: Timestamp::from_millis(millis),
                link_id: LinkId::new(Uuid::from_u128(link)),
                offer_id: OfferId::new(offer),
                user_id: user.map(|user| UserId::new(Uuid::from_u128(user))),
                country: country.map(|code| code.parse().expect("a country")),
                signals: ClickSignals::from_byte(signals),
            }
        }
    }

    proptest! {
        #[test]
        fn tokens_are_those_of_xchacha20poly1305(
            token in tokens(), nonce: [u8; NONCE_BYTES], key: [u8; 32]
        ) {
            let sealed = XChaCha20Poly1305::new(&key.into())
                .encrypt(&XNonce::from(nonce), Payload { msg: &token.to_bytes(), aad: AAD })
                .expect("sealed");
            let text = URL_SAFE_NO_PAD.encode([&[7][..], &nonce, &sealed].concat());
            let keys = TokenKeys::new(&[(7, key)]).expect("a valid ring");
            prop_assert_eq!(keys.seal(&token, nonce), text.as_str());
            prop_assert_eq!(keys.open(&text), Ok(token));
        }

        #[test]
        fn what_is_sealed_opens_after_a_rotation(token in tokens(), nonce: [u8; NONCE_BYTES]) {
            let text = ring(&[1]).seal(&token, nonce);
            prop_assert!(text.len() <= MAX_LENGTH);
            let url_safe = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            prop_assert!(text.chars().all(url_safe));
            prop_assert_eq!(ring(&[2, 1]).open(&text), Ok(token));
            prop_assert_eq!(ring(&[2]).open(&text), Err(TokenError::UnknownKey(1)));
        }

        #[test]
        fn any_changed_character_breaks_the_seal(
            token in tokens(), nonce: [u8; NONCE_BYTES], at in 2_usize..124
        ) {
            let keys = ring(&[1]);
            let mut text = keys.seal(&token, nonce).into_bytes();
            text[at] = if text[at] == b'A' { b'B' } else { b'A' };
            let text = String::from_utf8(text).expect("ascii");
            prop_assert_eq!(keys.open(&text), Err(TokenError::Forged));
        }
    }

    #[test]
    fn other_texts_are_not_tokens() {
        for text in [
            "",
            "12345",
            "not a token",
            &"A".repeat(127),
            &"A".repeat(1_000),
        ] {
            assert_eq!(ring(&[1]).open(text), Err(TokenError::NotAToken), "{text}");
        }
    }

    #[test]
    fn a_ring_without_a_key_or_with_one_twice_is_refused() {
        assert!(TokenKeys::new(&[]).is_err());
        assert!(TokenKeys::new(&[(1, [0; 32]), (1, [1; 32])]).is_err());
    }
}
