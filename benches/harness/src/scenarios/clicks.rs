//! The day with ten clicks for each conversion besides the one that led to it: what clicks cost,
//! which are most of what comes in.

use super::{
    Plan,
    day::{CALLERS, Fastest, MEMORY, RATE, number},
};
use crate::{
    generator::{Generator, Record, Sending},
    processes::Part,
    product::{Product, judge},
    results::Findings,
};

/// Clicks by which nothing is bought, for each conversion: 2,000,000 a day.
const CLICKS: u64 = 10;

pub async fn measure(plan: &Plan<'_>, findings: &mut Findings) -> anyhow::Result<()> {
    let conversions = plan.conversions.min(plan.form.pick(20_000, 200_000));
    findings.set("conversions", &conversions);
    findings.set("clicks besides", &(CLICKS * conversions));
    findings.set("callers", &CALLERS);
    for _ in 0..plan.repetitions {
        let alone = once(plan, conversions, Sending::Whole).await?;
        let both = once(plan, conversions, Sending::Browsing { clicks: CLICKS }).await?;
        let clicks = number(CLICKS * conversions);
        findings.note("without clicks besides: until ledgered", "s", alone.seconds);
        findings.note("until everything was ledgered", "s", both.seconds);
        findings.note(RATE, "/s", both.per_second());
        let all = clicks + both.conversions;
        findings.note("clicks in the ledger's tables", "/s", all / both.seconds);
        let cpu_seconds = both.usage.cpu_seconds_total() - alone.usage.cpu_seconds_total();
        findings.note(
            "CPU seconds per 1,000 clicks besides",
            "s",
            cpu_seconds / clicks * 1_000.0,
        );
        findings.note(MEMORY, "MiB", both.usage.peak(Part::Pipeline));
    }
    let seconds = 200_000.0 / findings.median(RATE);
    findings.note(
        "200,000 conversions and 2,000,000 clicks ledgered, at that rate",
        "s",
        seconds,
    );
    Ok(())
}

/// So many conversions on a product of their own, and its outcome checked.
pub async fn once(plan: &Plan<'_>, conversions: u64, sending: Sending) -> anyhow::Result<Fastest> {
    let mut product = Product::install()?;
    product.start()?;
    let generator = Generator::new(product.address);
    let (sales, mut record) = (plan.sales(conversions), Record::default());
    let fastest = Fastest::measure(&product, &generator, sales, sending, &mut record).await?;
    let evidence = product.evidence().await?;
    judge(&record, &evidence)?;
    Ok(fastest)
}
