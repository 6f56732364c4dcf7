//! The day's payouts against what the gift-card service says that it did. It changes nothing: what
//! it finds is for a person, with a way on.

use std::collections::{BTreeMap, BTreeSet};

use schemas::{Amount, Currency, Timestamp};
use serde::Serialize;
use sinks::payouts::{
    AgcodConfig, CHANNEL, Store, StoreError,
    agcod::{Activity, ActivityPage, AgcodClient, ClientError, Failure, operations::CardValue},
    store::rates::{CallRate, Operation},
};
use sqlx::{PgPool, Row};
use stream::Clock;

/// What is compared reaches this far beyond the span on the other side, so that a card that was
/// made within it and written down after it isn't missed.
const SLACK_MS: i64 = 24 * 60 * 60 * 1_000;
/// Tries of one page.
const TRIES: u32 = 5;
/// After a call that was throttled, as Amazon recommends.
const PAUSE: std::time::Duration = std::time::Duration::from_secs(10);
/// Pages, at most: a service that repeats itself doesn't keep us for ever.
const PAGES_MAX: u32 = 100_000;

/// What a difference is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The service has made a card that no payout of ours asked for.
    UnknownHere,
    /// The service has made a card, and the payout isn't funded.
    NotFundedHere,
    /// A payout is funded, and the service knows nothing of its card.
    MissingThere,
    /// The card has another value or currency than the payout.
    AmountDiffers,
    /// A payout is funded, and the service has taken its card back.
    RefundedThere,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::UnknownHere,
        Self::NotFundedHere,
        Self::MissingThere,
        Self::AmountDiffers,
        Self::RefundedThere,
    ];

    /// Its name in metrics and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::UnknownHere => "unknown_here",
            Self::NotFundedHere => "not_funded_here",
            Self::MissingThere => "missing_there",
            Self::AmountDiffers => "amount_differs",
            Self::RefundedThere => "refunded_there",
        }
    }

    /// What a person can do.
    pub const fn way_on(self) -> &'static str {
        match self {
            Self::UnknownHere => {
                "nobody here asked for it: see who else has the account's key, cancel the card \
                 with Amazon within 15 minutes, and change the key"
            }
            Self::NotFundedHere => {
                "`hissaback payout release ID` sends the identical request, which tells of the card"
            }
            Self::MissingThere => {
                "ask Amazon for the card by its id; the payout stays as it is until it is known"
            }
            Self::AmountDiffers => {
                "settle the difference with Amazon: the ledger has what we asked for"
            }
            Self::RefundedThere => {
                "`hissaback payout cancel ID` makes sure of it and gives the money back to the \
                 shopper"
            }
        }
    }
}

/// A difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it is.
    pub kind: Kind,
    /// The request id, on both sides.
    pub creation_request_id: String,
    /// The payout, where it is ours.
    pub payout_id: Option<String>,
    /// Its state here.
    pub state: Option<String>,
    /// What it is worth here.
    pub amount_here: Option<Amount>,
    /// What the card is worth there.
    pub amount_there: Option<Amount>,
    /// The card's id there.
    pub card_id: Option<String>,
    /// What a person can do.
    pub way_on: &'static str,
}

/// The comparison of a span.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reconciliation {
    /// From then on,
    pub from: Timestamp,
    /// and before then.
    pub to: Timestamp,
    /// Cards that both sides have, equal.
    pub agreeing: usize,
    /// Their sum.
    pub agreeing_amount: Amount,
    /// The differences.
    pub findings: Vec<Finding>,
}

impl Reconciliation {
    /// How many differences there are of each kind, none left out.
    pub fn counts(&self) -> BTreeMap<Kind, usize> {
        let mut counts: BTreeMap<_, _> = Kind::ALL.into_iter().map(|kind| (kind, 0)).collect();
        for finding in &self.findings {
            *counts.entry(finding.kind).or_default() += 1;
        }
        counts
    }
}

/// Why there is no comparison.
#[derive(Debug, thiserror::Error)]
pub enum ReconciliationError {
    /// The span is empty, or too near to the present to be over.
    #[error("a span from {from} to {to} can't be compared: it has to be over, and not empty")]
    Span {
        /// From then on,
        from: Timestamp,
        /// and before then.
        to: Timestamp,
    },
    /// The service won't say.
    #[error("the gift-card service doesn't tell what it did: {0}")]
    Refused(String),
    /// No request can be made.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The shared rate can't be asked.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Payouts can't be read.
    #[error("payouts can't be read: {0}")]
    Database(#[from] sqlx::Error),
}

/// Compares. Over connections as the writer, since its calls count among all the others'.
pub struct Reconciler {
    /// Connections.
    pub pool: PgPool,
    /// The account.
    pub account: AgcodConfig,
    /// The account's calls a second.
    pub rate: CallRate,
    /// The time port.
    pub clock: std::sync::Arc<dyn Clock>,
}

/// A card as the service has it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct There {
    value: Option<(Amount, Currency)>,
    card_id: Option<String>,
    refunded: bool,
    /// Whether it was made within the span that is asked about.
    within: bool,
}

/// A payout.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Here {
    payout_id: String,
    state: String,
    value: Option<(Amount, Currency)>,
    /// Whether it was funded within the span that is asked about.
    within: bool,
}

impl Reconciler {
    /// Compares the cards of `[from, to)`.
    ///
    /// # Errors
    /// See [`ReconciliationError`].
    pub async fn compare(
        &self,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Reconciliation, ReconciliationError> {
        if from >= to || to > self.clock.now() {
            return Err(ReconciliationError::Span { from, to });
        }
        let there = self.there(from, to).await?;
        let here = self.here(from, to, &there).await?;
        let reconciliation = compare(from, to, &here, &there);
        tracing::info!(
            %from, %to,
            agreeing = reconciliation.agreeing,
            findings = reconciliation.findings.len(),
            "payouts were compared with the gift-card service"
        );
        Ok(reconciliation)
    }

    /// What the service did, by request id.
    async fn there(
        &self,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<BTreeMap<String, There>, ReconciliationError> {
        let (earliest, latest) = (from.plus_millis(-SLACK_MS), to.plus_millis(SLACK_MS));
        let latest = latest.min(self.clock.now());
        let client = AgcodClient::new(&self.account)?;
        let mut seen = BTreeSet::new();
        let mut there: BTreeMap<String, There> = BTreeMap::new();
        for page_index in 0..PAGES_MAX {
            let page = self.page(&client, (earliest, latest), page_index).await?;
            let mut new = 0;
            for activity in &page.entries {
                // Pages may overlap: what an index counts isn't documented.
                new += usize::from(seen.insert(identity(activity)));
                take(&mut there, activity, from, to);
            }
            if new == 0 || page.total.is_some_and(|total| seen.len() >= total) {
                break;
            }
        }
        Ok(there)
    }

    async fn page(
        &self,
        client: &AgcodClient,
        span: (Timestamp, Timestamp),
        page_index: u32,
    ) -> Result<ActivityPage, ReconciliationError> {
        let store = Store::new(self.pool.clone(), CHANNEL);
        let mut tries = 1;
        loop {
            store.wait_for_slot(Operation::Call, self.rate).await?;
            let now = self.clock.now();
            let request_id = format!("{}R{}P{page_index}", self.account.partner_id, now.millis());
            let answered = client
                .activity_page(&request_id, span, page_index, now)
                .await?;
            let failure = match answered {
                Ok(page) => return Ok(page),
                Err(failure) => failure,
            };
            let passes = match &failure {
                Failure::Throttled(_) | Failure::Unreachable(_) | Failure::Unknown(_) => true,
                Failure::Refused(_) | Failure::ChannelFault(_) => false,
            };
            if !passes || tries == TRIES {
                let detail = failure.detail().as_str().to_owned();
                return Err(ReconciliationError::Refused(detail));
            }
            if matches!(failure, Failure::Throttled(_)) {
                tokio::time::sleep(PAUSE).await;
            }
            tries += 1;
        }
    }

    /// Payouts that were funded within the span, and those that the service names.
    async fn here(
        &self,
        from: Timestamp,
        to: Timestamp,
        there: &BTreeMap<String, There>,
    ) -> Result<BTreeMap<String, Here>, ReconciliationError> {
        let named: Vec<&str> = there.keys().map(String::as_str).collect();
        let rows = sqlx::query(
            "SELECT creation_request_id, payout_id::text AS payout_id, state, amount,
                    currency::text AS currency,
                    coalesce(paid_at >= $2 AND paid_at < $3, false) AS within
             FROM payouts
             WHERE method = $1 AND (creation_request_id = ANY ($4)
                   OR (state = 'funded' AND paid_at >= $2 AND paid_at < $3))",
        )
        .bind(CHANNEL)
        .bind(from.to_datetime())
        .bind(to.to_datetime())
        .bind(named)
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| {
                let currency: String = row.try_get("currency")?;
                let amount = Amount::from_decimal(row.try_get("amount")?);
                let here = Here {
                    payout_id: row.try_get("payout_id")?,
                    state: row.try_get("state")?,
                    value: amount.ok().zip(currency.parse().ok()),
                    within: row.try_get("within")?,
                };
                Ok((row.try_get("creation_request_id")?, here))
            })
            .collect()
    }
}

/// What tells one entry from another.
fn identity(activity: &Activity) -> (String, Option<String>, Option<String>, Option<String>) {
    (
        activity.request_id.clone(),
        activity.activity_type.clone(),
        activity.activity_time.clone(),
        activity.activity_status.clone(),
    )
}

fn take(there: &mut BTreeMap<String, There>, activity: &Activity, from: Timestamp, to: Timestamp) {
    if !activity.created() && !activity.refunded() {
        return;
    }
    let card = there
        .entry(activity.request_id.clone())
        .or_insert_with(|| There {
            value: None,
            card_id: None,
            refunded: false,
            within: false,
        });
    card.refunded |= activity.refunded();
    card.card_id = card.card_id.take().or_else(|| activity.gc_id.clone());
    if activity.created() {
        let value = activity.card_value.as_ref().and_then(CardValue::parse);
        card.value = value.map(|value| (value.amount, value.currency));
        // Where the time isn't said, the service was asked for the span anyway.
        let made_at = activity.activity_time.as_deref().map(parse_time);
        card.within |= made_at.flatten().is_none_or(|at| (from..to).contains(&at));
    }
}

fn parse_time(text: &str) -> Option<Timestamp> {
    Timestamp::parse(text).or_else(|| Timestamp::parse(&format!("{text}Z")))
}

/// Both sides, request by request. What lies outside the span only counts where the other side has
/// it within.
fn compare(
    from: Timestamp,
    to: Timestamp,
    here: &BTreeMap<String, Here>,
    there: &BTreeMap<String, There>,
) -> Reconciliation {
    let mut findings = Vec::new();
    let (mut agreeing, mut sum_micros) = (0, 0_i64);
    let ids: BTreeSet<&String> = here.keys().chain(there.keys()).collect();
    for id in ids {
        let (payout, card) = (here.get(id), there.get(id));
        let concerned =
            payout.is_some_and(|payout| payout.within) || card.is_some_and(|card| card.within);
        if !concerned {
            continue;
        }
        if let Some(kind) = difference(payout, card) {
            findings.push(Finding {
                kind,
                creation_request_id: id.clone(),
                payout_id: payout.map(|payout| payout.payout_id.clone()),
                state: payout.map(|payout| payout.state.clone()),
                amount_here: payout
                    .and_then(|payout| payout.value)
                    .map(|(amount, _)| amount),
                amount_there: card.and_then(|card| card.value).map(|(amount, _)| amount),
                card_id: card.and_then(|card| card.card_id.clone()),
                way_on: kind.way_on(),
            });
            continue;
        }
        let spendable = card.filter(|card| !card.refunded);
        if let Some((amount, _)) = spendable.and_then(|card| card.value) {
            agreeing += 1;
            sum_micros = sum_micros.saturating_add(amount.micros());
        }
    }
    Reconciliation {
        from,
        to,
        agreeing,
        agreeing_amount: Amount::from_micros(sum_micros),
        findings,
    }
}

fn difference(payout: Option<&Here>, card: Option<&There>) -> Option<Kind> {
    let funded = payout.is_some_and(|payout| payout.state == "funded");
    match (payout, card) {
        (None, Some(card)) => (!card.refunded).then_some(Kind::UnknownHere),
        (Some(_), None) => funded.then_some(Kind::MissingThere),
        (Some(_), Some(card)) if card.refunded => funded.then_some(Kind::RefundedThere),
        (Some(_), Some(_)) if !funded => Some(Kind::NotFundedHere),
        (Some(payout), Some(card)) => (payout.value != card.value).then_some(Kind::AmountDiffers),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(units: i64) -> (Amount, Currency) {
        (Amount::from_micros(units * 1_000_000), Currency::INR)
    }

    fn here(state: &str, units: i64, within: bool) -> Here {
        Here {
            payout_id: "p".to_owned(),
            state: state.to_owned(),
            value: Some(value(units)),
            within,
        }
    }

    fn there(units: i64, refunded: bool, within: bool) -> There {
        There {
            value: Some(value(units)),
            card_id: Some("G1".to_owned()),
            refunded,
            within,
        }
    }

    /// Every payout × every card.
    #[test]
    fn each_difference_is_told_for_what_it_is() {
        use Kind as K;
        let card = there(500, false, true);
        let refunded = there(500, true, true);
        let other = there(400, false, true);
        for (state, plain, gone, less, none) in [
            (
                "funded",
                None,
                Some(K::RefundedThere),
                Some(K::AmountDiffers),
                Some(K::MissingThere),
            ),
            (
                "sending",
                Some(K::NotFundedHere),
                None,
                Some(K::NotFundedHere),
                None,
            ),
            (
                "error_soft",
                Some(K::NotFundedHere),
                None,
                Some(K::NotFundedHere),
                None,
            ),
            (
                "error_hard",
                Some(K::NotFundedHere),
                None,
                Some(K::NotFundedHere),
                None,
            ),
            (
                "cancelled",
                Some(K::NotFundedHere),
                None,
                Some(K::NotFundedHere),
                None,
            ),
            (
                "queued",
                Some(K::NotFundedHere),
                None,
                Some(K::NotFundedHere),
                None,
            ),
        ] {
            let payout = here(state, 500, true);
            assert_eq!(difference(Some(&payout), Some(&card)), plain, "{state}");
            assert_eq!(difference(Some(&payout), Some(&refunded)), gone, "{state}");
            assert_eq!(difference(Some(&payout), Some(&other)), less, "{state}");
            assert_eq!(difference(Some(&payout), None), none, "{state}");
        }
        assert_eq!(difference(None, Some(&card)), Some(K::UnknownHere));
        assert_eq!(difference(None, Some(&refunded)), None);
    }

    #[test]
    fn a_card_at_the_spans_edge_is_compared_with_what_lies_beyond_it() {
        let (from, to) = (Timestamp::from_millis(0), Timestamp::from_millis(1));
        let id = || "Awssb1".to_owned();
        // Made before midnight there, written down after it here: only the first day counts it.
        let made = |within| BTreeMap::from([(id(), there(500, false, within))]);
        let paid = |within| BTreeMap::from([(id(), here("funded", 500, within))]);
        for (here, there, agreeing) in [
            (paid(false), made(true), 1),
            (paid(true), made(false), 1),
            (paid(false), made(false), 0),
        ] {
            let compared = compare(from, to, &here, &there);
            assert_eq!((compared.agreeing, compared.findings.len()), (agreeing, 0));
        }
    }
}
