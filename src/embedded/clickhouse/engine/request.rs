//! Reads a request of ClickHouse's HTTP interface.

use bytes::Bytes;
use http::header;
use http::request::Parts;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;

use super::failure::EngineFailure;
use super::session::{SessionRequest, setting_name};
use super::statement::Statement;

/// Longest statement, inline data included, that is taken from a body. Data to insert goes beside
/// the statement, and has no limit.
const STATEMENT_BYTES_MAX: usize = 16 << 20;

/// Parameters of the URL that are neither settings nor of any use here: there are no users,
/// sessions or result compression on a private socket.
const IGNORED_PARAMETERS: [&str; 12] = [
    "query_id",
    "session_id",
    "session_timeout",
    "session_check",
    "role",
    "user",
    "password",
    "quota_key",
    "compress",
    "buffer_size",
    "client_protocol_version",
    "enable_http_compression",
];

/// A request, read but for the data that it may bring.
pub(super) struct StatementRequest {
    /// The statement's text.
    pub(super) text: Bytes,
    /// What kind it is.
    pub(super) statement: Statement,
    /// Session to run it in.
    pub(super) session: SessionRequest,
    /// Format of a result when the text names none.
    pub(super) default_format: String,
    /// Whether the data in the body is compressed.
    pub(super) decompress: bool,
    /// Whether to answer only when the statement is through.
    pub(super) wait_for_end: bool,
    /// The data to insert, when it comes in the body.
    pub(super) body: Option<Incoming>,
}

impl StatementRequest {
    /// Reads the URL, and the body where the statement is in it.
    pub(super) async fn read(parts: &Parts, body: Incoming) -> Result<Self, EngineFailure> {
        let mut url = UrlParameters::parse(parts.uri.query().unwrap_or_default())?;
        let content_type = parts
            .headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let (text, body) = if let Ok(boundary) = multer::parse_boundary(content_type) {
            let text = read_form(body, boundary, &mut url).await?;
            (text, None)
        } else if let Some(text) = url.query.take() {
            (Bytes::from(text), Some(body))
        } else {
            (collect(body).await?, None)
        };
        let statement = Statement::parse(&text)?;
        let (text, body) = match (&statement, body) {
            (Statement::Select { .. } | Statement::Other { .. }, Some(body)) => {
                // As in ClickHouse, the body continues the statement.
                let rest = collect(body).await?;
                if rest.is_empty() {
                    (text, None)
                } else {
                    return Err(EngineFailure::bad_arguments(
                        "a body is only taken with an INSERT that names a format",
                    ));
                }
            }
            (_, body) => (text, body),
        };
        Ok(Self {
            text,
            statement,
            session: url.session,
            default_format: url.default_format,
            decompress: url.decompress,
            wait_for_end: url.wait_for_end,
            body,
        })
    }
}

struct UrlParameters {
    query: Option<String>,
    session: SessionRequest,
    default_format: String,
    decompress: bool,
    wait_for_end: bool,
}

impl UrlParameters {
    fn parse(query: &str) -> Result<Self, EngineFailure> {
        let mut parameters = Self {
            query: None,
            session: SessionRequest::default(),
            default_format: "TabSeparated".to_owned(),
            decompress: false,
            wait_for_end: false,
        };
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let value = value.into_owned();
            match name.as_ref() {
                "query" => parameters.query = Some(value),
                "database" => parameters.session.database = Some(value),
                "default_format" => parameters.default_format = value,
                "decompress" => parameters.decompress = value == "1",
                "wait_end_of_query" => parameters.wait_for_end = value == "1",
                ignored if IGNORED_PARAMETERS.contains(&ignored) => {}
                name => {
                    if let Some(name) = name.strip_prefix("param_") {
                        parameters.session.parameters.push(name.to_owned(), value);
                    } else if setting_name(name) {
                        parameters.session.settings.push((name.to_owned(), value));
                    } else {
                        return Err(EngineFailure::bad_arguments(
                            "a URL parameter is not the name of a setting",
                        ));
                    }
                }
            }
        }
        Ok(parameters)
    }
}

/// Reads a form of `query` and `param_…` fields.
async fn read_form(
    body: Incoming,
    boundary: String,
    url: &mut UrlParameters,
) -> Result<Bytes, EngineFailure> {
    let unreadable =
        |failure: multer::Error| EngineFailure::bad_arguments(&format!("bad form: {failure}"));
    let limits = multer::SizeLimit::new().whole_stream(STATEMENT_BYTES_MAX as u64);
    let mut form = multer::Multipart::with_constraints(
        body.into_data_stream(),
        boundary,
        multer::Constraints::new().size_limit(limits),
    );
    let mut text = url.query.take().map(Bytes::from);
    while let Some(field) = form.next_field().await.map_err(unreadable)? {
        let name = field.name().unwrap_or_default().to_owned();
        if name == "query" {
            text = Some(field.bytes().await.map_err(unreadable)?);
        } else if let Some(name) = name.strip_prefix("param_") {
            let value = field.text().await.map_err(unreadable)?;
            url.session.parameters.push(name.to_owned(), value);
        } else {
            return Err(EngineFailure::bad_arguments(
                "a form holds the query and its parameters only",
            ));
        }
    }
    text.ok_or_else(|| EngineFailure::syntax("the query is empty"))
}

async fn collect(body: Incoming) -> Result<Bytes, EngineFailure> {
    Limited::new(body, STATEMENT_BYTES_MAX)
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes)
        .map_err(|failure| {
            EngineFailure::bad_arguments(&format!("the body can't be read: {failure}"))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_the_url_find_their_place() {
        let url = UrlParameters::parse(
            "query=SELECT+1&database=d&default_format=CSV&decompress=1&role=r\
             &max_threads=2&param_x=%27&wait_end_of_query=1",
        )
        .expect("it is fine");
        assert_eq!(url.query.as_deref(), Some("SELECT 1"));
        assert_eq!(url.session.database.as_deref(), Some("d"));
        assert_eq!(url.default_format, "CSV");
        assert!(url.decompress && url.wait_for_end);
        assert_eq!(
            url.session.settings,
            [("max_threads".to_owned(), "2".to_owned())]
        );
    }

    #[test]
    fn a_setting_that_is_none_is_refused() {
        assert!(UrlParameters::parse("max_threads%3D1%2C+x=2").is_err());
    }
}
