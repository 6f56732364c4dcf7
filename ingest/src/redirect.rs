//! `GET /r/{slug}`: a shopper follows a smart link to the merchant, and carries the click token
//! along.

use std::{sync::Arc, time::Instant};

use axum::{
    body::Body,
    extract::{Path, Request, State, rejection::PathRejection},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, request::Parts};
use schemas::{UserId, events::ClickOrigin};
use web::{client_address::Client, rate_limit::Count};

use crate::{
    Ingest,
    click::{Arrival, text_of},
    device::Visitor,
    metrics::{Counting, Kind},
    parameters::decode,
    rejection::Rejection,
    smart_link::SmartLink,
};

/// What people see where a link doesn't lead on.
const PAGE: &str = r#"<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Hissaback</title>
<p>{told}</p>
</html>
"#;
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Records the click and sends the shopper on.
///
/// An address that is over its limit is sent on too, with a token like any other, so that the sale
/// counts; its click isn't recorded.
#[utoipa::path(
    get, path = "/r/{slug}", tag = "events", operation_id = "follow_link", security(()),
    params(
        ("slug" = String, Path, description = "The link's name."),
        ("u" = Option<uuid::Uuid>, Query, description = "The shopper, if known. Other parameters \
         are passed on, but for those that mean something to the network."),
    ),
    responses(
        (status = 302, description = "To the merchant, with the click token."),
        (status = 404, body = web::problem_details::ProblemBody, description = "`not_found`: no such link, under this name of the host"),
        (status = 410, body = web::problem_details::ProblemBody, description = "`link_ended`: its campaign or offer has ended"),
        (status = 503, body = web::problem_details::ProblemBody, description = "`unavailable`: try again"),
    )
)]
pub(crate) async fn follow(
    State(ingest): State<Arc<Ingest>>,
    slug: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    answer(&ingest, slug, request, None).await
}

/// Says where a link leads.
pub(crate) async fn ask(
    State(ingest): State<Arc<Ingest>>,
    slug: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    answer(&ingest, slug, request, Some(Counting::AskedOnly)).await
}

async fn answer(
    ingest: &Ingest,
    slug: Result<Path<String>, PathRejection>,
    request: Request,
    counting: Option<Counting>,
) -> Response {
    let started = Instant::now();
    let (parts, _body) = request.into_parts();
    let outcome = match slug {
        Ok(Path(slug)) => ingest.follow(&slug, &parts, counting).await,
        // A slug that isn't UTF-8.
        Err(_) => Err(Rejection::UnknownLink),
    };
    let told = outcome.as_ref().err().map(Rejection::user_message);
    let mut response = match outcome {
        // Counted as accepted is what is in the log.
        Ok((location, Counting::OverLimit | Counting::AskedOnly)) => found(&location),
        outcome => ingest.answer(Kind::Redirect, started, outcome, |(to, _)| found(&to)),
    };
    if let Some(told) = told.filter(|_| wants_page(&parts.headers)) {
        *response.body_mut() = Body::from(PAGE.replace("{told}", told));
        let html = HeaderValue::from_static("text/html; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, html);
    }
    // Each shopper has a token of their own, and a campaign that rests may go on: no cache may keep
    // the answer.
    let no_store = HeaderValue::from_static("no-store");
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, no_store);
    response
}

fn found(location: &str) -> Response {
    (StatusCode::FOUND, [(header::LOCATION, location)]).into_response()
}

/// Whether a browser asks, for a person to read.
fn wants_page(headers: &HeaderMap) -> bool {
    let accepted = text_of(headers, &header::ACCEPT);
    accepted.is_some_and(|accepted| accepted.contains("text/html"))
}

impl Ingest {
    async fn follow(
        &self,
        slug: &str,
        parts: &Parts,
        counting: Option<Counting>,
    ) -> Result<(String, Counting), Rejection> {
        let received_at = self.now();
        let client = self.client(parts);
        let query = parts.uri.query().unwrap_or_default();
        let reference = self.reference.load_full();
        let host = host(parts, &client);
        let link = SmartLink::resolve(&reference, host.as_deref(), slug, received_at)?;
        let counting = counting.unwrap_or_else(|| match self.callers.count(&client) {
            None | Some(Count::Within { .. }) => Counting::Recorded,
            Some(Count::Beyond { .. }) => Counting::OverLimit,
        });
        let user_agent = text_of(&parts.headers, &header::USER_AGENT);
        let visitor = Visitor::of(user_agent.as_deref().unwrap_or_default());
        let arrival = Arrival {
            click_id: self.draw_click_id().await?,
            received_at,
            link_id: link.link_id,
            user_id: user_in(query),
            clicked_at: None,
            client,
            user_agent,
            referrer: text_of(&parts.headers, &header::REFERER),
            origin: ClickOrigin::Redirect,
        };
        let click = self.name_click(&arrival, &reference)?;
        let location = link.location(&click.token, query)?;
        match counting {
            Counting::Recorded => self.append_click(&click).await?,
            Counting::OverLimit | Counting::AskedOnly => {}
        }
        self.metrics().count_redirect(visitor, counting);
        Ok((location, counting))
    }
}

/// The name that the caller knows us by, in lower case and without a port: what a trusted proxy was
/// asked for, if it says so.
fn host(parts: &Parts, client: &Client) -> Option<String> {
    let forwarded = client
        .peer_trusted
        .then(|| text_of(&parts.headers, &FORWARDED_HOST))
        .flatten();
    let named = forwarded
        .or_else(|| text_of(&parts.headers, &header::HOST))
        .or_else(|| parts.uri.host().map(str::to_owned))?;
    let authority: http::uri::Authority = named.trim().parse().ok()?;
    Some(authority.host().trim_end_matches('.').to_ascii_lowercase())
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
