//! `/v1/links`: smart links.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{
        Query, State,
        rejection::{BytesRejection, QueryRejection},
    },
    response::Response,
};
use http::HeaderMap;
use operations::reference::{ReferenceFile, file::Link};
use schemas::{CampaignId, LinkId, OfferId};
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    Api, Problem,
    auth::{Caller, TenantScope},
    body::{Fields, read_body_with_bytes},
    idempotency::IdempotencyKey,
    pages::Page,
    problem::{ProblemBody, ReadRefused},
    resources::{TenantParameters, save},
};

/// Letters and digits of a slug that we choose: 62^10 of them, so that none is met twice.
const SLUG_CHARACTERS: usize = 10;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A smart link to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "campaign_id": "00000000-0000-0000-0000-000000000002", "offer_id": 5509
}))]
pub(crate) struct NewLink {
    /// A campaign of a tenant that the caller may act for.
    #[schema(required, value_type = Uuid)]
    campaign_id: Option<CampaignId>,
    /// Where it leads.
    #[schema(required, value_type = i32)]
    offer_id: Option<OfferId>,
}

/// A smart link that was made.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "link_id": "00000000-0000-0000-0000-000000000003",
    "smart_link": "https://hissaback.app/r/4fT9xQ2bLm"
}))]
pub(crate) struct LinkMade {
    /// Its id.
    #[schema(value_type = Uuid)]
    link_id: LinkId,
    /// What to share. Redirects know it within ten seconds.
    smart_link: String,
}

/// Makes a smart link: a campaign's way to an offer.
#[utoipa::path(
    post, path = "/v1/links", tag = "creators", request_body = NewLink,
    params(("Idempotency-Key" = Option<String>, Header, description = "A request that comes again with the same key is answered alike, and makes nothing.")),
    security(("bearer" = ["creator"]), ("bearer" = ["operator"])),
    responses(
        (status = 200, body = LinkMade, description = "It is saved."),
        (status = 400, body = ProblemBody, description = "`invalid_fields`, `invalid_body`"),
        (status = 401, body = ProblemBody, description = "`unauthorised`"),
        (status = 403, body = ProblemBody, description = "`forbidden`"),
        (status = 404, body = ProblemBody, description = "`not_found`: no such campaign of the caller's"),
        (status = 409, body = ProblemBody, description = "`request_in_progress`, `not_configured`"),
        (status = 422, body = ProblemBody, description = "`idempotency_key_reused`"),
        (status = 429, body = ProblemBody, description = "`too_many_requests`"),
        (status = 503, body = ProblemBody, description = "`unavailable`"),
    )
)]
pub(crate) async fn make(
    State(api): State<Arc<Api>>,
    caller: Caller,
    key: IdempotencyKey,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let (request, bytes): (NewLink, _) = read_body_with_bytes(body)?;
    let mut fields = Fields::default();
    let campaign_id = fields.required("campaign_id", request.campaign_id, Ok);
    let offer_id = fields.required("offer_id", request.offer_id, Ok);
    fields.check()?;
    let campaign_id = campaign_id.expect("checked above");
    let offer_id = offer_id.expect("checked above");
    let owner = "SELECT tenant_id FROM campaigns WHERE campaign_id = $1";
    let scope = caller
        .tenant_owning(&api, owner, campaign_id.uuid())
        .await?;
    key.once(&api, &caller, &bytes, async |id| {
        create(&api, &scope, id, campaign_id, offer_id).await
    })
    .await
}

async fn create(
    api: &Api,
    scope: &TenantScope,
    id: Uuid,
    campaign_id: CampaignId,
    offer_id: OfferId,
) -> Result<LinkMade, Problem> {
    let link_id = LinkId::new(id);
    let slug = slug_of(id);
    // At a request's second try it may be there.
    let mut transaction = scope.begin(api).await?;
    let made: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM links WHERE link_id = $1)")
        .bind(id)
        .fetch_one(&mut *transaction)
        .await
        .map_err(|error| Problem::database(&error))?;
    let custom_domain: Option<String> = sqlx::query_scalar(
        "SELECT custom_domain FROM tenants JOIN campaigns USING (tenant_id)
             WHERE campaign_id = $1",
    )
    .bind(campaign_id.uuid())
    .fetch_one(&mut *transaction)
    .await
    .map_err(|error| Problem::database(&error))?;
    drop(transaction);
    if !made {
        let link = Link {
            link_id,
            slug: slug.clone(),
            campaign_id,
            offer_id,
        };
        let file = ReferenceFile {
            links: vec![link],
            ..ReferenceFile::default()
        };
        save(api, &file, |path| match path {
            "links[0].offer_id" => Some("offer_id"),
            "links[0].campaign_id" => Some("campaign_id"),
            _ => None,
        })
        .await?;
    }
    Ok(LinkMade {
        link_id,
        smart_link: smart_link(&api.public_url, custom_domain.as_deref(), &slug),
    })
}

/// A smart link.
#[derive(Serialize, ToSchema)]
#[schema(as = Link, example = json!({
    "link_id": "00000000-0000-0000-0000-000000000003",
    "campaign_id": "00000000-0000-0000-0000-000000000002", "offer_id": 5509, "brand": "Kurtas",
    "smart_link": "https://hissaback.app/r/4fT9xQ2bLm"
}))]
pub(crate) struct Listed {
    link_id: Uuid,
    campaign_id: Uuid,
    /// Where it leads.
    offer_id: i32,
    /// Whose goods are sold there.
    brand: String,
    /// What to share.
    smart_link: String,
}

#[derive(FromRow)]
struct Row {
    link_id: Uuid,
    campaign_id: Uuid,
    offer_id: i32,
    brand: String,
    slug: String,
    custom_domain: Option<String>,
}

/// A tenant's smart links.
#[utoipa::path(
    get, path = "/v1/links", tag = "creators", params(TenantParameters),
    security(("bearer" = ["creator"]), ("bearer" = ["operator"])),
    responses(
        (status = 200, body = Vec<Listed>, description = "A page of links.",
         headers(("Next-Cursor" = String, description = "Names the next page, if there is one."),
                 ("ETag" = String, description = "For `If-None-Match`."))),
        (status = 304, description = "As in `If-None-Match`."),
        ReadRefused,
    )
)]
pub(crate) async fn list(
    State(api): State<Arc<Api>>,
    caller: Caller,
    parameters: Result<Query<TenantParameters>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (scope, page): (_, Page<Uuid>) = TenantParameters::read(parameters, &caller)?;
    let mut transaction = scope.begin(&api).await?;
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT link_id, campaign_id, offer_id, brand, slug, custom_domain
         FROM links JOIN offers USING (offer_id) JOIN tenants USING (tenant_id)
         WHERE $1::uuid IS NULL OR link_id > $1 ORDER BY link_id LIMIT $2",
    )
    .bind(page.after)
    .bind(page.rows())
    .fetch_all(&mut *transaction)
    .await
    .map_err(|error| Problem::database(&error))?;
    let links = rows.into_iter().map(|row| Listed {
        link_id: row.link_id,
        campaign_id: row.campaign_id,
        offer_id: row.offer_id,
        brand: row.brand,
        smart_link: smart_link(&api.public_url, row.custom_domain.as_deref(), &row.slug),
    });
    let links = links.collect();
    Ok(page.answer(&headers, links, |last: &Listed| last.link_id))
}

/// What is shared: under the tenant's own domain, where it has one.
pub(crate) fn smart_link(public_url: &str, custom_domain: Option<&str>, slug: &str) -> String {
    match custom_domain {
        Some(domain) => format!("https://{domain}/r/{slug}"),
        None => format!("{public_url}/r/{slug}"),
    }
}

/// The slug of a link is made of its id, so that a second try finds the same.
fn slug_of(id: Uuid) -> String {
    let mut rest = id.as_u128();
    let base = ALPHABET.len() as u128;
    (0..SLUG_CHARACTERS)
        .map(|_| {
            let digit = usize::try_from(rest % base).expect("below 62");
            rest /= base;
            char::from(ALPHABET[digit])
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slug_is_made_of_its_id_alone_and_fits_a_path() {
        let ids: Vec<_> = (0..1_000).map(|_| Uuid::new_v4()).collect();
        let slugs: std::collections::BTreeSet<_> = ids.iter().map(|id| slug_of(*id)).collect();
        assert_eq!(slugs.len(), ids.len());
        assert_eq!(slug_of(ids[0]), slug_of(ids[0]));
        assert!(slugs.iter().all(|slug| slug.len() == SLUG_CHARACTERS
            && slug.bytes().all(|byte| byte.is_ascii_alphanumeric())));
    }
}
