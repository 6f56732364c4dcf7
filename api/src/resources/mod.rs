//! What shoppers and creators work with.

pub(crate) mod campaigns;
#[expect(
    unused_qualifications,
    reason = "utoipa names parameters by their path"
)]
pub(crate) mod conversions;
#[expect(
    unused_qualifications,
    reason = "utoipa names parameters by their path"
)]
pub(crate) mod fraud_rules;
pub(crate) mod links;
#[expect(
    unused_qualifications,
    reason = "utoipa names parameters by their path"
)]
pub(crate) mod offers;
#[expect(
    unused_qualifications,
    reason = "utoipa names parameters by their path"
)]
pub(crate) mod payouts;
#[expect(
    unused_qualifications,
    reason = "utoipa names parameters by their path"
)]
pub(crate) mod rewards;
pub(crate) mod shown_widget;
#[expect(
    unused_qualifications,
    reason = "utoipa names parameters by their path"
)]
pub(crate) mod tenants;
pub(crate) mod widgets;

use std::time::Duration;

use axum::extract::{Query, rejection::QueryRejection};
use operations::reference::{self, ReferenceError, ReferenceFile};
use schemas::TenantId;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::{
    Api, Problem,
    auth::{Caller, TenantScope},
    body::Fields,
    pages::{Page, Place},
    problem::FieldError,
};

/// How often a write is tried while another is under way, and how long after each try.
const TRIES: u32 = 40;
const PAUSE: Duration = Duration::from_millis(50);

/// Whose things are listed, and which page of them.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct TenantParameters {
    /// Whose: a tenant that the caller may act for.
    #[param(required, value_type = uuid::Uuid)]
    tenant_id: Option<TenantId>,
    /// Where the page before ended: its header `Next-Cursor`.
    cursor: Option<String>,
    /// At most as many; 50, unless said otherwise.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
}

impl TenantParameters {
    fn read<P: Place>(
        parameters: Result<Query<Self>, QueryRejection>,
        caller: &Caller,
    ) -> Result<(TenantScope, Page<P>), Problem> {
        let Query(parameters) = parameters.map_err(|rejection| crate::query_problem(&rejection))?;
        let mut fields = Fields::default();
        let tenant_id = fields.required("tenant_id", parameters.tenant_id, Ok);
        let page = Page::of(parameters.cursor, parameters.limit, &mut fields);
        fields.check()?;
        Ok((caller.tenant(tenant_id.expect("checked above"))?, page))
    }
}

/// Saves reference data as an import does: checked, versioned, all of it or nothing. `name_of` says
/// how the request calls a field of the file.
pub(crate) async fn save<N: Into<String>>(
    api: &Api,
    file: &ReferenceFile,
    name_of: impl Fn(&str) -> Option<N>,
) -> Result<(), Problem> {
    let mut tries = 0;
    let outcome = loop {
        tries += 1;
        match reference::import(&api.pool, file, &api.contacts, api.clock.now()).await {
            // Writes of reference data go one at a time.
            Err(ReferenceError::Busy) if tries < TRIES => tokio::time::sleep(PAUSE).await,
            outcome => break outcome,
        }
    };
    match outcome {
        Ok(_) => Ok(()),
        Err(ReferenceError::Refused(problems)) => {
            let errors = problems.as_slice().iter();
            let errors = errors.map(|problem| {
                name_of(&problem.path).map(|field| FieldError {
                    field: field.into(),
                    code: "invalid",
                    detail: problem.what.clone(),
                })
            });
            // What the request does not name is ours to have got right.
            let errors: Option<Vec<_>> = errors.collect();
            Err(errors.map_or_else(|| Problem::internal(&problems), Problem::InvalidFields))
        }
        Err(error @ (ReferenceError::Busy | ReferenceError::TooSlow)) => {
            Err(Problem::unavailable("the reference data", &error))
        }
        Err(ReferenceError::Database(error)) => Err(Problem::database(&error)),
        Err(error @ ReferenceError::Sealing(_)) => Err(Problem::internal(&error)),
    }
}
