//! What has to change so that the tables say what the fold says. Pure.

use std::collections::{BTreeMap, BTreeSet};

use processors::rules::{
    fold::Fate,
    lifecycle::ClaimState,
    postings::{self, Booking},
};
use schemas::{EventId, Position};

use super::{
    history::{History, StoredReport, fate_name},
    rows::LedgerRow,
};

/// What stands in the tables about the claims that were evaluated.
#[derive(Debug, Default)]
pub(super) struct Tables {
    /// Rows of `ledger`, of all clicks evaluated.
    pub rows: Vec<LedgerRow>,
    /// Postings by the name that they were posted under.
    pub booked: BTreeMap<EventId, Booking>,
}

/// The difference.
#[derive(Debug, Default)]
pub(super) struct Changes<'a> {
    /// Rows that are gone or replaced.
    pub stale: Vec<LedgerRow>,
    /// Rows to insert.
    pub rows: Vec<LedgerRow>,
    /// Claims that changed, with what is to be posted for them.
    pub claims: Vec<(&'a ClaimState, Booking)>,
    /// Names that are no claim's any more, with the claim that holds their report now.
    pub retired: Vec<(EventId, &'a ClaimState)>,
    /// Stored reports that belong elsewhere, or whose fate changed.
    pub moved: Vec<(Position, StoredReport)>,
}

/// Where each report is placed by the evaluated claims.
pub(super) fn places(states: &[ClaimState]) -> BTreeMap<Position, (EventId, Fate)> {
    states
        .iter()
        .flat_map(|state| {
            let place = |report: &processors::rules::lifecycle::PlacedReport| {
                (report.position, (state.name, report.fate))
            };
            state.reports.iter().map(place)
        })
        .collect()
}

/// Compares the evaluated claims with the tables.
pub(super) fn changes<'a>(
    states: &'a [ClaimState],
    history: &History,
    tables: Tables,
    places: &BTreeMap<Position, (EventId, Fate)>,
) -> Changes<'a> {
    let mut changes = Changes::default();
    let mut before: BTreeMap<i64, LedgerRow> = tables
        .rows
        .into_iter()
        .map(|row| (row.led_id, row))
        .collect();
    for state in states {
        let booked = booked_under_its_names(state, &tables.booked);
        let lines = postings::difference(&postings::target(state), &booked);
        let row = LedgerRow::new(state);
        let old = before.remove(&row.led_id);
        if old.as_ref() != Some(&row) || !lines.is_empty() {
            changes.stale.extend(old);
            changes.rows.push(row);
            changes.claims.push((state, lines));
        }
    }
    // Of a click that changed, all claims were evaluated: a row that is left is nobody's.
    let evaluated = |row: &LedgerRow| {
        history
            .scope
            .clicks
            .contains(&schemas::ClickId::new(row.click_id))
    };
    for row in before.into_values().filter(evaluated) {
        let name = EventId::new(row.led_id);
        changes.retired.extend(
            states
                .iter()
                .find(|state| state.holds(name))
                .map(|to| (name, to)),
        );
        changes.stale.push(row);
    }
    changes.moved = moved(history, places);
    changes
}

fn booked_under_its_names(state: &ClaimState, booked: &BTreeMap<EventId, Booking>) -> Booking {
    // A record that was appended twice stands at two positions under one name.
    let names: BTreeSet<EventId> = state.reports.iter().map(|report| report.event_id).collect();
    let mut total = Booking::new();
    for lines in names.iter().filter_map(|name| booked.get(name)) {
        postings::add(&mut total, lines);
    }
    total
}

fn moved(
    history: &History,
    places: &BTreeMap<Position, (EventId, Fate)>,
) -> Vec<(Position, StoredReport)> {
    let undone: BTreeSet<Position> = history
        .neighbourhood
        .reports
        .values()
        .flatten()
        .filter(|report| report.superseded_at.is_some())
        .map(|report| report.position)
        .collect();
    history
        .stored
        .iter()
        .filter(|(position, _)| places.contains_key(position) || undone.contains(position))
        .filter_map(|(position, stored)| {
            let place = places.get(position);
            let now = StoredReport {
                clicked_at: stored.clicked_at,
                led_id: place.map(|(claim, _)| *claim),
                fate: fate_name(place.map(|(_, fate)| *fate)).to_owned(),
            };
            (now != *stored).then_some((*position, now))
        })
        .collect()
}
