//! One run: load, kills, restarts, and the comparison at the end.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use schemas::Currency;
use serde_json::json;
use sinks::payouts::fake_agcod::{FakeAccount, FakeAgcod, Fault, Script};
use stream::{Clock, SystemClock, commit_points::CommitPoint};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::{
    evidence::{self, Tables},
    load::Load,
    plan::{Kill, Moment, Victim},
    product::{Product, Started, until},
    reference,
    report::{self, Report, Struck},
    small_disk::SmallDisk,
    verdict::Verdict,
};

const SENDERS: u64 = 4;
/// How long the load runs before a kill at a random moment.
const UNDISTURBED_MS: std::ops::Range<u64> = 50..900;
/// How long a commit point may take to be passed.
const POINT_PATIENCE: Duration = Duration::from_mins(1);
/// After this, whatever PostgreSQL had in hand when it was killed is decided.
const DEATH_THROES: Duration = Duration::from_millis(300);
/// Between two payout runs.
const PAYOUT_INTERVAL: Duration = Duration::from_secs(1);
/// How long the end may take: the last records, and where asked for the last cards, whose retries
/// begin after three minutes.
const SETTLING: Duration = Duration::from_mins(2);
const SETTLING_CARDS: Duration = Duration::from_mins(4);

const SECRET: &str = "kill";

/// How a run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Once everything that was accepted is folded.
    Orderly,
    /// Besides, once every payout has its card, or may wait long for its next try.
    EveryCard,
    /// Whatever state the tables are in.
    AsItIs,
}

pub struct Campaign {
    product: Product,
    load: Arc<Load>,
    senders: Vec<JoinHandle<()>>,
    agcod: FakeAgcod,
    runtime: Runtime,
    seed: u64,
    rng: StdRng,
    began: Instant,
    struck: Vec<Struck>,
    not_reached: Vec<String>,
    /// When the process was killed that isn't back yet.
    down_since: Option<Instant>,
    disk: Option<SmallDisk>,
    // Last: the others work in it.
    _home: TempDir,
}

impl Campaign {
    /// Reference data, a gift-card service, and a product that is down.
    pub fn begin(seed: u64) -> Self {
        let home = tempfile::tempdir().expect("a directory");
        // PostgreSQL's account has to pass through.
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).expect("permissions");
        let runtime = Runtime::new().expect("a runtime");
        let agcod = start_agcod(&runtime, home.path());
        // The port is free again at once, and every restart takes the same one.
        let address = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = address.local_addr().expect("bound");
        let product = Product::new(home.path(), address);
        let file = home.path().join("reference.json");
        reference::write(&file);
        let file = file.to_str().expect("a name");
        let imported = product.command(&["reference", "import", file]).output();
        let imported = imported.expect("it runs");
        let said = String::from_utf8_lossy(&imported.stderr);
        assert!(imported.status.success(), "{said}");
        let load = Load::new(address, SystemClock.now());
        Self {
            product,
            load,
            senders: Vec::new(),
            agcod,
            runtime,
            seed,
            rng: StdRng::seed_from_u64(seed),
            began: Instant::now(),
            struck: Vec::new(),
            not_reached: Vec::new(),
            down_since: None,
            disk: None,
            _home: home,
        }
    }

    /// Makes the kills, and says what came of it all.
    pub fn run(mut self, kills: &[Kill], ending: Ending) -> Report {
        let paying = Arc::new(AtomicBool::new(true));
        let payer = self.pay_again_and_again(&paying);
        self.bring_up(None);
        let health = self.product.health().unwrap_or_default();
        assert!(
            !health.contains(r#""analytics":{"state":"off""#),
            "kills without the ClickHouse engine prove too little: {health}"
        );
        for (number, kill) in kills.iter().enumerate() {
            match kill.moment {
                Moment::Random => self.strike_at_random(kill.victim),
                Moment::At { point, pass } => self.strike_at(point, pass, kill.victim),
            }
            if number % 20 == 19 {
                let (seconds, answered) = (self.began.elapsed().as_secs(), self.answered());
                eprintln!("{} kills, {answered} postbacks, {seconds} s", number + 1);
            }
        }
        self.bring_up(None);
        paying.store(false, Ordering::SeqCst);
        payer.join().expect("the payer ends");
        self.conclude(ending)
    }

    /// Fills PostgreSQL's disk under load, and makes room again; `None` where nobody may mount a
    /// small disk.
    pub fn run_out_of_room(mut self) -> Option<Report> {
        let postgres = self.product.data().join("postgres");
        self.disk = Some(SmallDisk::under(&postgres)?);
        self.bring_up(None);
        assert!(self.product.commits_beyond(0), "it works");
        let disk = self.disk.as_ref().expect("it was mounted");
        disk.fill();
        let told = until(SETTLING, || {
            self.product
                .health()
                .is_some_and(|health| health.contains("disk is full"))
        });
        assert!(told, "{:?}: {}", self.product.health(), self.product.said());
        // The log has room, and takes what comes.
        let before = self.answered();
        let accepts = until(SETTLING, || self.answered() > before + 20);
        assert!(accepts, "postbacks have to wait for PostgreSQL's disk");
        let batches = self.product.batches().expect("it answers");
        disk.free();
        assert!(self.product.commits_beyond(batches), "it goes on by itself");
        Some(self.conclude(Ending::Orderly))
    }

    fn answered(&self) -> usize {
        self.load.record().answered()
    }

    /// Up, and the ledger at work; `false` where a commit point struck before that.
    fn bring_up(&mut self, kill_at: Option<&str>) -> bool {
        if self.senders.is_empty() {
            let sender = |number| self.load.send(self.seed.wrapping_add(number));
            self.senders = (0..SENDERS).map(sender).collect();
        }
        if !self.product.running() && self.product.start(kill_at) == Started::Died {
            return false;
        }
        if let Some(since) = self.down_since {
            if !self.product.commits_beyond(0) {
                return false;
            }
            self.down_since = None;
            if let Some(last) = self.struck.last_mut() {
                last.recovered_ms = Some(millis(since));
            }
        }
        true
    }

    fn strike_at_random(&mut self, victim: Victim) {
        self.bring_up(None);
        let undisturbed = self.rng.random_range(UNDISTURBED_MS);
        thread::sleep(Duration::from_millis(undisturbed));
        let at = Instant::now();
        self.product.kill(victim);
        self.note(Moment::Random, victim, at);
    }

    fn strike_at(&mut self, point: CommitPoint, pass: u32, victim: Victim) {
        if self.product.running() {
            // A process learns of its point when it starts.
            self.strike_at_random(Victim::Process);
        }
        let plan = format!("{} {pass} {}", point.name(), victim.name());
        let moment = Moment::At { point, pass };
        if !self.bring_up(Some(&plan)) {
            // The one before has not recovered; this is the next.
            if self.product.running() {
                self.product.ended();
            }
            self.note(moment, victim, Instant::now());
            return;
        }
        match self.product.struck_within(POINT_PATIENCE) {
            Some(at) => {
                if victim.ends_process() {
                    self.product.ended();
                }
                self.note(moment, victim, at);
            }
            None => self.not_reached.push(plan),
        }
    }

    /// Notes a kill; where the process lives, waits until it has recovered.
    fn note(&mut self, moment: Moment, victim: Victim, at: Instant) {
        self.struck.push(Struck {
            moment,
            victim,
            recovered_ms: None,
        });
        if victim.ends_process() {
            self.down_since = Some(at);
            return;
        }
        thread::sleep(DEATH_THROES);
        let before = self.product.batches().expect("it lives and answers");
        let recovers = self.product.commits_beyond(before);
        assert!(
            recovers,
            "it died with its database: {}",
            self.product.said()
        );
        if let Some(last) = self.struck.last_mut() {
            last.recovered_ms = Some(millis(at));
        }
    }

    /// Payout runs, as a scheduler makes them that takes no refusal to heart.
    fn pay_again_and_again(&self, paying: &Arc<AtomicBool>) -> JoinHandle<()> {
        let paying = Arc::clone(paying);
        let request = self.product.payout_request();
        thread::spawn(move || {
            while paying.load(Ordering::SeqCst) {
                request.send(&json!({}));
                thread::sleep(PAYOUT_INTERVAL);
            }
        })
    }

    fn conclude(mut self, ending: Ending) -> Report {
        self.load.stop();
        for sender in self.senders.drain(..) {
            sender.join().expect("every request was answered");
        }
        let request = self.product.payout_request();
        let caught_up = until(SETTLING, || {
            ending == Ending::AsItIs || request.send(&json!({ "dry_run": true })) == Some(200)
        });
        assert!(
            caught_up,
            "the ledger doesn't catch up: {}",
            self.product.said()
        );
        let data = self.product.data();
        let mut evidence = self.runtime.block_on(async {
            let tables = Tables::open(&data).await;
            match ending {
                Ending::Orderly => tables.settle(SETTLING).await,
                Ending::EveryCard => {
                    tables.settle(SETTLING).await;
                    tables.settle_payouts(SETTLING_CARDS).await;
                    // What became of the last cards is on its way to the log.
                    tables.settle(SETTLING).await;
                }
                Ending::AsItIs => tokio::time::sleep(Duration::from_secs(5)).await,
            }
            tables.read().await
        });
        self.product.stop();
        evidence.logged = self.runtime.block_on(evidence::read_log(&data));
        evidence.cards = evidence::cards(&self.agcod);
        let audited = self.product.command(&["audit"]).output().expect("it runs");
        if !audited.status.success() {
            for said in [&audited.stdout, &audited.stderr] {
                eprintln!("{}", String::from_utf8_lossy(said));
            }
        }
        let record = self.load.record().read();
        let recovered = report::recoveries(self.struck.iter());
        Report {
            seed: self.seed,
            seconds: self.began.elapsed().as_secs(),
            kills: report::rows(&self.struck),
            kills_total: self.struck.len(),
            not_reached: std::mem::take(&mut self.not_reached),
            recovery_median_ms: report::median(&recovered).unwrap_or_default(),
            recovery_max_ms: recovered.last().copied().unwrap_or_default(),
            postbacks_answered: self.answered(),
            postbacks_sent: record.postbacks.len(),
            clicks: record.clicks.len(),
            claims: evidence.claims,
            payouts: evidence.payouts.len(),
            payouts_waiting: evidence.payouts_waiting(),
            cards: evidence.cards.len(),
            audit_green: audited.status.success(),
            verdict: Verdict::of(&record, &evidence),
        }
    }
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// A gift-card service that outlives the product, slow enough to be interrupted; and the
/// product's configuration, which names it.
fn start_agcod(runtime: &Runtime, home: &Path) -> FakeAgcod {
    let agcod = FakeAgcod::new(FakeAccount {
        access_key_id: SECRET.to_owned(),
        secret_access_key: SECRET.into(),
        region: "eu-west-1".to_owned(),
        partner_id: "Awssb".to_owned(),
        currency: Currency::INR,
    });
    agcod.follow(Script::OneIn {
        calls: 4,
        seed: 1,
        faults: vec![Fault::Slow(Duration::from_millis(400))],
    });
    let listener = runtime
        .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
        .expect("a port");
    let address: SocketAddr = listener.local_addr().expect("bound");
    runtime.spawn(agcod.clone().serve(listener));
    let configuration = format!(
        "[agcod]\nurl = \"http://{address}\"\nregion = \"eu-west-1\"\npartner_id = \"Awssb\"\n\
         currency = \"INR\"\naccess_key_id = \"{SECRET}\"\nsecret_access_key = \"{SECRET}\"\n\
         [messages]\nfile = \"{}\"\n",
        home.join("messages.jsonl").display()
    );
    fs::write(home.join("hissaback.toml"), configuration).expect("written");
    agcod
}
