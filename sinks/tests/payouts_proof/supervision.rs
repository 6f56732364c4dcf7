//! Kills the process that makes payouts, starts it again, and does what operators and schedules do
//! meanwhile.

use std::{
    collections::BTreeMap,
    env,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use schemas::EventId;
use sinks::payouts::{CHANNEL, Store, fake_agcod::FakeAgcod, store::CommandOrder};
use sqlx::{PgPool, Row};
use stream::{Clock, SystemClock};

use crate::{books, instance::Settings, postgres::Database, report::Report, seeding, verdict};

/// How often it is looked what became of payouts.
const LOOK: Duration = Duration::from_millis(20);
/// Between nightly runs, which are faster here too.
const NIGHT: Duration = Duration::from_secs(2);
/// Only against hanging: without any progress for so long, something is stuck.
const PATIENCE: Duration = Duration::from_mins(2);

pub struct Campaign {
    pub payouts: u64,
    pub kills: u64,
    pub seed: u64,
}

/// The process, killed when this goes.
struct Instance(Child);

impl Instance {
    fn start(settings: &Settings) -> Self {
        let child = Command::new(env::current_exe().expect("this program"))
            .args(["--exact", "instance", "--ignored", "--nocapture"])
            .envs(settings.variables())
            .stdout(Stdio::null())
            .spawn()
            .expect("started");
        Self(child)
    }

    /// As `kill -9` does.
    fn kill(&mut self) {
        self.0.kill().expect("killed");
        self.0.wait().expect("gone");
    }

    fn running(&mut self) -> bool {
        self.0.try_wait().expect("asked").is_none()
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // At the end, or when an assertion failed.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// What has happened so far.
#[derive(Default)]
struct Happened {
    kills: u64,
    resumed: BTreeMap<String, u64>,
    nights: u64,
}

pub async fn run(campaign: &Campaign) -> Report {
    let database = Database::new().await;
    let owner = database.owner().await;
    let writer = database.pool("hissaback_writer").await;
    let (fake, address) = books::service(campaign.seed).await;
    let account = books::account(&address);
    seeding::request(&owner, &account, campaign.payouts, SystemClock.now()).await;
    let log = tempfile::tempdir().expect("a directory");
    let options = owner.connect_options();
    let settings = Settings {
        sockets: options.get_socket().expect("sockets").clone(),
        database: options.get_database().expect("a database").to_owned(),
        address,
        log: log.path().to_owned(),
    };

    let began = Instant::now();
    let store = Store::new(writer, CHANNEL);
    let happened = supervise(campaign, &settings, &owner, &store, &fake).await;
    let took = began.elapsed();
    let verdict = verdict::of(&owner, &fake, campaign.payouts).await;
    Report::new(
        campaign,
        took,
        happened.kills,
        happened.resumed,
        happened.nights,
        verdict,
    )
}

async fn supervise(
    campaign: &Campaign,
    settings: &Settings,
    owner: &PgPool,
    store: &Store,
    fake: &FakeAgcod,
) -> Happened {
    let mut random = StdRng::seed_from_u64(campaign.seed);
    // Counted by calls, so that it dies in the midst of work however fast that is.
    let mut moments: Vec<u64> = (0..campaign.kills)
        .map(|_| random.random_range(0..campaign.payouts))
        .collect();
    moments.sort_unstable_by(|one, other| other.cmp(one));
    let mut happened = Happened::default();
    let mut instance = Instance::start(settings);
    let mut night = Instant::now();
    let mut progress = (Progress::default(), Instant::now());
    loop {
        tokio::time::sleep(LOOK).await;
        assert!(instance.running(), "the instance ended by itself");
        let issued = u64::try_from(fake.cards_count()).expect("a count");
        if moments.last().is_some_and(|moment| *moment <= issued) {
            moments.pop();
            instance.kill();
            happened.kills += 1;
            instance = Instance::start(settings);
        }
        resume(store, &mut happened).await;
        if night.elapsed() >= NIGHT {
            let released = store.release_soft_errors(SystemClock.now()).await;
            happened.nights += u64::from(released.expect("released") > 0);
            night = Instant::now();
            let now = Progress::of(owner).await;
            if now.done(campaign.payouts) && moments.is_empty() {
                return happened;
            }
            if now != progress.0 {
                progress = (now, Instant::now());
            }
            let waited = progress.1.elapsed();
            assert!(
                waited < PATIENCE,
                "stuck, seed {}: {:?}",
                campaign.seed,
                progress.0
            );
        }
    }
}

/// What an operator does once a fault of the account is gone, which here it is at once.
async fn resume(store: &Store, happened: &mut Happened) {
    let Some(reason) = store.paused().await.expect("asked") else {
        return;
    };
    let now = SystemClock.now();
    let count: u64 = happened.resumed.values().sum();
    let order = CommandOrder {
        issued_at: now,
        command_id: EventId::new(i64::try_from(count).expect("small")),
    };
    store
        .switch_channel(CHANNEL, false, "the fault is gone", order, now)
        .await
        .expect("resumed");
    *happened.resumed.entry(reason).or_default() += 1;
}

/// How far everything is.
#[derive(Debug, Default, PartialEq, Eq)]
struct Progress {
    states: BTreeMap<String, i64>,
    /// Steps that the ledger has folded.
    steps: i64,
    /// Records that aren't in the log yet.
    outbox: i64,
    /// Messages that aren't out yet.
    messages: i64,
    /// Payouts whose state in the ledger isn't what their last step says.
    behind: i64,
}

impl Progress {
    async fn of(owner: &PgPool) -> Self {
        let states = sqlx::query("SELECT state, count(*) FROM payouts GROUP BY 1")
            .fetch_all(owner)
            .await
            .expect("states");
        let row = sqlx::query(
            "SELECT (SELECT count(*) FROM payout_steps) AS steps,
                    (SELECT count(*) FROM outbox) AS outbox,
                    (SELECT count(*) FROM messages WHERE next_attempt_at IS NOT NULL) AS messages,
                    (SELECT count(*) FROM payouts p WHERE p.state IN ('funded', 'error_hard')
                        AND NOT EXISTS (SELECT FROM payout_steps s
                            WHERE s.payout_id = p.payout_id AND s.step = p.state)) AS behind",
        )
        .fetch_one(owner)
        .await
        .expect("counts");
        Self {
            states: states
                .iter()
                .map(|row| (row.get("state"), row.get("count")))
                .collect(),
            steps: row.get("steps"),
            outbox: row.get("outbox"),
            messages: row.get("messages"),
            behind: row.get("behind"),
        }
    }

    fn done(&self, payouts: u64) -> bool {
        let ended: i64 = ["funded", "error_hard"]
            .iter()
            .filter_map(|state| self.states.get(*state))
            .sum();
        ended.unsigned_abs() == payouts && (self.outbox, self.messages, self.behind) == (0, 0, 0)
    }
}
