//! `/v1/campaigns`: a tenant's campaigns and their terms, which are never edited: a version follows
//! another.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{
        Path, Query, State,
        rejection::{BytesRejection, PathRejection, QueryRejection},
    },
    response::Response,
};
use http::HeaderMap;
use operations::reference::{
    ReferenceFile,
    file::{Campaign, CampaignVersion},
};
use rust_decimal::Decimal;
use schemas::{CampaignId, Days, TenantId, Timestamp};
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
    problem::{ProblemBody, ReadRefused, WriteRefused},
    resources::{TenantParameters, save},
};

const NAME_CHARACTERS_MAX: usize = 200;
/// From click to conversion, unless said otherwise (specification, section 10; design section 5).
const ATTRIBUTION_WINDOW_DAYS: Days = 30;

/// A campaign to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "tenant_id": "00000000-0000-0000-0000-000000000001", "name": "Festive", "share_pct": "60"
}))]
pub(crate) struct NewCampaign {
    /// Whose: a tenant that the caller may act for.
    #[schema(required, value_type = Uuid)]
    tenant_id: Option<TenantId>,
    /// As its tenant calls it.
    #[schema(required, value_type = String, min_length = 1, max_length = 200)]
    name: Option<String>,
    /// The shopper's part of what is left of a commission after the fee, in percent with at most
    /// two places, as a number or in quotes. The tenant's default, where absent.
    #[schema(value_type = Option<String>)]
    share_pct: Option<Decimal>,
}

/// A campaign that was made.
#[derive(Serialize, ToSchema)]
pub(crate) struct CampaignMade {
    /// Its id.
    #[schema(value_type = Uuid, example = "00000000-0000-0000-0000-000000000002")]
    campaign_id: CampaignId,
}

/// Makes a campaign, in force at once.
#[utoipa::path(
    post, path = "/v1/campaigns", tag = "creators", request_body = NewCampaign,
    params(("Idempotency-Key" = Option<String>, Header, description = "A request that comes again with the same key is answered alike, and makes nothing.")),
    security(("bearer" = ["creator"]), ("bearer" = ["operator"])),
    responses(
        (status = 200, body = CampaignMade, description = "It is saved."),
        (status = 400, body = ProblemBody, description = "`invalid_fields`, `invalid_body`"),
        (status = 401, body = ProblemBody, description = "`unauthorised`"),
        (status = 403, body = ProblemBody, description = "`forbidden`"),
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
    let (request, bytes): (NewCampaign, _) = read_body_with_bytes(body)?;
    let mut fields = Fields::default();
    let tenant_id = fields.required("tenant_id", request.tenant_id, Ok);
    let name = fields.required("name", request.name, |name| named(&name));
    fields.check()?;
    let scope = caller.tenant(tenant_id.expect("checked above"))?;
    let name = name.expect("checked above");
    key.once(&api, &caller, &bytes, async |id| {
        create(&api, &scope, id, name, request.share_pct).await
    })
    .await
}

async fn create(
    api: &Api,
    scope: &TenantScope,
    id: Uuid,
    name: String,
    share_pct: Option<Decimal>,
) -> Result<CampaignMade, Problem> {
    let campaign_id = CampaignId::new(id);
    // At a request's second try it may be there.
    let mut transaction = scope.begin(api).await?;
    let made: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM campaigns WHERE campaign_id = $1)")
            .bind(id)
            .fetch_one(&mut *transaction)
            .await
            .map_err(|error| Problem::database(&error))?;
    drop(transaction);
    if !made {
        let campaign = Campaign {
            campaign_id,
            tenant_id: scope.tenant_id(),
            name,
            versions: vec![CampaignVersion {
                effective_at: api.clock.now(),
                share_pct,
                attribution_window_days: ATTRIBUTION_WINDOW_DAYS,
            }],
        };
        save_campaign(api, campaign).await?;
    }
    Ok(CampaignMade { campaign_id })
}

/// Terms of a campaign, in force from an instant on.
#[derive(Serialize, FromRow, ToSchema)]
#[schema(as = CampaignTerms)]
pub(crate) struct Terms {
    #[serde(skip)]
    campaign_id: Uuid,
    /// Counted from 1.
    version: i32,
    #[schema(value_type = String, format = DateTime)]
    #[sqlx(try_from = "chrono::DateTime<chrono::Utc>")]
    effective_at: Timestamp,
    /// The shopper's part in percent; the tenant's default, where absent.
    #[schema(value_type = Option<String>)]
    share_pct: Option<Decimal>,
    /// Days from click to sale.
    attribution_window_days: i32,
}

/// A campaign with all its terms, oldest first.
#[derive(Serialize, ToSchema)]
#[schema(as = Campaign, example = json!({
    "campaign_id": "00000000-0000-0000-0000-000000000002", "name": "Festive", "status": "active",
    "versions": [{"version": 1, "effective_at": "2026-09-01T00:00:00.000Z", "share_pct": "60.00",
                  "attribution_window_days": 30}]
}))]
pub(crate) struct Listed {
    campaign_id: Uuid,
    name: String,
    /// `active`, `paused` or `archived`.
    status: String,
    versions: Vec<Terms>,
}

/// A tenant's campaigns.
#[utoipa::path(
    get, path = "/v1/campaigns", tag = "creators", params(TenantParameters),
    security(("bearer" = ["creator"]), ("bearer" = ["operator"])),
    responses(
        (status = 200, body = Vec<Listed>, description = "A page of campaigns.",
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
    let found: Vec<(Uuid, String, String)> = sqlx::query_as(
        "SELECT campaign_id, name, status FROM campaigns
         WHERE $1::uuid IS NULL OR campaign_id > $1 ORDER BY campaign_id LIMIT $2",
    )
    .bind(page.after)
    .bind(page.rows())
    .fetch_all(&mut *transaction)
    .await
    .map_err(|error| Problem::database(&error))?;
    let ids: Vec<Uuid> = found.iter().map(|(id, ..)| *id).collect();
    let terms: Vec<Terms> = sqlx::query_as(
        "SELECT campaign_id, version, effective_at, share_pct, attribution_window_days
         FROM campaign_versions WHERE campaign_id = ANY($1) ORDER BY version",
    )
    .bind(ids)
    .fetch_all(&mut *transaction)
    .await
    .map_err(|error| Problem::database(&error))?;
    let mut campaigns: Vec<Listed> = found
        .into_iter()
        .map(|(campaign_id, name, status)| Listed {
            campaign_id,
            name,
            status,
            versions: Vec::new(),
        })
        .collect();
    for terms in terms {
        let place = campaigns.binary_search_by_key(&terms.campaign_id, |one| one.campaign_id);
        if let Ok(index) = place {
            campaigns[index].versions.push(terms);
        }
    }
    Ok(page.answer(&headers, campaigns, |last| last.campaign_id))
}

/// Terms to be added to a campaign.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"effective_at": "2026-10-01T00:00:00Z", "share_pct": "65"}))]
pub(crate) struct NewTerms {
    /// From when on, at least a minute ahead and after the version before, RFC 3339.
    #[schema(required, value_type = String, format = DateTime)]
    effective_at: Option<Timestamp>,
    /// As in a new campaign.
    #[schema(value_type = Option<String>)]
    share_pct: Option<Decimal>,
    /// Days from click to sale; 30, unless said otherwise.
    #[schema(minimum = 1, maximum = 730)]
    attribution_window_days: Option<Days>,
}

/// Adds terms to a campaign. Clicks before they take effect keep the terms that they were made
/// under.
#[utoipa::path(
    post, path = "/v1/campaigns/{campaign_id}/versions", tag = "creators", request_body = NewTerms,
    params(("campaign_id" = Uuid, Path, description = "A campaign of the caller's.",
            example = "00000000-0000-0000-0000-000000000002"),
           ("Idempotency-Key" = Option<String>, Header, description = "A request that comes again with the same key is answered alike, and makes nothing.")),
    security(("bearer" = ["creator"]), ("bearer" = ["operator"])),
    responses((status = 200, body = CampaignMade, description = "They are saved."), WriteRefused)
)]
pub(crate) async fn add_terms(
    State(api): State<Arc<Api>>,
    caller: Caller,
    campaign_id: Result<Path<String>, PathRejection>,
    key: IdempotencyKey,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let campaign_id: CampaignId = crate::in_path(campaign_id)?;
    let owner = "SELECT tenant_id FROM campaigns WHERE campaign_id = $1";
    let scope = caller
        .tenant_owning(&api, owner, campaign_id.uuid())
        .await?;
    let (request, bytes): (NewTerms, _) = read_body_with_bytes(body)?;
    let mut fields = Fields::default();
    let effective_at = fields.required("effective_at", request.effective_at, Ok);
    fields.check()?;
    let version = CampaignVersion {
        effective_at: effective_at.expect("checked above"),
        share_pct: request.share_pct,
        attribution_window_days: request
            .attribution_window_days
            .unwrap_or(ATTRIBUTION_WINDOW_DAYS),
    };
    // Named by campaign and time: saved once, however often it comes.
    key.once(&api, &caller, &bytes, async |_| {
        let name = name_of(&api, &scope, campaign_id).await?;
        let campaign = Campaign {
            campaign_id,
            tenant_id: scope.tenant_id(),
            name,
            versions: vec![version],
        };
        save_campaign(&api, campaign).await?;
        Ok(CampaignMade { campaign_id })
    })
    .await
}

async fn name_of(
    api: &Api,
    scope: &TenantScope,
    campaign_id: CampaignId,
) -> Result<String, Problem> {
    let mut transaction = scope.begin(api).await?;
    sqlx::query_scalar("SELECT name FROM campaigns WHERE campaign_id = $1")
        .bind(campaign_id.uuid())
        .fetch_one(&mut *transaction)
        .await
        .map_err(|error| Problem::database(&error))
}

async fn save_campaign(api: &Api, campaign: Campaign) -> Result<(), Problem> {
    let file = ReferenceFile {
        campaigns: vec![campaign],
        ..ReferenceFile::default()
    };
    save(api, &file, |path| match path {
        "campaigns[0].name" => Some("name"),
        "campaigns[0].tenant_id" => Some("tenant_id"),
        "campaigns[0].versions[0].share_pct" => Some("share_pct"),
        "campaigns[0].versions[0].attribution_window_days" => Some("attribution_window_days"),
        "campaigns[0].versions[0]" | "campaigns[0].versions[0].effective_at" => {
            Some("effective_at")
        }
        _ => None,
    })
    .await
}

pub(crate) fn named(name: &str) -> Result<String, String> {
    let name = name.trim();
    let usable = (1..=NAME_CHARACTERS_MAX).contains(&name.chars().count());
    if usable && !name.contains('\0') {
        Ok(name.to_owned())
    } else {
        Err(format!("1 to {NAME_CHARACTERS_MAX} characters"))
    }
}
