//! A real registry: Apicurio's, by its API of Confluent's.

use reqwest::{Client, StatusCode};
use schema_registry_converter::async_impl::{
    avro::AvroDecoder,
    schema_registry::{get_all_versions, post_schema},
};
use schema_registry_converter::schema_registry_common::{SchemaType, SuppliedSchema};
use schemas::{
    Topic,
    codec::{self, REGISTRY},
};
use serde_json::{Value, json};
use stream::{
    broker::RegistryServer,
    registry::{RegistrySettings, SchemaDifference, SchemaRegistry},
};

use super::{another_tool, changed, client, golden};

/// The registry that these tests share, for subjects that begin so.
fn shared(topic_prefix: &str) -> (&'static RegistryServer, SchemaRegistry) {
    let server = RegistryServer::shared().unwrap_or_else(|error| panic!("{error}"));
    let settings = RegistrySettings {
        topic_prefix: topic_prefix.to_owned(),
        ..RegistrySettings::at(server.url())
    };
    let registry = SchemaRegistry::connect(settings).expect("settings that can be");
    (server, registry)
}

async fn post(server: &RegistryServer, subject: &str, schema: &str) -> u32 {
    let schema = SuppliedSchema::new(None, SchemaType::Avro, schema.to_owned());
    let posted = post_schema(&another_tool(&server.url()), subject.to_owned(), schema).await;
    posted.expect("taken").id
}

async fn put_level(server: &RegistryServer, subject: &str, level: &str) {
    let answer = http()
        .put(format!("{}/config/{subject}", server.url()))
        .header("content-type", "application/json")
        .body(json!({"compatibility": level}).to_string())
        .send()
        .await
        .expect("answers");
    assert_eq!(answer.status(), StatusCode::OK);
}

async fn level(server: &RegistryServer, subject: &str) -> Value {
    let url = format!("{}/config/{subject}", server.url());
    let answer = http().get(url).send().await.expect("answers");
    answer.json::<Value>().await.expect("json")["compatibilityLevel"].clone()
}

fn http() -> Client {
    let tls = rustls::ClientConfig::builder_with_provider(
        rustls::crypto::ring::default_provider().into(),
    )
    .with_safe_default_protocol_versions()
    .expect("TLS")
    .with_root_certificates(rustls::RootCertStore::empty())
    .with_no_client_auth();
    let client = Client::builder().tls_backend_preconfigured(tls).build();
    client.expect("a client")
}

#[tokio::test]
async fn everything_is_registered_once_and_in_order() {
    let (server, registry) = shared("once.");
    let before = registry.inspect().await.expect("answers");
    assert_eq!(before.missing.len(), REGISTRY.len());
    assert!(before.registered.is_empty() && before.differences.is_empty());
    let error = registry.ids().await.expect_err("nothing there");
    assert!(
        error.to_string().contains("version 1 of once.clicks-value"),
        "{error}"
    );

    let report = registry.register_all().await.expect("answers");
    assert!(report.as_expected(), "{report:?}");
    assert_eq!(report.registered.len(), REGISTRY.len());
    let again = registry.register_all().await.expect("answers");
    assert!(
        again.as_expected() && again.registered.is_empty(),
        "{again:?}"
    );
    assert_eq!(again.unchanged, report.registered);
    assert_eq!(registry.inspect().await.expect("answers"), again);
    registry.ids().await.expect("all there");
    for topic in Topic::ALL
        .into_iter()
        .filter(|topic| *topic != Topic::DeadLetters)
    {
        let subject = format!("once.{topic}-value");
        assert_eq!(level(server, &subject).await, "BACKWARD", "{subject}");
        let versions = REGISTRY.iter().filter(|version| version.topic == topic);
        let registered = get_all_versions(&another_tool(&server.url()), subject).await;
        assert_eq!(registered.expect("answers").len(), versions.count());
    }
}

/// What one of them says may be out of date already; what comes of both is right.
#[tokio::test]
async fn two_at_once_come_to_the_same() {
    let (_, registry) = shared("twice.");
    let (one, other) = tokio::join!(registry.register_all(), registry.register_all());
    one.expect("answers");
    other.expect("answers");
    let after = registry.inspect().await.expect("answers");
    assert!(after.as_expected(), "{after:?}");
    assert_eq!(after.unchanged.len(), REGISTRY.len());
    registry.ids().await.expect("all there");
}

#[tokio::test]
async fn a_registry_of_our_own_gives_our_ids_and_another_tool_reads_our_records() {
    let server = RegistryServer::start().unwrap_or_else(|error| panic!("{error}"));
    let registry = client(&server.url());
    registry.register_all().await.expect("answers");
    let ids = registry.ids().await.expect("all there");
    assert!(ids.are_equal(), "{ids:?}");
    let decoder = AvroDecoder::new(another_tool(&server.url()));
    let decoded = decoder.decode(Some(&golden("decisions.matched.v1"))).await;
    assert_eq!(
        decoded.expect("reads it").name.expect("a record").name(),
        "Decision"
    );
    server.kill().expect("ends");
    let error = registry.ids().await.expect_err("gone");
    assert!(error.temporary(), "{error}");
}

#[tokio::test]
async fn a_change_that_breaks_readers_is_refused() {
    let (server, registry) = shared("change.");
    registry.register_all().await.expect("answers");
    let subject = "change.payout-results-value";
    let compatible = changed(Topic::PayoutResults, |fields| {
        fields.push(json!({"name": "added", "type": ["null", "long"], "default": null}));
    });
    assert!(
        registry
            .compatible(subject, &compatible)
            .await
            .expect("answers")
    );
    for breaking in [
        changed(Topic::PayoutResults, |fields| {
            fields.push(json!({"name": "added", "type": "long"}));
        }),
        changed(Topic::PayoutResults, |fields| {
            fields[3]["name"] = json!("tries");
        }),
        changed(Topic::PayoutResults, |fields| {
            fields[3]["type"] = json!("string");
        }),
        changed(Topic::PayoutResults, |fields| {
            fields[1]["type"]["symbols"]
                .as_array_mut()
                .expect("symbols")
                .pop();
        }),
    ] {
        assert!(
            !registry
                .compatible(subject, &breaking)
                .await
                .expect("answers")
        );
        let schema = SuppliedSchema::new(None, SchemaType::Avro, breaking);
        let posted = post_schema(&another_tool(&server.url()), subject.to_owned(), schema).await;
        let error = posted.expect_err("refused").to_string();
        assert!(error.contains("409"), "{error}");
    }
    assert!(registry.inspect().await.expect("answers").as_expected());
}

#[tokio::test]
async fn a_subject_of_somebody_elses_is_left_alone() {
    let (server, registry) = shared("taken.");
    post(
        server,
        "taken.clicks-value",
        r#"{"type": "record", "name": "Other", "fields": []}"#,
    )
    .await;
    put_level(server, "taken.clicks-value", "FULL").await;
    let report = registry.register_all().await.expect("answers");
    let subject = "taken.clicks-value".to_owned();
    assert_eq!(
        report.differences,
        [
            SchemaDifference::Unknown {
                subject: subject.clone(),
                versions: vec![1]
            },
            SchemaDifference::Compatibility {
                subject: subject.clone(),
                found: "FULL".to_owned()
            },
        ]
    );
    assert_eq!(
        report.differences[1].to_string(),
        "subject taken.clicks-value has compatibility FULL, and BACKWARD is expected"
    );
    assert_eq!(report.missing.len(), 1);
    assert_eq!(report.registered.len(), REGISTRY.len() - 1);
    let versions = get_all_versions(&another_tool(&server.url()), subject.clone()).await;
    assert_eq!(versions.expect("answers"), [1]);
    assert_eq!(level(server, &subject).await, "FULL");
}

#[tokio::test]
async fn a_version_of_a_later_release_is_told_and_left() {
    let (server, registry) = shared("later.");
    registry.register_all().await.expect("answers");
    let later = changed(Topic::Payouts, |fields| {
        fields.push(json!({"name": "added", "type": "long", "default": 0}));
    });
    post(server, "later.payouts-value", &later).await;
    let report = registry.register_all().await.expect("answers");
    assert!(
        report.missing.is_empty() && report.registered.is_empty(),
        "{report:?}"
    );
    let [difference] = report.differences.as_slice() else {
        panic!("{report:?}");
    };
    let told = difference.to_string();
    assert!(
        told.contains("later.payouts-value has versions [2]"),
        "{told}"
    );
    registry.ids().await.expect("ours are all there");
}

#[tokio::test]
async fn a_version_that_the_registry_refuses_is_told_with_its_reason() {
    let (server, registry) = shared("strict.");
    let versions: Vec<_> = REGISTRY
        .iter()
        .filter(|version| version.topic == Topic::Decisions)
        .collect();
    assert!(versions.len() > 1, "there is a second version");
    post(server, "strict.decisions-value", versions[0].json).await;
    // Stricter than ours need be: the first version doesn't read what the second writes.
    put_level(server, "strict.decisions-value", "FULL").await;
    let report = registry.register_all().await.expect("answers");
    let refused = report
        .differences
        .iter()
        .find_map(|difference| match difference {
            SchemaDifference::Incompatible { refused, .. } => Some(refused),
            SchemaDifference::Compatibility { .. } | SchemaDifference::Unknown { .. } => None,
        });
    let refused = refused.unwrap_or_else(|| panic!("{report:?}"));
    assert_eq!(refused.to_string(), "version 2 of strict.decisions-value");
    assert!(report.missing.contains(refused));
    assert_eq!(level(server, "strict.decisions-value").await, "FULL");
    let newest = codec::newest(Topic::Decisions).expect("a schema");
    let compatible = registry
        .compatible("strict.decisions-value", newest.json)
        .await;
    assert!(!compatible.expect("answers"));
}
