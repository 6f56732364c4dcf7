//! Answers with the statuses, codes and words of Confluent's registry.

use axum::{
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

/// What is answered: a status, and JSON.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Value,
}

impl Answer {
    pub(super) fn ok(body: Value) -> Self {
        Self {
            status: StatusCode::OK,
            body,
        }
    }

    fn error(status: StatusCode, code: u16, message: &str) -> Self {
        Self {
            status,
            body: json!({"error_code": code, "message": message}),
        }
    }

    pub(super) fn no_such_path() -> Self {
        Self::error(StatusCode::NOT_FOUND, 404, "HTTP 404 Not Found")
    }

    pub(super) fn no_such_subject(subject: &str) -> Self {
        let message = format!("Subject '{subject}' not found.");
        Self::error(StatusCode::NOT_FOUND, 40401, &message)
    }

    pub(super) fn no_such_version(version: &str) -> Self {
        let message = format!("Version {version} not found.");
        Self::error(StatusCode::NOT_FOUND, 40402, &message)
    }

    pub(super) fn no_such_schema() -> Self {
        Self::error(StatusCode::NOT_FOUND, 40403, "Schema not found")
    }

    pub(super) fn incompatible(subject: &str, reason: &str) -> Self {
        let message = format!(
            "Schema being registered is incompatible with an earlier schema for subject \
             \"{subject}\", details: {reason}"
        );
        Self::error(StatusCode::CONFLICT, 40901, &message)
    }

    pub(super) fn invalid_schema(reason: &str) -> Self {
        let message = format!("Invalid schema: {reason}");
        Self::error(StatusCode::UNPROCESSABLE_ENTITY, 42201, &message)
    }

    pub(super) fn invalid_version(version: &str) -> Self {
        let message = format!(
            "The specified version '{version}' is not a valid version id. Allowed values are \
             between [1, 2^31-1] and the string \"latest\""
        );
        Self::error(StatusCode::UNPROCESSABLE_ENTITY, 42202, &message)
    }

    pub(super) fn invalid_compatibility() -> Self {
        Self::error(
            StatusCode::UNPROCESSABLE_ENTITY,
            42203,
            "Invalid compatibility level. Valid values are none, backward, forward, full, \
             backward_transitive, forward_transitive, and full_transitive",
        )
    }

    pub(super) fn read_only() -> Self {
        Self::error(
            StatusCode::UNPROCESSABLE_ENTITY,
            42205,
            "This registry is embedded in Hissaback: it has Hissaback's schemas and is read-only",
        )
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let content_type = "application/vnd.schemaregistry.v1+json";
        let headers = [(CONTENT_TYPE, content_type)];
        (self.status, headers, self.body.to_string()).into_response()
    }
}
