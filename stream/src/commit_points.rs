//! Where a crash may fall between an effect and its record, by name, for the kill harness
//! (`tests/kill`).
//!
//! Without the cargo feature `commit-points`, which no release has, [`pass`] is empty. With it, the
//! environment may name a point, the pass at which it strikes, and who is to die there:
//!
//! ```text
//! HISSABACK_KILL_AT="ledger.before_commit 3 process"
//! ```
//!
//! kills this process, as `kill -9` does, when it comes to that point for the third time. The
//! others that can be named are `postgres`, `postgres-immediate` (SIGQUIT: what `pg_ctl stop -m
//! immediate` sends) and `both`; `HISSABACK_POSTMASTER_PID_FILE` says where PostgreSQL's id is.
//! Before it strikes, a line on standard error says so.

macro_rules! commit_points {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)+) => {
        /// A moment between an effect and its record; docs/architecture.md says what a crash
        /// there leaves.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum CommitPoint {
            $($(#[$doc])* $variant,)+
        }

        impl CommitPoint {
            /// Every point, from the request to the card.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The point's name: the stage, and what has or hasn't happened.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

commit_points! {
    /// A request is durable, and its sender isn't told.
    IngestDurable = "ingest.durable",
    /// A batch's decisions are durable, and the stage's position isn't moved.
    StageDecided = "stage.decided",
    /// The ledger's position is moved and nothing else is written; the transaction is open.
    LedgerPositionMoved = "ledger.position_moved",
    /// Position, rows and outbox are written; the transaction is open.
    LedgerBeforeCommit = "ledger.before_commit",
    /// PostgreSQL has the batch, and the log isn't told.
    LedgerCommitted = "ledger.committed",
    /// Outbox rows are read, and not published.
    OutboxRead = "outbox.read",
    /// Outbox rows are durable in the log, and not deleted.
    OutboxPublished = "outbox.published",
    /// Outbox rows are deleted.
    OutboxDeleted = "outbox.deleted",
    /// A heal is durable, and the report that it heals isn't marked.
    HealAppended = "healing.appended",
    /// A batch is in ClickHouse, and its position isn't moved.
    AnalyticsInserted = "analytics.inserted",
    /// A payee's payouts, items, postings and outbox rows are written; the transaction is open.
    PayoutRunBeforeCommit = "payout_run.before_commit",
    /// A payee's payouts are committed; the run goes on to the next payee.
    PayoutRunCommitted = "payout_run.committed",
    /// The step `sending` is written; the transaction is open.
    PayoutBeforeSending = "payout.before_sending",
    /// The step `sending` is committed, and not in the log yet.
    PayoutSending = "payout.sending",
    /// An attempt is recorded as begun, and no byte has gone out.
    PayoutBeforeCall = "payout.before_call",
    /// The gift-card service has answered, and nothing is recorded.
    PayoutCalled = "payout.called",
    /// The outcome of an attempt is recorded, and no message has gone out.
    PayoutRecorded = "payout.recorded",
    /// The message has gone out, and that isn't recorded.
    PayoutMessageSent = "payout.message_sent",
}

/// Says that a commit point is passed. Empty without the feature `commit-points`.
#[cfg(not(feature = "commit-points"))]
#[inline]
pub const fn pass(_point: CommitPoint) {}

#[cfg(feature = "commit-points")]
pub use plan::pass;

#[cfg(feature = "commit-points")]
mod plan {
    use std::{
        env, fs,
        path::PathBuf,
        sync::{
            LazyLock,
            atomic::{AtomicU32, Ordering},
        },
    };

    use rustix::process::{Pid, Signal, getpid, kill_process};

    use super::CommitPoint;

    const PLAN: &str = "HISSABACK_KILL_AT";
    const PID_FILE: &str = "HISSABACK_POSTMASTER_PID_FILE";

    struct Plan {
        point: CommitPoint,
        /// At which pass it strikes, from 1.
        pass: u32,
        postgres: Option<(PathBuf, Signal)>,
        process: bool,
    }

    static PASSED: AtomicU32 = AtomicU32::new(0);
    static PLANNED: LazyLock<Option<Plan>> = LazyLock::new(|| {
        let text = env::var(PLAN).ok()?;
        Some(read(&text).unwrap_or_else(|| panic!("{PLAN} can't be read: {text}")))
    });

    fn read(text: &str) -> Option<Plan> {
        let mut words = text.split(' ');
        let name = words.next()?;
        let point = CommitPoint::ALL
            .iter()
            .copied()
            .find(|point| point.name() == name)?;
        let pass = words.next()?.parse().ok()?;
        let (process, signal) = match words.next()? {
            "process" => (true, None),
            "postgres" => (false, Some(Signal::KILL)),
            "postgres-immediate" => (false, Some(Signal::QUIT)),
            "both" => (true, Some(Signal::KILL)),
            _ => return None,
        };
        let file = || env::var_os(PID_FILE).map(PathBuf::from);
        Some(Plan {
            point,
            pass,
            postgres: match signal {
                Some(signal) => Some((file()?, signal)),
                None => None,
            },
            process,
        })
    }

    /// Counts a pass, and kills whom the plan names if this is the one.
    pub fn pass(point: CommitPoint) {
        let Some(plan) = &*PLANNED else { return };
        if plan.point != point || PASSED.fetch_add(1, Ordering::SeqCst) + 1 != plan.pass {
            return;
        }
        eprintln!("killing at {}", point.name());
        if let Some((file, signal)) = &plan.postgres {
            let pid = fs::read_to_string(file).ok();
            let pid = pid.and_then(|text| Pid::from_raw(text.lines().next()?.parse().ok()?));
            // Already gone: then it is as dead as it was to be.
            if let Some(pid) = pid {
                let _ = kill_process(pid, *signal);
            }
        }
        if plan.process {
            let _ = kill_process(getpid(), Signal::KILL);
        }
    }
}
