//! What the fake does wrong, and when: a pure function of the request and the call's number.

use std::time::Duration;

use sha2::{Digest, Sha256};

/// One way of going wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// None.
    None,
    /// The card is issued and the answer comes late.
    Slow(Duration),
    /// The card is issued and the connection breaks.
    LostAfterIssuing,
    /// The connection breaks and nothing is issued.
    LostBeforeIssuing,
    /// Too many calls; nothing is issued.
    Throttled,
    /// The card is issued and the answer is cut short.
    Malformed,
    /// A front end's error page; nothing is issued.
    ServerError,
    /// `F100`; nothing is issued.
    Internal,
    /// `F400`, `RESEND`; nothing is issued.
    Resend,
    /// The card is issued and cancelled: the answer says success and is none.
    Refunded,
    /// `F300`; nothing is issued.
    InsufficientFunds,
    /// `F300`, the account is closed; nothing is issued.
    AccountClosed,
    /// The signature counts as too old; nothing is issued.
    SignatureExpired,
    /// The access key is no longer known; nothing is issued.
    KeyUnknown,
}

impl Fault {
    /// Whether what was asked for is done in spite of it: the card issued, the card cancelled.
    pub const fn issues(self) -> bool {
        match self {
            Self::None
            | Self::Slow(_)
            | Self::LostAfterIssuing
            | Self::Malformed
            | Self::Refunded => true,
            Self::LostBeforeIssuing
            | Self::Throttled
            | Self::ServerError
            | Self::Internal
            | Self::Resend
            | Self::InsufficientFunds
            | Self::AccountClosed
            | Self::SignatureExpired
            | Self::KeyUnknown => false,
        }
    }
}

/// Which calls go wrong, and how.
#[derive(Debug, Clone, Default)]
pub enum Script {
    /// None.
    #[default]
    Honest,
    /// The first calls of each request id, one after the other; later ones are honest.
    FirstCalls(Vec<Fault>),
    /// One call in so many, picked by request id, call and seed, with these faults in turn.
    OneIn {
        /// One in how many calls; 0 is never.
        calls: u32,
        /// Another seed picks other calls.
        seed: u64,
        /// What to pick from.
        faults: Vec<Fault>,
    },
}

impl Script {
    /// What to do wrong in the `number`-th call (from 1) for a request id.
    pub fn fault(&self, creation_request_id: &str, number: u32) -> Fault {
        match self {
            Self::Honest => Fault::None,
            Self::FirstCalls(faults) => {
                let index = number.saturating_sub(1) as usize;
                faults.get(index).copied().unwrap_or(Fault::None)
            }
            Self::OneIn {
                calls,
                seed,
                faults,
            } => {
                let drawn = draw(creation_request_id, number, *seed);
                let picked = *calls > 0 && drawn.is_multiple_of(u64::from(*calls));
                let turn = drawn / u64::from((*calls).max(1));
                match faults.len() as u64 {
                    count if picked && count > 0 => usize::try_from(turn % count)
                        .ok()
                        .and_then(|index| faults.get(index))
                        .copied()
                        .unwrap_or(Fault::None),
                    _ => Fault::None,
                }
            }
        }
    }
}

fn draw(creation_request_id: &str, number: u32, seed: u64) -> u64 {
    let digest = Sha256::digest(format!("{seed}|{creation_request_id}|{number}"));
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    u64::from_be_bytes(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_in_ten_is_about_one_in_ten_and_uses_every_fault() {
        let faults = vec![Fault::Throttled, Fault::Malformed, Fault::Internal];
        let script = Script::OneIn {
            calls: 10,
            seed: 1,
            faults: faults.clone(),
        };
        let struck: Vec<Fault> = (0..10_000)
            .map(|number| script.fault(&format!("Awssb{number}"), 1))
            .filter(|fault| *fault != Fault::None)
            .collect();
        assert!((800..1_200).contains(&struck.len()), "{}", struck.len());
        for fault in faults {
            assert!(struck.contains(&fault), "{fault:?}");
        }
    }

    #[test]
    fn first_calls_go_wrong_in_order() {
        let script = Script::FirstCalls(vec![Fault::Resend, Fault::None, Fault::Throttled]);
        let faults: Vec<Fault> = (1..=4).map(|number| script.fault("any", number)).collect();
        assert_eq!(
            faults,
            [Fault::Resend, Fault::None, Fault::Throttled, Fault::None]
        );
    }
}
