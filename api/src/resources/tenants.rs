//! `/v1/tenants`: creators and brands, and who runs them.

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
    file::{Member, Tenant, TenantVersion, User},
};
use rust_decimal::Decimal;
use schemas::{TenantId, Timestamp, UserId, reference::PartnerLevel};
use serde::{Deserialize, Serialize};
use sqlx::{AssertSqlSafe, FromRow};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::{
    Api, Problem,
    auth::{Caller, Operator, normalised_phone, now},
    body::{Fields, read_body_with_bytes},
    idempotency::IdempotencyKey,
    pages::{self, Page},
    problem::{ReadRefused, WriteRefused},
    resources::{campaigns::named, save},
};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct TenantsParameters {
    /// Where the page before ended: its header `Next-Cursor`.
    cursor: Option<String>,
    /// At most as many; 50, unless said otherwise.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
}

/// A tenant, with the settings in force.
#[derive(Serialize, FromRow, ToSchema)]
#[schema(as = Tenant, example = json!({
    "tenant_id": "00000000-0000-0000-0000-000000000001", "name": "Asha's picks",
    "default_share_pct": "60.00", "platform_fee_pct": "0.00", "payout_min": "100",
    "kyc_required": false
}))]
pub(crate) struct Listed {
    tenant_id: Uuid,
    name: String,
    /// The shopper's share where a campaign names none.
    #[schema(value_type = Option<String>)]
    default_share_pct: Option<Decimal>,
    #[schema(value_type = Option<String>)]
    platform_fee_pct: Option<Decimal>,
    /// Least balance that is paid out.
    #[schema(value_type = Option<String>)]
    payout_min: Option<Decimal>,
    /// Whether only identified shoppers are paid.
    kyc_required: Option<bool>,
}

const SETTINGS: &str = "SELECT t.tenant_id, name, default_share_pct, platform_fee_pct, payout_min,
        kyc_required
    FROM tenants t LEFT JOIN LATERAL (
        SELECT * FROM tenant_versions v
        WHERE v.tenant_id = t.tenant_id AND v.effective_at <= $1
        ORDER BY v.effective_at DESC LIMIT 1) v ON true";

/// Every tenant.
#[utoipa::path(
    get, path = "/v1/tenants", tag = "operators", params(TenantsParameters),
    security(("bearer" = ["operator"])),
    responses(
        (status = 200, body = Vec<Listed>, description = "A page of tenants.",
         headers(("Next-Cursor" = String, description = "Names the next page, if there is one."),
                 ("ETag" = String, description = "For `If-None-Match`."))),
        (status = 304, description = "As in `If-None-Match`."),
        ReadRefused,
    )
)]
pub(crate) async fn list(
    State(api): State<Arc<Api>>,
    _: Operator,
    parameters: Result<Query<TenantsParameters>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Query(parameters) = parameters.map_err(|rejection| crate::query_problem(&rejection))?;
    let mut fields = Fields::default();
    let page: Page<Uuid> = Page::of(parameters.cursor, parameters.limit, &mut fields);
    fields.check()?;
    let tenants: Vec<Listed> = sqlx::query_as(AssertSqlSafe(format!(
        "{SETTINGS} WHERE $2::uuid IS NULL OR t.tenant_id > $2 ORDER BY t.tenant_id LIMIT $3"
    )))
    .bind(now(&api))
    .bind(page.after)
    .bind(page.rows())
    .fetch_all(&api.pool)
    .await
    .map_err(|error| Problem::database(&error))?;
    Ok(page.answer(&headers, tenants, |last| last.tenant_id))
}

/// One tenant, with the settings in force.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant_id}", tag = "creators",
    params(("tenant_id" = Uuid, Path, description = "One that the caller may act for.",
            example = "00000000-0000-0000-0000-000000000001")),
    security(("bearer" = ["creator"]), ("bearer" = ["operator"])),
    responses(
        (status = 200, body = Listed, description = "As of now.",
         headers(("ETag" = String, description = "For `If-None-Match`."))),
        (status = 304, description = "As in `If-None-Match`."),
        ReadRefused,
    )
)]
pub(crate) async fn show(
    State(api): State<Arc<Api>>,
    caller: Caller,
    tenant_id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let scope = caller.tenant(crate::in_path(tenant_id)?)?;
    let mut transaction = scope.begin(&api).await?;
    let tenant: Option<Listed> =
        sqlx::query_as(AssertSqlSafe(format!("{SETTINGS} WHERE t.tenant_id = $2")))
            .bind(now(&api))
            .bind(scope.tenant_id().uuid())
            .fetch_optional(&mut *transaction)
            .await
            .map_err(|error| Problem::database(&error))?;
    let tenant = tenant.ok_or(Problem::NotFound)?;
    Ok(pages::tagged(&headers, &tenant))
}

/// A tenant to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "Asha's picks", "default_share_pct": "60", "payout_min": "100"}))]
pub(crate) struct NewTenant {
    /// As it is called.
    #[schema(required, value_type = String, min_length = 1, max_length = 200)]
    name: Option<String>,
    /// The shopper's share where a campaign names none, in percent with at most two places.
    #[schema(required, value_type = String)]
    default_share_pct: Option<Decimal>,
    /// The platform's fee in percent; none, unless said otherwise.
    #[schema(value_type = Option<String>)]
    platform_fee_pct: Option<Decimal>,
    /// Least balance that is paid out; 1, unless said otherwise.
    #[schema(value_type = Option<String>)]
    payout_min: Option<Decimal>,
    /// Whether only identified shoppers are paid.
    #[serde(default)]
    kyc_required: bool,
}

/// A tenant that was made.
#[derive(Serialize, ToSchema)]
pub(crate) struct TenantMade {
    /// Its id.
    #[schema(value_type = Uuid, example = "00000000-0000-0000-0000-000000000001")]
    tenant_id: TenantId,
}

/// Makes a tenant.
#[utoipa::path(
    post, path = "/v1/tenants", tag = "operators", request_body = NewTenant,
    params(("Idempotency-Key" = Option<String>, Header, description = "A request that comes again with the same key is answered alike, and makes nothing.")),
    security(("bearer" = ["operator"])),
    responses((status = 200, body = TenantMade, description = "It is saved."), WriteRefused)
)]
pub(crate) async fn make(
    State(api): State<Arc<Api>>,
    Operator(operator): Operator,
    key: IdempotencyKey,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let (request, bytes): (NewTenant, _) = read_body_with_bytes(body)?;
    let mut fields = Fields::default();
    let name = fields.required("name", request.name, |name| named(&name));
    let default_share_pct = fields.required("default_share_pct", request.default_share_pct, Ok);
    fields.check()?;
    let name = name.expect("checked above");
    let version = TenantVersion {
        effective_at: api.clock.now(),
        level: PartnerLevel::default(),
        default_share_pct: default_share_pct.expect("checked above"),
        platform_fee_pct: request.platform_fee_pct.unwrap_or_default(),
        platform_fee_flat: Decimal::ZERO,
        subsidy: Decimal::ZERO,
        payout_min: request.payout_min.unwrap_or(Decimal::ONE),
        kyc_required: request.kyc_required,
    };
    key.once(&api, &Caller::Service(operator), &bytes, async |id| {
        create(&api, TenantId::new(id), name, version).await
    })
    .await
}

async fn create(
    api: &Api,
    tenant_id: TenantId,
    name: String,
    version: TenantVersion,
) -> Result<TenantMade, Problem> {
    // At a request's second try it may be there.
    if !tenant_exists(api, tenant_id).await? {
        let tenant = Tenant {
            tenant_id,
            name,
            versions: vec![version],
        };
        let file = ReferenceFile {
            tenants: vec![tenant],
            ..ReferenceFile::default()
        };
        save(api, &file, |path| {
            let field = path.strip_prefix("tenants[0].")?;
            let field = field.strip_prefix("versions[0].").unwrap_or(field);
            Some(field.to_owned())
        })
        .await?;
    }
    Ok(TenantMade { tenant_id })
}

async fn tenant_exists(api: &Api, tenant_id: TenantId) -> Result<bool, Problem> {
    sqlx::query_scalar("SELECT EXISTS (SELECT FROM tenants WHERE tenant_id = $1)")
        .bind(tenant_id.uuid())
        .fetch_one(&api.pool)
        .await
        .map_err(|error| Problem::database(&error))
}

/// A member of a tenant: who they are is not told.
#[derive(Serialize, FromRow, ToSchema)]
#[schema(as = Member, example = json!({
    "user_id": "00000000-0000-0000-0000-000000000007", "role": "owner",
    "since": "2026-09-01T00:00:00.000Z"
}))]
pub(crate) struct ListedMember {
    user_id: Uuid,
    role: String,
    #[schema(value_type = String, format = DateTime)]
    #[sqlx(try_from = "chrono::DateTime<chrono::Utc>")]
    since: Timestamp,
}

/// Who runs a tenant.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant_id}/members", tag = "operators",
    params(("tenant_id" = Uuid, Path, description = "The tenant.",
            example = "00000000-0000-0000-0000-000000000001")),
    security(("bearer" = ["operator"])),
    responses((status = 200, body = Vec<ListedMember>, description = "By id."), ReadRefused)
)]
pub(crate) async fn members(
    State(api): State<Arc<Api>>,
    _: Operator,
    tenant_id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let tenant_id: TenantId = crate::in_path(tenant_id)?;
    if !tenant_exists(&api, tenant_id).await? {
        return Err(Problem::NotFound);
    }
    let members: Vec<ListedMember> = sqlx::query_as(
        "SELECT user_id, role, since FROM tenant_members WHERE tenant_id = $1 ORDER BY user_id",
    )
    .bind(tenant_id.uuid())
    .fetch_all(&api.pool)
    .await
    .map_err(|error| Problem::database(&error))?;
    Ok(pages::tagged(&headers, &members))
}

/// A member to be added.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"phone": "+919876543210"}))]
pub(crate) struct NewMember {
    /// The number that they sign in with; whoever has none here yet is made known.
    #[schema(required, value_type = String)]
    phone: Option<String>,
}

/// A member that was added.
#[derive(Serialize, ToSchema)]
pub(crate) struct MemberMade {
    /// The person.
    #[schema(value_type = Uuid, example = "00000000-0000-0000-0000-000000000007")]
    user_id: UserId,
}

/// Makes somebody a member of a tenant: a creator, from their next sign-in on.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant_id}/members", tag = "operators", request_body = NewMember,
    params(("tenant_id" = Uuid, Path, description = "The tenant.",
            example = "00000000-0000-0000-0000-000000000001"),
           ("Idempotency-Key" = Option<String>, Header, description = "A request that comes again with the same key is answered alike, and makes nothing.")),
    security(("bearer" = ["operator"])),
    responses((status = 200, body = MemberMade, description = "They are a member."), WriteRefused)
)]
pub(crate) async fn add_member(
    State(api): State<Arc<Api>>,
    Operator(operator): Operator,
    tenant_id: Result<Path<String>, PathRejection>,
    key: IdempotencyKey,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let tenant_id: TenantId = crate::in_path(tenant_id)?;
    if !tenant_exists(&api, tenant_id).await? {
        return Err(Problem::NotFound);
    }
    let (request, bytes): (NewMember, _) = read_body_with_bytes(body)?;
    let mut fields = Fields::default();
    let phone = fields.required("phone", request.phone, |phone| normalised_phone(&phone));
    fields.check()?;
    let phone = phone.expect("checked above");
    key.once(&api, &Caller::Service(operator), &bytes, async |id| {
        join(&api, tenant_id, phone, UserId::new(id)).await
    })
    .await
}

/// Makes the holder of a phone a member; `candidate` is who they become, if nobody has it yet.
async fn join(
    api: &Api,
    tenant_id: TenantId,
    phone: String,
    candidate: UserId,
) -> Result<MemberMade, Problem> {
    let holder: Option<Uuid> = sqlx::query_scalar(
        "SELECT user_id FROM users WHERE phone_hash = $1 AND erased_at IS NULL
         ORDER BY created_at, user_id LIMIT 1",
    )
    .bind(api.contacts.hashed.phone(&phone))
    .fetch_optional(&api.pool)
    .await
    .map_err(|error| Problem::database(&error))?;
    let user_id = holder.map_or(candidate, UserId::new);
    let users = if holder.is_none() {
        vec![User {
            user_id,
            phone: Some(phone),
            email: None,
            kyc_hash: None,
        }]
    } else {
        Vec::new()
    };
    let file = ReferenceFile {
        users,
        members: vec![Member {
            tenant_id,
            user_id,
            since: api.clock.now(),
        }],
        ..ReferenceFile::default()
    };
    save(api, &file, |path| {
        path.starts_with("users[0]").then_some("phone")
    })
    .await?;
    Ok(MemberMade { user_id })
}
