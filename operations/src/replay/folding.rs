//! Folds neighbourhoods, on as many threads as there are processors.

use std::{
    collections::{BTreeMap, HashMap},
    thread,
};

use processors::rules::{
    history::{HealClaim, Report, superseded_at},
    lifecycle::ClaimState,
    settlement::{Neighbourhood, Scope, settle},
};
use schemas::{EventId, Position};

use super::{
    grouping::Grouped,
    history::Beside,
    store::{Packed, Side},
};

/// The claims of a neighbourhood, as a fold has them.
pub(super) fn claims(reports: &[&Packed], side: Side, beside: &Beside) -> Vec<ClaimState> {
    let mut neighbourhood = Neighbourhood::default();
    let mut heals: HashMap<Position, Vec<HealClaim>> = HashMap::new();
    for report in reports.iter().filter_map(|packed| packed.unpack(side)) {
        if let Some((heals_at, claim)) = heal_claim(&report) {
            heals.entry(heals_at).or_default().push(claim);
        }
        let of_click = neighbourhood.reports.entry(report.click_id());
        of_click.or_default().push(report);
    }
    for report in neighbourhood.reports.values_mut().flatten() {
        if let Some((heals_at, claim)) = heal_claim(report) {
            report.superseded_at = superseded_at(&claim, &heals[&heals_at]);
        }
    }
    let mut names: Vec<_> = reports.iter().map(|packed| packed.event_id).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        let commands = beside.commands.get(&name).into_iter().flatten();
        neighbourhood.commands.extend(commands.cloned());
        for (user_id, amount) in beside.paid.get(&name).into_iter().flatten() {
            *neighbourhood.paid.entry((name, *user_id)).or_default() += *amount;
        }
    }
    let scope = Scope {
        clicks: neighbourhood.reports.keys().copied().collect(),
        ..Scope::default()
    };
    settle(&neighbourhood, &scope)
}

fn heal_claim(report: &Report) -> Option<(Position, HealClaim)> {
    let heal = report.heal.as_ref()?;
    let claim = HealClaim {
        position: report.position,
        author: heal.author,
        heal_id: heal.heal_id,
        appended_at: report.appended_at,
    };
    Some((heal.heals, claim))
}

/// Does something with each neighbourhood, and gathers what comes of it.
pub(super) fn each<T: Default + Send>(
    grouped: &Grouped,
    work: impl Fn(&[&Packed], &mut T) + Sync,
) -> Vec<T> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let work = &work;
    thread::scope(|scope| {
        let workers: Vec<_> = grouped
            .shares(threads)
            .into_iter()
            .map(|share| {
                scope.spawn(move || {
                    let mut outcome = T::default();
                    for reports in share.neighbourhoods() {
                        work(&reports, &mut outcome);
                    }
                    outcome
                })
            })
            .collect();
        workers
            .into_iter()
            .map(|worker| match worker.join() {
                Ok(outcome) => outcome,
                Err(panic) => std::panic::resume_unwind(panic),
            })
            .collect()
    })
}

/// Claims by their names.
pub(super) fn by_name(claims: Vec<ClaimState>) -> BTreeMap<EventId, ClaimState> {
    claims
        .into_iter()
        .map(|state| (state.name, state))
        .collect()
}
