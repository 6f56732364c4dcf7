//! The network's API through the program: a fake Trackier on the loopback, a sale whose postback
//! was lost, and offers. The key shows nowhere.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use operations::trackier::fake::{FakeTrackier, Fault};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{net::TcpListener, runtime::Runtime};

const KEY: &str = "planted-0f1e2d3c4b5a";
/// Of the example's reference data.
const TENANT: &str = "7a1f3c52-0c1e-4a53-9a51-3f6b2f1d0001";
const OFFER: i64 = 5_509;

struct Installation {
    directory: TempDir,
    config: PathBuf,
}

impl Installation {
    fn new(url: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let config = directory.path().join("hissaback.toml");
        let text = format!("[trackier]\nurl = \"{url}\"\nrequests_per_second = 200\n");
        fs::write(&config, text).expect("written");
        Self { directory, config }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hissaback"));
        command
            .args(arguments)
            .arg("--config")
            .arg(&self.config)
            .arg("--data-dir")
            .arg(self.directory.path().join("data"))
            .env("TRACKIER_API_KEY", KEY)
            .env("HISSABACK_LOG", "trace,sqlx=info");
        command
    }

    /// What a command prints, and that the key isn't in it nor in what it logs.
    fn run(&self, arguments: &[&str]) -> Output {
        let output = self.command(arguments).output().expect("it runs");
        for text in [&output.stdout, &output.stderr] {
            let text = String::from_utf8_lossy(text);
            assert!(!text.contains(KEY), "{arguments:?} shows the key");
        }
        output
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[arguments, &["--json"]].concat());
        let failure = || {
            let text = String::from_utf8_lossy(&output.stderr);
            let tail: Vec<&str> = text.lines().rev().take(20).collect();
            format!("{arguments:?}: {tail:#?}")
        };
        assert!(output.status.success(), "{}", failure());
        serde_json::from_slice(&output.stdout).expect("JSON")
    }
}

/// `up`, until it is told to end.
struct Up {
    child: Child,
    address: String,
}

impl Up {
    fn start(installation: &Installation) -> Self {
        let mut child = installation
            .command(&["up", "--listen", "127.0.0.1:0"])
            .env("HISSABACK_LOG", "off")
            .stderr(Stdio::piped())
            .spawn()
            .expect("it runs");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let line = lines
            .by_ref()
            .map(|line| line.expect("UTF-8"))
            .find(|line| line.contains("is up on http://"))
            .expect("it comes up");
        let address = line.split("http://").nth(1).expect("an address");
        let address = address.split(' ').next().expect("an address").to_owned();
        // Whatever else it says has to go somewhere.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address }
    }

    /// Where a smart link leads.
    fn location(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).expect("connected");
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
        )
        .expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answered");
        let location = answer.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("location").then_some(value)
        });
        location.unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    fn stop(mut self) {
        let pid = Pid::from_raw(self.child.id().cast_signed()).expect("a pid isn't zero");
        kill_process(pid, Signal::TERM).expect("told");
        assert!(self.child.wait().expect("it ends").success());
    }
}

fn example() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/examples/reference.json");
    path.to_str().expect("UTF-8").to_owned()
}

fn slug() -> String {
    let file: Value =
        serde_json::from_str(&fs::read_to_string(example()).expect("read")).expect("JSON");
    file["links"][0]["slug"]
        .as_str()
        .expect("a slug")
        .to_owned()
}

fn campaign(pct: f64) -> Value {
    json!({"id": OFFER, "title": "Paduka Shoes", "currency": "INR", "model": "cps",
           "payouts": [{"payout": pct, "geo": ["IN"]}], "categories": ["footwear"],
           "goals": [{"id": "signup", "payout_model": "fixed", "payouts": [{"payout": 40}]}],
           "tracking_link":
               "https://network.example/click?campaign_id=5509&pub_id=2&p1={your-transaction-id}"})
}

#[test]
fn a_lost_sale_comes_back_by_the_api_and_offers_follow_the_network() {
    let runtime = Runtime::new().expect("a runtime");
    let fake = FakeTrackier::new(KEY);
    let listener = runtime
        .block_on(TcpListener::bind("127.0.0.1:0"))
        .expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    runtime.spawn(fake.clone().serve(listener));

    let installation = Installation::new(&url);
    let imported = installation.run(&["reference", "import", &example()]);
    assert!(imported.status.success());
    let up = Up::start(&installation);
    let location = up.location(&format!("/r/{}", slug()));
    up.stop();
    let (_, token) = location.split_once("p1=").expect("our token");

    let created = chrono::Utc::now()
        .format("%Y-%m-%dT%H:%M:%S.000Z")
        .to_string();
    fake.add_conversion(json!({
        "_id": "66ecf1a2b3c4d5e6f7000001", "click_id": "66ec01a2b3c4d5e6f7000001", "p1": token,
        "created": created, "status": "approved", "txn_id": "ORD-1", "sale": 1999,
        "payout": 159.92, "currency": "INR",
    }));
    let reconcile = ["reconcile", "--api", "--tenant", TENANT];
    fake.go_wrong([Fault::TellTale]);
    let refused = installation.run(&reconcile);
    let text = String::from_utf8_lossy(&refused.stderr);
    assert!(
        !refused.status.success() && text.contains("[key] is over its quota"),
        "{text}"
    );

    let logged = ["TRACE", "DEBUG"].iter().any(|level| text.contains(level));
    assert!(logged, "the key could not show: {text}");

    let looked = installation.json(&reconcile);
    assert_eq!(
        looked["summary"]["breaks"],
        json!({"missing_here": 1}),
        "{looked}"
    );
    assert_eq!(
        (&looked["pull"]["rows"], &looked["pull"]["unsettled"]),
        (&json!(1), &json!([]))
    );
    let kept = installation.directory.path().join("pull");
    let apply = [
        &reconcile[..],
        &["--apply", "--keep-pull", kept.to_str().expect("UTF-8")],
    ]
    .concat();
    let applied = installation.json(&apply);
    assert_eq!(applied["summary"]["appended"], 1, "{applied}");
    // The same pull again, and then one that is new.
    assert_eq!(installation.json(&apply)["summary"]["appended"], 0);
    let again = installation.json(&[&reconcile[..], &["--apply"]].concat());
    let summary = &again["summary"];
    assert_eq!(
        (&summary["appended"], &summary["agreed"]),
        (&json!(0), &json!(1)),
        "{again}"
    );
    assert!(!fs::read_to_string(&kept).expect("kept").contains(KEY));

    fake.add_campaign(campaign(8.0));
    let same = installation.json(&["offers", "sync", "--dry-run"]);
    assert_eq!(
        (&same["unchanged"], &same["rows"]),
        (&json!(1), &json!(0)),
        "{same}"
    );
    fake.change_campaign(OFFER, "payouts", json!([{"payout": 9.5, "geo": ["IN"]}]));
    let synced = installation.json(&["offers", "sync"]);
    let change = &synced["changed"][0]["changes"][0];
    assert_eq!(
        (&change["old"], &change["new"]),
        (&json!("8.00%"), &json!("9.50%")),
        "{synced}"
    );
    assert_eq!(synced["saved"], true);
    let twice = installation.json(&["offers", "sync"]);
    assert_eq!(
        (&twice["unchanged"], &twice["saved"]),
        (&json!(1), &json!(false)),
        "{twice}"
    );
}

#[test]
fn without_a_key_the_command_says_what_is_missing() {
    for arguments in [
        &["reconcile", "--api", "--tenant", TENANT][..],
        &["offers", "sync"],
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_hissaback"))
            .args(arguments)
            .output()
            .expect("it runs");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && text.contains("trackier.api_key"),
            "{text}"
        );
    }
}
