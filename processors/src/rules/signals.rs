//! What speaks against a report: signals, each with its weight and its evidence, and the score
//! (design section 4, signals and score; specification section 10, rules 1 and 4).
//!
//! Velocity and duplicate orders need history and are decided in the ledger's transaction.

use schemas::{
    Currency, Timestamp,
    events::{
        ClickFacts, ClickSignals, FraudRules, Reported, SelfPurchase, Signal, SignalCode, Terms,
    },
    reference::ReferenceData,
};

use super::attribution::sale_time;

/// The signals of one report. A signal whose weight isn't positive is switched off.
///
/// What isn't known adds nothing: neither an unknown country, nor a sale whose time is only that of
/// a receipt, nor one in another currency than the offer's.
pub fn signals_of_report(
    reported: &Reported,
    received_at: Timestamp,
    click: &ClickFacts,
    terms: &Terms,
    rules: &FraudRules,
) -> Vec<Signal> {
    let click_has =
        |signal, evidence: &str| click.signals.contains(signal).then(|| evidence.to_owned());
    [
        (
            SignalCode::CountryMismatch,
            rules.country_mismatch_weight,
            country_mismatch(reported, click),
        ),
        (
            SignalCode::HastySale,
            rules.hasty_sale_weight,
            hasty_sale(reported, received_at, click, terms, rules),
        ),
        (
            SignalCode::Bot,
            rules.bot_weight,
            click_has(ClickSignals::BOT, "the click's user agent names a bot"),
        ),
        (
            SignalCode::DataCentre,
            rules.data_centre_weight,
            click_has(
                ClickSignals::DATA_CENTRE,
                "the click came from a data centre",
            ),
        ),
        (
            SignalCode::Proxy,
            rules.proxy_weight,
            click_has(
                ClickSignals::PROXY,
                "the click came through an anonymising proxy",
            ),
        ),
        (
            SignalCode::UnusualSale,
            rules.unusual_sale_weight,
            unusual_sale(reported, terms),
        ),
    ]
    .into_iter()
    .filter(|(_, weight, _)| *weight > 0)
    .filter_map(|(code, weight, evidence)| {
        Some(Signal {
            code,
            weight,
            evidence: evidence?,
        })
    })
    .collect()
}

/// The score: the sum of the weights.
pub fn score(signals: &[Signal]) -> i32 {
    signals
        .iter()
        .fold(0, |score, signal| score.saturating_add(signal.weight))
}

/// Which contact the shopper shares with one of the tenant's members, as of the click. Whether
/// that rejects the claim is for the rules in force to say.
pub fn self_purchase(click: &ClickFacts, reference: &ReferenceData) -> Option<SelfPurchase> {
    let shared = reference
        .shared_contacts
        .get(&(click.tenant_id, click.user_id?))?;
    (shared.from <= click.clicked_at).then_some(shared.contact)
}

/// The currency that a report's amounts are in: its own, else the network's default.
pub fn currency_of_report(reported: &Reported, terms: &Terms) -> Currency {
    reported.currency.unwrap_or(terms.default_currency)
}

/// The currency that a report's amounts are in, where it carries any and it isn't the offer's.
pub fn conflicting_currency(reported: &Reported, terms: &Terms) -> Option<Currency> {
    let carries_amount = reported.sale_amount.is_some() || reported.payout.is_some();
    let currency = currency_of_report(reported, terms);
    (carries_amount && currency != terms.currency).then_some(currency)
}

fn country_mismatch(reported: &Reported, click: &ClickFacts) -> Option<String> {
    let (clicked, converted) = (click.country?, reported.country?);
    (clicked != converted).then(|| format!("clicked in {clicked}, converted in {converted}"))
}

/// A sale before its click is the hastiest of all.
fn hasty_sale(
    reported: &Reported,
    received_at: Timestamp,
    click: &ClickFacts,
    terms: &Terms,
    rules: &FraudRules,
) -> Option<String> {
    let sold_at = sale_time(reported.converted_at, received_at, terms.fires_at_sale)?;
    let elapsed_ms = sold_at.millis_since(click.clicked_at);
    let least_ms = i64::from(rules.hasty_sale_seconds) * 1_000;
    (elapsed_ms < least_ms).then(|| {
        format!("sold {elapsed_ms} ms after the click, {least_ms} ms are the least plausible")
    })
}

fn unusual_sale(reported: &Reported, terms: &Terms) -> Option<String> {
    let (sale, usual_max) = (reported.sale_amount?, terms.usual_sale_max?);
    let comparable = currency_of_report(reported, terms) == terms.currency;
    (comparable && sale > usual_max).then(|| {
        format!(
            "sale of {sale} {0}, usual up to {usual_max} {0}",
            terms.currency
        )
    })
}
