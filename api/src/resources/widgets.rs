//! `/v1/widgets`: what creators put on their pages.

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
use schemas::CampaignId;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sqlx::{FromRow, types::Json};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    Api, Problem,
    auth::{Caller, TenantScope},
    body::{Fields, read_body_with_bytes},
    idempotency::IdempotencyKey,
    pages::Page,
    problem::{ReadRefused, WriteRefused},
    resources::TenantParameters,
};

/// How deep a configuration may be nested: none that is meant is deeper.
const DEPTH_MAX: usize = 8;

/// A widget to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "campaign_id": "00000000-0000-0000-0000-000000000002", "config_json": {"theme": "light"}
}))]
pub(crate) struct NewWidget {
    /// A campaign of a tenant that the caller may act for.
    #[schema(required, value_type = Uuid)]
    campaign_id: Option<CampaignId>,
    /// How it looks; anybody can read it.
    #[schema(value_type = Option<Object>)]
    config_json: Option<Map<String, Value>>,
}

/// A widget that was made.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"widget_id": "00000000-0000-0000-0000-000000000005"}))]
pub(crate) struct WidgetMade {
    widget_id: Uuid,
}

/// Makes a widget: what a page shows of a campaign.
#[utoipa::path(
    post, path = "/v1/widgets", tag = "creators", request_body = NewWidget,
    params(("Idempotency-Key" = Option<String>, Header, description = "A request that comes again with the same key is answered alike, and makes nothing.")),
    security(("bearer" = ["creator"]), ("bearer" = ["operator"])),
    responses((status = 200, body = WidgetMade, description = "It is saved."), WriteRefused)
)]
pub(crate) async fn make(
    State(api): State<Arc<Api>>,
    caller: Caller,
    key: IdempotencyKey,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let (request, bytes): (NewWidget, _) = read_body_with_bytes(body)?;
    let mut fields = Fields::default();
    let campaign_id = fields.required("campaign_id", request.campaign_id, Ok);
    let config = fields.optional("config_json", request.config_json, |config| {
        let config = Value::Object(config);
        storable(&config, DEPTH_MAX)
            .then_some(config)
            .ok_or_else(|| format!("without NULs, and nested at most {DEPTH_MAX} deep"))
    });
    fields.check()?;
    let campaign_id = campaign_id.expect("checked above");
    let owner = "SELECT tenant_id FROM campaigns WHERE campaign_id = $1";
    let scope = caller
        .tenant_owning(&api, owner, campaign_id.uuid())
        .await?;
    let config = config.unwrap_or_else(|| Value::Object(Map::new()));
    key.once(&api, &caller, &bytes, async |widget_id| {
        create(&api, &scope, widget_id, campaign_id, config).await
    })
    .await
}

async fn create(
    api: &Api,
    scope: &TenantScope,
    widget_id: Uuid,
    campaign_id: CampaignId,
    config: Value,
) -> Result<WidgetMade, Problem> {
    // At a request's second try it may be there.
    sqlx::query(
        "INSERT INTO widgets (widget_id, tenant_id, campaign_id, config_json)
         VALUES ($1, $2, $3, $4) ON CONFLICT (widget_id) DO NOTHING",
    )
    .bind(widget_id)
    .bind(scope.tenant_id().uuid())
    .bind(campaign_id.uuid())
    .bind(Json(config))
    .execute(&api.pool)
    .await
    .map_err(|error| Problem::database(&error))?;
    Ok(WidgetMade { widget_id })
}

/// Whether PostgreSQL can keep it: no NULs, and no deeper than this.
fn storable(value: &Value, depth: usize) -> bool {
    let within = |value: &Value| depth > 0 && storable(value, depth.saturating_sub(1));
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
        Value::String(text) => !text.contains('\0'),
        Value::Array(values) => values.iter().all(within),
        Value::Object(members) => members
            .iter()
            .all(|(name, value)| !name.contains('\0') && within(value)),
    }
}

/// A widget, as its tenant made it.
#[derive(Serialize, FromRow, ToSchema)]
#[schema(as = Widget, example = json!({
    "widget_id": "00000000-0000-0000-0000-000000000005",
    "campaign_id": "00000000-0000-0000-0000-000000000002", "config_json": {"theme": "light"}
}))]
pub(crate) struct Listed {
    widget_id: Uuid,
    campaign_id: Uuid,
    #[schema(value_type = Object)]
    config_json: Json<Value>,
}

/// A tenant's widgets.
#[utoipa::path(
    get, path = "/v1/widgets", tag = "creators", params(TenantParameters),
    security(("bearer" = ["creator"]), ("bearer" = ["operator"])),
    responses(
        (status = 200, body = Vec<Listed>, description = "A page of widgets.",
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
    let widgets: Vec<Listed> = sqlx::query_as(
        "SELECT widget_id, campaign_id, config_json FROM widgets
         WHERE $1::uuid IS NULL OR widget_id > $1 ORDER BY widget_id LIMIT $2",
    )
    .bind(page.after)
    .bind(page.rows())
    .fetch_all(&mut *transaction)
    .await
    .map_err(|error| Problem::database(&error))?;
    Ok(page.answer(&headers, widgets, |last| last.widget_id))
}
