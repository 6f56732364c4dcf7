//! The widget on the demo's server, in a browser: a click on an offer is a click in the log.

use hissaback::embedded::postgres::DATABASE;
use sinks::ledger::database::OPERATOR;
use sqlx::{Connection, PgConnection, postgres::PgConnectOptions};

use crate::{
    Demo,
    browser::{Browser, PATIENCE, POLL},
};

impl Demo {
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
    browser
        .go_to(&format!("{}{}", demo.server, demo.page))
        .await;
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
