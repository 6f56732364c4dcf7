//! Older versions read as the newest: real payloads of version 1 under a version 2 made here.

use std::{fs, path::Path};

use apache_avro::Schema;
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::{
    Amount, PayoutId, Timestamp,
    events::{CancelPayout, CommandBody, PayoutStep},
};

fn first(topic: Topic) -> SchemaVersion {
    *REGISTRY
        .iter()
        .find(|version| version.topic == topic)
        .expect("a schema")
}

/// The first version of a topic's schema, and a second that differs from it by `edit`.
fn with_second(topic: Topic, edit: impl FnOnce(&mut Value)) -> [SchemaVersion; 2] {
    let first = first(topic);
    let mut schema = serde_json::from_str(first.json).expect("json");
    edit(&mut schema);
    let json = Box::leak(schema.to_string().into_boxed_str());
    [
        first,
        SchemaVersion {
            id: 900,
            topic,
            json,
        },
    ]
}

fn codecs(versions: &[SchemaVersion]) -> Vec<Codec> {
    build_all(versions).unwrap_or_else(|(version, error)| panic!("{}: {error}", version.id))
}

fn refusal(topic: Topic, edit: impl FnOnce(&mut Value)) -> String {
    let built = build_all(&with_second(topic, edit));
    built.err().expect("refused").1.to_string()
}

fn golden() -> Vec<(Topic, String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    let payloads = fs::read_dir(folder).expect("a folder").map(|entry| {
        let path = entry.expect("a file").path();
        let name = path.file_name().expect("a name").to_string_lossy();
        let topic = name.split('.').next().expect("a topic").parse();
        let bytes = fs::read(&path).expect("readable");
        (topic.expect("a topic"), name.into_owned(), bytes)
    });
    payloads.collect()
}

fn payload(name: &str) -> Vec<u8> {
    let found = golden().into_iter().find(|(_, file, _)| file == name);
    found.expect("a golden payload").2
}

fn fields(schema: &mut Value) -> &mut Vec<Value> {
    schema["fields"].as_array_mut().expect("fields")
}

fn written_by(bytes: &[u8]) -> Schema {
    let (id, _) = unframe(bytes).expect("framed");
    let version = REGISTRY.iter().find(|version| version.id == id);
    Schema::parse_str(version.expect("ours").json).expect("parses")
}

#[test]
fn under_its_own_schema_a_datum_stays_as_it_is() {
    for (_, name, bytes) in golden() {
        let schema = written_by(&bytes);
        let plan = resolution::resolve(&schema, &schema).expect("resolves");
        let (_, mut datum) = unframe(&bytes).expect("framed");
        let mut rewritten = Vec::new();
        plan.run(&mut datum, &mut rewritten).expect(&name);
        assert!(datum.is_empty(), "{name}");
        assert_eq!(rewritten, bytes[HEADER_BYTES..], "{name}");
    }
}

#[test]
fn a_datum_that_is_cut_short_is_refused_wherever_it_is_cut() {
    for (_, name, bytes) in golden() {
        let schema = written_by(&bytes);
        let plan = resolution::resolve(&schema, &schema).expect("resolves");
        let (_, whole) = unframe(&bytes).expect("framed");
        for length in 0..whole.len() {
            let mut datum = &whole[..length];
            assert!(
                plan.run(&mut datum, &mut Vec::new()).is_err(),
                "{name} cut to {length} bytes"
            );
        }
    }
}

/// What version 2 of `payout-results` would be read into.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename = "PayoutResult")]
struct PayoutResult2 {
    payout_id: PayoutId,
    rail: String,
    step: PayoutStep,
    at: Timestamp,
    attempt: i64,
    fee: Amount,
    retry_at: Option<Timestamp>,
    tries: Vec<i32>,
    card_number: Option<String>,
    origin: Origin2,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename = "Origin")]
struct Origin2 {
    instance: i32,
    kind: Kind2,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename = "Kind", rename_all = "snake_case")]
enum Kind2 {
    Machine,
    Person,
}

impl Event for PayoutResult2 {
    const TOPIC: Topic = Topic::PayoutResults;
}

#[test]
fn a_payload_of_version_1_is_read_as_version_2() {
    let versions = with_second(Topic::PayoutResults, |schema| {
        let fields = fields(schema);
        // payout_id, step, at, attempt, detail, card_id
        fields[5]["name"] = json!("card_number");
        fields[5]["aliases"] = json!(["card_id"]);
        fields.remove(4);
        fields[3]["type"] = json!("long");
        fields[1]["type"]["symbols"] = json!([
            "queued",
            "error_hard",
            "error_soft",
            "funded",
            "cancelled",
            "sending"
        ]);
        fields.insert(
            1,
            json!({"name": "rail", "type": "string", "default": "agcod"}),
        );
        let decimal =
            json!({"type": "bytes", "logicalType": "decimal", "precision": 19, "scale": 6});
        fields.insert(
            5,
            json!({"name": "fee", "type": decimal, "default": "\u{1}\u{86}\u{a0}"}),
        );
        fields.insert(
            6,
            json!({
                "name": "retry_at",
                "type": ["null", {"type": "long", "logicalType": "timestamp-millis"}],
                "default": null,
            }),
        );
        fields.insert(
            7,
            json!({
                "name": "tries", "type": {"type": "array", "items": "int"}, "default": [3, -5],
            }),
        );
        fields.push(json!({
            "name": "origin",
            "type": {"type": "record", "name": "Origin", "fields": [
                {"name": "instance", "type": "int"},
                {"name": "kind", "default": "machine", "type":
                    {"type": "enum", "name": "Kind", "symbols": ["person", "machine"]}},
            ]},
            "default": {"instance": 7},
        }));
    });
    let read: PayoutResult2 =
        decode_with(&codecs(&versions), &payload("payout-results.v1.avro")).expect("decodes");
    let expected = PayoutResult2 {
        payout_id: PayoutId::new(Uuid::from_u128(9)),
        rail: "agcod".to_owned(),
        step: PayoutStep::Funded,
        at: Timestamp::from_millis(1_795_000_000_500),
        attempt: 2,
        fee: "0.1".parse().expect("an amount"),
        retry_at: None,
        tries: vec![3, -5],
        card_number: Some("5535125272070255".to_owned()),
        origin: Origin2 {
            instance: 7,
            kind: Kind2::Machine,
        },
    };
    assert_eq!(read, expected);
}

fn members(schema: &mut Value) -> &mut Vec<Value> {
    let body = fields(schema)
        .iter_mut()
        .find(|field| field["name"] == "body")
        .expect("a body");
    body["type"].as_array_mut().expect("a union")
}

#[test]
fn a_member_of_a_union_is_told_by_its_name_and_not_by_its_look() {
    let payout_id = PayoutId::new(Uuid::from_u128(9));
    let cancel = payload("commands.cancel.v1.avro");
    let longer = with_second(Topic::Commands, |schema| {
        fields(schema).push(json!({"name": "added", "type": "long", "default": 0}));
    });
    let read: Command = decode_with(&codecs(&longer), &cancel).expect("decodes");
    assert_eq!(
        read.body,
        CommandBody::CancelPayout(CancelPayout { payout_id })
    );

    let reversed = with_second(Topic::Commands, |schema| members(schema).reverse());
    let [older, newer] = reversed.map(|version| Schema::parse_str(version.json).expect("parses"));
    let plan = resolution::resolve(&older, &newer).expect("resolves");
    let mut rewritten = Vec::new();
    plan.run(&mut &cancel[HEADER_BYTES..], &mut rewritten)
        .expect("runs");
    let read = GenericDatumReader::builder(&newer)
        .build()
        .and_then(|reader| reader.read_value(&mut rewritten.as_slice()))
        .expect("reads");
    // ReviewClaim, MatchByHand, Correct, ReleasePayout, CancelPayout, ChannelSwitch: from behind.
    let shown = format!("{read:?}");
    assert!(
        shown.contains("(\"body\", Union(1, Record([(\"payout_id\""),
        "{shown}"
    );
}

#[test]
fn every_payload_survives_a_field_more_with_every_amount_as_it_was() {
    for (topic, name, bytes) in golden() {
        let versions = with_second(topic, |schema| {
            fields(schema).push(json!({"name": "added", "type": "long", "default": -1}));
        });
        let codecs = codecs(&versions);
        let plan = codecs[0].resolution.as_ref().expect("older");
        let (id, mut datum) = unframe(&bytes).expect("framed");
        if id == versions[0].id {
            let mut rewritten = Vec::new();
            plan.run(&mut datum, &mut rewritten).expect(&name);
            assert_eq!(rewritten, [&bytes[HEADER_BYTES..], &[1]].concat(), "{name}");
        }
    }
}

#[test]
fn a_version_that_cannot_read_the_one_before_is_refused_with_the_place_and_the_reason() {
    let topic = Topic::PayoutResults;
    let added = |schema: &mut Value| {
        fields(schema).push(json!({"name": "added", "type": "long"}));
    };
    assert_eq!(
        refusal(topic, added),
        "the newest version can't read it: added: a new field without a default"
    );
    let retyped = |schema: &mut Value| fields(schema)[3]["type"] = json!("string");
    assert!(refusal(topic, retyped).ends_with("attempt: another type"));
    let narrowed = |schema: &mut Value| fields(schema)[2]["type"] = json!("int");
    assert!(refusal(topic, narrowed).ends_with("at: another type"));
    let symbol = |schema: &mut Value| {
        let symbols = fields(schema)[1]["type"]["symbols"].as_array_mut();
        symbols.expect("symbols").remove(0);
    };
    assert!(refusal(topic, symbol).ends_with("step: the enum has no symbol sending"));
    let unabsent = |schema: &mut Value| {
        let card = &mut fields(schema)[5];
        card["type"] = json!("string");
        card["default"] = json!("");
    };
    assert!(refusal(topic, unabsent).ends_with("card_id: another type"));
    let reordered = |schema: &mut Value| fields(schema).swap(2, 3);
    assert!(refusal(topic, reordered).ends_with("the fields have another order"));
    let default = |schema: &mut Value| {
        fields(schema).push(json!({"name": "added", "type": "long", "default": 0.5}));
    };
    // The library refuses this one itself.
    assert!(refusal(topic, default).contains("added"));
    let scale = |schema: &mut Value| {
        let amount = fields(schema)
            .iter_mut()
            .find(|field| field["type"]["logicalType"] == "decimal");
        amount.expect("an amount")["type"]["scale"] = json!(2);
    };
    assert!(refusal(Topic::Payouts, scale).ends_with("another precision or scale"));
    let member = |schema: &mut Value| {
        members(schema).remove(0);
    };
    let refused = refusal(Topic::Commands, member);
    assert!(
        refused.ends_with("body: the union takes no com.hissaback.ReviewClaim"),
        "{refused}"
    );
}

#[test]
fn a_schema_that_holds_itself_is_refused() {
    let json = r#"{"type": "record", "name": "Nest", "fields": [
        {"name": "inner", "type": ["null", "Nest"], "default": null}]}"#;
    let schema = Schema::parse_str(json).expect("parses");
    let refused = resolution::resolve(&schema, &schema).expect_err("refused");
    assert!(
        refused.to_string().contains("nested too deeply"),
        "{refused}"
    );
}

proptest! {
    #[test]
    fn random_bytes_never_panic_a_plan(bytes: Vec<u8>) {
        for version in REGISTRY {
            let schema = Schema::parse_str(version.json).expect("parses");
            let plan = resolution::resolve(&schema, &schema).expect("resolves");
            let _outcome = plan.run(&mut bytes.as_slice(), &mut Vec::new());
        }
    }

    #[test]
    fn numbers_are_written_as_the_library_writes_them(number: i64) {
        let mut ours = Vec::new();
        rewriting::write_number(number, &mut ours);
        let mut theirs = Vec::new();
        GenericDatumWriter::builder(&Schema::Long)
            .build()
            .expect("a writer")
            .write_value(&mut theirs, number)
            .expect("written");
        prop_assert_eq!(&ours, &theirs);
        let mut copied = Vec::new();
        Plan::Number.run(&mut ours.as_slice(), &mut copied).expect("read");
        prop_assert_eq!(copied, theirs);
    }
}
