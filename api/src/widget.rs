//! `/widget/…`: the widget and its example page, as they lie in `widget/`. They are part of the
//! program, so that a widget and the API that it asks are of one version.

use axum::{
    extract::Path,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, header};

use crate::{Problem, pages};

/// Pages that load the widget see a new one within ten minutes, and meanwhile ask nobody.
const SCRIPT_CACHING: &str = "public, max-age=600, stale-while-revalidate=86400";
const PAGE_CACHING: &str = "no-cache";

/// The policy that the example page runs under; docs/widget.md asks no more of other pages.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; connect-src 'self'; \
                           style-src 'self'; form-action 'self'; base-uri 'none'; \
                           frame-ancestors 'none'; require-trusted-types-for 'script'";

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

/// A file by its name, with its type and how it may be kept.
fn file(name: &str) -> Option<(&'static str, &'static str, &'static str)> {
    match name {
        "hissaback.js" => {
            let script = include_str!("../../widget/hissaback.js");
            Some((script, JAVASCRIPT, SCRIPT_CACHING))
        }
        "example.html" => {
            let page = include_str!("../../widget/example.html");
            Some((page, "text/html; charset=utf-8", PAGE_CACHING))
        }
        "example.js" => {
            let script = include_str!("../../widget/example.js");
            Some((script, JAVASCRIPT, PAGE_CACHING))
        }
        "example.css" => {
            let style = include_str!("../../widget/example.css");
            Some((style, "text/css; charset=utf-8", PAGE_CACHING))
        }
        _ => None,
    }
}

/// `GET /widget/{name}`.
pub(crate) async fn show(
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (text, content_type, caching) = file(&name).ok_or(Problem::NotFound)?;
    let answer = pages::tagged_bytes(&headers, text, content_type, caching);
    let also = [
        (
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(PAGE_POLICY),
        ),
        (
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ),
        (
            // Pages that keep out what doesn't say so may load it too.
            header::HeaderName::from_static("cross-origin-resource-policy"),
            HeaderValue::from_static("cross-origin"),
        ),
    ];
    Ok((also, answer).into_response())
}
