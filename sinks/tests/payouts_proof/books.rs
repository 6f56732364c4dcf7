//! The account that everybody here has to do with.

use schemas::{Amount, Currency};
use sinks::{
    payouts::{
        AgcodConfig, CREATE_PATH,
        agcod::{Endpoint, signature::KeyPair},
        fake_agcod::{FakeAccount, FakeAgcod, Fault, Script},
    },
    sealing::KeyRing,
};
use std::time::Duration;

/// Less than the slow answers take.
pub const TIMEOUT: Duration = Duration::from_millis(400);

pub fn account(address: &str) -> AgcodConfig {
    AgcodConfig {
        endpoint: Endpoint::parse(address, CREATE_PATH).expect("an address"),
        region: "eu-west-1".into(),
        partner_id: "Awssb".parse().expect("a partner id"),
        program_id: None,
        currency: Currency::INR,
        key_pair: KeyPair {
            access_key_id: "test-key".into(),
            secret_access_key: "test-secret".into(),
        },
        timeout_ms: u64::try_from(TIMEOUT.as_millis()).expect("small"),
    }
}

/// Serves, and goes wrong in every way there is, one call in ten.
pub async fn service(seed: u64) -> (FakeAgcod, String) {
    let fake = FakeAgcod::new(FakeAccount {
        access_key_id: "test-key".into(),
        secret_access_key: "test-secret".into(),
        region: "eu-west-1".into(),
        partner_id: "Awssb".into(),
        currency: Currency::INR,
    });
    fake.follow(Script::OneIn {
        calls: 10,
        seed,
        faults: faults(),
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(fake.clone().serve(listener));
    (fake, address)
}

/// Every kind. What stops the whole channel comes once where the others come three times.
fn faults() -> Vec<Fault> {
    let one_payout = [
        Fault::Slow(TIMEOUT + Duration::from_millis(200)),
        Fault::LostAfterIssuing,
        Fault::LostBeforeIssuing,
        Fault::Throttled,
        Fault::Malformed,
        Fault::ServerError,
        Fault::Internal,
        Fault::Resend,
        Fault::Refunded,
    ];
    let whole_channel = [
        Fault::InsufficientFunds,
        Fault::AccountClosed,
        Fault::SignatureExpired,
        Fault::KeyUnknown,
    ];
    [&one_payout[..], &one_payout, &one_payout, &whole_channel].concat()
}

pub fn keys() -> KeyRing {
    KeyRing::parse(&format!("1:{}", "ab".repeat(32)).into()).expect("keys")
}

/// The card of a payout: between ₹1 and ₹10,000.
pub fn amount(number: u64) -> Amount {
    let units = 1 + i64::try_from(number * 7_919 % 10_000).expect("small");
    Amount::from_micros(units * 1_000_000)
}
