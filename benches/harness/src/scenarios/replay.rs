//! A month replayed, against a ledger that came of it: the month that `make bench-replay` makes.

#[path = "../../../../operations/benches/replay/month.rs"]
mod month;

use std::{os::unix::fs::PermissionsExt, sync::Arc};

use anyhow::ensure;
use hissaback::embedded::{DataDirectory, EmbeddedPostgres, PostgresOptions};
use operations::replay::{Replay, ReplaySettings};
use sinks::ledger::database;
use stream::{EmbeddedLog, EmbeddedOptions, Log, SystemClock};
use tokio::time::Instant;

use self::month::Month;
use super::Plan;
use crate::results::{Aim, Findings};

/// From the log's records and the ledger's rows to what differs: all that a replay does. It is done
/// in memory, as it writes nothing.
const REPLAYED: &str = "conversions decided anew and replayed in memory, log and ledger read";
const RECORDED: &str = "conversions replayed so from their recorded decisions";

pub async fn measure(plan: &Plan<'_>, findings: &mut Findings) -> anyhow::Result<()> {
    let home = tempfile::tempdir()?;
    std::fs::set_permissions(home.path(), PermissionsExt::from_mode(0o755))?;
    let data = DataDirectory::open(home.path().join("data"))?;
    let postgres = EmbeddedPostgres::start(&data, PostgresOptions::default()).await?;
    let owner = postgres.connect_options("hissaback_owner", "hissaback");
    database::migrate(owner.clone()).await?;
    let owner = database::connect(owner, 2).await?;
    let options = EmbeddedOptions::default();
    let log = EmbeddedLog::open(home.path().join("log"), Arc::new(SystemClock), options)?;
    let month = Month::make(&*log, &owner, plan.conversions).await;
    findings.set("conversions", &plan.conversions);
    findings.set("reports", &month.reports);
    let operator = postgres.connect_options("hissaback_operator", "hissaback");
    let replay = Replay {
        log: Arc::clone(&log) as Arc<dyn Log>,
        pool: database::connect(operator, 6).await?,
        reference: Arc::new(month.reference),
    };
    for recorded_decisions in [false, true] {
        let settings = ReplaySettings {
            recorded_decisions,
            ..ReplaySettings::default()
        };
        for _ in 0..plan.repetitions {
            let began = Instant::now();
            let report = replay.compare(&settings, &|_| {}).await?;
            let seconds = began.elapsed().as_secs_f64();
            ensure!(
                report.equal && report.claims == month.rows,
                "the replay differs from the ledger: {report}"
            );
            let number = |number: u64| u32::try_from(number).map(f64::from);
            let replayed = if recorded_decisions {
                RECORDED
            } else {
                REPLAYED
            };
            findings.note(replayed, "/s", number(report.claims)? / seconds);
            let parts = [
                (
                    "part: reports read, decided and packed",
                    report.read_per_second,
                ),
                ("part: claims folded and compared", report.folded_per_second),
            ];
            for (part, rate) in parts.into_iter().filter(|_| !recorded_decisions) {
                findings.note(part, "/s", number(rate)?);
            }
        }
    }
    findings.aim(REPLAYED, Aim::AtLeast(100_000.0));
    replay.pool.close().await;
    owner.close().await;
    log.close().await;
    Ok(postgres.stop().await?)
}
