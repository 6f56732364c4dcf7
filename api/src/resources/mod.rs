//! What shoppers and creators work with.

pub(crate) mod campaigns;
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
pub(crate) mod rewards;
pub(crate) mod shown_widget;

use std::time::Duration;

use operations::reference::{self, ReferenceError, ReferenceFile};

use crate::{Api, Problem, problem::FieldError};

/// How often a write is tried while another is under way, and how long after each try.
const TRIES: u32 = 40;
const PAUSE: Duration = Duration::from_millis(50);

/// Saves reference data as an import does: checked, versioned, all of it or nothing. `name_of` says
/// how the request calls a field of the file.
pub(crate) async fn save(
    api: &Api,
    file: &ReferenceFile,
    name_of: impl Fn(&str) -> Option<&'static str>,
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
                    field: field.to_owned(),
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
