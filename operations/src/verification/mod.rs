//! The proof of replay (design section 9, invariant 7): the whole log folded anew into an empty
//! ledger by the product's own sink, and the canonical dumps of the two compared.
//!
//! The second ledger is a database of its own on the same server. The log is read without a group,
//! in other partitions, another order and other batches than the first time. The second ledger
//! publishes nothing, and nothing is sent: it has neither relay nor dispatcher.

mod comparison;
mod scratch;
mod second_reading;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use prometheus::Registry;
use serde::Serialize;
use sinks::ledger::{
    LedgerError, LedgerMetrics, LedgerSettings, LedgerSink, database::SchemaError, rebuild,
};
use sqlx::PgPool;
use stream::{Clock, Log, LogError, Partition};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

pub use self::scratch::{Scratch, ScratchConnections};
use self::{
    comparison::{FirstLines, LineHashes, OnlyHere, compare},
    second_reading::SecondReading,
};
use crate::{
    canonical_dump::{self, CanonicalDump, DumpError},
    replay::{Moment, ReplayError},
};

/// How often it is asked whether payouts have come to rest.
const REST_CHECK_INTERVAL: Duration = Duration::from_millis(200);
const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);

/// Both ledgers, and the log.
#[derive(Clone)]
pub struct Verification {
    /// Only read.
    pub log: Arc<dyn Log>,
    /// Connections to the ledger, as an operator; only read.
    pub ledger: PgPool,
    /// Connections to another database with the same schema and nothing in it, as the writer.
    pub scratch: PgPool,
    /// The time port.
    pub clock: Arc<dyn Clock>,
}

/// In which form the log is read the second time.
#[derive(Debug, Clone)]
pub struct VerifySettings {
    /// Partitions that each topic is shown with.
    pub partitions: i32,
    /// Most records in a batch.
    pub batch_records_max: usize,
    /// Decides the order.
    pub seed: u64,
    /// How long payouts may take to come to rest.
    pub patience: Duration,
    /// Lines shown of what only one of the two has.
    pub lines_max: usize,
}

impl Default for VerifySettings {
    fn default() -> Self {
        Self {
            partitions: 7,
            batch_records_max: 700,
            seed: 1,
            patience: Duration::from_mins(1),
            lines_max: 20,
        }
    }
}

/// What a verification came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VerifyReport {
    /// Whether both dumps are the same, byte for byte.
    pub equal: bool,
    /// Records that were folded anew.
    pub records: u64,
    /// The ledger's dump.
    pub ledger: CanonicalDump,
    /// That of the log, folded anew.
    pub refolded: CanonicalDump,
    /// Lines that only the ledger has.
    pub only_in_ledger: u64,
    /// Lines that only the log folded anew has.
    pub only_in_refolded: u64,
    /// The first of the lines that only the ledger has.
    pub ledger_lines: Vec<String>,
    /// The first of those that only the log folded anew has.
    pub refolded_lines: Vec<String>,
}

/// Why the two can't be compared. The ledger is as it was in any case.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The ledger can't be read, or doesn't fit the log.
    #[error(transparent)]
    Ledger(#[from] ReplayError),
    /// The second ledger is the first one.
    #[error("the database to fold into is the ledger's own")]
    SameDatabase,
    /// The second ledger isn't empty.
    #[error("the database to fold into holds a ledger already")]
    NotEmpty,
    /// Payouts are under way all the time.
    #[error("payouts did not come to rest within {} s: try again later", .0.as_secs())]
    NotAtRest(Duration),
    /// Another one has the database.
    #[error("another verification is under way")]
    Running,
    /// The database to fold into can't be made.
    #[error(
        "the database to fold into can't be made ({0}): its maker needs to be the owner of the \
         schema, with the right CREATEDB"
    )]
    Scratch(#[source] sqlx::Error),
    /// Its schema can't be made.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// Folding failed.
    #[error("folding the log anew failed: {0}")]
    Fold(#[from] LedgerError),
    /// A dump failed.
    #[error(transparent)]
    Dump(#[from] DumpError),
    /// A metric is registered twice.
    #[error(transparent)]
    Metrics(#[from] prometheus::Error),
}

impl From<sqlx::Error> for VerifyError {
    fn from(error: sqlx::Error) -> Self {
        Self::Fold(error.into())
    }
}

impl Verification {
    /// Folds the log anew, and compares. `progress` is told of records applied and their number.
    ///
    /// # Errors
    /// See [`VerifyError`].
    pub async fn verify(
        &self,
        settings: &VerifySettings,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<VerifyReport, VerifyError> {
        self.check_scratch().await?;
        let mut moment = self.moment_of_rest(settings.patience).await?;
        let records = self.fold(&moment, settings, progress).await?;
        let mut scratch = self.scratch.acquire().await?;
        let (mut ours, mut theirs) = (LineHashes::default(), LineHashes::default());
        let ledger = canonical_dump::write(moment.connection(), None, &mut ours).await?;
        let refolded = canonical_dump::write(&mut scratch, None, &mut theirs).await?;
        let mut report = VerifyReport {
            equal: ledger.sha256 == refolded.sha256,
            records,
            ledger,
            refolded,
            only_in_ledger: 0,
            only_in_refolded: 0,
            ledger_lines: Vec::new(),
            refolded_lines: Vec::new(),
        };
        if !report.equal {
            let (here, there) = compare(ours, theirs);
            report.only_in_ledger = here.count();
            report.only_in_refolded = there.count();
            let shown = settings.lines_max;
            report.ledger_lines = lines(moment.connection(), here, shown).await?;
            report.refolded_lines = lines(&mut scratch, there, shown).await?;
        }
        moment.close().await?;
        Ok(report)
    }

    /// The ledger is never folded into.
    async fn check_scratch(&self) -> Result<(), VerifyError> {
        let database = "SELECT current_database()::text";
        let ours: String = sqlx::query_scalar(database).fetch_one(&self.ledger).await?;
        let theirs: String = sqlx::query_scalar(database)
            .fetch_one(&self.scratch)
            .await?;
        if ours == theirs {
            return Err(VerifyError::SameDatabase);
        }
        let used: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM consumer_positions) OR EXISTS (SELECT FROM ledger)",
        )
        .fetch_one(&self.scratch)
        .await?;
        if used {
            return Err(VerifyError::NotEmpty);
        }
        Ok(())
    }

    /// A moment at which the log says all that the ledger knows of payouts.
    async fn moment_of_rest(&self, patience: Duration) -> Result<Moment, VerifyError> {
        let deadline = Instant::now() + patience;
        loop {
            let moment = Moment::open(&self.ledger, &*self.log).await?;
            if moment.payouts_at_rest {
                return Ok(moment);
            }
            moment.close().await?;
            if Instant::now() >= deadline {
                return Err(VerifyError::NotAtRest(patience));
            }
            sleep(REST_CHECK_INTERVAL).await;
        }
    }

    /// Folds the log up to the moment, and gives the number of records.
    async fn fold(
        &self,
        moment: &Moment,
        settings: &VerifySettings,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<u64, VerifyError> {
        rebuild::begin(&self.scratch).await?;
        if let Some(retired_before) = moment.retired_before() {
            // What is final isn't folded by the ledger either.
            sqlx::query("UPDATE ledger_epoch SET reports_retired_before = $1")
                .bind(retired_before.to_datetime())
                .execute(&self.scratch)
                .await?;
        }
        let ends = moment.watermark.0.clone();
        let total = held(&*self.log, &ends).await.map_err(LedgerError::from)?;
        let applied = Arc::new(AtomicU64::new(0));
        let finished = CancellationToken::new();
        let sink = LedgerSink {
            pool: self.scratch.clone(),
            log: Arc::new(SecondReading {
                log: Arc::clone(&self.log),
                ends,
                partitions: settings.partitions.max(1),
                seed: settings.seed,
                applied: Arc::clone(&applied),
                finished: finished.clone(),
                reader: Arc::default(),
            }),
            clock: Arc::clone(&self.clock),
            written: Arc::default(),
            metrics: LedgerMetrics::register(&Registry::new())?,
            settings: LedgerSettings {
                batch_records_max: settings.batch_records_max.max(1),
                // What it reads doesn't share partitions out: each member would read all of them.
                members: 1,
            },
            committed: None,
        };
        let told = async {
            loop {
                progress(applied.load(Ordering::Relaxed), total);
                sleep(PROGRESS_INTERVAL).await;
            }
        };
        tokio::select! {
            folded = sink.run(finished) => folded?,
            () = told => {}
        }
        Ok(applied.load(Ordering::Relaxed))
    }
}

/// Records that the log holds below the ends.
async fn held(log: &dyn Log, ends: &BTreeMap<Partition, i64>) -> Result<u64, LogError> {
    let mut records = 0;
    for ((topic, partition), end) in ends {
        let low = log.watermarks(*topic, *partition).await?.low;
        records += (end - low).max(0).unsigned_abs();
    }
    Ok(records)
}

async fn lines(
    connection: &mut sqlx::PgConnection,
    wanted: OnlyHere,
    lines_max: usize,
) -> Result<Vec<String>, DumpError> {
    let mut lines = FirstLines::new(wanted, lines_max);
    canonical_dump::write(connection, None, &mut lines).await?;
    Ok(lines.kept)
}

impl fmt::Display for VerifyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CanonicalDump {
            sha256,
            claims,
            balances,
            payouts,
            ..
        } = &self.ledger;
        writeln!(
            f,
            "{} records folded anew; the ledger has {claims} claims, {balances} balances, \
             {payouts} payouts",
            self.records
        )?;
        if self.equal {
            return writeln!(f, "equal: {sha256}");
        }
        writeln!(
            f,
            "the ledger: {sha256}\nthe log:    {}",
            self.refolded.sha256
        )?;
        for (what, count, lines) in [
            ("ledger", self.only_in_ledger, &self.ledger_lines),
            ("log", self.only_in_refolded, &self.refolded_lines),
        ] {
            writeln!(f, "{count} lines only of the {what}")?;
            for line in lines {
                writeln!(f, "  {line}")?;
            }
        }
        Ok(())
    }
}
