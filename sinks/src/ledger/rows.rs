//! Rows as PostgreSQL knows them.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use processors::rules::{
    findings::Finding, fold::Fate, history::Report, lifecycle::ClaimState, postings::Booking,
    rating::Rating, split::Parts,
};
use rust_decimal::Decimal;
use schemas::{
    Amount, ClickId, Currency, EventId, Minor, Timestamp, UserId,
    events::{ClickRecorded, CommissionSource, Decision, Outcome, Rate, RateOrigin, Unmatched},
};
use serde::{Deserialize, Serialize};
use sqlx::{FromRow, PgConnection, Row, postgres::PgRow, types::Json};
use uuid::Uuid;

use super::{
    LedgerError,
    columns::Columns,
    history::{Clicks, fate_name},
    numeric::Numeric,
};

/// An amount as a number of the database.
pub(super) fn decimal(minor: Minor, currency: Currency) -> Decimal {
    Decimal::new(minor.get(), currency.exponent()).normalize()
}

/// A sum of money from a `numeric` column.
pub(super) fn minor(row: &PgRow, column: &str, currency: Currency) -> Result<Minor, LedgerError> {
    minor_of(row.try_get(column)?, column, currency)
}

/// A sum of money from what stands in a column.
fn minor_of(number: Decimal, column: &str, currency: Currency) -> Result<Minor, LedgerError> {
    let amount = Amount::from_decimal(number)
        .map_err(|error| LedgerError::Invalid(format!("{column} {number}: {error}")))?;
    Ok(amount.to_minor(currency))
}

/// A currency from a text column.
pub(super) fn currency(row: &PgRow, column: &str) -> Result<Currency, LedgerError> {
    let code: &str = row.try_get(column)?;
    code.parse()
        .map_err(|error| LedgerError::Invalid(format!("{column} {code:?}: {error}")))
}

/// Clicks from rows of `click_id` and `clicked_at`.
pub(super) fn clicks(rows: &[PgRow]) -> Result<Clicks, LedgerError> {
    rows.iter()
        .map(|row| {
            let clicked_at: DateTime<Utc> = row.try_get("clicked_at")?;
            Ok((
                ClickId::new(row.try_get("click_id")?),
                Timestamp::from(clicked_at),
            ))
        })
        .collect()
}

/// Inserts clicks, and gives the number of those that weren't there.
///
/// Addresses of people who were erased aren't kept, though the log may still hold them. A click
/// whose id is known under another time, and so perhaps in another month, isn't taken.
pub(super) async fn insert_clicks(
    connection: &mut PgConnection,
    clicks: &[&ClickRecorded],
) -> Result<u64, LedgerError> {
    let time = Timestamp::to_datetime;
    Columns::of(clicks)
        .column("click_id", |click| click.click_id.get())
        .column("clicked_at", |click| time(click.clicked_at))
        .column("received_at", |click| time(click.received_at))
        .column("tenant_id", |click| click.tenant_id.uuid())
        .column("campaign_id", |click| click.campaign_id.uuid())
        .column("link_id", |click| click.link_id.uuid())
        .column("offer_id", |click| click.offer_id.get())
        .column("user_id", |click| click.user_id.map(UserId::uuid))
        .column("country", |click| {
            click.country.map(|country| country.to_string())
        })
        .column("device", |click| symbol(&click.device))
        .column("signals", |click| click.signals.bits())
        .converted(
            "address_hash",
            "CASE WHEN erased IS NULL THEN address_hash END",
            |click| click.address_hash.as_deref(),
        )
        .converted(
            "address_prefix",
            "CASE WHEN erased IS NULL THEN address_prefix END",
            |click| click.address_prefix.as_deref(),
        )
        .column("referrer", |click| click.referrer.as_deref())
        .column("origin", |click| symbol(&click.origin))
        .insert_where(
            connection,
            "clicks",
            "
            LEFT JOIN (SELECT user_id AS erased FROM users WHERE erased_at IS NOT NULL) AS e
                 ON erased = n.user_id
            WHERE NOT EXISTS (SELECT FROM clicks c WHERE c.click_id = n.click_id)
            ON CONFLICT DO NOTHING",
        )
        .await
}

/// A report whose click is known, and where it stands: a row of `conversions`.
#[derive(Debug)]
pub(super) struct ConversionRow<'a> {
    pub report: &'a Report,
    pub encoded: &'a [u8],
    pub place: Option<(EventId, Fate)>,
}

impl ConversionRow<'_> {
    pub async fn insert(connection: &mut PgConnection, rows: &[Self]) -> Result<u64, LedgerError> {
        let heals = |row: &Self| row.report.heal.as_ref().map(|heal| heal.heals);
        let time = Timestamp::to_datetime;
        let sum = Amount::to_decimal;
        Columns::of(rows)
            .column("conv_id", |row| row.report.event_id.get())
            .column("source_partition", |row| row.report.position.partition)
            .column("source_offset", |row| row.report.position.offset)
            .column("click_id", |row| row.report.matched.click.click_id.get())
            .column("clicked_at", |row| {
                time(row.report.matched.click.clicked_at)
            })
            .column("tenant_id", |row| row.report.matched.click.tenant_id.uuid())
            .column("user_id", |row| {
                row.report.matched.click.user_id.map(UserId::uuid)
            })
            .column("network_id", |row| row.report.network_id.get())
            .column("offer_id", |row| row.report.matched.click.offer_id.get())
            .column("report_source", |row| symbol(&row.report.source))
            .column("received_at", |row| time(row.report.received_at))
            .column("appended_at", |row| time(row.report.appended_at))
            .column("as_of", |row| row.report.as_of.map(time))
            .column("txn_id", |row| row.report.fields.txn_id.as_deref())
            .column("goal_id", |row| row.report.fields.goal_id.as_deref())
            .column("network_conversion_id", |row| {
                row.report.fields.network_conversion_id.as_deref()
            })
            .column("network_status", |row| {
                row.report.fields.status.as_ref().map(symbol)
            })
            .column("order_value", |row| row.report.fields.sale_amount.map(sum))
            .column("payout", |row| row.report.fields.payout.map(sum))
            .column("currency", |row| {
                row.report.fields.currency.as_ref().map(symbol)
            })
            .column("score", |row| row.report.matched.score)
            .column("velocity_claims", |row| {
                row.report.matched.rules.velocity_claims
            })
            .column("velocity_hours", |row| {
                row.report.matched.rules.velocity_hours
            })
            .column("led_id", |row| row.place.map(|(claim, _)| claim.get()))
            .column("fate", |row| fate_name(row.place.map(|(_, fate)| fate)))
            .column("heals_partition", |row| {
                heals(row).map(|heals| heals.partition)
            })
            .column("heals_offset", |row| heals(row).map(|heals| heals.offset))
            .column("decision", |row| row.encoded)
            .insert_into(connection, "conversions")
            .await
    }
}

/// A row of `unmatched_conversions`.
#[derive(Debug)]
pub(super) struct UnmatchedRow<'a> {
    source_partition: i32,
    source_offset: i64,
    conv_id: i64,
    received_at: Timestamp,
    network_id: i32,
    click_id: Option<i64>,
    reason: String,
    state: &'static str,
    tries: i32,
    next_try_at: Option<Timestamp>,
    decision: &'a [u8],
}

impl<'a> UnmatchedRow<'a> {
    /// `None` for a matched decision.
    pub fn new(decision: &Decision, encoded: &'a [u8], healed: bool) -> Option<Self> {
        let (state, reason, click_id) = match &decision.outcome {
            Outcome::Matched(_) => return None,
            Outcome::Unmatched(Unmatched { reason, click_id }) => {
                ("parked", symbol(reason), *click_id)
            }
            Outcome::Ignored(ignored) => ("ignored", symbol(&ignored.reason), None),
            Outcome::Poisoned(poisoned) => ("dead_lettered", poisoned.error.clone(), None),
        };
        let parked = state == "parked";
        Some(Self {
            source_partition: decision.source.partition,
            source_offset: decision.source.offset,
            conv_id: decision.event_id.get(),
            received_at: decision.received_at,
            network_id: decision.network_id.get(),
            click_id: click_id.map(ClickId::get),
            reason,
            state: if parked && healed { "healed" } else { state },
            tries: 0,
            next_try_at: (parked && !healed).then_some(decision.received_at),
            decision: encoded,
        })
    }
}

/// Why a report on a claim that is final is ignored.
const CLAIM_FINAL: &str = "claim_final";

impl<'a> UnmatchedRow<'a> {
    /// A matched report that comes after its claim was made final.
    pub fn late(decision: &Decision, encoded: &'a [u8]) -> Self {
        Self {
            source_partition: decision.source.partition,
            source_offset: decision.source.offset,
            conv_id: decision.event_id.get(),
            received_at: decision.received_at,
            network_id: decision.network_id.get(),
            click_id: match &decision.outcome {
                Outcome::Matched(matched) => Some(matched.click.click_id.get()),
                Outcome::Unmatched(_) | Outcome::Ignored(_) | Outcome::Poisoned(_) => None,
            },
            reason: CLAIM_FINAL.to_owned(),
            state: "ignored",
            tries: 0,
            next_try_at: None,
            decision: encoded,
        }
    }

    /// Its fate, as design section 9 counts it.
    pub fn fate(&self) -> &'static str {
        match self.state {
            "parked" => "unmatched",
            other => other,
        }
    }

    pub async fn insert(connection: &mut PgConnection, rows: &[Self]) -> Result<u64, LedgerError> {
        Columns::of(rows)
            .column("source_partition", |row| row.source_partition)
            .column("source_offset", |row| row.source_offset)
            .column("conv_id", |row| row.conv_id)
            .column("received_at", |row| row.received_at.to_datetime())
            .column("network_id", |row| row.network_id)
            .column("click_id", |row| row.click_id)
            .column("reason", |row| &row.reason)
            .column("state", |row| row.state)
            .column("tries", |row| row.tries)
            .column("next_try_at", |row| {
                row.next_try_at.map(Timestamp::to_datetime)
            })
            .column("decision", |row| row.decision)
            .insert_into(connection, "unmatched_conversions")
            .await
    }
}

/// The name that an enum has in JSON.
pub(super) fn symbol<S: Serialize>(value: &S) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => name,
        Ok(other) => other.to_string(),
        Err(error) => error.to_string(),
    }
}

/// A row of `ledger`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, FromRow)]
pub(super) struct LedgerRow {
    pub led_id: i64,
    pub tenant_id: Uuid,
    campaign_id: Uuid,
    link_id: Uuid,
    offer_id: i32,
    network_id: i32,
    pub click_id: i64,
    pub clicked_at: DateTime<Utc>,
    pub user_id: Option<Uuid>,
    country: Option<String>,
    txn_id: Option<String>,
    goal_id: Option<String>,
    first_received_at: DateTime<Utc>,
    converted_at: DateTime<Utc>,
    payable_at: DateTime<Utc>,
    pub status: String,
    reasons: Vec<String>,
    evidence: Json<BTreeMap<String, String>>,
    order_owner: Option<i64>,
    network_status: Option<String>,
    order_value: Option<Decimal>,
    currency: String,
    #[sqlx(try_from = "Numeric")]
    user_pct: Decimal,
    rating: Json<RatingRow>,
    #[sqlx(try_from = "Numeric")]
    pub expected_commission: Decimal,
    #[sqlx(try_from = "Numeric")]
    expected_subsidy: Decimal,
    #[sqlx(try_from = "Numeric")]
    expected_fee: Decimal,
    #[sqlx(try_from = "Numeric")]
    pub user_amount: Decimal,
    #[sqlx(try_from = "Numeric")]
    pub creator_amount: Decimal,
    #[sqlx(try_from = "Numeric")]
    posted_commission: Decimal,
    #[sqlx(try_from = "Numeric")]
    posted_subsidy: Decimal,
    #[sqlx(try_from = "Numeric")]
    posted_fee: Decimal,
    #[sqlx(try_from = "Numeric")]
    pub posted_user: Decimal,
    #[sqlx(try_from = "Numeric")]
    posted_creator: Decimal,
    #[sqlx(try_from = "Numeric")]
    pub paid_amount: Decimal,
}

impl LedgerRow {
    /// The row of a claim whose target is booked.
    pub fn new(state: &ClaimState) -> Self {
        let click = &state.click;
        let money = |minor: Minor| decimal(minor, state.currency);
        let Parts {
            commission,
            subsidy,
            fee,
            user,
            creator,
        } = state.expected;
        Self {
            led_id: state.name.get(),
            tenant_id: click.tenant_id.uuid(),
            campaign_id: click.campaign_id.uuid(),
            link_id: click.link_id.uuid(),
            offer_id: click.offer_id.get(),
            network_id: state.network_id.get(),
            click_id: click.click_id.get(),
            clicked_at: click.clicked_at.to_datetime(),
            user_id: click.user_id.map(UserId::uuid),
            country: click.country.map(|country| country.to_string()),
            txn_id: state.txn_id.clone(),
            goal_id: state.goal_id.clone(),
            first_received_at: state.first_received_at.to_datetime(),
            converted_at: state.converted_at.to_datetime(),
            payable_at: state.payable_at.to_datetime(),
            status: state.status.name().to_owned(),
            reasons: state
                .reasons()
                .map(|reason| reason.name().to_owned())
                .collect(),
            evidence: Json(evidence(&state.findings)),
            order_owner: state.order_owner.map(EventId::get),
            network_status: state.network_status.as_ref().map(symbol),
            order_value: state.sale_amount.map(Amount::to_decimal),
            currency: state.currency.to_string(),
            user_pct: Decimal::new(i64::from(state.user_share.hundredths()), 2).normalize(),
            rating: Json(RatingRow::new(&state.rating, state.currency)),
            expected_commission: money(commission),
            expected_subsidy: money(subsidy),
            expected_fee: money(fee),
            user_amount: money(user),
            creator_amount: money(creator),
            posted_commission: money(state.target.commission),
            posted_subsidy: money(state.target.subsidy),
            posted_fee: money(state.target.fee),
            posted_user: money(state.target.user),
            posted_creator: money(state.target.creator),
            paid_amount: money(state.paid),
        }
    }
}

impl LedgerRow {
    pub async fn insert(connection: &mut PgConnection, rows: &[Self]) -> Result<u64, LedgerError> {
        Columns::of(rows)
            .column("led_id", |row| row.led_id)
            .column("tenant_id", |row| row.tenant_id)
            .column("campaign_id", |row| row.campaign_id)
            .column("link_id", |row| row.link_id)
            .column("offer_id", |row| row.offer_id)
            .column("network_id", |row| row.network_id)
            .column("click_id", |row| row.click_id)
            .column("clicked_at", |row| row.clicked_at)
            .column("user_id", |row| row.user_id)
            .column("country", |row| row.country.as_deref())
            .column("txn_id", |row| row.txn_id.as_deref())
            .column("goal_id", |row| row.goal_id.as_deref())
            .column("first_received_at", |row| row.first_received_at)
            .column("converted_at", |row| row.converted_at)
            .column("payable_at", |row| row.payable_at)
            .column("status", |row| &row.status)
            // Their names have no commas.
            .converted("reasons", "string_to_array(reasons, ',')", |row| {
                row.reasons.join(",")
            })
            .column("evidence", |row| &row.evidence)
            .column("order_owner", |row| row.order_owner)
            .column("network_status", |row| row.network_status.as_deref())
            .column("order_value", |row| row.order_value)
            .column("currency", |row| &row.currency)
            .column("user_pct", |row| row.user_pct)
            .column("rating", |row| &row.rating)
            .column("expected_commission", |row| row.expected_commission)
            .column("expected_subsidy", |row| row.expected_subsidy)
            .column("expected_fee", |row| row.expected_fee)
            .column("user_amount", |row| row.user_amount)
            .column("creator_amount", |row| row.creator_amount)
            .column("posted_commission", |row| row.posted_commission)
            .column("posted_subsidy", |row| row.posted_subsidy)
            .column("posted_fee", |row| row.posted_fee)
            .column("posted_user", |row| row.posted_user)
            .column("posted_creator", |row| row.posted_creator)
            .column("paid_amount", |row| row.paid_amount)
            .insert_into(connection, "ledger")
            .await
    }

    /// A row with its numbers as a fold writes them, without zeros at the end.
    ///
    /// # Errors
    /// When a column isn't there, or holds what can't be read.
    pub fn read(row: &PgRow) -> Result<Self, LedgerError> {
        let mut row = Self::from_row(row)?;
        row.order_value = row.order_value.map(|number| number.normalize());
        Ok(row)
    }

    /// What stands in the books by it.
    ///
    /// # Errors
    /// When a number is no sum of money.
    pub fn posted(&self, currency: Currency) -> Result<Parts, LedgerError> {
        let part = |number, column| minor_of(number, column, currency);
        Ok(Parts {
            commission: part(self.posted_commission, "posted_commission")?,
            subsidy: part(self.posted_subsidy, "posted_subsidy")?,
            fee: part(self.posted_fee, "posted_fee")?,
            user: part(self.posted_user, "posted_user")?,
            creator: part(self.posted_creator, "posted_creator")?,
        })
    }
}

/// What each reason rests on, where there is more to say than the reason.
fn evidence(findings: &[Finding]) -> BTreeMap<String, String> {
    findings
        .iter()
        .filter(|finding| !finding.evidence.is_empty())
        .map(|finding| {
            (
                finding.reason.name().to_owned(),
                finding.evidence.to_string(),
            )
        })
        .collect()
}

/// What a commission came to, and why, as people read it: sums in units of the row's currency.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct RatingRow {
    source: CommissionSource,
    rate: Rate,
    rate_origin: RateOrigin,
    rated: Option<Decimal>,
    reported: Option<Decimal>,
    rules: Vec<String>,
    rules_version: Option<i32>,
}

impl RatingRow {
    fn new(rating: &Rating, currency: Currency) -> Self {
        let money = |sum: Option<Minor>| sum.map(|sum| decimal(sum, currency));
        Self {
            source: rating.source,
            rate: rating.rate,
            rate_origin: rating.rate_origin,
            rated: money(rating.rated),
            reported: money(rating.reported),
            rules: rating.rules.clone(),
            rules_version: rating.rules_version,
        }
    }
}

/// A row of `postings`.
#[derive(Debug)]
pub(super) struct PostingRow {
    transaction_id: i64,
    led_id: Option<i64>,
    payout_id: Option<Uuid>,
    tenant_id: Uuid,
    account: &'static str,
    user_id: Option<Uuid>,
    currency: Currency,
    amount: Decimal,
}

impl PostingRow {
    pub async fn insert(connection: &mut PgConnection, rows: &[Self]) -> Result<u64, LedgerError> {
        Columns::of(rows)
            .column("transaction_id", |row| row.transaction_id)
            .column("led_id", |row| row.led_id)
            .column("payout_id", |row| row.payout_id)
            .column("tenant_id", |row| row.tenant_id)
            .column("account", |row| row.account)
            .column("user_id", |row| row.user_id)
            .column("currency", |row| row.currency.to_string())
            .column("amount", |row| row.amount)
            .insert_into(connection, "postings")
            .await
    }
}

/// What a posting is about.
#[derive(Debug, Clone, Copy)]
pub(super) enum Subject {
    Claim(EventId),
    Payout(Uuid),
}

/// The lines of one transaction as rows.
pub(super) fn posting_rows(
    transaction_id: i64,
    subject: Subject,
    lines: &Booking,
) -> impl Iterator<Item = PostingRow> {
    let (led_id, payout_id) = match subject {
        Subject::Claim(claim) => (Some(claim.get()), None),
        Subject::Payout(payout) => (None, Some(payout)),
    };
    lines.iter().map(move |(key, amount)| PostingRow {
        transaction_id,
        led_id,
        payout_id,
        tenant_id: key.tenant_id.uuid(),
        account: key.account.name(),
        user_id: key.user_id.map(UserId::uuid),
        currency: key.currency,
        amount: decimal(*amount, key.currency),
    })
}
