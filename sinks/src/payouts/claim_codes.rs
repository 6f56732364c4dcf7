//! Claim codes at rest: encrypted until the message is out, or not kept at all.

use crate::sealing::KeyRing;

/// What becomes of a claim code between the card and the message.
#[derive(Debug, Clone)]
pub enum ClaimCodeStorage {
    /// Kept encrypted until the message is out, then shredded.
    Encrypted(KeyRing),
    /// Never stored, as Amazon's terms ask: after a crash it is fetched again, by repeating the
    /// identical request.
    NotStored,
}
