//! A month of a shop replayed: how fast, and in how much memory.
//!
//! `make bench-replay CONVERSIONS=6000000`, or `CONVERSIONS=… cargo bench -p operations --bench
//! replay`. The log is an embedded one on disk, the ledger a PostgreSQL of its own; both are made
//! first, from the product's own rules, and that isn't measured.

mod month;
#[path = "../../../sinks/tests/support/postgres.rs"]
mod postgres;

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use operations::replay::{Bound, Replay, ReplaySettings, Span};
use stream::{EmbeddedLog, EmbeddedOptions, SystemClock};

use month::{Month, T0};
use postgres::Database;

/// The program's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Without being asked for more: quick, so that the harness itself is tried out.
const CONVERSIONS: u64 = 30_000;

fn main() {
    let conversions = std::env::var("CONVERSIONS").ok();
    let conversions = conversions.map_or(CONVERSIONS, |number| {
        number.parse().expect("CONVERSIONS is a number")
    });
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(measure(conversions));
}

async fn measure(conversions: u64) {
    let directory = tempfile::tempdir().expect("a directory");
    let clock = Arc::new(SystemClock);
    let options = EmbeddedOptions::default();
    let log = EmbeddedLog::open(directory.path(), clock, options).expect("a log");
    let database = Database::new().await;
    let owner = database.owner().await;
    let began = Instant::now();
    let month = Month::make(&log, &owner, conversions).await;
    println!(
        "made {} reports of {conversions} conversions, and {} rows, in {:.0} s",
        month.reports,
        month.rows,
        began.elapsed().as_secs_f64()
    );

    let replay = Replay {
        log,
        pool: database.pool("hissaback_operator").await,
        reference: Arc::new(month.reference),
    };
    let day = |day: i32| Bound::Time(T0.plus_days(day));
    let whole = Span::default();
    let one_day = Span {
        from: Some(day(15)),
        to: Some(day(16)),
    };
    for (what, span, recorded_decisions) in [
        ("decided anew", whole, false),
        ("recorded decisions", whole, true),
        ("decided anew, one day of the month", one_day, false),
    ] {
        let settings = ReplaySettings {
            span,
            recorded_decisions,
            ..ReplaySettings::default()
        };
        forget_peak();
        let read = AtomicU64::new(0);
        let began = Instant::now();
        let report = replay
            .compare(&settings, &|progress| {
                read.store(progress.records, Ordering::Relaxed);
            })
            .await
            .expect("replayed");
        let seconds = began.elapsed().as_secs_f64();
        assert!(report.equal, "{report}");
        if span.whole() {
            assert_eq!(report.claims, month.rows);
        }
        let per_second =
            |number: u64| f64::from(u32::try_from(number).unwrap_or(u32::MAX)) / seconds;
        println!(
            "{what}: {} reports and {} claims in {seconds:.1} s: {:.0} conversions/s, {:.0} \
             reports/s, {:.0} log records/s; thereof read at {} reports/s, folded and compared at \
             {} claims/s; peak {} MiB",
            report.reports,
            report.claims,
            per_second(conversions),
            per_second(report.reports),
            per_second(read.load(Ordering::Relaxed)),
            report.read_per_second,
            report.folded_per_second,
            peak_mib(),
        );
    }
}

/// Begins anew to note the most memory that the process takes.
fn forget_peak() {
    // Not everywhere: then the peak is that of the whole run.
    let _ = fs::write("/proc/self/clear_refs", "5");
}

fn peak_mib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = peak.and_then(|peak| peak.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or_default() / 1_024
}
