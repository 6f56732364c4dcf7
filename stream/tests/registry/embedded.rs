//! Without a registry: the embedded one, through the client that asks a real one.

use schema_registry_converter::async_impl::schema_registry::{
    get_all_subjects, get_schema_by_id, get_schema_by_subject_and_version,
};
use schemas::{
    Topic,
    codec::{self, REGISTRY},
};
use serde_json::json;
use stream::registry::{
    Catalogue, EmbeddedRegistry, RegistryError, RegistrySettings, SchemaIds, SchemaRegistry,
};

use super::{another_tool, any_port, changed, client, renumbered};

#[tokio::test]
async fn it_has_our_schemas_under_our_ids() {
    let embedded = EmbeddedRegistry::start(any_port(), "")
        .await
        .expect("starts");
    let registry = client(&embedded.url());
    let report = registry.register_all().await.expect("answers");
    assert!(report.as_expected(), "{report:?}");
    assert_eq!(report.unchanged.len(), REGISTRY.len());
    assert_eq!(report, registry.inspect().await.expect("answers"));
    assert_eq!(registry.ids().await.expect("answers"), SchemaIds::equal());
    for version in REGISTRY {
        let schema = registry.schema(version.id).await.expect("answers");
        assert_eq!(schema.as_deref(), Some(version.json));
    }
    assert_eq!(registry.schema(9_999).await.expect("answers"), None);
    embedded.stop().await;
    let gone = registry.ids().await.expect_err("gone");
    assert!(gone.temporary(), "{gone}");
}

#[tokio::test]
async fn its_subjects_are_named_after_the_topics_of_the_log() {
    let embedded = EmbeddedRegistry::start(any_port(), "test.")
        .await
        .expect("starts");
    let subjects = get_all_subjects(&another_tool(&embedded.url())).await;
    let subjects = subjects.expect("answers");
    assert_eq!(subjects.len(), Topic::ALL.len() - 1);
    assert!(subjects.contains(&"test.payout-results-value".to_owned()));
    let settings = RegistrySettings {
        topic_prefix: "test.".to_owned(),
        ..RegistrySettings::at(embedded.url())
    };
    let registry = SchemaRegistry::connect(settings).expect("settings that can be");
    assert!(registry.ids().await.expect("answers").are_equal());
    let without = client(&embedded.url())
        .ids()
        .await
        .expect_err("none of these");
    assert_eq!(
        without.to_string(),
        "the schema registry doesn't have version 1 of clicks-value: run `hissaback migrate`"
    );
    assert!(!without.temporary());
}

#[tokio::test]
async fn other_tools_find_their_way() {
    let embedded = EmbeddedRegistry::start(any_port(), "")
        .await
        .expect("starts");
    let tool = another_tool(&embedded.url());
    let newest = codec::newest(Topic::Decisions).expect("a schema");
    let latest = get_schema_by_subject_and_version(&tool, "decisions-value", None).await;
    assert_eq!(latest.expect("answers").id, newest.id);
    let first = get_schema_by_subject_and_version(&tool, "decisions-value", Some(1)).await;
    assert_eq!(first.expect("answers").id, 3);
    let schema = get_schema_by_id(newest.id, &tool).await.expect("answers");
    assert_eq!(schema.schema, newest.json);
}

#[tokio::test]
async fn it_tells_a_change_that_breaks_readers_from_one_that_does_not() {
    let embedded = EmbeddedRegistry::start(any_port(), "")
        .await
        .expect("starts");
    let registry = client(&embedded.url());
    let topic = Topic::PayoutResults;
    let compatible = changed(topic, |fields| {
        fields.push(json!({"name": "added", "type": "long", "default": 0}));
    });
    let breaking = changed(topic, |fields| fields[3]["type"] = json!("string"));
    let subject = "payout-results-value";
    assert!(
        registry
            .compatible(subject, &compatible)
            .await
            .expect("answers")
    );
    assert!(
        !registry
            .compatible(subject, &breaking)
            .await
            .expect("answers")
    );
}

#[tokio::test]
async fn a_schema_that_it_lacks_is_not_taken() {
    let (newest, others) = REGISTRY.split_last().expect("schemas");
    let catalogue = Catalogue::new("", others);
    let embedded = EmbeddedRegistry::serve(any_port(), catalogue)
        .await
        .expect("starts");
    let registry = client(&embedded.url());
    let report = registry.inspect().await.expect("answers");
    assert_eq!(report.unchanged.len(), others.len());
    assert_eq!(report.missing.len(), 1);
    assert!(report.missing[0].subject.starts_with(newest.topic.name()));
    assert!(!report.as_expected());
    let error = registry.ids().await.expect_err("one is missing");
    assert!(
        matches!(error, RegistryError::NotRegistered { .. }),
        "{error}"
    );
    let error = registry.register_all().await.expect_err("refused");
    assert!(
        matches!(
            error,
            RegistryError::Refused {
                code: 42205,
                temporary: false,
                ..
            }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn ids_that_differ_are_translated() {
    let embedded = renumbered(|id| id + 100).await;
    let ids = client(&embedded.url()).ids().await.expect("answers");
    assert!(!ids.are_equal());
}

#[tokio::test]
async fn it_listens_to_this_machine_only() {
    let everywhere = "0.0.0.0:0".parse().expect("an address");
    let error = EmbeddedRegistry::start(everywhere, "")
        .await
        .expect_err("refused");
    assert!(error.to_string().contains("this machine only"), "{error}");
    let embedded = EmbeddedRegistry::start(any_port(), "")
        .await
        .expect("starts");
    let address = embedded
        .url()
        .trim_start_matches("http://")
        .parse()
        .expect("an address");
    let error = EmbeddedRegistry::start(address, "")
        .await
        .expect_err("refused");
    assert!(matches!(error, RegistryError::Listen { .. }), "{error}");
}
