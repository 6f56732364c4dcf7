//! `kill -9` of the product under load, and how long until the ledger takes conversions again.

use std::{sync::atomic::Ordering, time::Duration};

use sqlx::{Connection, PgConnection};
use tokio::time::{Instant, sleep};

use super::{Plan, day::until_ledgered};
use crate::{
    broker,
    generator::{Generator, Pace, Sending},
    product::{LogPlace, Product, judge},
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

pub async fn measure(
    plan: &Plan<'_>,
    place: LogPlace,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    findings.set("sales a second", &RATE);
    let kills = plan.form.pick(3, 9);
    match place {
        LogPlace::Embedded => {
            killed(plan, Product::install()?, kills, NAME, findings).await?;
            findings.aim(NAME, Aim::AtMost(2.0));
        }
        LogPlace::Kafka => {
            findings.set("log", &broker::SETTINGS);
            let mut product = Product::install_with(place).await?;
            product.group_instance_id = Some("bench");
            let name = format!("{NAME}, static members");
            killed(plan, product, kills, &name, findings).await?;
            // Each of them waits for the session of the killed process.
            let product = Product::install_with(place).await?;
            let name = format!("{NAME}, dynamic members");
            killed(plan, product, plan.form.pick(1, 3), &name, findings).await?;
        }
    }
    Ok(())
}

/// Kills the product so many times, and has what it made of it all judged.
async fn killed(
    plan: &Plan<'_>,
    mut product: Product,
    kills: usize,
    name: &str,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    product.start()?;
    let generator = Generator::new(product.address);
    let stop = generator.stop.clone();
    let sales = plan.sales(SALES_MAX);
    let load = tokio::spawn(async move {
        let pace = Pace::PerSecond(RATE);
        generator.send(sales, pace, Sending::Whole).await
    });
    for _ in 0..kills {
        sleep(UNDISTURBED).await;
        product.kill()?;
        let killed = Instant::now();
        product.start()?;
        while product.counter(LEDGERED).await.unwrap_or_default() == 0 {
            sleep(LOOK_EVERY).await;
        }
        findings.note(name, "s", killed.elapsed().as_secs_f64());
    }
    stop.store(true, Ordering::Relaxed);
    let sent = load.await??;
    until_ledgered(&product, &sent.record).await?;
    until_quiet(&product).await?;
    let evidence = product.evidence().await?;
    judge(&sent.record, &evidence)
}

/// Waits until the ledger has nothing left to read. How many decisions there are nobody knows: a
/// report whose answer was cut off may be in the log, and one that was decided when its stage was
/// killed is decided again.
async fn until_quiet(product: &Product) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect_with(&product.database()).await?;
    let query = "SELECT coalesce(sum(next_offset), 0)::int8 FROM consumer_positions \
                 WHERE consumer = 'ledger'";
    let (mut before, mut read) = (-1_i64, 0_i64);
    while read != before {
        before = read;
        sleep(UNDISTURBED).await;
        read = sqlx::query_scalar(query).fetch_one(&mut connection).await?;
    }
    Ok(connection.close().await?)
}
