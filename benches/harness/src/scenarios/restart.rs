//! `kill -9` of the product under load, and how long until the ledger takes conversions again.

use std::{sync::atomic::Ordering, time::Duration};

use tokio::time::{Instant, sleep};

use super::Plan;
use crate::{
    generator::{Generator, Pace, Sending},
    product::{Product, judge},
    results::{Aim, Findings},
};

/// Sales a second: twenty times of real time, about.
const RATE: f64 = 50.0;
const SALES_MAX: u64 = 100_000;
/// How long it works between two kills.
const UNDISTURBED: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// How often the ledger has measured a conversion that it took.
const LEDGERED: &str = "hissaback_postback_to_ledger_seconds_count";
const NAME: &str = "from the start after `kill -9` to the next ledgered conversion";

pub async fn measure(plan: &Plan<'_>, findings: &mut Findings) -> anyhow::Result<()> {
    findings.set("sales a second", &RATE);
    let mut product = Product::install()?;
    product.start()?;
    let generator = Generator::new(product.address);
    let stop = generator.stop.clone();
    let sales = plan.sales(SALES_MAX);
    let load = tokio::spawn(async move {
        let pace = Pace::PerSecond(RATE);
        generator.send(sales, pace, Sending::Whole).await
    });
    for _ in 0..plan.form.pick(3, 9) {
        sleep(UNDISTURBED).await;
        product.kill()?;
        let killed = Instant::now();
        product.start()?;
        while product.counter(LEDGERED).await.unwrap_or_default() == 0 {
            sleep(LOOK_EVERY).await;
        }
        findings.note(NAME, "s", killed.elapsed().as_secs_f64());
    }
    findings.aim(NAME, Aim::AtMost(2.0));
    stop.store(true, Ordering::Relaxed);
    let sent = load.await??;
    let evidence = product.evidence().await?;
    judge(&sent.record, &evidence)
}
