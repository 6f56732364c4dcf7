//! Schemas evolve backward-compatibly: every version reads every payload of the versions before
//! it, by our codec and by the rules of Avro; and a change that breaks this is refused.

use std::{collections::BTreeMap, fs, path::Path};

use apache_avro::{
    Schema,
    reader::datum::GenericDatumReader,
    schema::RecordField,
    schema_compatibility::{Compatibility, SchemaCompatibility},
    types::Value as Datum,
};
use schemas::{
    Topic,
    codec::{self, CodecError, Event, REGISTRY, SchemaVersion},
    events::{
        ClickRecorded, Command, ConversionReported, Decision, LedgerChanged, PayoutRequested,
        PayoutResult,
    },
};
use serde_json::{Value, json};

/// A payload that was once written: `golden/{topic}[.{case}].v{version}.avro`.
struct Golden {
    name: String,
    topic: Topic,
    /// The version of the topic's schema, from 1.
    version: usize,
    bytes: Vec<u8>,
}

fn golden() -> Vec<Golden> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    let files = fs::read_dir(folder).expect("a folder");
    let payloads = files.map(|file| {
        let path = file.expect("a file").path();
        let name = path
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        let stem = name.strip_suffix(".avro").expect("an Avro payload");
        let (case, version) = stem.rsplit_once(".v").expect("a version");
        let topic = case.split('.').next().expect("a topic");
        Golden {
            topic: topic.parse().expect("a topic"),
            version: version.parse().expect("a version"),
            bytes: fs::read(&path).expect("readable"),
            name,
        }
    });
    payloads.collect()
}

/// The versions of each topic's schema, in order.
fn versions() -> BTreeMap<Topic, Vec<SchemaVersion>> {
    let mut versions: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for version in REGISTRY {
        versions.entry(version.topic).or_default().push(*version);
    }
    versions
}

fn parsed(json: &str) -> Schema {
    Schema::parse_str(json).expect("a schema")
}

/// Whether `newer` reads whatever was written with `older`. A partial compatibility, where it
/// depends on the datum, is none.
fn reads(older: &Schema, newer: &Schema) -> bool {
    matches!(
        SchemaCompatibility::can_read(older, newer),
        Ok(Compatibility::Full)
    )
}

/// An event that was read and is written again, as it is written today.
fn rewritten(topic: Topic, bytes: &[u8]) -> Result<Vec<u8>, CodecError> {
    fn again<E: Event>(bytes: &[u8]) -> Result<Vec<u8>, CodecError> {
        codec::encode(&codec::decode::<E>(bytes)?)
    }
    match topic {
        Topic::Clicks => again::<ClickRecorded>(bytes),
        Topic::Conversions => again::<ConversionReported>(bytes),
        Topic::Decisions => again::<Decision>(bytes),
        Topic::Commands => again::<Command>(bytes),
        Topic::Ledger => again::<LedgerChanged>(bytes),
        Topic::Payouts => again::<PayoutRequested>(bytes),
        Topic::PayoutResults => again::<PayoutResult>(bytes),
        Topic::DeadLetters => panic!("dead letters have no schema"),
    }
}

#[test]
fn every_version_has_a_golden_payload_with_its_id() {
    let golden = golden();
    for (topic, versions) in versions() {
        for (number, version) in (1..).zip(versions) {
            let payloads: Vec<_> = golden
                .iter()
                .filter(|payload| payload.topic == topic && payload.version == number)
                .collect();
            assert!(!payloads.is_empty(), "{topic} has none of version {number}");
            for payload in payloads {
                let header = [&[0], version.id.to_be_bytes().as_slice()].concat();
                assert_eq!(payload.bytes[..5], header, "{}", payload.name);
            }
        }
    }
}

#[test]
fn every_payload_ever_written_is_read_today() {
    for payload in golden() {
        rewritten(payload.topic, &payload.bytes)
            .unwrap_or_else(|error| panic!("{}: {error}", payload.name));
    }
}

/// Our codec fills the gaps of an older payload by the events' serde defaults, other tools by the
/// schema's: they have to be the same.
#[test]
fn what_a_payload_lacks_is_filled_by_the_defaults_of_the_newest_schema() {
    for payload in golden() {
        let bytes = rewritten(payload.topic, &payload.bytes).expect("read and written");
        let written = datum(&payload.bytes);
        let (newest, now) = (schema_of(&bytes), datum(&bytes));
        let mut differences = Vec::new();
        compare(&written, &now, &newest, "", &mut differences);
        assert!(differences.is_empty(), "{}: {differences:?}", payload.name);
    }
}

fn schema_of(bytes: &[u8]) -> Schema {
    let id = u32::from_be_bytes(bytes[1..5].try_into().expect("a header"));
    let version = REGISTRY.iter().find(|version| version.id == id);
    parsed(version.expect("ours").json)
}

fn datum(bytes: &[u8]) -> Datum {
    let schema = schema_of(bytes);
    let reader = GenericDatumReader::builder(&schema).build();
    let datum = reader.expect("a reader").read_value(&mut &bytes[5..]);
    datum.expect("a datum")
}

/// Notes where `now` is neither what was written nor, where nothing was, the schema's default. A
/// value counts whether or not it stands in a union.
fn compare(written: &Datum, now: &Datum, schema: &Schema, at: &str, differences: &mut Vec<String>) {
    if let Datum::Union(_, written) = written {
        return compare(written, now, schema, at, differences);
    }
    if let (Datum::Union(member, now), Schema::Union(union)) = (now, schema) {
        let member = &union.variants()[*member as usize];
        return compare(written, now, member, at, differences);
    }
    match (written, now, schema) {
        (Datum::Record(written), Datum::Record(now), Schema::Record(schema)) => {
            for ((name, now), field) in now.iter().zip(&schema.fields) {
                let at = format!("{at}.{name}");
                match written.iter().find(|(written, _)| written == name) {
                    Some((_, written)) => compare(written, now, &field.schema, &at, differences),
                    None if is_default(now, field.default.as_ref()) => {}
                    None => differences.push(format!("{at}: {now:?}")),
                }
            }
        }
        (Datum::Array(written), Datum::Array(now), Schema::Array(schema)) => {
            assert_eq!(written.len(), now.len(), "{at}");
            for (written, now) in written.iter().zip(now) {
                compare(written, now, &schema.items, at, differences);
            }
        }
        (Datum::Enum(_, written), Datum::Enum(_, now), _) if written == now => {}
        // A named type that stood before is only referred to: its fields are compared as they are.
        (written, now, _) if written == now => {}
        (written, now, _) => differences.push(format!("{at}: {written:?} became {now:?}")),
    }
}

fn is_default(now: &Datum, default: Option<&Value>) -> bool {
    match (now, default) {
        (Datum::Union(_, now), default) => is_default(now, default),
        (Datum::Null, Some(Value::Null)) => true,
        (Datum::Boolean(now), Some(Value::Bool(default))) => now == default,
        (Datum::Int(now), Some(Value::Number(default))) => {
            Some(i64::from(*now)) == default.as_i64()
        }
        (Datum::Long(now), Some(Value::Number(default))) => Some(*now) == default.as_i64(),
        (Datum::String(now) | Datum::Enum(_, now), Some(Value::String(default))) => now == default,
        (Datum::Array(now), Some(Value::Array(default))) => now.is_empty() && default.is_empty(),
        (_, _) => false,
    }
}

#[test]
fn every_version_reads_all_before_it() {
    for (topic, versions) in versions() {
        for (index, newer) in versions.iter().enumerate() {
            for older in &versions[..=index] {
                assert!(
                    reads(&parsed(older.json), &parsed(newer.json)),
                    "{topic}: schema {} does not read {}",
                    newer.id,
                    older.id
                );
            }
        }
    }
}

/// An older union is read by the places of its members, so these must stay.
#[test]
fn new_members_of_a_union_stand_at_its_end() {
    for (topic, versions) in versions() {
        for pair in versions.windows(2) {
            let (older, newer) = (parsed(pair[0].json), parsed(pair[1].json));
            check_unions(&older, &newer, topic.name());
        }
    }
}

fn check_unions(older: &Schema, newer: &Schema, at: &str) {
    match (older, newer) {
        (Schema::Union(older), Schema::Union(newer)) => {
            assert!(older.variants().len() <= newer.variants().len(), "{at}");
            for (older, newer) in older.variants().iter().zip(newer.variants()) {
                assert!(
                    reads(older, newer),
                    "{at}: {older:?} made way for {newer:?}"
                );
                check_unions(older, newer, at);
            }
        }
        (Schema::Record(older), Schema::Record(newer)) => {
            for field in &older.fields {
                let same = |other: &&RecordField| other.name == field.name;
                if let Some(kept) = newer.fields.iter().find(same) {
                    let at = format!("{at}.{}", field.name);
                    check_unions(&field.schema, &kept.schema, &at);
                }
            }
        }
        (Schema::Array(older), Schema::Array(newer)) => {
            check_unions(&older.items, &newer.items, at);
        }
        // What wasn't a union, and is one now, is its first member.
        (older, Schema::Union(newer)) => {
            assert!(reads(older, &newer.variants()[0]), "{at}");
        }
        (_, _) => {}
    }
}

#[test]
fn a_change_that_breaks_readers_is_told_from_one_that_does_not() {
    let newest = codec::newest(Topic::PayoutResults).expect("a schema");
    let changed = |change: &dyn Fn(&mut Vec<Value>)| {
        let mut schema: Value = serde_json::from_str(newest.json).expect("json");
        change(schema["fields"].as_array_mut().expect("fields"));
        reads(&parsed(newest.json), &parsed(&schema.to_string()))
    };
    // Fields: payout_id, step, at, attempt, detail, card_id.
    assert!(changed(&|_| {}));
    assert!(changed(&|fields| drop(fields.pop())));
    assert!(changed(&|fields| fields.push(
        json!({"name": "added", "type": ["null", "long"], "default": null})
    )));
    assert!(changed(&|fields| fields[3]["type"] = json!("long")));

    assert!(!changed(
        &|fields| fields.push(json!({"name": "added", "type": "long"}))
    ));
    assert!(!changed(&|fields| fields[3]["name"] = json!("tries")));
    assert!(!changed(&|fields| fields[3]["type"] = json!("string")));
    assert!(!changed(&|fields| fields[2]["type"] = json!("int")));
    assert!(!changed(
        &|fields| fields[5] = json!({"name": "card_id", "type": "string"})
    ));
    assert!(!changed(&|fields| {
        let symbols = fields[1]["type"]["symbols"].as_array_mut();
        symbols.expect("symbols").pop();
    }));
}
