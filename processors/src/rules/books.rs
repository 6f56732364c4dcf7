//! Locked books: what comes after a tenant closed them waits for an operator (design section 5, lock
//! date).
//!
//! A tenant locks the books through a day. A report that is appended after that, on a claim whose
//! conversion time lies before the lock's end, is *held*: it says nothing about the claim's status
//! and amounts until an operator's verdict, given after it came, lets it in. So what stands in
//! locked books moves by an operator only. (It names the claim and its order all the same.)

use schemas::Timestamp;

use super::{fold::conversion_time, history::Report};

/// The reports of a claim, divided. Both keep their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Divided<'a> {
    /// Those that count.
    pub accepted: Vec<&'a Report>,
    /// Those that wait.
    pub held: Vec<&'a Report>,
}

/// Divides a claim's reports. `ruled_at` is when the newest verdict of an operator was given: it
/// lets in every report that was there by then.
///
/// The lock is that of each report's own append time. The claim's conversion time is taken from
/// the reports that were accepted before, both without and with the new one: it must neither
/// change what is locked, nor slip into it.
pub fn divide<'a>(reports: &[&'a Report], ruled_at: Option<Timestamp>) -> Divided<'a> {
    if reports
        .iter()
        .all(|report| report.matched.books_locked_before.is_none())
    {
        return Divided {
            accepted: reports.to_vec(),
            held: Vec::new(),
        };
    }
    let mut by_arrival = reports.to_vec();
    by_arrival.sort_by_key(|report| (report.appended_at, report.position));
    let mut accepted: Vec<&Report> = Vec::with_capacity(reports.len());
    for report in by_arrival {
        let ruled = ruled_at.is_some_and(|at| report.appended_at <= at);
        if ruled || !locked(&accepted, report) {
            accepted.push(report);
        }
    }
    let (accepted, held) = reports
        .iter()
        .partition(|report| accepted.iter().any(|other| std::ptr::eq(*other, **report)));
    Divided { accepted, held }
}

fn locked(accepted: &[&Report], report: &Report) -> bool {
    let Some(before) = report.matched.books_locked_before else {
        return false;
    };
    let (without, _) = conversion_time(accepted.iter().copied());
    let (with, _) = conversion_time(accepted.iter().copied().chain([report]));
    without < before || with < before
}
