//! The widget on the demo's server, in a browser: a click on an offer is a click in the log.

#[path = "../api/tests/api/browser.rs"]
#[expect(dead_code, reason = "the tests of the API use the rest")]
mod browser;

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, ChildStdout, Command, Stdio},
};

use browser::{Browser, PATIENCE, POLL};
use hissaback::embedded::postgres::DATABASE;
use sinks::ledger::database::OPERATOR;
use sqlx::{Connection, PgConnection, postgres::PgConnectOptions};

/// The demo, served until it is dropped.
struct Demo {
    process: Child,
    /// The example page with a campaign's widget.
    page: String,
    // What it says further: it ends where nobody listens.
    _output: BufReader<ChildStdout>,
    directory: tempfile::TempDir,
}

impl Drop for Demo {
    fn drop(&mut self) {
        let ended = self.process.kill().and_then(|()| self.process.wait());
        ended.expect("the demo can be ended");
    }
}

impl Demo {
    fn serve() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let mut process = Command::new(env!("CARGO_BIN_EXE_hissaback"))
            .args(["demo", "--conversions", "40", "--serve"])
            .args(["--listen", "127.0.0.1:0", "--data-dir"])
            .arg(directory.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program runs");
        let mut output = BufReader::new(process.stdout.take().expect("piped"));
        let page = output
            .by_ref()
            .lines()
            .map(|line| line.expect("text"))
            .find_map(|line| {
                let mut words = line.split_whitespace();
                words
                    .find(|word| word.contains("/widget/"))
                    .map(str::to_owned)
            })
            .expect("the demo says where the widget is");
        Self {
            process,
            page,
            _output: output,
            directory,
        }
    }

    /// The clicks in its ledger.
    async fn clicks(&self) -> i64 {
        let options = PgConnectOptions::new_without_pgpass()
            .socket(self.directory.path().join("run/postgres"))
            .username(OPERATOR)
            .database(DATABASE);
        let connected = PgConnection::connect_with(&options).await;
        sqlx::query_scalar("SELECT count(*) FROM clicks")
            .fetch_one(&mut connected.expect("connected"))
            .await
            .expect("a number")
    }
}

#[tokio::test]
async fn a_click_on_an_offer_of_the_demos_widget_is_counted() {
    let demo = Demo::serve();
    let browser = Browser::open().await;
    browser.go_to(&demo.page).await;
    let offer = "document.querySelector('hissaback-offers').shadowRoot.querySelector('.offer')";
    let shown = browser.until(&format!("{offer}?.innerText")).await;
    assert!(
        shown.as_str().expect("text").contains("opens in a new tab"),
        "{shown}"
    );
    let before = demo.clicks().await;
    browser.click(offer).await;
    let counted = async {
        while demo.clicks().await == before {
            tokio::time::sleep(POLL).await;
        }
    };
    tokio::time::timeout(PATIENCE, counted)
        .await
        .expect("the click is in the ledger");
    assert_eq!(demo.clicks().await, before + 1);
}
