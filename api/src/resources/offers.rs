//! `GET /v1/offers`: what a tenant may promote, and what it earns.

use std::sync::Arc;

use axum::{
    extract::{Query, State, rejection::QueryRejection},
    response::Response,
};
use http::HeaderMap;
use rust_decimal::Decimal;
use schemas::TenantId;
use serde::{Deserialize, Serialize};
use sqlx::{AssertSqlSafe, FromRow};
use utoipa::{IntoParams, ToSchema};

use crate::{
    Api, Problem,
    auth::{Caller, now},
    body::Fields,
    pages,
    problem::ProblemBody,
};

/// The longest name of a category.
const CATEGORY_BYTES_MAX: usize = 200;

/// Joins offers `o` in force at `$1` with their `rate`: the tenant's own, where it has one.
pub(crate) const RATE_IN_FORCE: &str = "
    CROSS JOIN LATERAL (
        SELECT v.currency::text AS currency,
               CASE WHEN own.found THEN own.commission_pct ELSE v.base_commission_pct END
                   AS commission_pct,
               CASE WHEN own.found THEN own.commission_flat ELSE v.commission_flat END
                   AS commission_flat
        FROM (SELECT * FROM offer_versions
              WHERE offer_versions.offer_id = o.offer_id AND effective_at <= $1
              ORDER BY effective_at DESC LIMIT 1) v
        LEFT JOIN (
            -- Without a rate it is withdrawn.
            SELECT num_nonnulls(c.commission_pct, c.commission_flat) = 1
                       AND c.valid_until > $1 IS NOT FALSE AS found,
                   c.commission_pct, c.commission_flat
            FROM commission_overrides c
            WHERE c.offer_id = o.offer_id AND c.goal_id = '' AND c.effective_at <= $1
            ORDER BY c.effective_at DESC LIMIT 1) own ON true
    ) rate";

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct OfferParameters {
    /// The tenant whose rates are asked for: one that the caller may act for.
    #[param(required, value_type = uuid::Uuid)]
    tenant_id: Option<TenantId>,
    /// Offers of this category only.
    #[param(max_length = 200)]
    category: Option<String>,
}

/// An offer, with the rate that a click at this moment would earn.
#[derive(Debug, Serialize, FromRow, ToSchema)]
#[schema(as = Offer, example = json!({
    "offer_id": 5509, "brand": "Kurtas", "category": "fashion", "commission_pct": "8.00",
    "commission_flat": null, "currency": "INR"
}))]
pub(crate) struct Listed {
    /// As its network numbers it.
    offer_id: i32,
    /// Whose goods are sold.
    brand: String,
    /// What is sold.
    category: Option<String>,
    /// Percentage of the sale; null where the rate is flat.
    #[schema(value_type = Option<String>)]
    commission_pct: Option<Decimal>,
    /// Amount for each sale; null where the rate is a percentage.
    #[schema(value_type = Option<String>)]
    commission_flat: Option<Decimal>,
    /// Of the commission.
    currency: String,
}

/// The offers that are in force, with the tenant's own rates where it has any.
///
/// Rates of single goals and commission rules come on top when a sale is decided.
#[utoipa::path(
    get, path = "/v1/offers", tag = "creators", params(OfferParameters),
    security(("bearer" = ["creator"]), ("bearer" = ["operator"])),
    responses(
        (status = 200, body = Vec<Listed>, description = "By number.",
         headers(("ETag" = String, description = "For `If-None-Match`."))),
        (status = 304, description = "As in `If-None-Match`."),
        (status = 400, body = ProblemBody, description = "`invalid_fields`"),
        (status = 401, body = ProblemBody, description = "`unauthorised`"),
        (status = 403, body = ProblemBody, description = "`forbidden`"),
        (status = 409, body = ProblemBody, description = "`not_configured`"),
        (status = 429, body = ProblemBody, description = "`too_many_requests`"),
        (status = 503, body = ProblemBody, description = "`unavailable`"),
    )
)]
pub(crate) async fn list(
    State(api): State<Arc<Api>>,
    caller: Caller,
    parameters: Result<Query<OfferParameters>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Query(parameters) = parameters.map_err(|rejection| crate::query_problem(&rejection))?;
    let mut fields = Fields::default();
    let tenant_id = fields.required("tenant_id", parameters.tenant_id, Ok);
    let category = fields.optional("category", parameters.category, |category| {
        if category.len() <= CATEGORY_BYTES_MAX && !category.contains('\0') {
            Ok(category)
        } else {
            Err(format!("at most {CATEGORY_BYTES_MAX} bytes, without NULs"))
        }
    });
    fields.check()?;
    let scope = caller.tenant(tenant_id.expect("checked above"))?;

    let mut transaction = scope.begin(&api).await?;
    let offers: Vec<Listed> = sqlx::query_as(AssertSqlSafe(format!(
        "SELECT o.offer_id, o.brand, o.category, rate.currency, rate.commission_pct,
                rate.commission_flat
         FROM offers o {RATE_IN_FORCE}
         WHERE $2::text IS NULL OR o.category = $2
         ORDER BY o.offer_id"
    )))
    .bind(now(&api))
    .bind(category)
    .fetch_all(&mut *transaction)
    .await
    .map_err(|error| Problem::database(&error))?;
    Ok(pages::tagged(&headers, &offers))
}
