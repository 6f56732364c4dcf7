//! Which reports a tenant's locked books hold (semantics: locked books).

use crate::{folding::converted_at, logbook::Report};

/// The reports of a claim that count, in the order of their appending; the rest is held.
/// `verdict_at` is the time of the newest verdict.
pub fn accepted<'a>(reports: &[Report<'a>], verdict_at: Option<i64>) -> Vec<Report<'a>> {
    let mut waiting = reports.to_vec();
    waiting.sort_by_key(Report::seat);
    let mut accepted: Vec<Report<'a>> = Vec::new();
    for report in waiting {
        let let_in = verdict_at.is_some_and(|at| report.appended_at() <= at);
        let mut with_it = accepted.clone();
        with_it.push(report);
        let held = report.matched.books_locked_before.is_some_and(|end| {
            let locked = |reports: &[Report<'_>]| {
                !reports.is_empty() && converted_at(reports).0 < end.millis()
            };
            locked(&accepted) || locked(&with_it)
        });
        if let_in || !held {
            accepted = with_it;
        }
    }
    accepted
}
