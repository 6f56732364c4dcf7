use std::{io::Cursor, path::Path, sync::Arc};

use ingest::redaction::{DEFAULT_NAMES, Redaction};
use operations::backfill::{
    Backfill, BackfillError, BackfillSettings, BackfillSummary, ExportError, HeaderError,
};
use schemas::{
    ClickId, NetworkId, TenantId, Topic, codec,
    events::{ConversionReported, ReportSource},
    token::TokenKeys,
};
use stream::Log;
use uuid::Uuid;

use crate::world::{NETWORK, NOW, World, tenant};

const EXAMPLE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../schemas/examples/trackier-conversions.csv"
);
const HEADER: &str = "_id,p1,created,status,txn_id,sale\n";

fn settings() -> BackfillSettings {
    BackfillSettings {
        tenant_id: tenant(),
        network_id: NETWORK,
        as_of: Some(NOW),
        utc_offset_minutes: 0,
    }
}

fn backfill(world: &World) -> Backfill {
    Backfill {
        log: world.log.clone(),
        clock: world.clock.clone(),
        event_ids: world.event_ids.clone(),
        token_keys: TokenKeys::new(&[(1, [1; 32])]).expect("a ring"),
        redaction: Redaction::new(&DEFAULT_NAMES).expect("valid names"),
        reference: Arc::new((**world.reference.load()).clone()),
    }
}

async fn load(world: &World, text: impl Into<Vec<u8>>) -> Result<BackfillSummary, BackfillError> {
    let input = Cursor::new(text.into());
    backfill(world).load(input, NOW, settings(), |_| ()).await
}

async fn reports(world: &World) -> Vec<ConversionReported> {
    let mut reports: Vec<ConversionReported> = Vec::new();
    for partition in 0..Topic::Conversions.partitions() {
        let records = world
            .log
            .read(Topic::Conversions, partition, 0, 10_000)
            .await;
        for record in records.expect("readable") {
            reports.push(codec::decode(&record.value).expect("a report"));
        }
    }
    reports.sort_by_key(|report| report.event_id);
    reports
}

fn refusals(summary: &BackfillSummary) -> Vec<(u64, &str, bool)> {
    let rows = summary.refused_rows.iter();
    rows.map(|row| (row.line, row.reason.as_str(), row.kept))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_goes_through_the_pipeline() {
    let world = World::new().await;
    for number in 1_000_001..=1_000_011 {
        world.click(number).await;
    }
    world.settle().await;
    let mut told = Vec::new();
    let path = Path::new(EXAMPLE);
    let summary = backfill(&world)
        .load_file(path, settings(), |summary| told.push(summary.appended))
        .await
        .expect("loaded");
    assert_eq!((summary.rows, summary.appended), (16, 15));
    assert_eq!((summary.malformed, summary.refused), (3, 1));
    assert_eq!(
        refusals(&summary),
        [
            (15, "sale_amount_invalid", true),
            (16, "missing_click", true),
            (17, "converted_at_invalid", true),
            (18, "3 fields instead of 40", false),
        ]
    );
    assert_eq!(told, [15]);

    world.settle().await;
    let fates = world.fates().await;
    assert_eq!(fates.accepted, 15);
    // Orders 1 to 7 and 10, and two goals of order 8; the first row once more; an unknown click.
    assert_eq!(
        (fates.ledgered, fates.repetitions, fates.unmatched),
        (10, 1, 1)
    );
    assert_eq!((fates.updates, fates.duplicates, fates.ignored), (0, 0, 3));
    let statuses: Vec<(String, i64)> =
        sqlx::query_as("SELECT status, count(*) FROM ledger GROUP BY 1 ORDER BY 1")
            .fetch_all(&world.operator)
            .await
            .expect("statuses");
    let status = |name: &str| {
        let found = statuses.iter().find(|(status, _)| status == name);
        found.map_or(0, |(_, count)| *count)
    };
    // Confirmed: orders 1, 7 and the purchase of 8. Pending: pending, extended, and a status that
    // we don't know. Review: a goal without an amount, and a payout in dollars.
    assert_eq!(
        (status("confirmed"), status("pending"), status("review")),
        (3, 3, 2)
    );
    assert_eq!(status("rejected"), 2);
    let report = world.audit().await;
    assert!(report.ok, "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn running_it_again_is_repetition() {
    let world = World::new().await;
    for number in 1_000_001..=1_000_011 {
        world.click(number).await;
    }
    world.settle().await;
    for _ in 0..2 {
        let path = Path::new(EXAMPLE);
        backfill(&world)
            .load_file(path, settings(), |_| ())
            .await
            .expect("loaded");
        world.settle().await;
    }
    let fates = world.fates().await;
    assert_eq!((fates.accepted, fates.ledgered, fates.updates), (30, 10, 0));
    assert_eq!(
        (fates.repetitions, fates.unmatched, fates.ignored),
        (12, 2, 6)
    );
    let report = world.audit().await;
    assert!(report.ok, "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_is_kept_as_it_stood_but_for_personal_data() {
    let world = World::new().await;
    let text = "\u{feff}status;created;_id;p1;email;note\r\n\
                approved;2026-09-20 10:00:00;c1;7;;\"a;b\"\r\n\
                approved;2026-09-20 10:00:00;c2;8;a@b.example;\r\n";
    let summary = load(&world, text).await.expect("loaded");
    assert_eq!((summary.rows, summary.appended), (2, 2));
    let reports = reports(&world).await;
    let raw: Vec<_> = reports
        .iter()
        .map(|report| report.raw.bytes.escape_ascii().to_string())
        .collect();
    assert_eq!(
        raw,
        [
            "approved;2026-09-20 10:00:00;c1;7;;\\\"a;b\\\"",
            "approved;2026-09-20 10:00:00;c2;8;[redacted];",
        ]
    );
    let first = &reports[0];
    assert_eq!(first.source, ReportSource::Csv);
    assert_eq!((first.as_of, first.received_at), (Some(NOW), NOW));
    assert_eq!(first.tenant_id, Some(tenant()));
    assert_eq!(first.click_id.map(ClickId::get), Some(7));
    let fields = first.reported.as_ref().expect("usable");
    assert_eq!(fields.network_conversion_id.as_deref(), Some("c1"));
    assert_eq!(
        fields.converted_at.map(|at| at.to_string()).as_deref(),
        Some("2026-09-20T10:00:00.000Z")
    );
    assert_ne!(reports[0].raw.sha256, reports[1].raw.sha256);
}

#[tokio::test(flavor = "multi_thread")]
async fn times_without_a_zone_may_be_the_networks_own() {
    let world = World::new().await;
    let settings = BackfillSettings {
        utc_offset_minutes: 330,
        ..settings()
    };
    let text = format!("{HEADER}c1,7,2026-09-20 10:00:00,approved,,\n");
    let input = Cursor::new(text.into_bytes());
    backfill(&world)
        .load(input, NOW, settings, |_| ())
        .await
        .expect("loaded");
    let fields = reports(&world).await.remove(0).reported.expect("usable");
    assert_eq!(
        fields.converted_at.map(|at| at.to_string()).as_deref(),
        Some("2026-09-20T04:30:00.000Z")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_table_is_refused_by_name() {
    let world = World::new().await;
    let missing = load(&world, "_id,p1,status\n")
        .await
        .expect_err("incomplete");
    assert_eq!(missing.to_string(), "the export lacks the columns created");
    for text in [&b""[..], b"\n\n"] {
        let empty = load(&world, text).await.expect_err("empty");
        assert!(
            matches!(
                empty,
                BackfillError::Export(ExportError::Header(HeaderError::Empty))
            ),
            "{empty}"
        );
    }
    let binary = load(&world, &b"\x00\x00\x01"[..])
        .await
        .expect_err("binary");
    assert!(
        matches!(
            binary,
            BackfillError::Export(ExportError::Header(HeaderError::NotUtf8))
        ),
        "{binary}"
    );
    assert!(reports(&world).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn utf_16_is_read_as_what_it_says() {
    let world = World::new().await;
    let text = format!("{HEADER}c1,7,2026-09-20 10:00:00,approved,\u{20b9}-1,5\n");
    let wide = text.encode_utf16().flat_map(u16::to_le_bytes);
    let marked: Vec<u8> = [0xff, 0xfe].into_iter().chain(wide).collect();
    assert_eq!(load(&world, marked).await.expect("loaded").appended, 1);
    let fields = reports(&world).await.remove(0).reported.expect("usable");
    assert_eq!(fields.txn_id.as_deref(), Some("\u{20b9}-1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_not_utf8_are_kept_and_an_open_quote_ends_the_file() {
    let world = World::new().await;
    let mut text = format!("{HEADER}c1,7,2026-09-20 10:00:00,approved,\u{e9},5\n").into_bytes();
    text.extend_from_slice(b"c2,8,2026-09-20 10:00:00,approved,\xff,5\n");
    let summary = load(&world, text.clone()).await.expect("loaded");
    assert_eq!(refusals(&summary), [(3, "not_utf8", true)]);

    text.extend_from_slice(b"c3,\"9,2026-09-20\n");
    text.extend(std::iter::repeat_n(b'x', 1_000_000));
    let error = load(&world, text).await.expect_err("no end");
    assert!(error.to_string().starts_with("line 4: "), "{error}");
    // The rows before are in the log, of both runs.
    assert_eq!(reports(&world).await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_and_the_future_are_refused() {
    let world = World::new().await;
    let backfill = backfill(&world);
    let load = async |as_of, settings| {
        let outcome = backfill
            .load(Cursor::new(HEADER), as_of, settings, |_| ())
            .await;
        outcome.expect_err("refused")
    };
    let stranger = TenantId::new(Uuid::from_u128(99));
    let of_stranger = BackfillSettings {
        tenant_id: stranger,
        ..settings()
    };
    let elsewhere = BackfillSettings {
        network_id: NetworkId::new(9),
        ..settings()
    };
    assert!(matches!(
        load(NOW, of_stranger).await,
        BackfillError::TenantUnknown(_)
    ));
    assert!(matches!(
        load(NOW, elsewhere).await,
        BackfillError::NetworkUnknown(_)
    ));
    let ahead = NOW.plus_millis(1);
    assert!(matches!(
        load(ahead, settings()).await,
        BackfillError::AsOfInFuture { .. }
    ));
    let path = Path::new("/nonexistent/export.csv");
    let error = backfill
        .load_file(path, settings(), |_| ())
        .await
        .expect_err("no file");
    assert!(
        error
            .to_string()
            .starts_with("/nonexistent/export.csv can't be read"),
        "{error}"
    );
}
