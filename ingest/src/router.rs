//! The endpoints.

use std::sync::Arc;

use axum::{
    Router,
    middleware::from_fn_with_state,
    routing::{get, post},
};
use web::rate_limit::limit;

use crate::{Ingest, click, edge, postback, redirect, rejection::Rejection};

/// The endpoints of ingest, to be merged with those of other roles.
///
/// A `HEAD` of a postback would write like its `GET`: there is none. A `HEAD` of a smart link asks
/// where it leads, and makes no click.
pub fn router(ingest: Arc<Ingest>) -> Router {
    let limited = from_fn_with_state(ingest.callers.clone(), limit);
    Router::new()
        .route("/v1/events/click", post(click::receive).layer(limited))
        .route(
            "/v1/events/conversion",
            get(postback::receive)
                .post(postback::receive_posted)
                .head(async || Rejection::MethodNotAllowed),
        )
        .route("/r/{slug}", get(redirect::follow).head(redirect::ask))
        .route("/v1/edge/clicks", post(edge::receive))
        .route("/v1/edge/links", get(edge::links))
        .method_not_allowed_fallback(async || Rejection::MethodNotAllowed)
        .with_state(ingest)
}
