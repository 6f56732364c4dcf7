//! The rows of one conversion in every table of the ledger, as the rules decide it.

use std::{collections::BTreeMap, fmt::Write};

use anyhow::Context;
use processors::rules::{
    attribution::LookedUp,
    decide::decide,
    history::Report,
    postings,
    settlement::{Neighbourhood, Scope, settle},
};
use rust_decimal::Decimal;
use schemas::{
    ClickId, EventId, NetworkId, OfferId, Position, Timestamp, Topic, UserId, codec,
    event_id::EventIds,
    events::{
        ClickFacts, ClickSignals, ConversionReported, Decision, NetworkStatus, RawReport,
        ReportSource, Reported,
    },
    reference::ReferenceData,
    token::TokenKeys,
};
use serde_json::{Value, json};
use sinks::ledger::claim_rows::ClaimRow;
use sqlx::{Connection, PgConnection};

use super::Entry;
use crate::traffic::{self, OFFER};

/// Partitions that the history's reports were in, beyond those that a log has today.
pub const PARTITIONS: u32 = 12;
pub const PARTITION_FIRST: i32 = 12;
/// From the click to the report of the sale.
const HOURS_TO_SALE: i64 = 1;
const NETWORK: NetworkId = NetworkId::new(1);

/// Makes rows.
pub struct Rows {
    reference: ReferenceData,
    keys: TokenKeys,
}

/// Rows of many conversions, by table.
#[derive(Default)]
pub struct Chunk {
    tables: BTreeMap<&'static str, Lines>,
}

/// Lines of CSV, and the columns that they have.
#[derive(Default)]
struct Lines {
    columns: Vec<String>,
    text: String,
}

impl Rows {
    pub fn new(reference: ReferenceData) -> anyhow::Result<Self> {
        let keys = TokenKeys::new(&[(1, [1; 32])])?;
        Ok(Self { reference, keys })
    }

    /// Adds the rows of one conversion.
    pub fn add(&self, number: u64, entry: &Entry, chunk: &mut Chunk) -> anyhow::Result<()> {
        let click = self.click(entry)?;
        let reported = report_of(&click, entry)?;
        let position = Position {
            topic: Topic::Conversions,
            partition: PARTITION_FIRST + i32::try_from(number % u64::from(PARTITIONS))?,
            offset: i64::try_from(number / u64::from(PARTITIONS))?,
        };
        let decision = decide(
            position,
            reported.received_at,
            &reported,
            LookedUp::Click(click.clone()),
            &self.reference,
            &self.keys,
        );
        let report = Report::from_decision(&decision).context("the report has no click")?;
        chunk.add("clicks", &click_row(&click));
        chunk.add("conversions", &conversion_row(&decision, &report, entry)?);
        let order = entry.sale.order();
        let order_row = json!({
            "network_id": NETWORK.get(), "offer_id": click.offer_id.get(), "txn_id": order,
        });
        chunk.add("orders", &order_row);
        let mut claimant = order_row;
        claimant["click_id"] = json!(click.click_id.get());
        claimant["clicked_at"] = time(click.clicked_at);
        chunk.add("order_claims", &claimant);
        add_claims(number, report, chunk)
    }

    fn click(&self, entry: &Entry) -> anyhow::Result<ClickFacts> {
        let link_id = entry.sale.link();
        let link = self.reference.links.get(&link_id).context("a known link")?;
        let campaign = self.reference.campaigns.get(&link.campaign_id);
        Ok(ClickFacts {
            click_id: ClickId::new(named_at(entry.clicked_at)?.get()),
            clicked_at: entry.clicked_at,
            tenant_id: campaign.context("a known campaign")?.tenant_id,
            campaign_id: link.campaign_id,
            link_id,
            offer_id: OfferId::new(i32::try_from(OFFER)?),
            user_id: Some(traffic::user(entry.shopper)),
            country: "IN".parse().ok(),
            signals: ClickSignals::default(),
        })
    }
}

/// The ledger's row and postings, by the rules.
fn add_claims(number: u64, report: Report, chunk: &mut Chunk) -> anyhow::Result<()> {
    let click_id = report.click_id();
    let neighbourhood = Neighbourhood {
        reports: [(click_id, vec![report])].into(),
        ..Neighbourhood::default()
    };
    let scope = Scope {
        clicks: [click_id].into(),
        ..Scope::default()
    };
    for state in settle(&neighbourhood, &scope) {
        chunk.add("ledger", &serde_json::to_value(ClaimRow::of(&state))?);
        for (key, amount) in postings::target(&state) {
            let row = json!({
                "transaction_id": number + 1, "led_id": state.name.get(),
                "tenant_id": key.tenant_id.uuid(), "account": key.account.name(),
                "user_id": key.user_id.map(UserId::uuid), "currency": key.currency.to_string(),
                "amount": Decimal::new(amount.get(), key.currency.exponent()),
            });
            chunk.add("postings", &row);
        }
    }
    Ok(())
}

fn report_of(click: &ClickFacts, entry: &Entry) -> anyhow::Result<ConversionReported> {
    let received_at = click.clicked_at.plus_millis(HOURS_TO_SALE * 3_600_000);
    Ok(ConversionReported {
        event_id: named_at(received_at)?,
        received_at,
        source: ReportSource::Postback,
        as_of: None,
        network_id: NETWORK,
        tenant_id: None,
        click_id: Some(click.click_id),
        raw: RawReport {
            bytes: Vec::new(),
            content_type: "query".to_owned(),
            sha256: "ab".repeat(32),
            truncated: false,
        },
        reported: Some(Reported {
            click_ref: click.click_id.to_string(),
            txn_id: Some(entry.sale.order()),
            status: Some(NetworkStatus::Approved),
            sale_amount: entry.sale.rupees().to_string().parse().ok(),
            currency: "INR".parse().ok(),
            ..Reported::default()
        }),
        malformed: None,
        heal: None,
    })
}

/// The first id of this millisecond; there is one conversion in several.
fn named_at(at: Timestamp) -> anyhow::Result<EventId> {
    Ok(EventIds::new(0)?.draw(at)?)
}

fn time(at: Timestamp) -> Value {
    json!(at.to_datetime())
}

fn click_row(click: &ClickFacts) -> Value {
    json!({
        "click_id": click.click_id.get(), "clicked_at": time(click.clicked_at),
        "received_at": time(click.clicked_at), "tenant_id": click.tenant_id.uuid(),
        "campaign_id": click.campaign_id.uuid(), "link_id": click.link_id.uuid(),
        "offer_id": click.offer_id.get(), "user_id": click.user_id.map(UserId::uuid),
        "country": "IN", "device": "mobile", "signals": click.signals.bits(),
        "address_hash": "cd".repeat(32), "address_prefix": "203.0.113.0/24", "origin": "api",
    })
}

fn conversion_row(decision: &Decision, report: &Report, entry: &Entry) -> anyhow::Result<Value> {
    let (name, click) = (report.event_id.get(), &report.matched.click);
    Ok(json!({
        "conv_id": name, "source_partition": decision.source.partition,
        "source_offset": decision.source.offset, "click_id": click.click_id.get(),
        "clicked_at": time(click.clicked_at), "tenant_id": click.tenant_id.uuid(),
        "user_id": click.user_id.map(UserId::uuid), "network_id": NETWORK.get(),
        "offer_id": click.offer_id.get(), "report_source": "postback",
        "received_at": time(decision.received_at), "appended_at": time(decision.appended_at),
        "txn_id": entry.sale.order(), "network_status": "approved",
        "order_value": entry.sale.rupees(), "currency": "INR", "score": 0,
        "velocity_claims": report.matched.rules.velocity_claims,
        "velocity_hours": report.matched.rules.velocity_hours, "led_id": name,
        "fate": "ledgered",
        "decision": format!("\\x{}", hex::encode(codec::encode(decision)?)),
    }))
}

impl Chunk {
    fn add(&mut self, table: &'static str, row: &Value) {
        let lines = self.tables.entry(table).or_default();
        let fields = row.as_object().into_iter().flatten();
        let first = lines.columns.is_empty();
        for (place, (column, value)) in fields.enumerate() {
            if first {
                lines.columns.push(column.clone());
            }
            if place > 0 {
                lines.text.push(',');
            }
            write_field(&mut lines.text, value);
        }
        lines.text.push('\n');
    }

    /// One COPY for each table, in one transaction.
    pub async fn copy_into(self, connection: &mut PgConnection) -> anyhow::Result<()> {
        let mut transaction = connection.begin().await?;
        for (table, lines) in self.tables {
            let columns = lines.columns.join(", ");
            let statement = format!("COPY {table} ({columns}) FROM STDIN (FORMAT csv)");
            let mut copying = transaction.copy_in_raw(&statement).await?;
            copying.send(lines.text.into_bytes()).await?;
            copying.finish().await?;
        }
        Ok(transaction.commit().await?)
    }
}

/// A field as PostgreSQL's CSV has it: nothing is null.
fn write_field(text: &mut String, value: &Value) {
    match value {
        Value::Null => {}
        Value::Bool(_) | Value::Number(_) => {
            let _ = write!(text, "{value}");
        }
        Value::String(string) => write_quoted(text, string),
        // Lists of names, which have neither commas nor quotation marks.
        Value::Array(names) => {
            let names: Vec<_> = names.iter().filter_map(Value::as_str).collect();
            write_quoted(text, &format!("{{{}}}", names.join(",")));
        }
        Value::Object(_) => write_quoted(text, &value.to_string()),
    }
}

fn write_quoted(text: &mut String, string: &str) {
    text.push('"');
    text.push_str(&string.replace('"', "\"\""));
    text.push('"');
}
