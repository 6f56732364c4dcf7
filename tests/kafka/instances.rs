//! Two instances of each role, and `kill -9` of one of each under load.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use serde_json::Value;

use crate::{
    http::{COMMISSION_PAISE, counter, sell, until},
    installation::{Installation, Instance, shared_broker, shared_registry, succeeded},
};

const SENDERS: usize = 4;
/// How many sales are sent before something happens, and after it.
const STRETCH: u32 = 120;
/// What a sender leaves between two sales: the load goes on until the test has seen what it wants,
/// and the ledger has to take all of it.
const PAUSE: Duration = Duration::from_millis(20);

/// Sales, sent by several senders at once, until they are told to stop.
struct Load {
    next: Arc<AtomicU32>,
    enough: Arc<AtomicBool>,
    senders: Vec<JoinHandle<()>>,
}

impl Load {
    fn start(addresses: &[SocketAddr]) -> Self {
        let next = Arc::new(AtomicU32::new(0));
        let enough = Arc::new(AtomicBool::new(false));
        let senders = (0..SENDERS)
            .map(|_| {
                let (next, enough) = (Arc::clone(&next), Arc::clone(&enough));
                let addresses = addresses.to_vec();
                thread::spawn(move || {
                    while !enough.load(Ordering::Relaxed) {
                        sell(&addresses, next.fetch_add(1, Ordering::Relaxed));
                        thread::sleep(PAUSE);
                    }
                })
            })
            .collect();
        Self {
            next,
            enough,
            senders,
        }
    }

    /// Waits for another stretch of sales.
    fn go_on(&self) {
        let until_sale = self.next.load(Ordering::Relaxed) + STRETCH;
        until("the sales are sent", || {
            self.next.load(Ordering::Relaxed) >= until_sale
        });
    }

    /// How many sales were sent and answered.
    fn finish(self) -> u32 {
        self.enough.store(true, Ordering::Relaxed);
        for sender in self.senders {
            sender.join().expect("every sale was answered");
        }
        self.next.load(Ordering::Relaxed)
    }
}

/// What each instance counts of its work.
fn work(role: &str) -> Option<&'static str> {
    match role {
        "ingest" => Some("hissaback_ingest_accepted_total"),
        "process" => Some("hissaback_processors_decisions_total"),
        "ledger" => Some("hissaback_ledger_reports_total"),
        // One instance works, and another stands by.
        _ => None,
    }
}

#[test]
fn two_instances_share_the_work_and_a_killed_one_loses_and_doubles_nothing() {
    let installation = Installation::make("instances", shared_broker(), Some(shared_registry()));
    let analytics = installation.start(&[("analytics", 1)]);
    let mut instances = installation.start(&[
        ("ingest", 2),
        ("process", 2),
        ("ledger", 2),
        ("relay", 2),
        ("schedule", 2),
        ("api", 2),
    ]);
    let addresses: Vec<SocketAddr> = instances
        .iter()
        .filter(|instance| instance.role == "ingest")
        .map(|instance| instance.address)
        .collect();
    let load = Load::start(&addresses);
    load.go_on();
    for instance in &instances {
        if let Some(work) = work(&instance.role) {
            until(&format!("an instance of {} works", instance.role), || {
                counter(instance.address, work) > 0.0
            });
        }
    }
    // The first of each role, in the middle of what it does.
    for instance in instances.iter_mut().step_by(2) {
        instance.kill();
    }
    load.go_on();
    for instance in instances.iter_mut().step_by(2) {
        instance.start(&installation);
    }
    load.go_on();
    let sales = load.finish();
    until("the ledger has every order", || {
        installation.number("SELECT count(DISTINCT txn_id) FROM ledger") >= i64::from(sales)
            && installation.number("SELECT count(*) FROM outbox") == 0
    });
    for instance in &instances {
        instance.wait_until_up();
    }
    instances.into_iter().for_each(Instance::stop);
    check_books(&installation, sales);
    // What the ledger says is in the log; the audit waits for nobody.
    analytics.into_iter().for_each(Instance::stop);
    let mut audit = installation.command(&["audit", "--json"]);
    let audit = installation
        .with_data_dir(&mut audit, "analytics-0")
        .output();
    let report: Value = serde_json::from_str(&succeeded(&audit.expect("it runs"))).expect("JSON");
    assert_eq!(report["ok"], true, "{report:#}");
    installation.end();
}

#[test]
fn of_two_processes_of_one_name_the_older_ends_and_nothing_is_lost_or_doubled() {
    const NAME: &str = "machine-1";
    let installation = Installation::make("names", shared_broker(), Some(shared_registry()));
    let others = installation.start(&[("ingest", 1), ("process", 1)]);
    let mut older = installation.launch_as(NAME, "ledger", 0);
    older.wait_until_up();
    let load = Load::start(&[others[0].address]);
    let ledgers = |address| counter(address, "hissaback_ledger_reports_total") > 0.0;
    until("the ledger works", || ledgers(older.address));
    older.kill();
    older.start(&installation);
    older.wait_until_up();
    until("the ledger works again", || ledgers(older.address));

    let newer = installation.launch_as(NAME, "ledger", 1);
    let said = older.failed();
    let (_, reason) = said.split_once("hissaback: ").expect("it says why");
    let sentence = format!("another process has joined the consumer group ledger as {NAME}-");
    assert!(reason.contains(&sentence), "{said}");
    load.go_on();
    let sales = load.finish();
    until("the ledger has every order", || {
        installation.number("SELECT count(DISTINCT txn_id) FROM ledger") >= i64::from(sales)
    });
    newer.wait_until_up();
    newer.stop();
    others.into_iter().for_each(Instance::stop);
    check_books(&installation, sales);
    installation.end();
}

/// The senders' own record against the ledger.
fn check_books(installation: &Installation, sent: u32) {
    let sales = i64::from(sent);
    let number = |query| installation.number(query);
    assert_eq!(number("SELECT count(DISTINCT txn_id) FROM ledger"), sales);
    assert_eq!(number("SELECT count(*) FROM ledger"), sales);
    assert_eq!(
        number("SELECT count(*) FROM ledger WHERE status = 'confirmed'"),
        sales
    );
    let receivable = sent * COMMISSION_PAISE;
    let receivable = format!("-{}.{:02}", receivable / 100, receivable % 100);
    assert_eq!(
        installation.text(
            "SELECT sum(amount)::numeric(20,2)::text FROM postings
             WHERE account = 'network_receivable'"
        ),
        Some(receivable)
    );
    assert_eq!(
        number(
            "SELECT count(*) FROM (SELECT FROM postings GROUP BY transaction_id, currency
             HAVING sum(amount) <> 0) AS unbalanced"
        ),
        0
    );
}
