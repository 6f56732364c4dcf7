//! What the embedded registry has, and what it answers to each request: a pure function of both.

use apache_avro::{
    Schema,
    schema_compatibility::{Compatibility, SchemaCompatibility},
};
use axum::http::Method;
use schemas::codec::{REGISTRY, SchemaVersion};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::Answer;
use crate::registry::COMPATIBILITY;

/// The schemas that a registry has.
#[derive(Debug)]
pub struct Catalogue {
    entries: Vec<Entry>,
}

/// A version of a subject's schema.
#[derive(Debug)]
struct Entry {
    subject: String,
    /// From 1.
    version: usize,
    id: u32,
    json: &'static str,
    schema: Schema,
}

/// What a client posts.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Posted {
    schema: String,
    schema_type: Option<String>,
}

/// How a client sets the compatibility.
#[derive(Deserialize)]
struct Level {
    compatibility: String,
}

impl Catalogue {
    /// Ours, under our ids, as values of topics whose names begin so.
    pub fn built_in(topic_prefix: &str) -> Self {
        Self::new(topic_prefix, REGISTRY)
    }

    /// These, each topic's in order.
    ///
    /// # Panics
    /// When one isn't an Avro schema, which the tests rule out for ours.
    pub fn new(topic_prefix: &str, versions: &[SchemaVersion]) -> Self {
        let mut entries: Vec<Entry> = Vec::with_capacity(versions.len());
        for version in versions {
            let subject = format!("{topic_prefix}{}-value", version.topic);
            let before = entries.iter().filter(|entry| entry.subject == subject);
            entries.push(Entry {
                version: before.count() + 1,
                id: version.id,
                json: version.json,
                schema: Schema::parse_str(version.json)
                    .unwrap_or_else(|error| panic!("schema {} is invalid: {error}", version.id)),
                subject,
            });
        }
        Self { entries }
    }

    /// The answer to a request. The query is left aside: nothing here is deleted, referred to or
    /// of another format, which is what clients ask about there.
    pub(super) fn answer(&self, method: &Method, path: &str, body: &[u8]) -> Answer {
        let segments: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let answer = match (method.as_str(), segments.as_slice()) {
            ("GET", []) => Ok(Answer::ok(json!({}))),
            ("GET", ["mode"] | ["mode", _]) => Ok(Answer::ok(json!({"mode": "READONLY"}))),
            ("GET", ["subjects"]) => Ok(Answer::ok(self.subjects().into())),
            ("GET", ["subjects", subject, "versions"]) => self.versions(subject),
            ("GET", ["subjects", subject, "versions", version]) => {
                self.version(subject, version).map(whole)
            }
            ("GET", ["subjects", subject, "versions", version, "schema"]) => {
                self.version(subject, version).map(schema)
            }
            ("POST", ["subjects", subject]) => self.look_up(subject, body),
            ("POST", ["subjects", subject, "versions"]) => self.register(subject, body),
            ("POST", ["compatibility", "subjects", subject, "versions"]) => {
                self.compatible(subject, "latest", body)
            }
            ("POST", ["compatibility", "subjects", subject, "versions", version]) => {
                self.compatible(subject, version, body)
            }
            ("GET", ["schemas", "types"]) => Ok(Answer::ok(json!(["AVRO"]))),
            ("GET", ["schemas", "ids", id, about @ ..]) => self.by_id(id, about),
            ("GET", ["config"]) => Ok(level()),
            ("GET", ["config", subject]) => self.of_subject(subject).map(|_| level()),
            ("PUT", ["config" | "mode", ..]) => set_level(body),
            ("DELETE", ["subjects" | "config", ..]) => Err(Answer::read_only()),
            _ => Err(Answer::no_such_path()),
        };
        answer.unwrap_or_else(|error| error)
    }

    fn subjects(&self) -> Vec<String> {
        let mut subjects: Vec<_> = self.entries.iter().map(|entry| &entry.subject).collect();
        subjects.sort();
        subjects.dedup();
        subjects.into_iter().cloned().collect()
    }

    /// A subject's versions; there is at least one.
    fn of_subject(&self, subject: &str) -> Result<Vec<&Entry>, Answer> {
        let entries = self.entries.iter().filter(|entry| entry.subject == subject);
        let entries: Vec<_> = entries.collect();
        if entries.is_empty() {
            return Err(Answer::no_such_subject(subject));
        }
        Ok(entries)
    }

    fn versions(&self, subject: &str) -> Result<Answer, Answer> {
        let entries = self.of_subject(subject)?;
        let versions: Vec<_> = entries.iter().map(|entry| entry.version).collect();
        Ok(Answer::ok(versions.into()))
    }

    fn version(&self, subject: &str, version: &str) -> Result<&Entry, Answer> {
        let entries = self.of_subject(subject)?;
        let number = match version {
            "latest" | "-1" => entries.len(),
            number => match number.parse::<u32>() {
                Ok(number @ 1..=0x7fff_ffff) => number as usize,
                Ok(_) | Err(_) => return Err(Answer::invalid_version(version)),
            },
        };
        let entry = entries.into_iter().find(|entry| entry.version == number);
        entry.ok_or_else(|| Answer::no_such_version(version))
    }

    fn by_id(&self, id: &str, about: &[&str]) -> Result<Answer, Answer> {
        let entry = id
            .parse()
            .ok()
            .and_then(|id: u32| self.entries.iter().find(|entry| entry.id == id))
            .ok_or_else(Answer::no_such_schema)?;
        let of_subject = json!([{"subject": entry.subject, "version": entry.version}]);
        match about {
            [] => Ok(Answer::ok(json!({"schema": entry.json}))),
            ["schema"] => Ok(schema(entry)),
            ["subjects"] => Ok(Answer::ok(json!([entry.subject]))),
            ["versions"] => Ok(Answer::ok(of_subject)),
            _ => Err(Answer::no_such_path()),
        }
    }

    fn look_up(&self, subject: &str, body: &[u8]) -> Result<Answer, Answer> {
        let entries = self.of_subject(subject)?;
        let posted = posted(body)?;
        let same = entries.into_iter().find(|entry| same(entry, &posted));
        same.map(whole).ok_or_else(Answer::no_such_schema)
    }

    /// Takes nothing new, and says of ours what a registry that had just taken it would say.
    fn register(&self, subject: &str, body: &[u8]) -> Result<Answer, Answer> {
        let posted = posted(body)?;
        let Ok(entries) = self.of_subject(subject) else {
            return Err(Answer::read_only());
        };
        if let Some(entry) = entries.iter().find(|entry| same(entry, &posted)) {
            return Ok(Answer::ok(json!({"id": entry.id})));
        }
        let newest = entries.last().map(|entry| reads(&entry.schema, &posted));
        match newest {
            Some(Err(reason)) => Err(Answer::incompatible(subject, &reason)),
            Some(Ok(())) | None => Err(Answer::read_only()),
        }
    }

    fn compatible(&self, subject: &str, version: &str, body: &[u8]) -> Result<Answer, Answer> {
        let entry = self.version(subject, version)?;
        Ok(Answer::ok(match reads(&entry.schema, &posted(body)?) {
            Ok(()) => json!({"is_compatible": true}),
            Err(reason) => json!({"is_compatible": false, "messages": [reason]}),
        }))
    }
}

fn whole(entry: &Entry) -> Answer {
    Answer::ok(json!({
        "subject": entry.subject,
        "version": entry.version,
        "id": entry.id,
        "schema": entry.json,
    }))
}

fn schema(entry: &Entry) -> Answer {
    // The files are JSON, or they would not have been parsed as schemas.
    Answer::ok(serde_json::from_str(entry.json).unwrap_or_default())
}

fn level() -> Answer {
    Answer::ok(json!({"compatibilityLevel": COMPATIBILITY}))
}

fn set_level(body: &[u8]) -> Result<Answer, Answer> {
    let level = serde_json::from_slice::<Level>(body).map(|level| level.compatibility);
    match level.unwrap_or_default().to_uppercase().as_str() {
        COMPATIBILITY => Ok(Answer::ok(json!({"compatibility": COMPATIBILITY}))),
        "NONE"
        | "FORWARD"
        | "FULL"
        | "BACKWARD_TRANSITIVE"
        | "FORWARD_TRANSITIVE"
        | "FULL_TRANSITIVE" => Err(Answer::read_only()),
        _ => Err(Answer::invalid_compatibility()),
    }
}

fn posted(body: &[u8]) -> Result<Schema, Answer> {
    let posted: Posted =
        serde_json::from_slice(body).map_err(|error| Answer::invalid_schema(&error.to_string()))?;
    match posted.schema_type.as_deref() {
        None | Some("AVRO") => Schema::parse_str(&posted.schema)
            .map_err(|error| Answer::invalid_schema(&error.to_string())),
        Some(other) => Err(Answer::invalid_schema(&format!("type {other}, not AVRO"))),
    }
}

/// Whether a schema is the entry's, however it is laid out: names, types, defaults and
/// documentation.
fn same(entry: &Entry, posted: &Schema) -> bool {
    let whole = |schema: &Schema| serde_json::to_value(schema).unwrap_or(Value::Null);
    whole(&entry.schema) == whole(posted)
}

/// Whether whatever was written with `older` can be read with `newer`. A compatibility that
/// depends on the datum is none.
fn reads(older: &Schema, newer: &Schema) -> Result<(), String> {
    match SchemaCompatibility::can_read(older, newer) {
        Ok(Compatibility::Full) => Ok(()),
        Ok(Compatibility::Partial) => {
            Err("an enum or union lacks a member that may have been written".to_owned())
        }
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(path: &str) -> Answer {
        Catalogue::built_in("").answer(&Method::GET, path, b"")
    }

    fn post(path: &str, body: &Value) -> Answer {
        let body = body.to_string();
        Catalogue::built_in("").answer(&Method::POST, path, body.as_bytes())
    }

    fn code(answer: &Answer) -> (u16, i64) {
        let code = answer.body["error_code"].as_i64();
        (answer.status.as_u16(), code.expect("an error"))
    }

    #[test]
    fn what_is_there_is_told_under_our_ids() {
        for version in REGISTRY {
            let by_id = get(&format!("/schemas/ids/{}", version.id));
            assert_eq!(by_id.body["schema"], version.json);
            let subject = format!("{}-value", version.topic);
            let looked_up = post(
                &format!("/subjects/{subject}"),
                &json!({"schema": version.json}),
            );
            assert_eq!(looked_up.body["id"], version.id);
            assert_eq!(looked_up.body["subject"], subject.as_str());
            let number = &looked_up.body["version"];
            let by_version = get(&format!("/subjects/{subject}/versions/{number}"));
            assert_eq!(by_version, looked_up);
            let registered = post(
                &format!("/subjects/{subject}/versions"),
                &json!({"schema": version.json, "schemaType": "AVRO"}),
            );
            assert_eq!(registered.body, json!({"id": version.id}));
            let subjects = get(&format!("/schemas/ids/{}/subjects", version.id));
            assert_eq!(subjects.body, json!([subject]));
            assert_eq!(
                get(&format!("/config/{subject}")).body,
                json!({"compatibilityLevel": "BACKWARD"})
            );
        }
        let subjects = get("/subjects").body;
        assert!(
            subjects
                .as_array()
                .expect("a list")
                .contains(&json!("clicks-value"))
        );
        let newest = schemas::codec::newest(schemas::Topic::Decisions).expect("a schema");
        let latest = get("/subjects/decisions-value/versions/latest");
        assert_eq!(latest.body["id"], newest.id);
        assert_eq!(get("/subjects/decisions-value/versions/-1"), latest);
    }

    #[test]
    fn what_is_not_there_has_the_codes_of_confluents() {
        assert_eq!(code(&get("/nothing")), (404, 404));
        assert_eq!(code(&get("/subjects/nothing/versions")), (404, 40401));
        assert_eq!(code(&get("/config/nothing")), (404, 40401));
        assert_eq!(
            code(&get("/subjects/clicks-value/versions/99")),
            (404, 40402)
        );
        assert_eq!(
            code(&get("/subjects/clicks-value/versions/0")),
            (422, 42202)
        );
        assert_eq!(
            code(&get("/subjects/clicks-value/versions/x")),
            (422, 42202)
        );
        assert_eq!(code(&get("/schemas/ids/999")), (404, 40403));
        let other = json!({"schema": "\"string\""});
        assert_eq!(code(&post("/subjects/clicks-value", &other)), (404, 40403));
        assert_eq!(code(&post("/subjects/nothing", &other)), (404, 40401));
    }

    #[test]
    fn nothing_is_taken_and_why_is_said() {
        let path = "/subjects/payout-results-value/versions";
        let newest = schemas::codec::newest(schemas::Topic::PayoutResults).expect("a schema");
        let mut schema: Value = serde_json::from_str(newest.json).expect("json");
        let posted = |schema: &Value| json!({"schema": schema.to_string()});
        assert_eq!(post(path, &posted(&schema)).body, json!({"id": newest.id}));

        let added = json!({"name": "added", "type": "long", "default": 1});
        schema["fields"].as_array_mut().expect("fields").push(added);
        assert_eq!(code(&post(path, &posted(&schema))), (422, 42205));
        let check = "/compatibility/subjects/payout-results-value/versions";
        assert_eq!(
            post(check, &posted(&schema)).body,
            json!({"is_compatible": true})
        );

        let last = &mut schema["fields"].as_array_mut().expect("fields")[6];
        last.as_object_mut().expect("a field").remove("default");
        assert_eq!(code(&post(path, &posted(&schema))), (409, 40901));
        let checked = post(&format!("{check}/latest"), &posted(&schema));
        assert_eq!(checked.body["is_compatible"], false);
        assert!(
            checked.body["messages"][0]
                .as_str()
                .expect("words")
                .contains("added")
        );

        assert_eq!(code(&post(path, &json!({"schema": "{"}))), (422, 42201));
        assert_eq!(code(&post(path, &json!({"no": "schema"}))), (422, 42201));
        let protobuf = json!({"schema": "x", "schemaType": "PROTOBUF"});
        assert_eq!(code(&post(path, &protobuf)), (422, 42201));
        let new = post(
            "/subjects/new-value/versions",
            &json!({"schema": "\"int\""}),
        );
        assert_eq!(code(&new), (422, 42205));
        let catalogue = Catalogue::built_in("");
        let put = |body: &str| catalogue.answer(&Method::PUT, "/config", body.as_bytes());
        assert_eq!(put(r#"{"compatibility": "BACKWARD"}"#).status, 200);
        assert_eq!(code(&put(r#"{"compatibility": "NONE"}"#)), (422, 42205));
        assert_eq!(code(&put(r#"{"compatibility": "SIDEWAYS"}"#)), (422, 42203));
        let deleted = catalogue.answer(&Method::DELETE, "/subjects/clicks-value", b"");
        assert_eq!(code(&deleted), (422, 42205));
    }

    #[test]
    fn another_default_is_another_schema_and_another_layout_is_not() {
        let path = "/subjects/payout-results-value";
        let newest = schemas::codec::newest(schemas::Topic::PayoutResults).expect("a schema");
        let mut schema: Value = serde_json::from_str(newest.json).expect("json");
        let compact = schema.to_string();
        assert_ne!(compact, newest.json);
        let found = post(path, &json!({"schema": compact}));
        assert_eq!(found.body["id"], newest.id);
        schema["fields"][3]["default"] = json!(1);
        let found = post(path, &json!({"schema": schema.to_string()}));
        assert_eq!(code(&found), (404, 40403));
    }
}
