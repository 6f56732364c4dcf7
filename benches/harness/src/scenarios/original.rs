//! The specification's original stack, side by side with the product: the same sales with their
//! clicks, over HTTP, end to end, and the same checks of the outcome.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use sqlx::{Connection, PgConnection, postgres::PgConnectOptions};
use tokio::time::{Instant, sleep};

use super::{
    Plan,
    day::{self, CALLERS, COST, RATE, REAL_TIME, WARM_UP, number},
    ingest::count,
};
use crate::{
    generator::{Generator, Pace, Record, Sending, wall_micros},
    latencies::Latencies,
    peer::{Booking, Peer, request},
    processes::{Part, Watch},
    product::LogPlace,
    results::{Aim, Findings},
};

/// How many times real time the latency is measured at.
const MULTIPLE: f64 = 20.0;
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// Ids begin with milliseconds; so many of them are looked back at for what was committed late.
const LOOK_BACK: i64 = 10_000 << 22;

pub async fn measure(plan: &Plan<'_>, findings: &mut Findings) -> anyhow::Result<()> {
    let plan = &Plan {
        conversions: plan.conversions.min(plan.form.pick(20_000, 100_000)),
        ..*plan
    };
    findings.set("conversions", &plan.conversions);
    findings.set("callers", &CALLERS);
    for repetition in 0..plan.repetitions {
        let mut ours = Findings::default();
        day::fastest(plan, LogPlace::Embedded, &mut ours, repetition).await?;
        for name in [RATE, COST, "ClickHouse's CPU seconds per 1,000 conversions"] {
            let unit = if name == RATE { "/s" } else { "s" };
            findings.note(&format!("Hissaback: {name}"), unit, ours.median(name));
        }
        let cost = ours.median(COST);
        for booking in [Booking::Transactions, Booking::Batches] {
            let its = at_its_fastest(plan, booking, findings).await?;
            let name = booking.name();
            findings.note(
                &format!("{name}: CPU time, of Hissaback's"),
                "×",
                its / cost,
            );
            if repetition == 0 {
                at_a_pace(plan, booking, findings).await?;
            }
        }
    }
    findings.aim("transactions: CPU time, of Hissaback's", Aim::AtLeast(10.0));
    findings.aim("batches: CPU time, of Hissaback's", Aim::AtLeast(4.0));
    Ok(())
}

/// The whole sales as fast as it goes; CPU seconds per 1,000 conversions.
async fn at_its_fastest(
    plan: &Plan<'_>,
    booking: Booking,
    findings: &mut Findings,
) -> anyhow::Result<f64> {
    let peer = Peer::start(booking)?;
    let generator = Generator::new(peer.address);
    let pace = Pace::Saturating { callers: CALLERS };
    let sales = plan.sales(plan.conversions);
    let next = sales.end + WARM_UP;
    let warm_up = generator.send(sales.end..next, pace, Sending::Whole);
    let mut record = warm_up.await?.record;
    peer.settle(&record).await?;

    let name = booking.name();
    let cost = {
        let mut run = Run {
            name,
            peer: &peer,
            generator: &generator,
            findings,
        };
        let cost = run.send(sales, Sending::Whole, "", &mut record).await?;

        // Without the click: what the postback alone costs.
        let sales = next..next + plan.conversions / 2;
        let clicks = generator.send(sales.clone(), pace, Sending::Clicks).await?;
        record.merge(clicks.record);
        let postbacks = Sending::Postbacks(Arc::new(clicks.tokens));
        run.send(sales, postbacks, ", postback alone", &mut record)
            .await?;
        cost
    };
    peer.judge(&record).await?;
    peer.stop()?;
    Ok(cost)
}

/// One stack that is measured.
struct Run<'a> {
    name: &'static str,
    peer: &'a Peer,
    generator: &'a Generator,
    findings: &'a mut Findings,
}

impl Run<'_> {
    async fn send(
        &mut self,
        sales: std::ops::Range<u64>,
        sending: Sending,
        what: &str,
        record: &mut Record,
    ) -> anyhow::Result<f64> {
        let conversions = number(sales.end - sales.start);
        let requests = self.generator.requests.load(Ordering::Relaxed);
        let pace = Pace::Saturating { callers: CALLERS };
        let clicked = matches!(sending, Sending::Whole);
        let watch = Watch::begin(self.peer.pid());
        let began = Instant::now();
        let sent = self.generator.send(sales, pace, sending).await?;
        record.merge(sent.record);
        self.peer.settle(record).await?;
        let seconds = began.elapsed().as_secs_f64();
        let usage = watch.end();

        let name = self.name;
        let rate = conversions / seconds;
        self.findings
            .note(&format!("{name}: {RATE}{what}"), "/s", rate);
        let cost = usage.cpu_seconds_total() / conversions * 1_000.0;
        self.findings
            .note(&format!("{name}: {COST}{what}"), "s", cost);
        if clicked {
            let requests = self.generator.requests.load(Ordering::Relaxed) - requests;
            let requests = 1.0 + number(requests) / conversions;
            let title = format!("{name}: requests per conversion");
            self.findings.note(&title, "", requests);
            for (part, whose) in [
                (Part::Pipeline, "Python and RabbitMQ"),
                (Part::Postgres, "PostgreSQL"),
            ] {
                let seconds = usage.cpu_seconds.get(&part).copied().unwrap_or_default();
                let title = format!("{name}: {whose}'s {COST}");
                self.findings
                    .note(&title, "s", seconds / conversions * 1_000.0);
                let title = format!("{name}: {whose}'s memory at its peak");
                self.findings.note(&title, "MiB", usage.peak(part));
            }
        }
        Ok(cost)
    }
}

/// From when a postback was due until the ledger was seen to have it, at 20 times real time.
async fn at_a_pace(
    plan: &Plan<'_>,
    booking: Booking,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    let peer = Peer::start(booking)?;
    let generator = Generator::new(peer.address);
    let rate = MULTIPLE * REAL_TIME;
    let sales = plan.sales(count(rate * plan.form.pick(6.0, 30.0)));
    let pace = Pace::Saturating { callers: 32 };
    let clicks = generator.send(sales.clone(), pace, Sending::Clicks).await?;
    let mut record = clicks.record;

    let stop = Arc::new(AtomicBool::new(false));
    let looker = tokio::spawn(look(peer.database.clone(), Arc::clone(&stop)));
    let sending = Sending::Postbacks(Arc::new(clicks.tokens));
    let sent = generator
        .send(sales, Pace::PerSecond(rate), sending)
        .await?;
    record.merge(sent.record);
    peer.settle(&record).await?;
    // One look more, after everything was committed.
    sleep(LOOK_EVERY * 50).await;
    stop.store(true, Ordering::Relaxed);
    let seen = looker.await??;

    let latencies = record.due_micros.iter().map(|(request, due)| {
        let at = seen.get(request).copied();
        at.context("a postback that no look at the tables saw")
            .map(|at| at.saturating_sub(*due))
    });
    let latencies: anyhow::Result<Vec<u64>> = latencies.collect();
    let latencies = Latencies::of(latencies?);
    for percent in [50, 99] {
        let name = booking.name();
        let title = format!("{name}: postback to ledger at {MULTIPLE}× real time: p{percent}");
        findings.note(&title, "ms", latencies.percentile_ms(percent));
    }
    peer.judge(&record).await?;
    peer.stop()
}

/// When each postback was first seen among the reports, which are committed with what is booked of
/// them.
async fn look(
    database: PgConnectOptions,
    stop: Arc<AtomicBool>,
) -> anyhow::Result<HashMap<u64, u64>> {
    let mut connection = PgConnection::connect_with(&database).await?;
    let mut seen = HashMap::new();
    let mut last = 0;
    while !stop.load(Ordering::Relaxed) {
        let query = "SELECT conv_id, query FROM conversions WHERE conv_id > $1";
        let rows: Vec<(i64, String)> = sqlx::query_as(query)
            .bind(last - LOOK_BACK)
            .fetch_all(&mut connection)
            .await?;
        let now = wall_micros();
        for (conv_id, query) in rows {
            last = last.max(conv_id);
            let request = request(&query).context("a report that wasn't sent")?;
            seen.entry(request).or_insert(now);
        }
        sleep(LOOK_EVERY).await;
    }
    connection.close().await?;
    Ok(seen)
}
