//! The rails that are built: how each turns a transfer into its one request.
//!
//! A rail is three things ([ADR 0022](../../../docs/adr/0022-a-rail-is-data-and-a-consumer.md)):
//! terms, which the payout run decides by; a request, frozen when the payout is made; and a
//! dispatcher, which reads the payouts of its name. Only the first two meet others here.

use processors::rules::rails::RailTerms;
use schemas::{Amount, Currency, PayoutId};

use super::{
    agcod::{self, RequestError},
    config::AgcodConfig,
};

/// A rail with its account.
#[derive(Debug, Clone)]
pub enum Rail {
    /// Amazon gift cards.
    Agcod(AgcodConfig),
}

/// What is sent for a payout, at every attempt and for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrozenRequest {
    /// The payout's one request id.
    pub creation_request_id: String,
    /// The body, byte for byte.
    pub body: Vec<u8>,
}

impl Rail {
    /// What a payout run has to know of it.
    pub fn terms(&self) -> RailTerms {
        match self {
            Self::Agcod(account) => account.terms(),
        }
    }

    /// The request of a payout.
    ///
    /// # Errors
    /// When the rail doesn't take such a transfer, which its terms rule out.
    pub fn request(
        &self,
        payout_id: PayoutId,
        amount: Amount,
        currency: Currency,
    ) -> Result<FrozenRequest, RequestError> {
        match self {
            Self::Agcod(account) => {
                let creation_request_id =
                    agcod::creation_request_id(&account.partner_id, payout_id);
                let body = agcod::frozen_request(account, &creation_request_id, amount, currency)?;
                Ok(FrozenRequest {
                    creation_request_id,
                    body,
                })
            }
        }
    }
}
