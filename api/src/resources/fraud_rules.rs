//! `/v1/fraud-rules`: weights and thresholds, as versions.

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
use operations::reference::{
    ReferenceFile,
    file::{FraudRuleSet, FraudRuleValues},
};
use schemas::{TenantId, Timestamp};
use serde::{Deserialize, Serialize};
use sqlx::{FromRow, types::Json};
use utoipa::{IntoParams, ToSchema};

use crate::{
    Api, Problem,
    auth::{Caller, Operator},
    body::{Fields, read_body_with_bytes},
    idempotency::IdempotencyKey,
    pages,
    problem::{ReadRefused, WriteRefused},
    resources::save,
};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct RuleParameters {
    /// Whose; without it, the platform's, for tenants without their own.
    #[param(value_type = Option<uuid::Uuid>)]
    tenant_id: Option<TenantId>,
}

/// A set of rules, in force until the next.
#[derive(Serialize, FromRow, ToSchema)]
#[schema(as = FraudRules, example = json!({
    "version": 1, "effective_at": "2026-09-01T00:00:00.000Z",
    "rules": {"velocity_claims": 5, "velocity_hours": 24, "review_score": 3}
}))]
pub(crate) struct Listed {
    /// Numbers all sets together.
    version: i32,
    #[schema(value_type = String, format = DateTime)]
    #[sqlx(try_from = "chrono::DateTime<chrono::Utc>")]
    effective_at: Timestamp,
    /// What is left out has its default.
    #[schema(value_type = Object)]
    rules: Json<serde_json::Value>,
}

/// Fraud rules, oldest first: all that ever were, since decisions name their version.
#[utoipa::path(
    get, path = "/v1/fraud-rules", tag = "operators", params(RuleParameters),
    security(("bearer" = ["operator"])),
    responses(
        (status = 200, body = Vec<Listed>, description = "None: the defaults are in force.",
         headers(("ETag" = String, description = "For `If-None-Match`."))),
        (status = 304, description = "As in `If-None-Match`."),
        ReadRefused,
    )
)]
pub(crate) async fn list(
    State(api): State<Arc<Api>>,
    _: Operator,
    parameters: Result<Query<RuleParameters>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Query(parameters) = parameters.map_err(|rejection| crate::query_problem(&rejection))?;
    let rules: Vec<Listed> = sqlx::query_as(
        "SELECT version, effective_at, rules FROM fraud_rule_sets
         WHERE tenant_id IS NOT DISTINCT FROM $1 ORDER BY effective_at, version",
    )
    .bind(parameters.tenant_id.map(TenantId::uuid))
    .fetch_all(&api.pool)
    .await
    .map_err(|error| Problem::database(&error))?;
    Ok(pages::tagged(&headers, &rules))
}

/// Rules to come into force.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "effective_at": "2026-10-01T00:00:00Z", "rules": {"velocity_claims": 4, "review_score": 3}
}))]
pub(crate) struct NewRules {
    /// Whose; without it, the platform's.
    #[schema(value_type = Option<uuid::Uuid>)]
    tenant_id: Option<TenantId>,
    /// From when on, at least a minute ahead and after the set before, RFC 3339.
    #[schema(required, value_type = String, format = DateTime)]
    effective_at: Option<Timestamp>,
    /// Weights and thresholds, such as `velocity_claims`; what is left out has its default.
    #[schema(required, value_type = Object)]
    rules: Option<FraudRuleValues>,
}

/// Rules that are saved.
#[derive(Serialize, ToSchema)]
pub(crate) struct RulesMade {
    /// From when on they are in force.
    #[schema(value_type = String, format = DateTime, example = "2026-10-01T00:00:00.000Z")]
    effective_at: Timestamp,
}

/// Adds a set of rules. Claims that came before it takes effect are decided by those before.
#[utoipa::path(
    post, path = "/v1/fraud-rules", tag = "operators", request_body = NewRules,
    params(("Idempotency-Key" = Option<String>, Header, description = "A request that comes again with the same key is answered alike, and makes nothing.")),
    security(("bearer" = ["operator"])),
    responses((status = 200, body = RulesMade, description = "They are saved."), WriteRefused)
)]
pub(crate) async fn make(
    State(api): State<Arc<Api>>,
    Operator(operator): Operator,
    key: IdempotencyKey,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let (request, bytes): (NewRules, _) = read_body_with_bytes(body)?;
    let mut fields = Fields::default();
    let effective_at = fields.required("effective_at", request.effective_at, Ok);
    let rules = fields.required("rules", request.rules, Ok);
    fields.check()?;
    let effective_at = effective_at.expect("checked above");
    let set = FraudRuleSet {
        tenant_id: request.tenant_id,
        effective_at,
        rules: rules.expect("checked above"),
    };
    let file = ReferenceFile {
        fraud_rules: vec![set],
        ..ReferenceFile::default()
    };
    let caller = Caller::Service(operator);
    // Named by tenant and time: saved once, however often it comes.
    key.once(&api, &caller, &bytes, async |_| {
        save(&api, &file, |path| {
            let field = path.strip_prefix("fraud_rules[0]")?;
            let field = field.strip_prefix('.').unwrap_or("effective_at");
            Some(field.to_owned())
        })
        .await?;
        Ok(RulesMade { effective_at })
    })
    .await
}
