//! What a statement failed with, and how ClickHouse's HTTP interface reports it.

use http::StatusCode;

/// Codes of ClickHouse for what we refuse ourselves.
const BAD_ARGUMENTS: i32 = 36;
const SYNTAX_ERROR: i32 = 62;
const CANNOT_DECOMPRESS: i32 = 271;
/// ClickHouse's code for an exception that isn't its own.
const STANDARD_EXCEPTION: i32 = 1001;

/// A statement's failure, with ClickHouse's code for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(super) struct EngineFailure {
    code: i32,
    message: String,
}

impl EngineFailure {
    /// One that the engine reported: `Code: 60. DB::Exception: … (UNKNOWN_TABLE)`.
    pub(super) fn of_engine(message: &str) -> Self {
        let message = message.trim_end();
        match parse_code(message) {
            Some(code) => Self {
                code,
                message: message.to_owned(),
            },
            None => Self::of(STANDARD_EXCEPTION, message, "STD_EXCEPTION"),
        }
    }

    /// The interface to the engine did not do what it should.
    pub(super) fn ours(message: &str) -> Self {
        Self::of(STANDARD_EXCEPTION, message, "STD_EXCEPTION")
    }

    /// A request that says something impossible.
    pub(super) fn bad_arguments(message: &str) -> Self {
        Self::of(BAD_ARGUMENTS, message, "BAD_ARGUMENTS")
    }

    /// A statement that can't be read.
    pub(super) fn syntax(message: &str) -> Self {
        Self::of(SYNTAX_ERROR, message, "SYNTAX_ERROR")
    }

    /// A compressed body that can't be decoded.
    pub(super) fn decompression(message: &str) -> Self {
        Self::of(CANNOT_DECOMPRESS, message, "CANNOT_DECOMPRESS")
    }

    fn of(code: i32, message: &str, name: &str) -> Self {
        Self {
            code,
            message: format!("Code: {code}. DB::Exception: {message}. ({name})"),
        }
    }

    /// ClickHouse's code, as in the header `X-ClickHouse-Exception-Code`.
    pub(super) fn code(&self) -> i32 {
        self.code
    }

    /// The whole message, as in the body.
    pub(super) fn message(&self) -> &str {
        &self.message
    }

    /// The HTTP status that ClickHouse gives such a failure; clients go by the code.
    pub(super) fn status(&self) -> StatusCode {
        match self.code {
            // Parsing of values, arguments, syntax, settings.
            6 | 26 | 27 | 36 | 38 | 41 | 42 | 43 | 53 | 62 | 72 | 115 | 117 | 457 => {
                StatusCode::BAD_REQUEST
            }
            // Unknown function, identifier, table, database.
            46 | 47 | 60 | 81 => StatusCode::NOT_FOUND,
            48 => StatusCode::NOT_IMPLEMENTED,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

fn parse_code(message: &str) -> Option<i32> {
    let (_, rest) = message.split_once("Code: ")?;
    let digits = rest.find(|character: char| !character.is_ascii_digit())?;
    rest[..digits].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engines_code_is_kept() {
        let failure = EngineFailure::of_engine(
            "Code: 60. DB::Exception: Unknown table expression identifier 'x'. (UNKNOWN_TABLE)\n",
        );
        assert_eq!(failure.code(), 60);
        assert_eq!(failure.status(), StatusCode::NOT_FOUND);
        assert!(failure.message().ends_with("(UNKNOWN_TABLE)"));
    }

    #[test]
    fn a_message_without_a_code_gets_one() {
        let failure = EngineFailure::of_engine("out of luck");
        assert_eq!(failure.code(), STANDARD_EXCEPTION);
        assert!(failure.message().contains("out of luck"));
    }
}
