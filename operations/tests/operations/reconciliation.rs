//! Payouts against the fake service's activity page, over HTTP.

use std::sync::Arc;

use operations::payouts::reconciliation::{Kind, Reconciler, ReconciliationError};
use schemas::{Amount, Currency, PayoutId, Timestamp};
use sinks::payouts::{
    AgcodConfig, CHANNEL, CREATE_PATH,
    agcod::{AgcodClient, Endpoint, Expected, Operation, signature::KeyPair},
    creation_request_id,
    fake_agcod::{FakeAccount, FakeAgcod, Fault, Script},
    frozen_request,
    store::rates::CallRate,
};
use sqlx::PgPool;
use stream::ManualClock;
use uuid::Uuid;

use crate::postgres::Database;

/// Two o'clock; the day before is compared.
const MIDNIGHT: Timestamp = Timestamp::from_millis(1_799_971_200_000);
const CARDS: u64 = 230;

struct World {
    owner: PgPool,
    fake: FakeAgcod,
    account: AgcodConfig,
    client: AgcodClient,
    reconciler: Reconciler,
}

fn rupees(count: i64) -> Amount {
    Amount::from_micros(count * 1_000_000)
}

impl World {
    async fn new() -> Self {
        let fake = FakeAgcod::new(FakeAccount {
            access_key_id: "test-key".into(),
            secret_access_key: "test-secret".into(),
            region: "eu-west-1".into(),
            partner_id: "Awssb".into(),
            currency: Currency::INR,
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(fake.clone().serve(listener));
        let account = AgcodConfig {
            endpoint: Endpoint::parse(&address, CREATE_PATH).expect("an address"),
            region: "eu-west-1".into(),
            partner_id: "Awssb".parse().expect("a partner id"),
            program_id: None,
            currency: Currency::INR,
            key_pair: KeyPair {
                access_key_id: "test-key".into(),
                secret_access_key: "test-secret".into(),
            },
            timeout_ms: 5_000,
        };
        let database = Database::new().await;
        let clock = ManualClock::new(MIDNIGHT.plus_millis(2 * 3_600_000));
        Self {
            owner: database.owner().await,
            client: AgcodClient::new(&account).expect("a client"),
            reconciler: Reconciler {
                pool: database.pool("hissaback_writer").await,
                account: account.clone(),
                rate: CallRate::per_second(1_000.try_into().expect("not zero")),
                clock: Arc::new(clock),
            },
            fake,
            account,
        }
    }

    fn request_id(&self, number: u64) -> String {
        let id = PayoutId::new(Uuid::from_u128(u128::from(number)));
        creation_request_id(&self.account.partner_id, id)
    }

    /// A card, and its funded payout.
    async fn paid(&self, number: u64, at: Timestamp) {
        let id = self.request_id(number);
        let body = frozen_request(&self.account, &id, rupees(500), Currency::INR);
        let body = body.expect("a request");
        let expected = Expected {
            creation_request_id: id.clone(),
            amount: rupees(500),
            currency: Currency::INR,
        };
        let made = self.client.create_gift_card(&body, &expected, at).await;
        drop(made.expect("sent"));
        sqlx::query(
            "INSERT INTO payouts (payout_id, tenant_id, user_id, currency, amount, method, as_of,
                                  creation_request_id, request, state, card_id, paid_at)
             VALUES ($1, $2, $2, 'INR', 500, $3, $4, $5, $6, 'funded', $5, $4)",
        )
        .bind(Uuid::from_u128(u128::from(number)))
        .bind(Uuid::nil())
        .bind(CHANNEL)
        .bind(at.to_datetime())
        .bind(&id)
        .bind(&body)
        .execute(&self.owner)
        .await
        .expect("a payout");
    }

    async fn change(&self, statement: &'static str, number: u64) {
        let changed = sqlx::query(statement)
            .bind(Uuid::from_u128(u128::from(number)))
            .execute(&self.owner)
            .await
            .expect("changed");
        assert_eq!(changed.rows_affected(), 1);
    }

    async fn state(&self) -> Vec<String> {
        sqlx::query_scalar("SELECT t::text FROM payouts t ORDER BY payout_id")
            .fetch_all(&self.owner)
            .await
            .expect("payouts")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_difference_is_found_over_several_pages_and_nothing_is_changed() {
    let world = World::new().await;
    let noon = MIDNIGHT.plus_millis(-12 * 3_600_000);
    for number in 1..=CARDS {
        let second = i64::try_from(number).expect("small");
        world.paid(number, noon.plus_millis(second * 1_000)).await;
    }
    // The first page fails twice.
    world.fake.follow_for(
        Operation::GetGiftCardActivityPage,
        Script::FirstCalls(vec![Fault::ServerError, Fault::Malformed]),
    );
    let (from, to) = (MIDNIGHT.plus_days(-1), MIDNIGHT);
    let equal = world.reconciler.compare(from, to).await.expect("compared");
    assert_eq!(equal.findings, []);
    assert_eq!(
        (equal.agreeing as u64, equal.agreeing_amount),
        (CARDS, rupees(115_000))
    );

    world.fake.forget(&world.request_id(1));
    world
        .fake
        .refund(&world.request_id(2), noon.plus_millis(60_000));
    world
        .change("UPDATE payouts SET amount = 400 WHERE payout_id = $1", 3)
        .await;
    world
        .change(
            "UPDATE payouts SET state = 'error_soft', paid_at = NULL, card_id = NULL
             WHERE payout_id = $1",
            4,
        )
        .await;
    world
        .fake
        .issue_unasked("AwssbStranger", rupees(9_999), noon);
    let before = world.state().await;
    let compared = world.reconciler.compare(from, to).await.expect("compared");
    let found: Vec<_> = compared
        .findings
        .iter()
        .map(|finding| (finding.kind, finding.creation_request_id.clone()))
        .collect();
    assert_eq!(
        found,
        [
            (Kind::MissingThere, world.request_id(1)),
            (Kind::RefundedThere, world.request_id(2)),
            (Kind::AmountDiffers, world.request_id(3)),
            (Kind::NotFundedHere, world.request_id(4)),
            (Kind::UnknownHere, "AwssbStranger".to_owned()),
        ]
    );
    assert_eq!(compared.agreeing as u64, CARDS - 4);
    assert!(compared.counts().values().all(|count| *count == 1));
    assert_eq!(world.state().await, before);
}

#[tokio::test]
async fn a_span_that_is_not_over_and_a_service_that_refuses_are_told() {
    let world = World::new().await;
    let tomorrow = MIDNIGHT.plus_days(1);
    let early = world.reconciler.compare(MIDNIGHT, tomorrow).await;
    assert!(matches!(early, Err(ReconciliationError::Span { .. })));
    let empty = world.reconciler.compare(MIDNIGHT, MIDNIGHT).await;
    assert!(matches!(empty, Err(ReconciliationError::Span { .. })));
    world.fake.follow_for(
        Operation::GetGiftCardActivityPage,
        Script::FirstCalls(vec![Fault::KeyUnknown]),
    );
    let refused = world
        .reconciler
        .compare(MIDNIGHT.plus_days(-1), MIDNIGHT)
        .await;
    match refused {
        Err(ReconciliationError::Refused(why)) => assert!(why.contains("access key"), "{why}"),
        other => panic!("it was refused: {other:?}"),
    }
}
