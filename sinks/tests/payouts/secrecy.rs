//! A claim code is money for whoever reads it. These tests know the codes, and look for them
//! wherever anything is written: logs of every level, errors, metrics, the log's records, and
//! every column of the database.

use std::{
    io::Write,
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use schemas::{
    Amount, Currency, Topic,
    events::{CommandBody, ResendMessage},
};
use sinks::payouts::{
    agcod::{
        Expected,
        classify::{Answer, classify},
    },
    claim_codes::ClaimCodeStorage,
    fake_agcod::{Fault, Script},
};
use sqlx::{AssertSqlSafe, Row};
use stream::Log;
use tracing_subscriber::fmt::MakeWriter;

use crate::world::{World, rupees};

const NUMBER: &str = "+9198765";

/// Whatever is logged.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0
            .lock()
            .expect("not poisoned")
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Written {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// A secret as somebody might have written it: plain, in hexadecimal, or in base64 wherever it
/// begins within a group of three bytes.
fn spellings(secret: &str) -> Vec<Vec<u8>> {
    let mut spellings = vec![
        secret.as_bytes().to_vec(),
        hex::encode(secret).into_bytes(),
        hex::encode_upper(secret).into_bytes(),
    ];
    for shift in 0..3 {
        let padded = [vec![0; shift], secret.as_bytes().to_vec()].concat();
        let encoded = STANDARD_NO_PAD.encode(padded);
        // Characters that depend on what stands before and after are left out.
        let from = (shift * 8).div_ceil(6);
        let to = (shift + secret.len()) * 8 / 6;
        spellings.push(encoded.as_bytes()[from..to].to_vec());
    }
    spellings
}

fn holds(bytes: &[u8], secret: &str) -> bool {
    spellings(secret).iter().any(|spelling| {
        bytes
            .windows(spelling.len())
            .any(|window| window == spelling.as_slice())
    })
}

#[test]
fn every_spelling_is_found() {
    let secret = "ABCD-EFGHIJ-KLMN";
    for text in [
        format!("x{secret}y"),
        hex::encode(format!("x{secret}y")),
        hex::encode_upper(secret),
        STANDARD_NO_PAD.encode(secret),
        STANDARD_NO_PAD.encode(format!("x{secret}y")),
        STANDARD_NO_PAD.encode(format!("xx{secret}yyy")),
    ] {
        assert!(holds(text.as_bytes(), secret), "{text}");
    }
    assert!(!holds(b"ABCD-EFGHIJ-KLM", secret));
}

/// Every column of every table that can hold a text or bytes.
async fn columns_with(world: &World, secrets: &[String]) -> Vec<String> {
    let columns = sqlx::query(
        "SELECT c.table_name::text AS relation, c.column_name::text AS name
         FROM information_schema.columns c JOIN information_schema.tables t
              USING (table_schema, table_name)
         WHERE c.table_schema = 'public' AND t.table_type = 'BASE TABLE'
           AND (c.data_type IN ('text', 'bytea', 'json', 'jsonb', 'character', 'ARRAY')
                OR c.data_type LIKE 'character varying%')",
    )
    .fetch_all(&world.owner)
    .await
    .expect("columns");
    assert!(columns.len() > 80, "only {} columns", columns.len());
    let mut found = Vec::new();
    for column in &columns {
        let (relation, name): (String, String) = (column.get("relation"), column.get("name"));
        // As text, bytes are written in hexadecimal; and once more as they are.
        let query = format!("SELECT {name}::text AS text FROM {relation} WHERE {name} IS NOT NULL");
        let rows = sqlx::query(AssertSqlSafe(query))
            .fetch_all(&world.owner)
            .await
            .expect("rows");
        for row in rows {
            let text: String = row.get("text");
            let bytes = text
                .strip_prefix("\\x")
                .and_then(|text| hex::decode(text).ok());
            for secret in secrets {
                if holds(text.as_bytes(), secret)
                    || bytes.as_deref().is_some_and(|bytes| holds(bytes, secret))
                {
                    found.push(format!("{relation}.{name}"));
                }
            }
        }
    }
    found
}

async fn records_with(world: &World, secrets: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for topic in Topic::ALL {
        for partition in 0..topic.partitions() {
            let records = world.log.read(topic, partition, 0, 10_000).await;
            for record in records.expect("records") {
                let headers = record.headers.iter().map(|header| &header.value);
                let mut parts = headers.chain([&record.key, &record.value]);
                if parts.any(|part| secrets.iter().any(|secret| holds(part, secret))) {
                    found.push(record.position.to_string());
                }
            }
        }
    }
    found
}

/// A payout's whole life, with everything going wrong on the way that can.
async fn live(claim_codes: Option<ClaimCodeStorage>) {
    let written = Written::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(written.clone())
        .finish();
    let _logging = tracing::subscriber::set_default(subscriber);
    let mut world = World::new().await;
    if let Some(claim_codes) = claim_codes {
        world.config.claim_codes = claim_codes;
    }
    world.phones.unreachable.store(true, Ordering::SeqCst);
    world.fake.follow(Script::FirstCalls(vec![
        Fault::Malformed,
        Fault::LostAfterIssuing,
        Fault::None,
        Fault::Malformed,
        Fault::None,
        Fault::Refunded,
    ]));
    let id = world.request(1, rupees(500), Some(NUMBER)).await;
    let running = world.run();
    world
        .as_time_passes("a message that waits", async || {
            world.message_error(id).await.is_some()
        })
        .await;
    let cards = world.fake.cards();
    let card = cards.values().next().expect("a card");
    let secrets = [card.claim_code.clone(), format!("{NUMBER}0001")];
    // While the code is stored, or waits to be fetched.
    assert_eq!(columns_with(&world, &secrets).await, [""; 0]);
    world.phones.unreachable.store(false, Ordering::SeqCst);
    world
        .as_time_passes("sent", async || world.sms_state(id).await == "sent")
        .await;
    for command in 1..4 {
        let resend = ResendMessage { payout_id: id };
        world
            .command(command, CommandBody::ResendMessage(resend))
            .await;
        world
            .as_time_passes("sent anew, or gone", async || {
                let state = world.sms_state(id).await;
                let sent = world.phones.messages().len() > usize::try_from(command).unwrap_or(0);
                (state == "sent" && sent) || state == "card_gone"
            })
            .await;
    }
    let metrics = prometheus::TextEncoder::new()
        .encode_to_string(&running.registry.gather())
        .expect("text");
    running.stop().await;
    tokio::time::sleep(Duration::from_millis(50)).await;

    assert!(world.phones.messages()[0].2.contains(&card.claim_code));
    assert_eq!(columns_with(&world, &secrets).await, [""; 0]);
    assert_eq!(records_with(&world, &secrets).await, [""; 0]);
    let logged = written.0.lock().expect("not poisoned").clone();
    for secret in &secrets {
        assert!(!holds(metrics.as_bytes(), secret));
        assert!(!holds(&logged, secret), "a log line holds a secret");
    }
    let logged = String::from_utf8_lossy(&logged);
    for level in ["ERROR", "WARN", "INFO", "DEBUG", "TRACE"] {
        assert!(logged.contains(level), "nothing was logged as {level}");
    }
    assert!(logged.contains("payout attempted") && logged.contains("message sent"));
}

#[tokio::test]
async fn a_stored_code_is_nowhere_to_be_read() {
    live(None).await;
}

#[tokio::test]
async fn a_code_that_is_not_stored_is_nowhere_to_be_read() {
    live(Some(ClaimCodeStorage::NotStored)).await;
}

/// Whatever an answer with a code in it is taken for, neither form of it shows the code.
#[test]
fn no_outcome_or_error_shows_a_code() {
    let code = "ZYXW-VUTSRQ-PONM";
    let good = format!(
        r#"{{"cardInfo":{{"cardStatus":"Fulfilled","value":{{"amount":500.0,"currencyCode":"INR"}}}},
            "creationRequestId":"Awssb1","gcClaimCode":"{code}","gcId":"1","status":"SUCCESS"}}"#
    );
    let expected = Expected {
        creation_request_id: "Awssb1".into(),
        amount: Amount::from_micros(500_000_000),
        currency: Currency::INR,
    };
    let mut bodies = vec![good.clone(), good.replace("500.0", code)];
    for (from, to) in [
        ("Fulfilled", "RefundedToPurchaser"),
        ("Fulfilled", code),
        ("\"SUCCESS\"", &format!("\"{code}\"")),
        ("INR", code),
        ("Awssb1", code),
        ("\"gcId\":\"1\"", &format!("\"errorCode\":\"{code}\"")),
        (
            "\"gcId\":\"1\"",
            &format!("\"errorCode\":\"F200\",\"message\":\"{code}\""),
        ),
        ("\"gcId\":\"1\"", &format!("\"__type\":\"{code}\"")),
        (
            "\"SUCCESS\"",
            &format!("\"FAILURE\",\"errorCode\":\"F200\",\"message\":\"{code}\""),
        ),
        (
            "\"SUCCESS\"",
            &format!("\"FAILURE\",\"errorCode\":\"F300\",\"errorType\":\"{code}\""),
        ),
    ] {
        bodies.push(good.replace(from, to));
    }
    bodies.extend((0..good.len()).map(|length| good[..length].to_owned()));
    let mut kinds = std::collections::BTreeSet::new();
    for body in bodies {
        let outcome = classify(Answer::Body(body.as_bytes()), &expected);
        kinds.insert(outcome.kind());
        let detail = outcome.detail().map(|detail| detail.as_str().to_owned());
        let shown = format!("{outcome:?} {outcome:#?} {detail:?}");
        assert!(!holds(shown.as_bytes(), code), "{shown}");
    }
    assert!(kinds.len() >= 5, "{kinds:?}");
}
