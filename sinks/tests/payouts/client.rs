//! The client alone: signature, faults and sandbox answers, over HTTP.

use std::time::Duration;

use schemas::{Amount, Currency, PayoutId, Timestamp};
use secrecy::ExposeSecret;
use sinks::payouts::{
    agcod::{AgcodClient, Endpoint, Expected, Outcome, OutcomeKind},
    config::CREATE_PATH,
    creation_request_id,
    fake_agcod::{FakeAgcod, Fault, Script},
    frozen_request,
};
use uuid::Uuid;

use crate::world::{account_config, fake, rupees};

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

async fn client() -> (FakeAgcod, AgcodClient) {
    let (fake, address) = fake().await;
    let mut config = account_config(&address);
    config.timeout_ms = 300;
    (fake, AgcodClient::new(&config).expect("a client"))
}

fn expected(number: u128) -> Expected {
    let config = account_config("http://127.0.0.1:9");
    Expected {
        creation_request_id: creation_request_id(
            &config.partner_id,
            PayoutId::new(Uuid::from_u128(number)),
        ),
        amount: rupees(500),
        currency: Currency::INR,
    }
}

async fn ask(client: &AgcodClient, expected: &Expected) -> Outcome {
    let config = account_config("http://127.0.0.1:9");
    let id = &expected.creation_request_id;
    let body = frozen_request(&config, id, expected.amount, expected.currency).expect("a request");
    client
        .create_gift_card(&body, expected, NOW)
        .await
        .expect("sent")
}

#[tokio::test]
async fn the_same_request_yields_the_same_card() {
    let (fake, client) = client().await;
    let expected = expected(1);
    let mut seen = Vec::new();
    for _ in 0..3 {
        let Outcome::Funded(card) = ask(&client, &expected).await else {
            panic!("it is funded");
        };
        seen.push((card.card_id, card.claim_code.expose_secret().to_owned()));
    }
    seen.dedup();
    assert_eq!(seen.len(), 1);
    assert_eq!(fake.funded(), (1, rupees(500)));
    assert_eq!(fake.refused_signatures(), 0);
}

#[tokio::test]
async fn each_fault_is_told_for_what_it_is_and_the_repetition_heals_it() {
    let slow = Fault::Slow(Duration::from_secs(5));
    for (number, (fault, kind, repeated)) in [
        (slow, OutcomeKind::Unknown, OutcomeKind::Funded),
        (
            Fault::LostAfterIssuing,
            OutcomeKind::Unknown,
            OutcomeKind::Funded,
        ),
        (
            Fault::LostBeforeIssuing,
            OutcomeKind::Unknown,
            OutcomeKind::Funded,
        ),
        (
            Fault::Throttled,
            OutcomeKind::Throttled,
            OutcomeKind::Funded,
        ),
        (Fault::Malformed, OutcomeKind::Unknown, OutcomeKind::Funded),
        (
            Fault::ServerError,
            OutcomeKind::Unknown,
            OutcomeKind::Funded,
        ),
        (Fault::Internal, OutcomeKind::Unknown, OutcomeKind::Funded),
        (Fault::Resend, OutcomeKind::Unknown, OutcomeKind::Funded),
        (
            Fault::InsufficientFunds,
            OutcomeKind::ChannelFault,
            OutcomeKind::Funded,
        ),
        // A cancelled card stays cancelled, and goes on saying SUCCESS.
        (
            Fault::Refunded,
            OutcomeKind::Mismatched,
            OutcomeKind::Mismatched,
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let (fake, client) = client().await;
        fake.follow(Script::FirstCalls(vec![fault]));
        let expected = expected(number as u128);
        assert_eq!(ask(&client, &expected).await.kind(), kind, "{fault:?}");
        assert_eq!(ask(&client, &expected).await.kind(), repeated, "{fault:?}");
        let spendable = usize::from(repeated == OutcomeKind::Funded);
        assert_eq!(fake.funded().0, spendable, "{fault:?}");
        assert_eq!(fake.cards().len(), 1, "{fault:?}");
    }
}

#[tokio::test]
async fn another_amount_under_the_same_id_is_refused() {
    let (fake, client) = client().await;
    let mut expected = expected(1);
    assert_eq!(ask(&client, &expected).await.kind(), OutcomeKind::Funded);
    expected.amount = rupees(501);
    assert_eq!(ask(&client, &expected).await.kind(), OutcomeKind::Refused);
    assert_eq!(fake.funded(), (1, rupees(500)));
}

#[tokio::test]
async fn funds_run_out_half_way() {
    let (fake, client) = client().await;
    fake.fund(rupees(700));
    assert_eq!(ask(&client, &expected(1)).await.kind(), OutcomeKind::Funded);
    assert_eq!(
        ask(&client, &expected(2)).await.kind(),
        OutcomeKind::ChannelFault
    );
    fake.fund(rupees(10_000));
    assert_eq!(ask(&client, &expected(2)).await.kind(), OutcomeKind::Funded);
}

#[tokio::test]
async fn a_wrong_secret_is_the_channels_fault() {
    let (fake, address) = fake().await;
    let mut config = account_config(&address);
    config.key_pair.secret_access_key = "another".into();
    let client = AgcodClient::new(&config).expect("a client");
    assert_eq!(
        ask(&client, &expected(1)).await.kind(),
        OutcomeKind::ChannelFault
    );
    assert_eq!((fake.refused_signatures(), fake.cards().len()), (1, 0));
}

#[tokio::test]
async fn where_nobody_listens_nothing_was_sent() {
    // A port that was free a moment ago.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let client = AgcodClient::new(&account_config(&address)).expect("a client");
    assert_eq!(
        ask(&client, &expected(1)).await.kind(),
        OutcomeKind::Unreachable
    );
}

#[tokio::test]
async fn the_sandbox_answers_over_http() {
    let (_fake, address) = fake().await;
    let mut config = account_config(&address);
    config.endpoint = Endpoint::parse(&address, CREATE_PATH).expect("an address");
    let client = AgcodClient::new(&config).expect("a client");
    for (id, kind) in [
        ("F0000", OutcomeKind::Funded),
        ("F1000", OutcomeKind::Unknown),
        ("F2003", OutcomeKind::Refused),
        ("F2004", OutcomeKind::Refused),
        ("F2005", OutcomeKind::Refused),
        ("F2010", OutcomeKind::Refused),
        ("F2015", OutcomeKind::Refused),
        ("F2016", OutcomeKind::Refused),
        ("F2017", OutcomeKind::Refused),
        ("F2047", OutcomeKind::Refused),
        ("F3003", OutcomeKind::ChannelFault),
        ("F3005", OutcomeKind::ChannelFault),
        ("F3010", OutcomeKind::ChannelFault),
        ("F4000", OutcomeKind::Unknown),
        ("F5000", OutcomeKind::Unknown),
    ] {
        let expected = Expected {
            creation_request_id: id.into(),
            amount: Amount::from_micros(500_000_000),
            currency: Currency::INR,
        };
        assert_eq!(ask(&client, &expected).await.kind(), kind, "{id}");
    }
}
