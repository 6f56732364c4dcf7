//! `kill -9` in the middle of `hissaback up`, again and again under load, and a restart: nothing
//! that was answered 200 is lost, and nothing counts twice.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use hissaback::embedded::{
    DataDirectory, EmbeddedPostgres, PostgresOptions,
    postgres::{DATABASE, OWNER},
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::Value;
use sqlx::Row;

const KILLS: u32 = 4;
const SALES: u32 = 400;
const SENDERS: usize = 4;
const LINK: &str = "7a1f3c52-0c1e-4a53-9a51-3f6b2f1d0005";
const USER: &str = "7a1f3c52-0c1e-4a53-9a51-3f6b2f1d0003";
const SEED: u64 = 20_261_120;

fn hissaback(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hissaback"));
    command.args(arguments);
    command
}

/// Starts `up`, and returns once it says that it is up.
fn up(data: &Path, address: SocketAddr) -> Child {
    let mut child = hissaback(&["up", "--listen", &address.to_string()])
        .arg("--data-dir")
        .arg(data)
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut said = String::new();
    let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
    for line in &mut lines {
        let line = line.expect("readable");
        if line.contains("hissaback is up") {
            // Whatever else it says must not fill the pipe.
            thread::spawn(move || lines.for_each(drop));
            return child;
        }
        said.push_str(&line);
        said.push('\n');
    }
    let ended = child.wait().expect("it ended");
    panic!("it didn't come up ({ended}): {said}");
}

/// One request; `None` when no whole answer came.
fn request(address: SocketAddr, head: &str, body: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2)).ok()?;
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .ok()?;
    let length = body.len();
    write!(
        stream,
        "{head} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let status = answer.get(9..12)?.parse().ok()?;
    let body = answer.split_once("\r\n\r\n")?.1;
    Some((status, body.to_owned()))
}

/// Repeats a request until it is answered 200, as a network does.
fn insist(address: SocketAddr, head: &str, body: &str) -> String {
    let deadline = Instant::now() + Duration::from_mins(2);
    loop {
        match request(address, head, body) {
            Some((200, answer)) => return answer,
            Some((503, _)) | None => {}
            Some((status, answer)) => panic!("{head} was answered with {status}: {answer}"),
        }
        assert!(Instant::now() < deadline, "{head} was never answered");
        thread::sleep(Duration::from_millis(50));
    }
}

/// One shopper: clicks, buys, and the network reports the sale.
fn sell(address: SocketAddr, sale: u32) {
    let click = insist(
        address,
        "POST /v1/events/click",
        &format!(r#"{{"link_id":"{LINK}","user_id":{}}}"#, user_of(sale)),
    );
    let click: Value = serde_json::from_str(&click).expect("JSON");
    let token = click["click_token"].as_str().expect("a token");
    let answer = insist(
        address,
        &format!(
            "GET /v1/events/conversion?p1={token}&offer_id=5509&txn_id=ORDER-{sale}\
             &sale_amount=1999.00&status=approved"
        ),
        "",
    );
    assert_eq!(answer, r#"{"status":"ok"}"#);
}

/// Few sales have a known shopper, who would soon exceed the velocity rule.
fn user_of(sale: u32) -> String {
    if sale < 4 {
        format!("\"{USER}\"")
    } else {
        "null".to_owned()
    }
}

#[test]
fn kill_9_under_load_loses_and_doubles_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    let example = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/schemas/examples/reference.json"
    );
    let imported = hissaback(&["reference", "import", example])
        .arg("--data-dir")
        .arg(&data)
        .status()
        .expect("the program runs");
    assert!(imported.success());

    // The port is free again at once, and every restart takes the same one.
    let address = TcpListener::bind("127.0.0.1:0")
        .expect("a port")
        .local_addr()
        .expect("bound");
    let next = Arc::new(AtomicU32::new(0));
    let mut child = up(&data, address);
    let senders: Vec<_> = (0..SENDERS)
        .map(|_| {
            let next = Arc::clone(&next);
            thread::spawn(move || {
                loop {
                    let sale = next.fetch_add(1, Ordering::Relaxed);
                    if sale >= SALES {
                        return;
                    }
                    sell(address, sale);
                }
            })
        })
        .collect();

    let mut rng = StdRng::seed_from_u64(SEED);
    for kill in 0..KILLS {
        // Each kill strikes after its share of the sales, at a moment that the seed picks.
        let due = SALES * (kill + 1) / (KILLS + 2);
        while next.load(Ordering::Relaxed) < due {
            thread::sleep(Duration::from_millis(2));
        }
        thread::sleep(Duration::from_millis(rng.random_range(0..150)));
        child.kill().expect("it runs");
        child.wait().expect("it ended");
        child = up(&data, address);
    }
    for sender in senders {
        sender.join().expect("every sale was answered");
    }
    stop(child);
    let books = read_books(&data);
    assert_eq!(
        books.orders,
        i64::from(SALES),
        "orders in the ledger (seed {SEED})"
    );
    assert_eq!(books.claims, i64::from(SALES), "claims (seed {SEED})");
    assert_eq!(
        books.confirmed,
        i64::from(SALES),
        "confirmed claims (seed {SEED})"
    );
    assert_eq!(
        books.receivable,
        format!("-{}.{:02}", SALES * 15_992 / 100, SALES * 15_992 % 100)
    );
    assert_eq!(books.out_of_balance, 0);
    let audited = hissaback(&["audit", "--data-dir"])
        .arg(&data)
        .output()
        .expect("it runs");
    assert!(
        audited.status.success(),
        "{}",
        String::from_utf8_lossy(&audited.stdout)
    );
}

/// Ends it as an operator does; everything accepted is in the ledger before long.
fn stop(mut child: Child) {
    thread::sleep(Duration::from_secs(2));
    let terminated = Command::new("kill")
        .arg(child.id().to_string())
        .status()
        .expect("kill runs");
    assert!(terminated.success());
    assert!(
        child.wait().expect("it ended").success(),
        "a clean exit on SIGTERM"
    );
}

struct Books {
    orders: i64,
    claims: i64,
    confirmed: i64,
    receivable: String,
    out_of_balance: i64,
}

fn read_books(data: &Path) -> Books {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let data = DataDirectory::open(data).expect("the data directory");
        let postgres = EmbeddedPostgres::start(&data, PostgresOptions::default())
            .await
            .expect("PostgreSQL");
        let pool = sqlx::PgPool::connect_with(postgres.connect_options(OWNER, DATABASE))
            .await
            .expect("connected");
        let row = sqlx::query(
            "SELECT (SELECT count(DISTINCT txn_id) FROM ledger) AS orders,
                    (SELECT count(*) FROM ledger) AS claims,
                    (SELECT count(*) FROM ledger WHERE status = 'confirmed') AS confirmed,
                    (SELECT sum(amount)::numeric(20,2)::text FROM postings
                     WHERE account = 'network_receivable') AS receivable,
                    (SELECT count(*) FROM (SELECT FROM postings GROUP BY transaction_id, currency
                     HAVING sum(amount) <> 0) AS unbalanced) AS out_of_balance",
        )
        .fetch_one(&pool)
        .await
        .expect("read");
        let books = Books {
            orders: row.get("orders"),
            claims: row.get("claims"),
            confirmed: row.get("confirmed"),
            receivable: row.get("receivable"),
            out_of_balance: row.get("out_of_balance"),
        };
        pool.close().await;
        postgres.stop().await.expect("stopped");
        books
    })
}
