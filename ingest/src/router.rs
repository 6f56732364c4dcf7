//! The endpoints.

use std::sync::Arc;

use axum::{
    Router,
    routing::{get, post},
};
use http::StatusCode;

use crate::{Ingest, click, postback, redirect};

/// The endpoints of ingest, to be merged with those of other roles.
///
/// A `HEAD` asks what a `GET` would answer without doing anything: since these `GET`s write,
/// there is none, or link previewers would make clicks.
pub fn router(ingest: Arc<Ingest>) -> Router {
    Router::new()
        .route(
            "/v1/events/conversion",
            get(postback::receive).post(postback::receive).head(no_head),
        )
        .route("/v1/events/click", post(click::receive))
        .route("/r/{slug}", get(redirect::follow).head(no_head))
        .with_state(ingest)
}

async fn no_head() -> StatusCode {
    StatusCode::METHOD_NOT_ALLOWED
}
