//! Messages: handed over, reported, sent anew, held back; and the keys of stored codes.

use std::{sync::atomic::Ordering, time::Duration};

use schemas::{
    PayoutId, UserId,
    events::{CommandBody, ResendMessage},
};
use secrecy::SecretString;
use sinks::{
    payouts::{
        agcod::Endpoint,
        claim_codes::ClaimCodeStorage,
        fake_agcod::{Fault, Script},
        sms::{
            DeliveryReport, DeliveryState, HttpSmsGateway, HttpSmsGatewayConfig, Message,
            MessageFields, Reference, SmsError, SmsGateway,
        },
        store::delivery_reports,
    },
    sealing::KeyRing,
};
use stream::Clock;
use uuid::Uuid;

use crate::world::{World, rupees};

const PHONE: Option<&str> = Some("+9198765");

async fn codes_kept(world: &World) -> i64 {
    world
        .number("SELECT count(claim_code_ciphertext) FROM payout_dispatch")
        .await
}

fn resend(payout_id: PayoutId) -> CommandBody {
    CommandBody::ResendMessage(ResendMessage { payout_id })
}

fn report(id: PayoutId, resends: i32, state: DeliveryState) -> DeliveryReport {
    DeliveryReport {
        reference: Some(Reference {
            message_id: id.uuid(),
            resends,
        }),
        gateway_id: None,
        state,
    }
}

async fn record(world: &World, report: &DeliveryReport) -> bool {
    delivery_reports::record(&world.writer, report, world.clock.now())
        .await
        .expect("recorded")
}

#[tokio::test]
async fn a_code_is_kept_until_the_message_is_there_and_fetched_again_for_another() {
    let world = World::new().await;
    world.phones.reports.store(true, Ordering::SeqCst);
    let id = world.request(1, rupees(500), PHONE).await;
    let running = world.run();
    world.until_sms(id, "sent").await;
    assert_eq!(
        codes_kept(&world).await,
        1,
        "the gateway has it: not enough"
    );
    // On its way, and of a sending that there wasn't: nothing changes.
    assert!(record(&world, &report(id, 0, DeliveryState::Underway)).await);
    assert!(!record(&world, &report(id, 1, DeliveryState::Delivered)).await);
    assert_eq!(codes_kept(&world).await, 1);

    let delivered = report(id, 0, DeliveryState::Delivered);
    assert!(record(&world, &delivered).await);
    assert!(record(&world, &delivered).await, "and again");
    assert_eq!(world.sms_state(id).await, "delivered");
    assert_eq!(codes_kept(&world).await, 0);
    // A failure that is told afterwards is of an earlier try.
    record(&world, &report(id, 0, DeliveryState::Failed)).await;
    assert_eq!(world.sms_state(id).await, "delivered");

    world.command(1, resend(id)).await;
    world
        .until("sent anew", async || world.phones.messages().len() == 2)
        .await;
    world.until_sms(id, "sent").await;
    // The same command comes again, as after a crash: nothing more.
    world.command(1, resend(id)).await;
    world.command(2, resend(PayoutId::new(Uuid::max()))).await;
    let second = world.request(2, rupees(100), PHONE).await;
    world.until_sms(second, "sent").await;
    running.stop().await;
    let messages = world.phones.messages();
    assert_eq!(messages.len(), 3);
    assert_eq!(
        (&messages[0].1, &messages[0].2),
        (&messages[1].1, &messages[1].2)
    );
    let cards = world.fake.cards();
    let calls: Vec<u32> = cards.keys().map(|id| world.fake.calls(id)).collect();
    assert_eq!(
        calls,
        [2, 1],
        "the code was fetched once more, and one card made"
    );
}

#[tokio::test]
async fn a_message_that_is_not_delivered_waits_for_a_person_with_its_code() {
    let world = World::new().await;
    world.phones.reports.store(true, Ordering::SeqCst);
    let id = world.request(1, rupees(500), PHONE).await;
    let running = world.run();
    world.until_sms(id, "sent").await;
    record(&world, &report(id, 0, DeliveryState::Failed)).await;
    assert_eq!(world.sms_state(id).await, "failed");
    assert_eq!(
        world.message_error(id).await.as_deref(),
        Some("the gateway could not deliver it")
    );
    world.command(1, resend(id)).await;
    world
        .until("sent anew", async || world.phones.messages().len() == 2)
        .await;
    world.until_sms(id, "sent").await;
    running.stop().await;
    let cards = world.fake.cards();
    assert_eq!(world.fake.calls(cards.keys().next().expect("a card")), 1);
}

#[tokio::test]
async fn no_code_is_kept_for_a_report_that_never_comes() {
    let world = World::new().await;
    world.phones.reports.store(true, Ordering::SeqCst);
    let id = world.request(1, rupees(500), PHONE).await;
    let running = world.run();
    world.until_sms(id, "sent").await;
    world.clock.advance(Duration::from_hours(47));
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(codes_kept(&world).await, 1);
    world.clock.advance(Duration::from_hours(1));
    world
        .until("shredded", async || codes_kept(&world).await == 0)
        .await;
    running.stop().await;
    assert_eq!(world.sms_state(id).await, "sent");
    assert_eq!(world.phones.messages().len(), 1);
}

#[tokio::test]
async fn a_refunded_cards_code_is_not_sent_anew() {
    let world = World::new().await;
    world
        .fake
        .follow(Script::FirstCalls(vec![Fault::None, Fault::Refunded]));
    let id = world.request(1, rupees(500), PHONE).await;
    let running = world.run();
    world.until_sms(id, "sent").await;
    world.command(1, resend(id)).await;
    world.until_sms(id, "card_gone").await;
    running.stop().await;
    assert_eq!(world.phones.messages().len(), 1);
    assert_eq!(
        world.message_error(id).await.as_deref(),
        Some("the card was refunded to the platform: its code is void")
    );
    assert_eq!(
        world.state(id).await,
        "funded",
        "a person decides about the money"
    );
}

#[tokio::test]
async fn a_number_gets_so_many_messages_a_day() {
    let mut world = World::new().await;
    world.config.messages.daily_max = 2;
    let id = world.request(1, rupees(500), PHONE).await;
    let running = world.run();
    world.until_sms(id, "sent").await;
    world.command(1, resend(id)).await;
    world
        .until("a second", async || world.phones.messages().len() == 2)
        .await;
    world.until_sms(id, "sent").await;
    world.command(2, resend(id)).await;
    world
        .until("held", async || {
            world.message_error(id).await.as_deref()
                == Some("the number has had its messages of the day")
        })
        .await;
    world.clock.advance(Duration::from_hours(23));
    // Another number has its own count.
    let other = world.request(2, rupees(100), PHONE).await;
    world.until_sms(other, "sent").await;
    assert_eq!(world.phones.messages().len(), 3);
    world.clock.advance(Duration::from_hours(1));
    world.until_sms(id, "sent").await;
    running.stop().await;
    assert_eq!(world.phones.messages().len(), 4);
}

#[tokio::test]
async fn a_number_that_is_added_brings_what_waited_for_it() {
    let world = World::new().await;
    let id = world.request(1, rupees(500), None).await;
    let running = world.run();
    world.until_sms(id, "no_phone").await;
    assert_eq!(codes_kept(&world).await, 1);
    let shopper = UserId::new(Uuid::from_u128(1 + (1 << 64)));
    for (number, taken) in [("+911", true), ("+912", false)] {
        let added: bool = sqlx::query_scalar("SELECT add_phone($1, $2, 'a hash')")
            .bind(shopper.uuid())
            .bind(world.sealed(shopper, number))
            .fetch_one(&world.operator)
            .await
            .expect("asked");
        assert_eq!(added, taken, "{number}");
    }
    world.until_sms(id, "sent").await;
    running.stop().await;
    let messages = world.phones.messages();
    assert_eq!((messages.len(), messages[0].1.as_str()), (1, "+911"));
    assert_eq!(codes_kept(&world).await, 0);
}

fn ring(keys: &[u8]) -> KeyRing {
    let keys: Vec<String> = (1..)
        .zip(keys)
        .map(|(id, byte)| format!("{id}:{}", hex::encode([*byte; 32])))
        .collect();
    KeyRing::parse(&SecretString::from(keys.join(","))).expect("keys")
}

#[tokio::test]
async fn codes_are_put_under_the_newest_key_beside_a_dispatcher() {
    let mut world = World::new().await;
    world.config.claim_codes = ClaimCodeStorage::Encrypted(ring(&[1]));
    world.phones.unreachable.store(true, Ordering::SeqCst);
    for number in 0..12 {
        world.request(number, rupees(100), PHONE).await;
    }
    let running = world.run();
    world
        .until("sealed codes", async || codes_kept(&world).await == 12)
        .await;
    running.stop().await;
    // One is in somebody's hands, and one was damaged.
    let mut held = world.owner.begin().await.expect("begun");
    sqlx::query("SELECT FROM payout_dispatch WHERE payout_id = $1 FOR UPDATE")
        .bind(Uuid::from_u128(3))
        .execute(&mut *held)
        .await
        .expect("locked");
    sqlx::query("UPDATE payout_dispatch SET claim_code_ciphertext = 'x' WHERE payout_id = $1")
        .bind(Uuid::from_u128(5))
        .execute(&world.owner)
        .await
        .expect("damaged");
    let both = ring(&[1, 2]);
    let rotate = async || {
        let mut told = 0;
        let done = world.store().rotate_claim_codes(&both, |_| told += 1).await;
        (done.expect("rotated"), told)
    };
    let (first, told) = rotate().await;
    assert_eq!(
        (
            first.key_id,
            first.rewrapped,
            first.unreadable,
            first.left,
            told
        ),
        (2, 10, 1, 2, 1)
    );
    held.rollback().await.expect("let go");
    let (second, _) = rotate().await;
    assert_eq!((second.rewrapped, second.left), (1, 1));
    let (third, _) = rotate().await;
    assert_eq!((third.rewrapped, third.unreadable, third.left), (0, 1, 1));

    // With the old key gone, what was rewrapped is sent from store; the damaged one is fetched.
    let newest = format!("2:{}", hex::encode([2; 32]));
    let newest = KeyRing::parse(&newest.into()).expect("a key");
    world.config.claim_codes = ClaimCodeStorage::Encrypted(newest);
    world.phones.unreachable.store(false, Ordering::SeqCst);
    world.clock.advance(Duration::from_hours(1));
    let running = world.run();
    world
        .until("all told", async || world.phones.messages().len() == 12)
        .await;
    running.stop().await;
    let cards = world.fake.cards();
    let calls: u32 = cards.keys().map(|id| world.fake.calls(id)).sum();
    assert_eq!(calls, 13);
    for (payout_id, _, text) in world.phones.messages() {
        let id = sinks::payouts::creation_request_id(&world.config.agcod.partner_id, payout_id);
        assert!(text.contains(&cards[&id].claim_code));
    }
}

#[tokio::test]
async fn an_http_gateway_is_told_by_its_own_names() {
    use axum::{Json, Router, extract::State, http::HeaderMap, routing::post};
    use tokio::sync::mpsc;

    type Received = (String, serde_json::Value);
    let (sender, mut received) = mpsc::unbounded_channel::<Received>();
    let answer = async |State(sender): State<mpsc::UnboundedSender<Received>>,
                        headers: HeaderMap,
                        Json(body): Json<serde_json::Value>| {
        let token = headers["authorization"].to_str().expect("text").to_owned();
        sender.send((token, body)).expect("received");
        Json(serde_json::json!({ "sid": 77, "id": "not this" }))
    };
    let router = Router::new()
        .route("/messages", post(answer))
        .with_state(sender);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, router).await });

    let gateway = |path| {
        HttpSmsGateway::new(HttpSmsGatewayConfig {
            endpoint: Endpoint::parse(&address, path).expect("an address"),
            token: "gateway-token".into(),
            sender: Some("HSBACK".into()),
            fields: MessageFields {
                to: "recipient".into(),
                id: "sid".into(),
                ..MessageFields::default()
            },
            reports_delivery: true,
            timeout_ms: 5_000,
        })
        .expect("a gateway")
    };
    let message = Message {
        reference: Reference {
            message_id: Uuid::from_u128(1),
            resends: 2,
        },
        to: "+911".into(),
        text: "the code".into(),
    };
    assert!(gateway("/messages").reports_delivery());
    let accepted = gateway("/messages").send(&message).await.expect("taken");
    assert_eq!(accepted.gateway_id.as_deref(), Some("77"));
    let (token, body) = received.recv().await.expect("a request");
    assert_eq!(token, "Bearer gateway-token");
    assert_eq!(
        body,
        serde_json::json!({
            "recipient": "+911", "text": "the code", "sender": "HSBACK",
            "reference": message.reference.to_string(),
        })
    );
    let refused = gateway("/elsewhere").send(&message).await;
    assert!(matches!(refused, Err(SmsError::Refused(_))), "{refused:?}");
}
