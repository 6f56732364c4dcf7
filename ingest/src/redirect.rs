//! `GET /r/{slug}`: a shopper follows a smart link to the merchant, and carries the click token
//! along.

use std::{sync::Arc, time::Instant};

use axum::{
    extract::{Path, Request, State, rejection::PathRejection},
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use schemas::{UserId, events::ClickOrigin};

use crate::{
    Ingest, click::Arrival, destination::destination, metrics::Kind, parameters::decode,
    rejection::Rejection,
};

/// Records the click and sends the shopper on.
pub(crate) async fn follow(
    State(ingest): State<Arc<Ingest>>,
    slug: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let started = Instant::now();
    let outcome = match slug {
        Ok(Path(slug)) => ingest.follow(&slug, request).await,
        // A slug that isn't UTF-8.
        Err(_) => Err(Rejection::UnknownLink),
    };
    ingest.answer(Kind::Redirect, started, outcome, |location| {
        // Each shopper has a token of their own: no cache may keep the answer.
        let headers = [
            (header::LOCATION, location.as_str()),
            (header::CACHE_CONTROL, "no-store"),
        ];
        (StatusCode::FOUND, headers).into_response()
    })
}

impl Ingest {
    async fn follow(&self, slug: &str, request: Request) -> Result<String, Rejection> {
        let received_at = self.now();
        let (parts, _body) = request.into_parts();
        let reference = self.reference.load_full();
        let link_id = *reference.slugs.get(slug).ok_or(Rejection::UnknownLink)?;
        let link = reference
            .links
            .get(&link_id)
            .ok_or(Rejection::UnknownLink)?;
        let offer = reference
            .offers
            .get(&link.offer_id)
            .ok_or(Rejection::UnknownLink)?;
        let arrival = Arrival {
            received_at,
            link_id,
            user_id: user_in(parts.uri.query().unwrap_or_default()),
            clicked_at: None,
            client: self.client(&parts),
            headers: &parts.headers,
            origin: ClickOrigin::Redirect,
        };
        let click = self.name_click(arrival, &reference).await?;
        let tracking_url = &offer.terms.as_of(received_at).value.tracking_url;
        let Some(location) = destination(tracking_url, &click.token) else {
            tracing::error!(offer_id = %link.offer_id, "the offer's tracking URL is unusable");
            return Err(Rejection::UnknownLink);
        };
        self.append_click(&click).await?;
        Ok(location)
    }
}

/// The shopper that `u` names. A shopper is sent on even if it names nobody.
fn user_in(query: &str) -> Option<UserId> {
    let value = query.split('&').find_map(|pair| pair.strip_prefix("u="))?;
    std::str::from_utf8(&decode(value.as_bytes()))
        .ok()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shopper_is_named_by_u() {
        let user = "7f1c0a4e-0c67-4c55-9a3c-0d7b7a3d5c11";
        let named = Some(user.parse().expect("a user id"));
        assert_eq!(user_in(&format!("a=1&u={user}")), named);
        assert_eq!(user_in(&format!("u={}", user.replace('-', "%2D"))), named);
        for query in ["", "u=", "u=me", "user=1", "u=%FF"] {
            assert_eq!(user_in(query), None, "{query}");
        }
    }
}
