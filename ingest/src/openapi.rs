//! The description of ingest's endpoints (OpenAPI 3.1), made of their handlers.

use utoipa::OpenApi;

use crate::{click, edge, postback, redirect};

#[derive(OpenApi)]
#[openapi(paths(
    click::receive,
    postback::receive,
    postback::receive_posted,
    redirect::follow,
    edge::receive,
    edge::links,
))]
struct Description;

/// The description of ingest's endpoints, to be merged with that of the API.
pub fn description() -> utoipa::openapi::OpenApi {
    Description::openapi()
}
