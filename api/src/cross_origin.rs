//! What scripts of other sites may ask for: what the widget shows, and signing in for it.
//!
//! Any site may ask, because nothing is answered here that the asker's own standing would open: no
//! cookie counts on these routes but the refresh token's, which is `SameSite=Strict` and which no
//! answer to another site carries; bearer tokens are given by whoever holds them.

use std::time::Duration;

use http::{HeaderName, Method, header};
use tower_http::cors::{Any, CorsLayer};

/// How long a browser may remember that it may ask.
const REMEMBERED: Duration = Duration::from_hours(2);

/// Lets scripts of any site ask, without cookies, and read the headers that they need.
pub(crate) fn anyone() -> CorsLayer {
    CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::IF_NONE_MATCH,
        ])
        .expose_headers([
            header::ETAG,
            header::RETRY_AFTER,
            HeaderName::from_static("next-cursor"),
            HeaderName::from_static("x-request-id"),
        ])
        .max_age(REMEMBERED)
}
