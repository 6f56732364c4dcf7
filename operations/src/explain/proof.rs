//! A signed bundle about one claim, for a network that says that it never heard of a sale: what it
//! reported, where that stands in the log, and what it came to. No shopper in it.
//!
//! The signature is Ed25519 over the statement in canonical JSON (RFC 8785: members sorted, no
//! white space), so that any other program can check it.

use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use schemas::{Timestamp, events::Reported};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{ClaimLineage, RawEvidence, ReportLineage};

/// What the `format` of a bundle says.
pub const FORMAT: &str = "hissaback-proof-1";
const SEED_BYTES: usize = 32;

/// The key that an installation signs with.
pub struct ProofKey {
    id: u8,
    pair: Ed25519KeyPair,
}

/// A signed statement about a claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// [`FORMAT`].
    pub format: String,
    /// Which of the installation's keys signed.
    pub key_id: u8,
    /// The public key, hex.
    pub public_key: String,
    /// What is said.
    pub statement: Value,
    /// Over the statement in canonical JSON, hex.
    pub signature: String,
}

/// Why a bundle proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The seed is none.
    #[error("a proof key is 32 bytes")]
    Key,
    /// Made by a later version, or something else altogether.
    #[error("the file isn't a {FORMAT} bundle")]
    Format,
    /// Signed by another key than the one that was asked for.
    #[error("it is signed by the key {found}, not by {expected}")]
    OtherKey {
        /// In the bundle.
        found: String,
        /// Asked for.
        expected: String,
    },
    /// It was changed after it was signed, or never signed by this key.
    #[error("the signature doesn't hold: the statement is not what was signed")]
    Signature,
    /// A report's bytes aren't those that its hash was made of.
    #[error("the bytes of the report at {0} don't match their hash")]
    Bytes(String),
}

impl ProofKey {
    /// From its seed.
    ///
    /// # Errors
    /// [`ProofError::Key`].
    pub fn from_seed(id: u8, seed: &[u8; SEED_BYTES]) -> Result<Self, ProofError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| ProofError::Key)?;
        Ok(Self { id, pair })
    }

    /// The public key, hex: what a network is given once.
    pub fn public_key(&self) -> String {
        hex::encode(self.pair.public_key().as_ref())
    }

    /// A signed bundle about a claim.
    pub fn prove(&self, claim: &ClaimLineage, made_at: Timestamp) -> Proof {
        let statement = statement(claim, made_at);
        let signature = self.pair.sign(canonical(&statement).as_bytes());
        Proof {
            format: FORMAT.to_owned(),
            key_id: self.id,
            public_key: self.public_key(),
            signature: hex::encode(signature.as_ref()),
            statement,
        }
    }
}

impl Proof {
    /// Checks format, signature and hashes; and that `expected` signed it, where that is given: a
    /// bundle names its own key, and whose key that is its reader has to know.
    ///
    /// # Errors
    /// The first thing that doesn't hold.
    pub fn verify(&self, expected: Option<&str>) -> Result<(), ProofError> {
        if self.format != FORMAT {
            return Err(ProofError::Format);
        }
        if let Some(expected) = expected.filter(|key| !key.eq_ignore_ascii_case(&self.public_key)) {
            return Err(ProofError::OtherKey {
                found: self.public_key.clone(),
                expected: expected.to_owned(),
            });
        }
        let key = hex::decode(&self.public_key).map_err(|_| ProofError::Signature)?;
        let signature = hex::decode(&self.signature).map_err(|_| ProofError::Signature)?;
        UnparsedPublicKey::new(&ED25519, key)
            .verify(canonical(&self.statement).as_bytes(), &signature)
            .map_err(|_| ProofError::Signature)?;
        let reports = self.statement.get("reports").and_then(Value::as_array);
        for report in reports.into_iter().flatten() {
            let text = |name: &str| report.get(name).and_then(Value::as_str);
            let Some(kept) = text("kept_bytes_hex") else {
                continue;
            };
            let bytes = hex::decode(kept).unwrap_or_default();
            if text("kept_sha256") != Some(hex::encode(Sha256::digest(&bytes)).as_str()) {
                let position = text("position").unwrap_or_default();
                return Err(ProofError::Bytes(position.to_owned()));
            }
        }
        Ok(())
    }
}

/// What is said of a claim: nothing of the shopper, nor of how their part is split.
fn statement(claim: &ClaimLineage, made_at: Timestamp) -> Value {
    let click = claim.click.as_ref();
    let terms = claim.terms.as_ref();
    json!({
        "made_at": made_at.to_string(),
        "claim": claim.claim.to_string(),
        "network_id": claim.network_id.get(),
        "offer_id": click.map(|click| click.offer_id.get()),
        "click_id": click.map(|click| click.click_id.to_string()),
        "clicked_at": click.map(|click| click.clicked_at.to_string()),
        "order": claim.order,
        "goal": claim.goal,
        "converted_at": claim.converted_at.to_string(),
        "network_status": claim.network_status,
        "status": claim.status,
        "sale": claim.money.sale.map(|sale| sale.to_string()),
        "currency": claim.money.currency.to_string(),
        "commission_expected": claim.money.expected.commission.to_string(),
        "commission_booked": claim.money.posted.commission.to_string(),
        "rating": claim.rating,
        "offer_version": terms.map(|terms| terms.offer_version),
        "campaign_version": terms.map(|terms| terms.campaign_version),
        "commission_rules_version": terms.and_then(|terms| terms.commission_rules_version),
        "reports": claim.reports.iter().map(report).collect::<Vec<_>>(),
    })
}

fn report(report: &ReportLineage) -> Value {
    let fields = report.fields.as_ref().map(said);
    let mut value = json!({
        "event_id": report.event_id.to_string(),
        "position": report.position.to_string(),
        "source": report.source,
        "received_at": report.received_at.map(|at| at.to_string()),
        "as_of": report.as_of.map(|at| at.to_string()),
        "appended_at": report.appended_at.map(|at| at.to_string()),
        "fields": fields,
    });
    let raw = match &report.raw {
        RawEvidence::Kept {
            bytes_hex,
            content_type,
            sha256,
            truncated,
            ..
        } => {
            let bytes = hex::decode(bytes_hex).unwrap_or_default();
            json!({
                "content_type": content_type,
                "received_sha256": sha256,
                "truncated": truncated,
                "kept_sha256": hex::encode(Sha256::digest(&bytes)),
                "kept_bytes_hex": bytes_hex,
            })
        }
        RawEvidence::Missing(reason) => json!({ "missing": reason }),
    };
    if let (Value::Object(value), Value::Object(raw)) = (&mut value, raw) {
        value.extend(raw);
    }
    value
}

fn said(fields: &Reported) -> Value {
    json!({
        "conversion_id": fields.network_conversion_id,
        "order": fields.txn_id,
        "goal": fields.goal_id,
        "status": fields.status,
        "sale": fields.sale_amount.map(|sale| sale.to_string()),
        "payout": fields.payout.map(|payout| payout.to_string()),
        "currency": fields.currency.map(|currency| currency.to_string()),
        "converted_at": fields.converted_at.map(|at| at.to_string()),
    })
}

/// Canonical JSON: members sorted by name, no white space. Numbers are integers here, and names
/// ASCII, for which this is RFC 8785.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(name, _)| *name);
            let members: Vec<String> = members
                .into_iter()
                .map(|(name, value)| {
                    let name = Value::String(name.clone());
                    format!("{name}:{}", canonical(value))
                })
                .collect();
            format!("{{{}}}", members.join(","))
        }
        Value::Array(values) => {
            let values: Vec<String> = values.iter().map(canonical).collect();
            format!("[{}]", values.join(","))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed(statement: Value) -> Proof {
        let key = ProofKey::from_seed(3, &[9; 32]).expect("a key");
        let signature = key.pair.sign(canonical(&statement).as_bytes());
        Proof {
            format: FORMAT.to_owned(),
            key_id: 3,
            public_key: key.public_key(),
            signature: hex::encode(signature.as_ref()),
            statement,
        }
    }

    #[test]
    fn canonical_json_is_sorted_and_tight() {
        let value = json!({ "b": [1, { "z": null, "a": "é\n" }], "a": true });
        assert_eq!(
            canonical(&value),
            "{\"a\":true,\"b\":[1,{\"a\":\"é\\n\",\"z\":null}]}"
        );
    }

    #[test]
    fn the_public_key_is_that_of_rfc_8032() {
        let seed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
        let seed: [u8; 32] = hex::decode(seed)
            .expect("hex")
            .try_into()
            .expect("32 bytes");
        let key = ProofKey::from_seed(1, &seed).expect("a key");
        assert_eq!(
            key.public_key(),
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
        );
    }

    #[test]
    fn what_was_changed_or_signed_by_others_is_refused() {
        let bytes = b"status=approved";
        let proof = signed(json!({ "reports": [{
            "position": "conversions/1/2",
            "kept_bytes_hex": hex::encode(bytes),
            "kept_sha256": hex::encode(Sha256::digest(bytes)),
        }]}));
        let written = serde_json::to_string_pretty(&proof).expect("JSON");
        let read: Proof = serde_json::from_str(&written).expect("a bundle");
        assert_eq!(read.verify(None), Ok(()));
        assert_eq!(read.verify(Some(&proof.public_key.to_uppercase())), Ok(()));
        assert!(matches!(
            read.verify(Some("00")),
            Err(ProofError::OtherKey { .. })
        ));
        let mut changed = read.clone();
        changed.statement["reports"][0]["position"] = json!("conversions/1/3");
        assert_eq!(changed.verify(None), Err(ProofError::Signature));
        let mut other = read.clone();
        other.format = "hissaback-proof-2".to_owned();
        assert_eq!(other.verify(None), Err(ProofError::Format));

        let wrong_bytes = signed(json!({ "reports": [{
            "position": "conversions/1/2", "kept_bytes_hex": "00", "kept_sha256": "00",
        }]}));
        assert_eq!(
            wrong_bytes.verify(None),
            Err(ProofError::Bytes("conversions/1/2".to_owned()))
        );
    }
}
