//! The client against the fake: pages that move, faults, patience, and what never shows.

use std::{io::Read, num::NonZeroU32, time::Duration};

use chrono::NaiveDate;
use operations::trackier::{
    Account, Client, Patience, TrackierError,
    answer::Failure,
    fake::{Change, FakeTrackier, Fault},
    pull::{PullError, PullSummary, pull},
    spool::{PullHeader, Spool},
};
use schemas::Timestamp;
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::world::{NETWORK, NOW};

const KEY: &str = "sesame-3141592653";
const DAY: &str = "2026-09-20";

/// A fake that is served until this is dropped.
pub struct Served {
    pub fake: FakeTrackier,
    pub url: String,
    server: JoinHandle<std::io::Result<()>>,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.server.abort();
    }
}

pub async fn serve() -> Served {
    let fake = FakeTrackier::new(KEY);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let server = tokio::spawn(fake.clone().serve(listener));
    Served { fake, url, server }
}

impl Served {
    pub fn account(&self) -> Account {
        Account {
            requests_per_second: NonZeroU32::new(1_000).expect("not zero"),
            patience: Patience {
                timeout: Duration::from_secs(10),
                tries_max: 4,
                pause: Duration::from_millis(1),
                pause_max: Duration::from_millis(2),
            },
            ..Account::new(&self.url, KEY.into()).expect("an address")
        }
    }

    pub fn client(&self) -> Client {
        Client::new(self.account()).expect("a client")
    }
}

/// Of the 20th of September, as the API is asked for it.
pub fn header() -> PullHeader {
    PullHeader {
        network_id: NETWORK,
        from: Timestamp::parse("2026-09-20T00:00:00Z").expect("a time"),
        to: Timestamp::parse("2026-09-20T23:59:59Z").expect("a time"),
        as_of: NOW,
    }
}

fn conversion(id: u32) -> Value {
    json!({"_id": format!("c{id}"), "p1": id.to_string(), "payout": 1.5, "status": "pending",
           "created": format!("{DAY}T10:00:00.000Z")})
}

fn fill(served: &Served, count: u32) {
    for id in 1..=count {
        served.fake.add_conversion(conversion(id));
    }
}

async fn pulled(served: &Served) -> (PullSummary, Vec<Value>) {
    let mut spool = Spool::temporary(header()).expect("a file");
    let summary = pull(&served.client(), &mut spool, |_| ()).await;
    (summary.expect("pulled"), rows(&mut spool))
}

fn rows(spool: &mut Spool) -> Vec<Value> {
    let mut text = String::new();
    let mut kept = spool.rows().expect("readable");
    kept.read_to_string(&mut text).expect("UTF-8");
    let rows = text.lines().filter(|line| !line.starts_with('#'));
    rows.map(|row| serde_json::from_str(row).expect("JSON"))
        .collect()
}

fn ids(rows: &[Value]) -> Vec<&str> {
    let mut ids: Vec<&str> = rows.iter().filter_map(|row| row["_id"].as_str()).collect();
    ids.sort_unstable();
    ids
}

#[tokio::test]
async fn every_day_of_the_span_is_listed_page_by_page_and_one_more_at_either_end() {
    let served = serve().await;
    fill(&served, 7);
    let mut elsewhen = conversion(8);
    elsewhen["created"] = "2026-09-18T23:59:59.000Z".into();
    served.fake.add_conversion(elsewhen);
    served.fake.cut_pages(3);
    let (summary, rows) = pulled(&served).await;
    assert_eq!((summary.days, summary.pages, summary.rows), (3, 5, 7));
    assert_eq!(ids(&rows), ["c1", "c2", "c3", "c4", "c5", "c6", "c7"]);
    let asked = served.fake.asked();
    let days: Vec<&str> = asked
        .iter()
        .map(|asked| asked.query["start"].as_str())
        .collect();
    assert_eq!(days, ["2026-09-19", DAY, DAY, DAY, "2026-09-21"]);
    assert!(
        asked
            .iter()
            .all(|asked| asked.query["end"] == asked.query["start"])
    );
}

#[tokio::test]
async fn a_full_last_page_an_empty_list_and_overlapping_pages_end() {
    let served = serve().await;
    assert_eq!(pulled(&served).await.0.rows, 0);
    fill(&served, 6);
    served.fake.cut_pages(3);
    let (summary, _) = pulled(&served).await;
    assert_eq!((summary.pages, summary.rows, summary.repeated), (4, 6, 0));
    served.fake.overlap_pages(1);
    let (summary, rows) = pulled(&served).await;
    assert_eq!((summary.rows, summary.repeated, rows.len()), (6, 1, 6));
    assert!(summary.unsettled.is_empty());
    // Where nobody says how many there are, a page that brings nothing more is the last.
    served.fake.hide_totals();
    let (summary, rows) = pulled(&served).await;
    assert_eq!((summary.rows, rows.len(), summary.reread), (6, 6, 0));
}

#[tokio::test]
async fn rows_that_move_while_one_reads_are_found_by_reading_again() {
    let served = serve().await;
    fill(&served, 9);
    served.fake.cut_pages(3);
    // After the first page of the day, one of its rows goes: what follows moves up, and c4 hides.
    served.fake.change_after(2, Change::Remove("c1".to_owned()));
    let (summary, rows) = pulled(&served).await;
    assert_eq!(summary.reread, 1);
    assert!(
        ids(&rows).contains(&"c4") && summary.unsettled.is_empty(),
        "{rows:?}"
    );

    let served = serve().await;
    fill(&served, 6);
    served.fake.cut_pages(3);
    // One that comes in meanwhile pushes a row to the next page, and another status counts.
    served.fake.change_after(2, Change::Insert(conversion(7)));
    served
        .fake
        .change_after(4, Change::Status("c2".to_owned(), "cancelled"));
    let (summary, rows) = pulled(&served).await;
    assert_eq!((summary.reread, summary.rows), (1, 8));
    let last = rows.iter().rfind(|row| row["_id"] == "c2").expect("listed");
    assert_eq!(last["status"], "cancelled");
}

#[tokio::test]
async fn a_day_that_does_not_settle_is_named() {
    let served = serve().await;
    fill(&served, 4);
    served.fake.cut_pages(2);
    for (request, id) in [(2, 5), (6, 6), (10, 7)] {
        served
            .fake
            .change_after(request, Change::Insert(conversion(id)));
    }
    let (summary, rows) = pulled(&served).await;
    assert_eq!(
        summary.unsettled,
        [NaiveDate::from_ymd_opt(2026, 9, 20).expect("a day")]
    );
    assert!(ids(&rows).len() >= 6, "what was seen is kept: {rows:?}");
}

#[tokio::test]
async fn what_passes_is_waited_for() {
    let served = serve().await;
    fill(&served, 1);
    served.fake.go_wrong([
        Fault::Throttled(3_600),
        Fault::ServerError,
        Fault::Malformed,
        Fault::None,
        Fault::Lost,
        Fault::SomebodyElses,
        Fault::Slow(Duration::from_millis(5)),
    ]);
    let (summary, rows) = pulled(&served).await;
    assert_eq!((summary.pages, ids(&rows)), (3, vec!["c1"]));
    let statuses: Vec<u16> = served
        .fake
        .asked()
        .iter()
        .map(|asked| asked.status)
        .collect();
    assert_eq!(statuses, [429, 502, 200, 200, 200, 200, 200, 200]);
}

async fn failure(served: &Served, account: Account) -> (TrackierError, usize) {
    let client = Client::new(account).expect("a client");
    let mut spool = Spool::temporary(header()).expect("a file");
    match pull(&client, &mut spool, |_| ()).await {
        Err(PullError::Trackier(error)) => (error, served.fake.asked().len()),
        other => panic!("it should have failed: {other:?}"),
    }
}

#[tokio::test]
async fn what_stays_is_not_asked_for_again_and_patience_ends() {
    let served = serve().await;
    served.fake.go_wrong([Fault::TellTale]);
    let (error, asked) = failure(&served, served.account()).await;
    assert_eq!(asked, 1);
    let text = format!("{error} {error:?}");
    assert!(
        text.contains("[key] is over its quota") && !text.contains(KEY),
        "{text}"
    );

    served.fake.go_wrong([Fault::Oversized]);
    let (error, asked) = failure(&served, served.account()).await;
    assert!(error.to_string().contains("larger than"), "{error}");
    assert_eq!(asked, 2);

    served.fake.go_wrong([Fault::ServerError; 4]);
    let (error, asked) = failure(&served, served.account()).await;
    let TrackierError::GivenUp {
        tries,
        failure: why,
        ..
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!((tries, why, asked), (4, Failure::ServerError(502), 6));

    let stranger = Account {
        api_key: "another".into(),
        ..served.account()
    };
    let (error, _) = failure(&served, stranger).await;
    assert!(error.to_string().contains("Invalid API Key"), "{error}");

    let impatient = Account {
        patience: Patience {
            timeout: Duration::from_millis(20),
            tries_max: 2,
            ..served.account().patience
        },
        ..served.account()
    };
    served
        .fake
        .go_wrong([Fault::Slow(Duration::from_secs(30)); 2]);
    let (error, _) = failure(&served, impatient).await;
    assert!(error.to_string().contains("in time"), "{error}");

    let nobody = Account::new("http://127.0.0.1:9", KEY.into()).expect("an address");
    let patience = served.account().patience;
    let (error, _) = failure(&served, Account { patience, ..nobody }).await;
    assert!(error.to_string().contains("no connection"), "{error}");
    assert!(
        Client::new(Account {
            api_key: "two\nlines".into(),
            ..served.account()
        })
        .is_err()
    );
}

#[tokio::test]
async fn a_pull_that_was_interrupted_goes_on_where_it_stopped() {
    let served = serve().await;
    fill(&served, 4);
    served.fake.cut_pages(2);
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("pull");
    // The first day, the first page of the second, and then nothing any more.
    served.fake.go_wrong([Fault::None, Fault::None]);
    served.fake.go_wrong([Fault::ServerError; 4]);
    let mut spool = Spool::open(&path, header()).expect("begun");
    let outcome = pull(&served.client(), &mut spool, |_| ()).await;
    assert!(outcome.is_err());
    drop(spool);
    let mut spool = Spool::open(&path, header()).expect("gone on with");
    let summary = pull(&served.client(), &mut spool, |_| ())
        .await
        .expect("pulled");
    assert_eq!((summary.days, summary.resumed, summary.rows), (3, 1, 4));
    assert_eq!(ids(&rows(&mut spool)), ["c1", "c2", "c3", "c4"]);
    let before = served.fake.asked().len();
    drop(spool);
    let mut spool = Spool::open(&path, header()).expect("whole");
    let summary = pull(&served.client(), &mut spool, |_| ())
        .await
        .expect("nothing to do");
    assert_eq!((summary.resumed, served.fake.asked().len()), (3, before));
}

#[tokio::test]
async fn the_rate_is_kept_to() {
    let served = serve().await;
    served.fake.limit(25);
    fill(&served, 30);
    served.fake.cut_pages(1);
    let account = Account {
        requests_per_second: NonZeroU32::new(20).expect("not zero"),
        ..served.account()
    };
    let client = Client::new(account).expect("a client");
    let mut spool = Spool::temporary(header()).expect("a file");
    let summary = pull(&client, &mut spool, |_| ()).await.expect("pulled");
    assert_eq!(summary.rows, 30);
    assert!(served.fake.asked().iter().all(|asked| asked.status == 200));
}
