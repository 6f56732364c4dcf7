//! A network's export against the real ledger: breaks, evidence, and nothing more the second time.

use std::{
    collections::BTreeMap,
    io::{self, Cursor, Read},
    sync::Arc,
};

use ingest::redaction::{DEFAULT_NAMES, Redaction};
use operations::reconcile::{
    Break, BreakFile, BreakSink, ReconcileError, ReconcileSettings, ReconcileSummary, Reconciler,
    rules::{Action, BreakKind, Rule},
};
use schemas::{
    Amount, TenantId, Topic, codec,
    events::{ConversionReported, NetworkStatus, ReportSource},
    token::TokenKeys,
};
use stream::{Log, Record};
use uuid::Uuid;

use crate::world::{NETWORK, NOW, World, sale, tenant, token};

const HEADER: &str = "_id,p1,created,status,txn_id,sale,currency\n";
/// When [`sale`] says that it was converted.
const DAY: &str = "2026-09-20 14:13:20";

pub fn settings(apply: bool) -> ReconcileSettings {
    ReconcileSettings {
        tenant_id: tenant(),
        network_id: NETWORK,
        source: ReportSource::Csv,
        as_of: NOW,
        utc_offset_minutes: 0,
        tolerance: Amount::ZERO,
        from: None,
        to: None,
        apply,
    }
}

pub fn reconciler(world: &World) -> Reconciler {
    Reconciler {
        pool: world.operator.clone(),
        log: world.log.clone(),
        clock: world.clock.clone(),
        event_ids: world.event_ids.clone(),
        token_keys: TokenKeys::new(&[(1, [1; 32])]).expect("a ring"),
        redaction: Redaction::new(&DEFAULT_NAMES).expect("valid names"),
        reference: Arc::new((**world.reference.load()).clone()),
    }
}

pub async fn reconcile_as(
    world: &World,
    text: impl Into<Vec<u8>>,
    settings: ReconcileSettings,
) -> Result<(ReconcileSummary, Vec<Break>), ReconcileError> {
    let reconciler = reconciler(world);
    let mut breaks = Vec::new();
    let input = Cursor::new(text.into());
    let summary = reconciler
        .reconcile(input, settings, &mut breaks, |_| ())
        .await?;
    Ok((summary, breaks))
}

async fn reconcile(
    world: &World,
    text: impl Into<Vec<u8>>,
    apply: bool,
) -> (ReconcileSummary, Vec<Break>) {
    let outcome = reconcile_as(world, text, settings(apply)).await;
    let (summary, breaks) = outcome.expect("reconciled");
    world.settle().await;
    (summary, breaks)
}

fn kinds(breaks: &[Break]) -> Vec<(BreakKind, Option<u64>, Action)> {
    breaks
        .iter()
        .map(|found| (found.kind, found.line, found.action))
        .collect()
}

async fn newest(world: &World, count: usize) -> Vec<Record> {
    let mut records = Vec::new();
    for partition in 0..Topic::Conversions.partitions() {
        let page = world
            .log
            .read(Topic::Conversions, partition, 0, 1_000)
            .await;
        records.extend(page.expect("read"));
    }
    records.sort_by_key(|record| {
        let event: ConversionReported = codec::decode(&record.value).expect("a report");
        event.event_id
    });
    records.split_off(records.len() - count)
}

async fn statuses(world: &World) -> BTreeMap<String, String> {
    let rows: Vec<(String, String)> =
        sqlx::query_as("SELECT coalesce(txn_id, click_id::text), status FROM ledger")
            .fetch_all(&world.operator)
            .await
            .expect("claims");
    rows.into_iter().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_break_is_typed_and_applying_twice_changes_nothing_more() {
    let world = World::new().await;
    for click in 1..=9 {
        world.click(click).await;
    }
    world.report(sale(&token(1), "A-1")).await;
    world.report(sale(&token(2), "A-2")).await;
    world.report(sale(&token(3), "A-3")).await;
    world.report(sale(&token(4), "A-4")).await;
    world.report(sale(&token(6), "A-6")).await;
    world.report(sale(&token(7), "A-7")).await;
    world.settle().await;
    let export = format!(
        "{HEADER}\
         c1,{},{DAY},approved,A-1,1999.00,INR\n\
         c2,{},{DAY},cancelled,A-2,1999.00,INR\n\
         c3,{},{DAY},approved,A-3,999.00,INR\n\
         c4,{},{DAY},approved,A-4,1999.00,USD\n\
         c5,{},{DAY},approved,A-5,499.00,INR\n\
         c6,{},{DAY},pending,A-6,1999.00,INR\n\
         c8,8888,{DAY},approved,A-8,1.00,INR\n",
        token(1),
        token(2),
        token(3),
        token(4),
        token(5),
        token(6)
    );
    let (summary, breaks) = reconcile(&world, export.clone(), false).await;
    assert_eq!(
        kinds(&breaks),
        [
            (BreakKind::Status, Some(3), Action::Append),
            (BreakKind::Amount, Some(4), Action::Append),
            (BreakKind::Currency, Some(5), Action::Append),
            (BreakKind::MissingHere, Some(6), Action::Append),
            (BreakKind::Status, Some(7), Action::NotBelieved),
            (BreakKind::MissingHere, Some(8), Action::Append),
            (BreakKind::MissingThere, None, Action::AskNetwork),
        ]
    );
    assert_eq!(
        (summary.agreed, summary.proposed, summary.appended),
        (1, 5, 0)
    );
    assert_eq!(summary.matched, BTreeMap::from([("click_and_order", 5)]));
    assert_eq!(
        (breaks[0].here.as_str(), breaks[0].there.as_str()),
        ("approved", "cancelled")
    );
    assert_eq!(
        (breaks[1].here.as_str(), breaks[1].there.as_str()),
        ("sale 1999.00", "sale 999.00")
    );
    assert_eq!(
        (breaks[0].rule, breaks[0].age_days),
        (Some(Rule::ClickAndOrder), Some(1))
    );
    assert_eq!(breaks[6].order.as_deref(), Some("A-7"));
    assert_eq!(world.fates().await.accepted, 6, "nothing was appended");

    let (applied, _) = reconcile(&world, export.clone(), true).await;
    assert_eq!(applied.appended, 5);
    let after = statuses(&world).await;
    assert_eq!(
        after
            .iter()
            .map(|(order, status)| (order.as_str(), status.as_str()))
            .collect::<Vec<_>>(),
        [
            ("A-1", "confirmed"),
            ("A-2", "reversed"),
            ("A-3", "confirmed"),
            ("A-4", "review"),
            ("A-5", "confirmed"),
            ("A-6", "confirmed"),
            ("A-7", "confirmed"),
        ]
    );
    let fates = world.fates().await;
    assert_eq!((fates.accepted, fates.updates, fates.unmatched), (11, 3, 1));
    for apply in [true, true] {
        let (again, breaks) = reconcile(&world, export.clone(), apply).await;
        assert_eq!((again.appended, again.proposed), (0, 0), "{breaks:?}");
        assert_eq!(
            kinds(&breaks),
            [
                (BreakKind::Status, Some(7), Action::NotBelieved),
                (BreakKind::Parked, Some(8), Action::MatchByHand),
                (BreakKind::MissingThere, None, Action::AskNetwork),
            ]
        );
    }
    assert_eq!(
        (world.fates().await, statuses(&world).await),
        (fates, after)
    );
    let report = world.audit().await;
    assert!(report.ok, "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_record_carries_what_it_was_matched_to_and_by_which_rule() {
    let world = World::new().await;
    world.click(1).await;
    world.click(2).await;
    world.report(sale(&token(1), "A-1")).await;
    world.report(sale(&token(2), "A-2")).await;
    world.settle().await;
    // The network lost our reference of the first; the second has its own id by now.
    let export = format!(
        "{HEADER}c1,5f0123456789abcdef012345,{DAY},cancelled,A-1,,\n\
         c2,{},{DAY},cancelled,A-2,,\n",
        token(2)
    );
    let (summary, breaks) = reconcile(&world, export, true).await;
    assert_eq!(
        breaks.iter().map(|found| found.rule).collect::<Vec<_>>(),
        [Some(Rule::Order), Some(Rule::ClickAndOrder)]
    );
    assert_eq!(summary.appended, 2);
    for (record, rule) in newest(&world, 2)
        .await
        .iter()
        .zip(["order", "click_and_order"])
    {
        let claim = record.header("hissaback-matched-claim").expect("a claim");
        let claim = String::from_utf8_lossy(claim).into_owned();
        assert!(
            breaks
                .iter()
                .any(|found| found.claim.is_some_and(|name| name.to_string() == claim))
        );
        assert_eq!(
            record.header("hissaback-matched-by").map(|rule| &rule[..]),
            Some(rule.as_bytes())
        );
        let event: ConversionReported = codec::decode(&record.value).expect("a report");
        assert_eq!((event.source, event.as_of), (ReportSource::Csv, Some(NOW)));
        assert!(event.raw.bytes.starts_with(b"c"));
    }
    let after = statuses(&world).await;
    assert!(
        after.values().all(|status| status == "reversed"),
        "{after:?}"
    );
}

/// The row names neither a click of ours nor an order; the postback told the network's own id.
#[tokio::test(flavor = "multi_thread")]
async fn without_click_and_order_the_networks_own_id_tells_the_claim() {
    let world = World::new().await;
    for click in 1..=2 {
        world.click(click).await;
        let mut told = sale(&token(click), &format!("A-{click}"));
        told.network_conversion_id = Some(format!("c{click}"));
        world.report(told).await;
    }
    world.settle().await;
    let lost = "5f0123456789abcdef012345";
    // The second contradicts the claim in its order, and stays apart.
    let export = format!("{HEADER}c1,{lost},{DAY},cancelled,,,\nc2,{lost},{DAY},cancelled,A-1,,\n");
    let (summary, breaks) = reconcile(&world, export.clone(), true).await;
    assert_eq!(
        breaks.iter().map(|found| found.rule).collect::<Vec<_>>(),
        [Some(Rule::Conversion), None, None]
    );
    assert_eq!(summary.matched, BTreeMap::from([("conversion", 1)]));
    let records = newest(&world, 2).await;
    let rule = records[0]
        .header("hissaback-matched-by")
        .map(|rule| &rule[..]);
    assert_eq!(rule, Some(&b"conversion"[..]));
    let event: ConversionReported = codec::decode(&records[0].value).expect("a report");
    assert_eq!(event.reported.expect("usable").click_ref, token(1));
    let after = statuses(&world).await;
    assert_eq!(
        (after["A-1"].as_str(), after["A-2"].as_str()),
        ("reversed", "confirmed")
    );
    let (again, _) = reconcile(&world, export, true).await;
    assert_eq!(again.appended, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn duplicates_are_counted_and_of_rows_that_contradict_the_later_counts() {
    let world = World::new().await;
    world.click(1).await;
    world.click(2).await;
    world.report(sale(&token(1), "A-1")).await;
    world.settle().await;
    let first = format!("c1,{},{DAY},approved,A-1,1999.00,INR\n", token(1));
    let second = first.replace("approved", "cancelled");
    let missing = format!("c2,{},{DAY},approved,A-2,100.00,INR\n", token(2));
    let export = [HEADER, &first, &second, &missing, &missing].concat();
    let (summary, breaks) = reconcile(&world, export.clone(), true).await;
    assert_eq!(
        (summary.superseded, summary.duplicates, summary.compared),
        (1, 1, 2)
    );
    assert_eq!(
        kinds(&breaks),
        [
            (BreakKind::Status, Some(3), Action::Append),
            (BreakKind::MissingHere, Some(5), Action::Append),
        ]
    );
    let (again, breaks) = reconcile(&world, export, true).await;
    assert_eq!((again.appended, breaks.len()), (0, 0), "{breaks:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_read_as_far_as_sense_allows() {
    let world = World::new().await;
    world.click(1).await;
    world.click(2).await;
    world.settle().await;
    // A byte order mark, semicolons, CRLF, quotes, Latin-1, an extra column, the network's zone.
    let mut export = b"\xef\xbb\xbfstatus;created;_id;note;p1;txn_id;sale\r\n".to_vec();
    let row = format!("approved;2026-09-20 23:30:00;c1;\"a;b\r\nc\";{};", token(1));
    export.extend_from_slice(row.as_bytes());
    export.extend_from_slice(b"Caf\xe9-1;10.00\r\n");
    export.extend_from_slice(b"approved;not a time;c2;;7;A;1\r\n");
    export.extend_from_slice(b"approved;2026-09-20 23:30:00;c3;;;A;1\r\n");
    export.extend_from_slice(b"approved;2026-09-20 23:30:00;c3\r\n");
    let in_india = ReconcileSettings {
        utc_offset_minutes: 330,
        ..settings(true)
    };
    let outcome = reconcile_as(&world, export, in_india).await;
    let (summary, breaks) = outcome.expect("reconciled");
    assert_eq!((summary.rows, summary.refused, summary.appended), (4, 3, 1));
    let refused: Vec<_> = summary
        .refused_rows
        .iter()
        .map(|row| (row.line, row.reason.as_str()))
        .collect();
    assert_eq!(
        refused,
        [
            (4, "converted_at_invalid"),
            (5, "missing_click"),
            (6, "3 fields instead of 7"),
        ]
    );
    assert_eq!(breaks[0].order.as_deref(), Some("Caf\u{e9}-1"));
    let record = newest(&world, 1).await.remove(0);
    let event: ConversionReported = codec::decode(&record.value).expect("a report");
    let fields = event.reported.expect("usable");
    assert_eq!(
        fields.converted_at.map(|at| at.to_string()).as_deref(),
        Some("2026-09-20T18:00:00.000Z")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_by_the_networks_clock_and_a_tolerance_are_allowed_for() {
    let world = World::new().await;
    world.click(1).await;
    world.click(2).await;
    // Converted at 14:13 UTC, which is 00:13 of the next day at UTC+10.
    world.report(sale(&token(1), "A-1")).await;
    let mut no_time = sale(&token(2), "A-2");
    no_time.converted_at = None;
    world.report(no_time).await;
    world.settle().await;
    let export = format!(
        "{HEADER}c1,{},2026-09-20T13:00:00Z,approved,A-1,1999.01,INR\n\
         c9,8888,2026-09-21T20:00:00Z,approved,A-9,1,INR\n",
        token(1)
    );
    let (_, breaks) = reconcile(&world, export.clone(), false).await;
    assert_eq!(
        breaks.iter().map(|found| found.kind).collect::<Vec<_>>(),
        [
            BreakKind::Amount,
            BreakKind::MissingHere,
            BreakKind::DayEdge
        ]
    );
    assert_eq!(
        breaks[2].order.as_deref(),
        Some("A-2"),
        "its time is our receipt"
    );
    let elsewhere = ReconcileSettings {
        utc_offset_minutes: 600,
        tolerance: "0.01".parse().expect("an amount"),
        to: Some(NOW),
        ..settings(false)
    };
    let outcome = reconcile_as(&world, export, elsewhere).await;
    let (summary, breaks) = outcome.expect("reconciled");
    assert_eq!(
        breaks.iter().map(|found| found.kind).collect::<Vec<_>>(),
        [BreakKind::DayEdge]
    );
    assert_eq!(breaks[0].line, Some(2));
    assert_eq!((summary.outside, summary.compared), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn other_tenants_rows_are_left_and_strangers_refused() {
    let world = World::new().await;
    world.click(1).await;
    world.report(sale(&token(1), "A-1")).await;
    world.settle().await;
    world
        .tamper("UPDATE clicks SET tenant_id = '00000000-0000-0000-0000-000000000099'")
        .await;
    let export = format!("{HEADER}c1,1,{DAY},cancelled,A-1,1999.00,INR\n");
    let (summary, breaks) = reconcile(&world, export.clone(), true).await;
    assert_eq!((summary.elsewhere, summary.appended), (1, 0));
    assert_eq!(
        kinds(&breaks).len(),
        1,
        "and the claim isn't listed: {breaks:?}"
    );

    let stranger = ReconcileSettings {
        tenant_id: TenantId::new(Uuid::from_u128(9)),
        ..settings(false)
    };
    let outcome = reconcile_as(&world, export.clone(), stranger).await;
    assert!(matches!(outcome, Err(ReconcileError::TenantUnknown(_))));
    let ahead = ReconcileSettings {
        as_of: NOW.plus_millis(1),
        ..settings(false)
    };
    let outcome = reconcile_as(&world, export, ahead).await;
    assert!(matches!(outcome, Err(ReconcileError::AsOfInFuture { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_snapshot_is_outranked_and_says_so() {
    let world = World::new().await;
    world.click(1).await;
    world.report(sale(&token(1), "A-1")).await;
    let mut cancelled = sale(&token(1), "A-1");
    cancelled.status = Some(NetworkStatus::Cancelled);
    world.report(cancelled).await;
    world.settle().await;
    let old = ReconcileSettings {
        as_of: NOW.plus_days(-1),
        ..settings(true)
    };
    let export = format!("{HEADER}c1,{},{DAY},approved,A-1,1999.00,INR\n", token(1));
    let outcome = reconcile_as(&world, export, old).await;
    let (summary, breaks) = outcome.expect("reconciled");
    assert_eq!(
        kinds(&breaks),
        [(BreakKind::Status, Some(2), Action::Outranked)]
    );
    assert_eq!(summary.appended, 0);
}

/// An export that is made while it is read, with a note of 300 bytes a row.
struct Endless {
    rows: std::ops::Range<u32>,
    ready: Cursor<Vec<u8>>,
}

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.ready.read(buffer)?;
        if read > 0 {
            return Ok(read);
        }
        let Some(row) = self.rows.next() else {
            return Ok(0);
        };
        let note = "x".repeat(300);
        let row = format!(
            "c{row},{},{DAY},approved,O-{row},1.00,INR,{note}\n",
            1_000 + row
        );
        self.ready = Cursor::new(row.into_bytes());
        self.ready.read(buffer)
    }
}

/// Nobody keeps the breaks.
struct Counted(u64);

impl BreakSink for Counted {
    fn take(&mut self, _: &Break) -> io::Result<()> {
        self.0 += 1;
        Ok(())
    }
}

/// What the process holds in memory, in kilobytes.
fn resident_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number.expect("a size").parse().expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures the whole process: run it alone, with RECONCILE_ROWS for more"]
async fn memory_is_flat_whatever_the_size() {
    let rows: u32 =
        std::env::var("RECONCILE_ROWS").map_or(100_000, |rows| rows.parse().expect("a number"));
    let world = World::new().await;
    world.settle().await;
    let reconciler = reconciler(&world);
    let mut peaks = Vec::new();
    for rows in [rows / 10, rows] {
        let input = Endless {
            rows: 0..rows,
            ready: Cursor::new(format!("{},note\n", HEADER.trim_end()).into_bytes()),
        };
        let peak = std::sync::atomic::AtomicU64::new(0);
        let watch = |_: &ReconcileSummary| {
            peak.fetch_max(resident_kb(), std::sync::atomic::Ordering::Relaxed);
        };
        let mut breaks = Counted(0);
        let begun = std::time::Instant::now();
        let outcome = reconciler
            .reconcile(input, settings(false), &mut breaks, watch)
            .await;
        let summary = outcome.expect("reconciled");
        assert_eq!(
            (summary.proposed, breaks.0),
            (u64::from(rows), u64::from(rows))
        );
        let peak = peak.into_inner();
        println!(
            "{rows} rows in {:?}, at most {peak} kB resident",
            begun.elapsed()
        );
        peaks.push(peak);
    }
    assert!(
        peaks[1] < peaks[0] + 16 * 1_024,
        "ten times the rows, and as much memory: {peaks:?}"
    );
}

#[test]
fn a_file_of_breaks_is_safe_to_open() {
    let found = Break {
        kind: BreakKind::Amount,
        line: Some(7),
        claim: None,
        rule: Some(Rule::Click),
        conversion: Some("=cmd|'/c calc'!A1".to_owned()),
        order: Some("a,\"b\"".to_owned()),
        here: "nothing".to_owned(),
        there: "-1".to_owned(),
        age_days: Some(3),
        action: Action::Append,
    };
    let mut written = Vec::new();
    let mut file = BreakFile::new(&mut written).expect("a header");
    file.take(&found).expect("taken");
    file.finish().expect("flushed");
    let text = String::from_utf8(written).expect("UTF-8");
    let row = text.lines().nth(1).expect("a row");
    assert_eq!(
        row,
        "amount,7,,click,'=cmd|'/c calc'!A1,\"a,\"\"b\"\"\",nothing,'-1,3,append"
    );
}
