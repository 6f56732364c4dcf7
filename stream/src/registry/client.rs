//! The calls of a registry that we need, each with its answers told apart.

use std::fmt;

use reqwest::{Client, Method};
use schema_registry_converter::{
    async_impl::schema_registry::{
        SrSettings, get_all_versions, get_schema_by_id, get_schema_by_subject_and_version,
        is_compatible_schema, perform_sr_call, post_schema,
    },
    schema_registry_common::{SchemaType, SrCall, SuppliedSchema},
};
use schemas::codec::{REGISTRY, SchemaVersion};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    error::RegistryError,
    ids::SchemaIds,
    settings::{Access, RegistrySettings},
};

const CONTENT_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// A version of a subject's schema, counted from 1: ours, whatever the registry calls it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubjectVersion {
    /// The subject.
    pub subject: String,
    /// The version.
    pub version: usize,
}

impl fmt::Display for SubjectVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "version {} of {}", self.version, self.subject)
    }
}

/// A registry with the Confluent API.
#[derive(Debug)]
pub struct SchemaRegistry {
    pub(super) access: Access,
    library: SrSettings,
    client: Client,
}

/// What the registry says to a new schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Registration {
    Done,
    /// Somebody else has just done it.
    DoneAlready,
    /// It can't read what was written with the version before.
    Incompatible {
        reason: String,
    },
}

impl SchemaRegistry {
    /// With these settings. Nothing is asked yet: whether it is there shows at the first call.
    pub fn connect(settings: RegistrySettings) -> Result<Self, RegistryError> {
        let access = Access::new(settings)?;
        Ok(Self {
            library: access.library()?,
            client: access.client()?,
            access,
        })
    }

    /// Where it is, without credentials.
    pub fn url(&self) -> &str {
        &self.access.url
    }

    /// The ids that it gave to our schemas.
    ///
    /// # Errors
    /// [`RegistryError::NotRegistered`] where it lacks one.
    pub async fn ids(&self) -> Result<SchemaIds, RegistryError> {
        let mut pairs = Vec::with_capacity(REGISTRY.len());
        for schema in REGISTRY {
            let found = self.look_up(schema).await?;
            let missing = || RegistryError::NotRegistered {
                missing: self.named(schema),
            };
            pairs.push((schema.id, found.ok_or_else(missing)?));
        }
        Ok(SchemaIds::new(&pairs)?)
    }

    /// The text of the schema with this id of the registry's; `None` where it has none.
    pub async fn schema(&self, id: u32) -> Result<Option<String>, RegistryError> {
        let found = get_schema_by_id(id, &self.library).await;
        let schema = unless_missing(found.map_err(|error| self.failed(&error)))?;
        Ok(schema.map(|schema| schema.schema))
    }

    /// Whether the registry would take this as the subject's next version.
    pub async fn compatible(&self, subject: &str, schema: &str) -> Result<bool, RegistryError> {
        is_compatible_schema(&self.library, subject.to_owned(), supplied(schema))
            .await
            .map_err(|error| self.failed(&error))
    }

    /// Our name of a schema.
    pub(super) fn named(&self, schema: &SchemaVersion) -> SubjectVersion {
        let before = REGISTRY
            .iter()
            .filter(|other| other.topic == schema.topic)
            .take_while(|other| other.id != schema.id);
        SubjectVersion {
            subject: self.subject(schema),
            version: before.count() + 1,
        }
    }

    pub(super) fn subject(&self, schema: &SchemaVersion) -> String {
        format!("{}{}-value", self.access.topic_prefix, schema.topic)
    }

    /// The id that this very schema has under its subject.
    pub(super) async fn look_up(
        &self,
        schema: &SchemaVersion,
    ) -> Result<Option<u32>, RegistryError> {
        let subject = self.subject(schema);
        let body = json!({"schema": schema.json, "schemaType": "AVRO"}).to_string();
        let found = perform_sr_call(&self.library, SrCall::PostForVersion(&subject, &body)).await;
        let Some(found) = unless_missing(found.map_err(|error| self.failed(&error)))? else {
            return Ok(None);
        };
        match found.id {
            Some(id) => Ok(Some(id)),
            None => Err(RegistryError::NotUnderstood {
                url: self.access.url.clone(),
                reason: format!("a schema of {subject} without an id"),
            }),
        }
    }

    /// The versions of a subject with their ids, none where there is no such subject.
    pub(super) async fn versions(&self, subject: &str) -> Result<Vec<(u32, u32)>, RegistryError> {
        let versions = get_all_versions(&self.library, subject.to_owned()).await;
        let versions = unless_missing(versions.map_err(|error| self.failed(&error)))?;
        let mut found = Vec::new();
        for version in versions.unwrap_or_default() {
            let schema = get_schema_by_subject_and_version(&self.library, subject, Some(version));
            let schema = schema.await.map_err(|error| self.failed(&error))?;
            found.push((version, schema.id));
        }
        Ok(found)
    }

    pub(super) async fn register(
        &self,
        schema: &SchemaVersion,
    ) -> Result<Registration, RegistryError> {
        let posted = post_schema(&self.library, self.subject(schema), supplied(schema.json)).await;
        let posted = posted.map_err(|error| self.failed(&error));
        let Err(error) = posted else {
            return Ok(Registration::Done);
        };
        // Two at once get in each other's way, and both want the same.
        if error.refusal().is_some() && self.look_up(schema).await?.is_some() {
            return Ok(Registration::DoneAlready);
        }
        match error.conflict() {
            Some(reason) => Ok(Registration::Incompatible { reason }),
            None => Err(error),
        }
    }

    /// The compatibility set for a subject; `None` where none is.
    pub(super) async fn compatibility(
        &self,
        subject: &str,
    ) -> Result<Option<String>, RegistryError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Level {
            compatibility_level: String,
        }
        let path = format!("/config/{subject}");
        let level = self.call::<Level>(Method::GET, &path, None).await;
        Ok(unless_missing(level)?.map(|level| level.compatibility_level))
    }

    /// Sets a subject's compatibility.
    pub(super) async fn set_compatibility(
        &self,
        subject: &str,
        level: &str,
    ) -> Result<(), RegistryError> {
        let path = format!("/config/{subject}");
        let body = json!({"compatibility": level}).to_string();
        let set = self.call::<Value>(Method::PUT, &path, Some(body)).await;
        let Err(error) = set else {
            return Ok(());
        };
        // As above.
        if error.refusal().is_some() && self.compatibility(subject).await?.as_deref() == Some(level)
        {
            return Ok(());
        }
        Err(error)
    }

    /// A call that the client library doesn't have.
    async fn call<A: for<'de> Deserialize<'de>>(
        &self,
        method: Method,
        path: &str,
        body: Option<String>,
    ) -> Result<A, RegistryError> {
        let url = self.access.url.clone();
        let mut request = self
            .client
            .request(method, format!("{url}{path}"))
            .header("accept", CONTENT_TYPE);
        if let Some(body) = body {
            request = request.header("content-type", CONTENT_TYPE).body(body);
        }
        let unreachable = |error: reqwest::Error| RegistryError::of_network(url.clone(), &error);
        let answer = self.access.authorized(request).send().await;
        let answer = answer.map_err(unreachable)?;
        let status = answer.status();
        let bytes = answer.bytes().await.map_err(unreachable)?;
        if status.is_success() {
            return serde_json::from_slice(&bytes).map_err(|error| RegistryError::NotUnderstood {
                url: url.clone(),
                reason: error.to_string(),
            });
        }
        Err(RegistryError::of_refusal(&url, status.as_u16(), &bytes))
    }

    fn failed(&self, error: &schema_registry_converter::error::SRCError) -> RegistryError {
        RegistryError::of_call(&self.access.url, error)
    }
}

/// `None` for what the registry doesn't have.
fn unless_missing<A>(answer: Result<A, RegistryError>) -> Result<Option<A>, RegistryError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.missing() => Ok(None),
        Err(error) => Err(error),
    }
}

fn supplied(schema: &str) -> SuppliedSchema {
    SuppliedSchema::new(None, SchemaType::Avro, schema.to_owned())
}
