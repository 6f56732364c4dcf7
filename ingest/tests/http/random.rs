//! Random postbacks: no panic, always a typed outcome, and the log says what the answer said.

use proptest::prelude::*;
use schemas::codec;

use crate::world::World;

#[derive(Debug, Clone)]
struct Postback {
    query: String,
    content_type: &'static str,
    body: Vec<u8>,
}

fn pairs() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        6 => prop::sample::select(vec![
            "click_id", "p1", "offer_id", "sale_amount", "status", "txn_id", "payout", "currency",
            "created", "country", "network", "security_token", "phone",
        ]).prop_map(str::to_owned),
        1 => "[a-z%0-9]{0,8}",
    ];
    let value = prop_oneof![
        "[0-9]{1,20}",
        "-?[0-9]{1,13}\\.[0-9]{0,8}",
        "[A-Za-z%+0-9_-]{0,30}",
        "(%[0-9A-F]{2}){0,6}",
        "[A-Za-z0-9_-]{100,140}",
    ];
    let pair = (name, value).prop_map(|(name, value)| format!("{name}={value}"));
    prop::collection::vec(pair, 0..8).prop_map(|pairs| pairs.join("&"))
}

fn json() -> impl Strategy<Value = Vec<u8>> {
    let name = prop::sample::select(vec!["click_id", "p1", "sale_amount", "txn_id", "sub1"]);
    let value = prop_oneof![
        any::<f64>().prop_map(|number| serde_json::json!(number)),
        any::<u64>().prop_map(|number| serde_json::json!(number)),
        ".{0,20}".prop_map(|text| serde_json::json!(text)),
        Just(serde_json::json!(null)),
        Just(serde_json::json!(["nested"])),
    ];
    prop::collection::hash_map(name, value, 0..5)
        .prop_map(|members| serde_json::to_vec(&members).expect("plain values"))
}

fn postback() -> impl Strategy<Value = Postback> {
    let form = "application/x-www-form-urlencoded";
    let body = prop_oneof![
        2 => Just((form, Vec::new())),
        3 => pairs().prop_map(move |pairs| (form, pairs.into_bytes())),
        3 => json().prop_map(|json| ("application/json", json)),
        1 => prop::collection::vec(any::<u8>(), 1..100)
            .prop_map(|bytes| ("application/json", bytes)),
        1 => prop::collection::vec(any::<u8>(), 1..100).prop_map(move |bytes| (form, bytes)),
        1 => Just(("text/plain", b"p1=7".to_vec())),
    ];
    (pairs(), body).prop_map(|(query, (content_type, body))| Postback {
        query,
        content_type,
        body,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_log_says_what_the_answers_said(postbacks in prop::collection::vec(postback(), 1..12)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let world = World::start().await;
            let mut answers = Vec::new();
            for postback in &postbacks {
                let target = format!("/v1/events/conversion?{}", postback.query);
                let answer = world.post(&target, postback.content_type, &postback.body).await;
                answers.push(answer.ignored());
            }
            let mut conversions = world.conversions().await;
            // Event ids rise in the order of the requests.
            conversions.sort_by_key(|(_, event)| event.event_id);
            prop_assert_eq!(conversions.len(), answers.len());
            for ((record, event), answer) in conversions.iter().zip(answers) {
                let reason = event.malformed.map(ingest::reason_name);
                prop_assert_eq!(reason, answer.as_deref());
                prop_assert_eq!(event.reported.is_none(), event.malformed.is_some());
                prop_assert_eq!(&codec::encode(event).expect("encodes"), &record.value.to_vec());
                let key = String::from_utf8(record.key.to_vec()).expect("text");
                let own_key =
                    event.click_id.map_or(event.event_id.to_string(), |id| id.to_string());
                let by_reference =
                    event.reported.as_ref().is_some_and(|report| report.click_ref == key);
                prop_assert!(key == own_key || by_reference || event.malformed.is_some());
            }
            Ok(())
        })?;
    }
}
