//! The schema registry: embedded, real, and broken; and a log whose ids are the registry's.

mod embedded;
mod log;
mod real;
mod trouble;

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use schema_registry_converter::async_impl::schema_registry::SrSettings;
use schemas::{
    Topic,
    codec::{REGISTRY, SchemaVersion},
};
use stream::registry::{Catalogue, EmbeddedRegistry, RegistrySettings, SchemaRegistry};

fn any_port() -> SocketAddr {
    "127.0.0.1:0".parse().expect("an address")
}

fn client(url: &str) -> SchemaRegistry {
    SchemaRegistry::connect(RegistrySettings::at(url)).expect("settings that can be")
}

/// A registry with our schemas under other ids.
async fn renumbered(other_id: impl Fn(u32) -> u32) -> EmbeddedRegistry {
    let versions = REGISTRY.iter().map(|version| SchemaVersion {
        id: other_id(version.id),
        ..*version
    });
    let catalogue = Catalogue::new("", &versions.collect::<Vec<_>>());
    EmbeddedRegistry::serve(any_port(), catalogue)
        .await
        .expect("listens")
}

/// The same client library, as another tool has it: without our settings.
fn another_tool(url: &str) -> SrSettings {
    let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("TLS")
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let http = reqwest::Client::builder().tls_backend_preconfigured(tls);
    SrSettings::new_builder(url.to_owned())
        .build_with(http)
        .expect("settings")
}

/// A payload as our codec wrote it once.
fn golden(name: &str) -> Bytes {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../schemas/golden");
    std::fs::read(format!("{folder}/{name}.avro"))
        .expect("a golden payload")
        .into()
}

fn id_of(value: &[u8]) -> u32 {
    u32::from_be_bytes(value[1..5].try_into().expect("framed"))
}

fn with_id(value: &[u8], id: u32) -> Bytes {
    [&[0], id.to_be_bytes().as_slice(), &value[5..]]
        .concat()
        .into()
}

/// The newest schema of a topic, changed.
fn changed(topic: Topic, change: impl FnOnce(&mut Vec<serde_json::Value>)) -> String {
    let newest = schemas::codec::newest(topic).expect("a schema");
    let mut schema: serde_json::Value = serde_json::from_str(newest.json).expect("json");
    change(schema["fields"].as_array_mut().expect("fields"));
    schema.to_string()
}
