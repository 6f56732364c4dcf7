//! Locked books: what comes after a tenant closed them waits for an operator (design section 5,
//! lock date).
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixtures::{ReportBuilder, T0, report};

    fn at(day: i32) -> Timestamp {
        T0.plus_days(day)
    }

    /// Received and appended on a day, while the books were locked before another.
    fn came(event_id: i64, day: i32, locked_before: Option<i32>) -> ReportBuilder {
        report(event_id)
            .received_at(at(day))
            .appended_at(at(day))
            .locked_before(locked_before.map(at))
    }

    fn held(reports: Vec<ReportBuilder>, ruled_at: Option<Timestamp>) -> Vec<i64> {
        let reports: Vec<_> = reports.into_iter().map(ReportBuilder::build).collect();
        let reports: Vec<_> = reports.iter().collect();
        let divided = divide(&reports, ruled_at);
        assert_eq!(
            divided.accepted.len() + divided.held.len(),
            reports.len(),
            "each report is on one side"
        );
        divided
            .held
            .iter()
            .map(|report| report.event_id.get())
            .collect()
    }

    #[test]
    fn a_report_on_a_conversion_in_locked_time_is_held() {
        let reports = vec![came(1, 0, None), came(2, 40, Some(10))];
        assert_eq!(held(reports, None), [2]);
    }

    #[test]
    fn the_end_of_the_lock_is_open() {
        let reports = vec![came(1, 10, None), came(2, 40, Some(10))];
        assert_eq!(held(reports, None), Vec::<i64>::new());
        let reports = vec![came(1, 10, None), came(2, 40, Some(11))];
        assert_eq!(held(reports, None), [2]);
    }

    #[test]
    fn a_report_may_neither_slip_into_locked_time_nor_out_of_it() {
        let into = came(2, 40, Some(10)).converted_at(at(9));
        assert_eq!(held(vec![came(1, 20, None), into], None), [2]);
        let out = came(2, 40, Some(10)).converted_at(at(12));
        assert_eq!(held(vec![came(1, 5, None), out], None), [2]);
        let alone = came(1, 40, Some(10)).converted_at(at(9));
        assert_eq!(held(vec![alone], None), [1]);
    }

    #[test]
    fn what_is_held_does_not_open_the_way_for_the_next() {
        let out = came(2, 40, Some(10)).converted_at(at(12));
        let next = came(3, 41, Some(10));
        assert_eq!(held(vec![came(1, 5, None), out, next], None), [2, 3]);
    }

    #[test]
    fn a_verdict_lets_in_what_was_there_when_it_was_given() {
        let reports = || {
            vec![
                came(1, 0, None),
                came(2, 40, Some(10)),
                came(3, 50, Some(10)),
            ]
        };
        assert_eq!(held(reports(), Some(at(39))), [2, 3]);
        assert_eq!(held(reports(), Some(at(40))), [3]);
        assert_eq!(held(reports(), Some(at(50))), Vec::<i64>::new());
    }

    #[test]
    fn reports_are_taken_in_the_order_of_their_arrival() {
        // Ranks first by its snapshot, but came last.
        let snapshot = came(1, 50, Some(10)).csv(at(-1)).converted_at(at(20));
        let reports = vec![snapshot, came(2, 5, None)];
        assert_eq!(held(reports, None), [1]);
    }
}
