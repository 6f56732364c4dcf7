//! Bodies in JSON, and what is wrong with them, by field.

use axum::{body::Bytes, extract::rejection::BytesRejection};
use http::StatusCode;
use serde::de::DeserializeOwned;

use crate::{Problem, problem::FieldError};

/// A JSON body.
///
/// # Errors
/// [`Problem::BodyTooLarge`]; [`Problem::InvalidBody`] where it isn't JSON, or ends early;
/// [`Problem::InvalidFields`] at the first member that is unknown or not of its kind.
pub(crate) fn read_body<T: DeserializeOwned>(
    body: Result<Bytes, BytesRejection>,
) -> Result<T, Problem> {
    read_optional_body(body)?.ok_or_else(|| Problem::InvalidBody("a body is needed".to_owned()))
}

/// A JSON body, and its bytes, which tell requests apart.
///
/// # Errors
/// As [`read_body`].
pub(crate) fn read_body_with_bytes<T: DeserializeOwned>(
    body: Result<Bytes, BytesRejection>,
) -> Result<(T, Bytes), Problem> {
    let bytes = body.as_ref().map(Clone::clone).unwrap_or_default();
    Ok((read_body(body)?, bytes))
}

/// A body as it came.
///
/// # Errors
/// [`Problem::BodyTooLarge`]; [`Problem::InvalidBody`] where it ends early.
pub(crate) fn received(body: Result<Bytes, BytesRejection>) -> Result<Bytes, Problem> {
    body.map_err(|rejection| {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            Problem::BodyTooLarge
        } else {
            Problem::InvalidBody("the body broke off".to_owned())
        }
    })
}

/// A JSON body; `None` when it is empty.
///
/// # Errors
/// As [`read_body`].
pub(crate) fn read_optional_body<T: DeserializeOwned>(
    body: Result<Bytes, BytesRejection>,
) -> Result<Option<T>, Problem> {
    let bytes = received(body)?;
    if bytes.is_empty() {
        return Ok(None);
    }
    let mut deserializer = serde_json::Deserializer::from_slice(&bytes);
    let read = serde_path_to_error::deserialize(&mut deserializer);
    let value = read.map_err(|error| {
        let (path, inner) = (error.path().to_string(), error.into_inner());
        match inner.classify() {
            // `.` is the body itself: it lacks a member, or isn't an object.
            serde_json::error::Category::Data if path != "." => {
                Problem::field(&path, "invalid", inner.to_string())
            }
            _ => Problem::InvalidBody(format!("not the JSON that is taken here: {inner}")),
        }
    })?;
    deserializer
        .end()
        .map_err(|error| Problem::InvalidBody(format!("something follows the JSON: {error}")))?;
    Ok(Some(value))
}

/// What is wrong with the fields of a request, gathered, so that all of it is told at once.
#[derive(Debug, Default)]
pub(crate) struct Fields(Vec<FieldError>);

impl Fields {
    /// A field that has to be there, made usable by `parse`, which says what is allowed.
    pub(crate) fn required<T, U>(
        &mut self,
        field: &str,
        value: Option<T>,
        parse: impl FnOnce(T) -> Result<U, String>,
    ) -> Option<U> {
        if let Some(value) = value {
            self.parsed(field, parse(value))
        } else {
            self.refuse(field, "required", "it is needed");
            None
        }
    }

    /// A field that may be left out.
    pub(crate) fn optional<T, U>(
        &mut self,
        field: &str,
        value: Option<T>,
        parse: impl FnOnce(T) -> Result<U, String>,
    ) -> Option<U> {
        value.and_then(|value| self.parsed(field, parse(value)))
    }

    /// A word that may be left out, of these.
    pub(crate) fn one_of(
        &mut self,
        field: &str,
        value: Option<String>,
        allowed: &[&'static str],
    ) -> Option<&'static str> {
        self.optional(field, value, |given| {
            let found = allowed.iter().find(|word| **word == given);
            found
                .copied()
                .ok_or_else(|| format!("one of {}", allowed.join(", ")))
        })
    }

    fn parsed<U>(&mut self, field: &str, parsed: Result<U, String>) -> Option<U> {
        match parsed {
            Ok(value) => Some(value),
            Err(detail) => {
                self.refuse(field, "invalid", detail);
                None
            }
        }
    }

    /// Says what is wrong with a field.
    pub(crate) fn refuse(&mut self, field: &str, code: &'static str, detail: impl Into<String>) {
        self.0.push(FieldError {
            field: field.to_owned(),
            code,
            detail: detail.into(),
        });
    }

    /// # Errors
    /// [`Problem::InvalidFields`] where anything is wrong. Otherwise every required field is there.
    pub(crate) fn check(self) -> Result<(), Problem> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(Problem::InvalidFields(self.0))
        }
    }
}
