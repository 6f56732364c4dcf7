//! The day on top of what a hundred days have left in the ledger, beside the day on an empty one.

use anyhow::ensure;
use sqlx::{Connection, PgConnection, postgres::PgPoolOptions};

use super::{
    Plan,
    clicks::once,
    day::{CALLERS, Fastest},
};
use crate::{
    generator::{Generator, Record, Sending},
    history::{self, History},
    oracle::evidence::Tables,
    product::{Product, judge},
    results::{Aim, Findings},
};

const RATIO: &str = "grown, of empty";

pub async fn measure(plan: &Plan<'_>, findings: &mut Findings) -> anyhow::Result<()> {
    findings.set("conversions", &plan.conversions);
    findings.set("conversions ledgered before", &plan.history);
    findings.set("callers", &CALLERS);
    let history = History {
        conversions: plan.history,
        first_sale: plan.sales(0).start,
    };
    let kept = history.kept(plan.histories).await?;
    for _ in 0..plan.repetitions {
        let empty = once(plan, plan.conversions, Sending::Whole).await?;
        let mut product = Product::cloned(&kept)?;
        let grown = on_top(plan, history, &mut product).await?;
        findings.note("empty: conversions ledgered", "/s", empty.per_second());
        findings.note("grown: conversions ledgered", "/s", grown.per_second());
        findings.note(RATIO, "×", grown.per_second() / empty.per_second());
        for (name, measured) in [("empty", &empty), ("grown", &grown)] {
            let name = format!("{name}: CPU seconds per 1,000 conversions");
            findings.note(&name, "s", measured.cost());
        }
    }
    findings.aim(RATIO, Aim::AtLeast(0.85));
    Ok(())
}

/// The day, and what came of it. What was there before is as it was.
async fn on_top(
    plan: &Plan<'_>,
    history: History,
    product: &mut Product,
) -> anyhow::Result<Fastest> {
    product.start()?;
    let mut connection = PgConnection::connect_with(&product.database()).await?;
    let last = history::last_name(&mut connection).await?;
    let generator = Generator::new(product.address);
    let (sales, mut record) = (plan.sales(plan.conversions), Record::default());
    let sending = Sending::Whole;
    let grown = Fastest::measure(product, &generator, sales, sending, &mut record).await?;

    let before: (i64, i64) = sqlx::query_as(
        "SELECT count(*), (coalesce(sum(posted_commission), 0) * 100)::int8 FROM ledger \
         WHERE led_id <= $1",
    )
    .bind(last)
    .fetch_one(&mut connection)
    .await?;
    connection.close().await?;
    let expected = (
        i64::try_from(history.conversions)?,
        history.commission_paise(),
    );
    ensure!(
        before == expected,
        "the day changed what was ledgered before: {before:?} instead of {expected:?}"
    );
    let hiding = PgPoolOptions::new()
        .after_connect(move |connection, _| Box::pin(history::hide(connection, last)))
        .connect_with(product.database())
        .await?;
    let evidence = product.evidence_of(Tables::over(hiding)).await?;
    judge(&record, &evidence)?;
    Ok(grown)
}
