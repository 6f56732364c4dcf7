//! What the fake has done, and what an honest Amazon does when it is asked.

use std::collections::BTreeMap;

use chrono::NaiveDateTime;
use schemas::{Amount, Currency, Timestamp};
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{
    FakeAccount, Fault, IssuedCard, Script,
    answers::{self, CancelRequest, CreateRequest, FundsRequest, PageRequest},
};

/// Until when a card can be cancelled.
const CANCEL_WITHIN_MS: i64 = 15 * 60 * 1_000;
/// What a bottomless account says that it holds, in units.
const BOTTOMLESS_MICROS: i64 = 999_999_999_000_000;
/// What the service takes for the size of a page.
const PAGE_SIZE_MAX: usize = 1_000;

/// What really happened.
#[derive(Debug, Default)]
pub(super) struct Books {
    /// By operation.
    pub(super) scripts: BTreeMap<&'static str, Script>,
    pub(super) cards: BTreeMap<String, IssuedCard>,
    pub(super) calls: BTreeMap<String, u32>,
    /// Calls of everything but creation, by operation and subject.
    other_calls: BTreeMap<String, u32>,
    pub(super) refused_signatures: u32,
    /// What is left; `None` is a bottomless account.
    pub(super) funds: Option<Amount>,
}

/// A request that was read.
pub(super) enum Asked {
    Create(CreateRequest),
    Cancel(CancelRequest),
    Funds(FundsRequest),
    Page(PageRequest),
}

impl Asked {
    /// Or the answer that refuses it.
    pub(super) fn read(operation: &str, body: &[u8]) -> Result<Self, Value> {
        fn parsed<T: DeserializeOwned>(body: &[u8]) -> Result<T, Value> {
            serde_json::from_slice(body).map_err(|_| answers::error("F200", "InvalidRequestInput"))
        }
        match operation {
            "CreateGiftCard" => Ok(Self::Create(parsed(body)?)),
            "CancelGiftCard" => Ok(Self::Cancel(parsed(body)?)),
            "GetAvailableFunds" => Ok(Self::Funds(parsed(body)?)),
            "GetGiftCardActivityPage" => Ok(Self::Page(parsed(body)?)),
            _ => Err(answers::error("F200", "UnknownOperation")),
        }
    }

    /// What it is about: scripts count calls by it.
    pub(super) fn subject(&self) -> &str {
        match self {
            Self::Create(request) => &request.creation_request_id,
            Self::Cancel(request) => &request.creation_request_id,
            Self::Funds(_) | Self::Page(_) => "",
        }
    }

    fn partner_id(&self) -> &str {
        match self {
            Self::Create(request) => &request.partner_id,
            Self::Cancel(request) => &request.partner_id,
            Self::Funds(request) => &request.partner_id,
            Self::Page(request) => &request.partner_id,
        }
    }
}

impl Books {
    /// Counts a call, and says what goes wrong with it.
    pub(super) fn fault(&mut self, operation: &str, subject: &str) -> Fault {
        let (calls, key) = if operation == "CreateGiftCard" {
            (&mut self.calls, subject.to_owned())
        } else {
            (&mut self.other_calls, format!("{operation} {subject}"))
        };
        let count = calls.entry(key).or_default();
        *count += 1;
        self.scripts
            .get(operation)
            .map_or(Fault::None, |script| script.fault(subject, *count))
    }

    pub(super) fn perform(
        &mut self,
        asked: &Asked,
        account: &FakeAccount,
        now: Timestamp,
    ) -> Value {
        if asked.partner_id() != account.partner_id {
            return answers::error("F200", "InvalidPartnerIdInput");
        }
        match asked {
            Asked::Create(request) => match self.issue(request, account, now) {
                Ok(card) => answers::success(&request.creation_request_id, &card),
                Err((code, kind)) => answers::error(code, kind),
            },
            Asked::Cancel(request) => match self.cancel(request, now) {
                Ok(()) => answers::cancelled(request),
                Err(kind) => answers::error("F200", kind),
            },
            Asked::Funds(_) => {
                let left = self.funds.unwrap_or(Amount::from_micros(BOTTOMLESS_MICROS));
                answers::funds(left, &account.currency.to_string(), now)
            }
            Asked::Page(request) => self
                .page(request)
                .unwrap_or_else(|| answers::error("F200", "InvalidDateInput")),
        }
    }

    fn issue(
        &mut self,
        request: &CreateRequest,
        account: &FakeAccount,
        now: Timestamp,
    ) -> Result<IssuedCard, (&'static str, &'static str)> {
        let id = &request.creation_request_id;
        let well_formed = id.starts_with(&account.partner_id)
            && id.len() <= 40
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !well_formed {
            return Err(("F200", "InvalidCreationRequestIdInput"));
        }
        let Ok(amount) = request.value.amount.to_string().parse::<Amount>() else {
            return Err(("F200", "InvalidAmountInput"));
        };
        if amount <= Amount::ZERO {
            return Err(("F200", "InvalidAmountValue"));
        }
        if amount.micros() % 1_000_000 != 0 {
            return Err(("F200", "FractionalAmountNotAllowed"));
        }
        if request.value.currency_code != account.currency.to_string() {
            return Err(("F200", "CurrencyCodeMismatch"));
        }
        if let Some(card) = self.cards.get(id) {
            return if card.amount == amount {
                Ok(card.clone())
            } else {
                Err(("F200", "CreationRequestIdUsedWithAnotherAmount"))
            };
        }
        match self.funds {
            Some(funds) if funds < amount => return Err(("F300", "InsufficientFunds")),
            Some(funds) => {
                self.funds = Some(Amount::from_micros(funds.micros() - amount.micros()));
            }
            None => {}
        }
        let card = new_card(id, amount, account.currency, now);
        self.cards.insert(id.clone(), card.clone());
        Ok(card)
    }

    fn cancel(&mut self, request: &CancelRequest, now: Timestamp) -> Result<(), &'static str> {
        let card = self.cards.get_mut(&request.creation_request_id);
        let card = card.filter(|card| card.card_id == request.gc_id);
        let card = card.ok_or("CardNotFound")?;
        if card.refunded {
            return Ok(());
        }
        if card.claimed {
            return Err("CardAlreadyRedeemed");
        }
        if now.millis_since(card.issued_at) > CANCEL_WITHIN_MS {
            return Err("CancelRequestArrivedAfterTimeLimit");
        }
        card.refunded = true;
        card.refunded_at = Some(now);
        let amount = card.amount;
        self.funds = self
            .funds
            .map(|funds| Amount::from_micros(funds.micros() + amount.micros()));
        Ok(())
    }

    /// What was done within a span, by time: `None` where it isn't one.
    fn page(&self, request: &PageRequest) -> Option<Value> {
        let from = page_time(&request.utc_start_date)?;
        let to = page_time(&request.utc_end_date)?;
        let created = self
            .cards
            .iter()
            .map(|(id, card)| (card.issued_at, "CreateGiftCard", id, card));
        let cancelled = self.cards.iter().filter_map(|(id, card)| {
            card.refunded_at
                .map(|refunded_at| (refunded_at, "CancelGiftCard", id, card))
        });
        let mut done: Vec<_> = created
            .chain(cancelled)
            .filter(|(at, ..)| (from..to).contains(at))
            .collect();
        done.sort_unstable_by_key(|(at, kind, id, _)| (*at, *kind, *id));
        let size = request.page_size.clamp(1, PAGE_SIZE_MAX);
        let entries: Vec<Value> = done
            .iter()
            .skip(request.page_index.saturating_mul(size))
            .take(size)
            .map(|(at, kind, id, card)| answers::activity(kind, id, card, *at))
            .collect();
        Some(answers::page(&entries, done.len(), request.page_index))
    }
}

fn page_time(text: &str) -> Option<Timestamp> {
    let at = NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S").ok()?;
    Some(Timestamp::from(at.and_utc()))
}

/// Card id and claim code follow from the request id, so that a run can be repeated.
pub(super) fn new_card(
    creation_request_id: &str,
    amount: Amount,
    currency: Currency,
    now: Timestamp,
) -> IssuedCard {
    let digest = hex::encode_upper(Sha256::digest(creation_request_id));
    IssuedCard {
        card_id: format!("G{}", &digest[..15]),
        claim_code: format!(
            "{}-{}-{}",
            &digest[16..20],
            &digest[20..26],
            &digest[26..30]
        ),
        amount,
        currency,
        refunded: false,
        claimed: false,
        issued_at: now,
        refunded_at: None,
    }
}
