//! `POST /v1/campaigns`.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{State, rejection::BytesRejection},
    response::Response,
};
use operations::reference::{
    ReferenceFile,
    file::{Campaign, CampaignVersion},
};
use rust_decimal::Decimal;
use schemas::{CampaignId, Days, TenantId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    Api, Problem,
    auth::{Caller, TenantScope},
    body::{Fields, read_body_with_bytes},
    idempotency::IdempotencyKey,
    problem::ProblemBody,
    resources::save,
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
        let file = ReferenceFile {
            campaigns: vec![campaign],
            ..ReferenceFile::default()
        };
        save(api, &file, |path| match path {
            "campaigns[0].name" => Some("name"),
            "campaigns[0].tenant_id" => Some("tenant_id"),
            "campaigns[0].versions[0].share_pct" => Some("share_pct"),
            _ => None,
        })
        .await?;
    }
    Ok(CampaignMade { campaign_id })
}

fn named(name: &str) -> Result<String, String> {
    let name = name.trim();
    let usable = (1..=NAME_CHARACTERS_MAX).contains(&name.chars().count());
    if usable && !name.contains('\0') {
        Ok(name.to_owned())
    } else {
        Err(format!("1 to {NAME_CHARACTERS_MAX} characters"))
    }
}
