//! Whether what was paid is what was to be paid: the service's book of cards against the ledger.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use schemas::{Amount, PayoutId};
use serde::Serialize;
use sinks::payouts::fake_agcod::{FakeAgcod, IssuedCard};
use sqlx::{PgPool, Row};
use uuid::Uuid;

/// What came of it.
#[derive(Debug, Serialize)]
pub struct Verdict {
    /// Payouts with a card that can be spent.
    pub funded: usize,
    /// Payouts that wait for an operator, by reason.
    pub waiting: BTreeMap<String, u64>,
    /// Cards that can be spent, by the service's book.
    pub cards: usize,
    /// Their sum, in rupees.
    pub cards_sum: Decimal,
    /// The sum of funded payouts, by the ledger.
    pub ledger_sum: Decimal,
    /// What stands on payout clearing, by the postings, for funded payouts.
    pub cleared_sum: Decimal,
    /// Attempts, over all payouts.
    pub attempts: i64,
    /// Payouts of which an attempt had no known outcome.
    pub doubtful: i64,
    /// What is wrong, in words; nothing else is acceptable.
    pub findings: Vec<String>,
}

/// A payout as the ledger has it.
struct Kept {
    state: String,
    card_id: Option<String>,
    amount: Decimal,
    last_error: Option<String>,
    cleared: Decimal,
    attempts: i64,
    ambiguous: bool,
    moves: bool,
}

pub async fn of(owner: &PgPool, fake: &FakeAgcod, payouts: u64) -> Verdict {
    let kept = kept(owner).await;
    let mut findings = Vec::new();
    if kept.len() as u64 != payouts {
        findings.push(format!("{} payouts of {payouts}", kept.len()));
    }
    let cards = cards_by_payout(fake, &mut findings);
    for (id, cards) in &cards {
        judge_cards(*id, cards, kept.get(id), &mut findings);
    }
    for (id, payout) in &kept {
        judge_payout(*id, payout, cards.get(id), &mut findings);
    }
    let (count, sum) = fake.funded();
    let funded = || kept.values().filter(|payout| payout.state == "funded");
    let mut waiting: BTreeMap<String, u64> = BTreeMap::new();
    for payout in kept.values().filter(|payout| payout.state != "funded") {
        let reason = payout.last_error.as_deref().unwrap_or("no reason");
        let named = format!("{}: {reason}", payout.state);
        *waiting.entry(named).or_default() += 1;
    }
    let verdict = Verdict {
        funded: funded().count(),
        waiting,
        cards: count,
        cards_sum: sum.to_decimal(),
        ledger_sum: funded().map(|payout| payout.amount).sum(),
        cleared_sum: funded().map(|payout| payout.cleared).sum(),
        attempts: kept.values().map(|payout| payout.attempts).sum(),
        doubtful: kept
            .values()
            .map(|payout| i64::from(payout.ambiguous))
            .sum(),
        findings,
    };
    with_sums(verdict)
}

fn with_sums(mut verdict: Verdict) -> Verdict {
    if verdict.funded != verdict.cards {
        let text = format!("{} funded payouts, {} cards", verdict.funded, verdict.cards);
        verdict.findings.push(text);
    }
    if verdict.cards_sum != verdict.ledger_sum || verdict.ledger_sum != verdict.cleared_sum {
        let text = format!(
            "cards {}, ledger {}, postings {}",
            verdict.cards_sum, verdict.ledger_sum, verdict.cleared_sum
        );
        verdict.findings.push(text);
    }
    verdict
}

/// By the payout whose id the request id ends with.
fn cards_by_payout(
    fake: &FakeAgcod,
    findings: &mut Vec<String>,
) -> BTreeMap<Uuid, Vec<IssuedCard>> {
    let mut cards: BTreeMap<Uuid, Vec<IssuedCard>> = BTreeMap::new();
    for (request_id, card) in fake.cards() {
        let id = request_id.get(request_id.len().saturating_sub(32)..);
        match id.and_then(|id| Uuid::try_parse(id).ok()) {
            Some(id) => cards.entry(id).or_default().push(card),
            None => findings.push(format!("a card of nobody: {request_id}")),
        }
    }
    cards
}

fn judge_cards(id: Uuid, cards: &[IssuedCard], kept: Option<&Kept>, findings: &mut Vec<String>) {
    let spendable: Vec<_> = cards.iter().filter(|card| !card.refunded).collect();
    if spendable.len() > 1 {
        findings.push(format!("{id} has {} cards", spendable.len()));
    }
    let Some(kept) = kept else {
        findings.push(format!("a card without a payout: {id}"));
        return;
    };
    for card in spendable {
        if Amount::from_decimal(kept.amount) != Ok(card.amount) {
            findings.push(format!("{id}: {} for {}", card.amount, kept.amount));
        }
        if kept.state != "funded" {
            findings.push(format!("{id} is {} and has a card", kept.state));
        }
        if kept.card_id.as_deref() != Some(&*card.card_id) {
            findings.push(format!("{id} names another card"));
        }
    }
}

fn judge_payout(
    id: Uuid,
    kept: &Kept,
    cards: Option<&Vec<IssuedCard>>,
    findings: &mut Vec<String>,
) {
    let spendable = cards.is_some_and(|cards| cards.iter().any(|card| !card.refunded));
    match &*kept.state {
        "funded" if !spendable => findings.push(format!("{id} is funded and has no card")),
        "funded" => {}
        // The only way for a card that was cancelled behind our back.
        "error_hard" if kept.last_error.is_some() && !kept.moves => {}
        state => findings.push(format!("{id} is stuck in {state}: {:?}", kept.last_error)),
    }
    if kept.cleared != kept.amount {
        findings.push(format!("{id}: {} cleared of {}", kept.cleared, kept.amount));
    }
}

async fn kept(owner: &PgPool) -> BTreeMap<Uuid, Kept> {
    let rows = sqlx::query(
        "SELECT p.payout_id, p.state, p.card_id, p.amount, d.last_error, d.attempts::bigint,
                d.ambiguous, d.next_attempt_at IS NOT NULL OR d.leased_until IS NOT NULL AS moves,
                coalesce((SELECT sum(o.amount) FROM postings o
                          WHERE o.payout_id = p.payout_id AND o.account = 'payout_clearing'), 0)
                    AS cleared
         FROM payouts p LEFT JOIN payout_dispatch d USING (payout_id)",
    )
    .fetch_all(owner)
    .await
    .expect("payouts");
    rows.iter()
        .map(|row| {
            let kept = Kept {
                state: row.get("state"),
                card_id: row.get("card_id"),
                amount: row.get("amount"),
                last_error: row.get("last_error"),
                cleared: row.get("cleared"),
                attempts: row.get::<Option<i64>, _>("attempts").unwrap_or(0),
                ambiguous: row.get::<Option<bool>, _>("ambiguous").unwrap_or(false),
                moves: row.get::<Option<bool>, _>("moves").unwrap_or(false),
            };
            (PayoutId::new(row.get("payout_id")).uuid(), kept)
        })
        .collect()
}
