//! Records that can't be read are set aside with their bytes; the others go on, and anybody's
//! client can read what became of them.

use std::{collections::BTreeSet, net::SocketAddr};

use rust_decimal::Decimal;
use schemas::Topic;
use serde_json::{Value, json};
use stream::{Log, NewRecord, Record};
use url::Url;

use crate::{
    http::{COMMISSION_PAISE, counter, order, request, sell, until},
    installation::{Installation, Instance, shared_broker, shared_registry},
    strangers,
};

const SALES: u32 = 12;

/// Registers a later version of the schema of `conversions`, as a newer program would, and returns
/// its id.
fn register_newer_schema(installation: &Installation) -> u32 {
    let registry = installation.registry.as_ref().expect("a registry");
    let registry = Url::parse(registry).expect("an address");
    let (host, port) = (registry.host_str(), registry.port());
    let address: SocketAddr = format!("{}:{}", host.expect("a host"), port.expect("a port"))
        .parse()
        .expect("an address");
    let topic = installation.settings.topic_name(Topic::Conversions);
    let versions = format!("{}/subjects/{topic}-value/versions", registry.path());
    let latest = request(address, &format!("GET {versions}/latest"), "").expect("answered");
    let schema = latest.json()["schema"]
        .as_str()
        .expect("a schema")
        .to_owned();
    let mut schema: Value = serde_json::from_str(&schema).expect("JSON");
    let fields = schema["fields"].as_array_mut().expect("fields");
    fields.push(json!({"name": "from_later", "type": ["null", "string"], "default": null}));
    let body = json!({ "schema": schema.to_string() }).to_string();
    let registered = request(address, &format!("POST {versions}"), &body).expect("answered");
    assert_eq!(registered.status, 200, "{registered:?}");
    let id = registered.json()["id"].as_u64().expect("an id");
    u32::try_from(id).expect("an id")
}

/// What this program can't read: no Avro at all, a schema that nobody has, a later schema.
fn unreadable(installation: &Installation, report: &Record) -> Vec<Vec<u8>> {
    let with_id = |id: u32| {
        let mut value = report.value.to_vec();
        value[1..5].copy_from_slice(&id.to_be_bytes());
        value
    };
    let mut later = with_id(register_newer_schema(installation));
    // The field that it has more: null.
    later.push(0);
    vec![b"{\"not\": \"avro\"}".to_vec(), with_id(4_711), later]
}

#[test]
fn unreadable_records_are_set_aside_and_strangers_read_the_rest() {
    let installation = Installation::make("records", shared_broker(), Some(shared_registry()));
    let instances = installation.start(&[("ingest", 1), ("process", 1), ("ledger", 1)]);
    let (ingest, process) = (instances[0].address, instances[1].address);
    let log = installation.raw_log();
    for sale in 0..SALES / 2 {
        sell(&[ingest], sale);
    }
    let reports = installation.read_all(&log, Topic::Conversions);
    let unreadable = unreadable(&installation, &reports[0]);
    let records = unreadable
        .iter()
        .map(|value| NewRecord::new(reports[0].key.clone(), value.clone()))
        .collect();
    let appended = installation
        .runtime
        .block_on(log.append(Topic::Conversions, records))
        .expect("appended");
    for sale in SALES / 2..SALES {
        sell(&[ingest], sale);
    }
    until("the ledger has the sales before and after", || {
        installation.number("SELECT count(*) FROM ledger WHERE status = 'confirmed'")
            == i64::from(SALES)
    });
    until("each of the others has its fate", || {
        installation
            .number("SELECT count(*) FROM unmatched_conversions WHERE state = 'dead_lettered'")
            == 3
    });

    let letters = installation.read_all(&log, Topic::DeadLetters);
    let kept: BTreeSet<Vec<u8>> = letters.iter().map(|letter| letter.value.to_vec()).collect();
    assert_eq!(kept, unreadable.into_iter().collect());
    let origins: BTreeSet<Vec<u8>> = letters
        .iter()
        .filter_map(|letter| letter.header(processors::stage::dead_letters::ORIGIN))
        .map(|origin| origin.to_vec())
        .collect();
    let positions = appended.iter().map(|at| at.to_string().into_bytes());
    assert_eq!(origins, positions.collect());
    let poisoned = "hissaback_processors_decisions_total{outcome=\"poisoned\"}";
    let metrics = request(process, "GET /metrics", "").expect("answered").body;
    assert!(metrics.contains(&format!("{poisoned} 3")), "{metrics}");
    for instance in &instances {
        assert_eq!(instance.health().map(|(status, _)| status), Some(200));
    }
    assert!(counter(ingest, "hissaback_ingest_accepted_total") > 0.0);

    read_as_a_stranger(&installation);
    installation.runtime.block_on(log.close());
    instances.into_iter().for_each(Instance::stop);
    installation.end();
}

fn read_as_a_stranger(installation: &Installation) {
    let decisions = strangers::read(installation, Topic::Decisions);
    let decided = |decision: &&Value| !decision["value"]["reported"].is_null();
    let orders: BTreeSet<String> = decisions
        .iter()
        .filter(decided)
        .map(|decision| {
            let value = &decision["value"];
            assert_eq!(value["source"]["topic"], "conversions", "{value:#}");
            assert_eq!(value["report_source"], "postback", "{value:#}");
            let split = &value["outcome"]["split"];
            let commission = Decimal::from(COMMISSION_PAISE) / Decimal::ONE_HUNDRED;
            assert_eq!(amount(&split["commission"]), commission, "{value:#}");
            assert_eq!(
                amount(&value["reported"]["sale_amount"]),
                Decimal::from(1_999)
            );
            value["reported"]["txn_id"]
                .as_str()
                .expect("text")
                .to_owned()
        })
        .collect();
    assert_eq!(orders, (0..SALES).map(order).collect());
    let poisoned = decisions.iter().filter(|decision| !decided(decision));
    assert_eq!(
        poisoned
            .filter(|decision| decision["value"]["outcome"]["error"].is_string())
            .count(),
        3
    );
}

/// An Avro decimal, as Python shows it.
fn amount(value: &Value) -> Decimal {
    value.as_str().expect("text").parse().expect("a number")
}
