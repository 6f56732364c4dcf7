//! Many payouts against a gift-card service that goes wrong one time in ten, with the process that
//! makes them killed again and again.
//!
//! This process has the database, the service and its book of cards. Another one, this very
//! program with other arguments, has the log, the outbox relay, the ledger and two dispatchers; it
//! is killed as `kill -9` does, at moments drawn by the seed, and started again. In the end every
//! payout has at most one card, none is left without a reason, and ledger and service agree to the
//! rupee.
//!
//! The short form runs with the other tests. The long one, which writes its figures into
//! docs/reliability.md, is `make payouts PAYOUTS=100000 SEED=1`.

#[path = "../support/postgres.rs"]
mod postgres;

mod books;
mod instance;
mod report;
mod seeding;
mod supervision;
mod verdict;

use std::{env, fs, path::PathBuf};

use supervision::Campaign;

const PAYOUTS: &str = "HISSABACK_PAYOUTS";
const KILLS: &str = "HISSABACK_PAYOUT_KILLS";
const SEED: &str = "HISSABACK_SEED";
const REPORT: &str = "HISSABACK_PAYOUTS_REPORT";
const DOCUMENT: &str = "HISSABACK_PAYOUTS_DOCUMENT";

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_payouts_are_made_once_whatever_dies() {
    let campaign = Campaign {
        payouts: 1_000,
        kills: 6,
        seed: number(SEED).unwrap_or(1),
    };
    let report = supervision::run(&campaign).await;
    assert!(report.clean(), "{}", report.markdown());
}

/// `make payouts`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: `make payouts`"]
async fn as_many_payouts_as_asked_for_are_made_once() {
    let payouts = number(PAYOUTS).expect("HISSABACK_PAYOUTS says how many");
    let campaign = Campaign {
        payouts,
        kills: number(KILLS).unwrap_or(100),
        seed: number(SEED).unwrap_or(1),
    };
    let report = supervision::run(&campaign).await;
    println!("{}", report.markdown());
    if let Some(path) = env::var_os(REPORT).map(PathBuf::from) {
        let json = serde_json::to_string_pretty(&report).expect("JSON");
        fs::write(path, json).expect("written");
    }
    assert!(report.clean(), "seed {}", report.seed);
    if let Some(path) = env::var_os(DOCUMENT).map(PathBuf::from) {
        report.replace_in(&path);
    }
}

/// Not a test: what the tests above start, and kill.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "the process that the others kill"]
async fn instance() {
    if let Some(settings) = instance::Settings::of_environment() {
        instance::run(settings).await;
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(text.parse().expect("a number"))
}
