//! Versions against those before them: which are there already, and from when on a further one may
//! be in force.
//!
//! A version takes effect at least 60 seconds after it is saved, so that no two instances differ
//! about an instant that has passed. The first version of tenants, offers and campaigns needs no
//! notice: nothing was rated without it. Where a version's absence means something (fraud rules,
//! commission rules, tenants' own rates, locks), the first needs it too, unless what it is about is
//! new itself: no click, and so no report, can have come before.

use std::collections::{BTreeMap, HashMap};

use chrono::NaiveDate;
use schemas::Timestamp;

use super::Checks;
use crate::reference::{
    editions::{Content, Edition, Subject},
    file::{Lock, Rate},
    known::Known,
};

/// From saving to taking effect.
const NOTICE_MILLIS: i64 = 60_000;

/// What becomes of a file's versions.
pub(in super::super) struct Plan<'a> {
    /// To be saved, each with its number among those of its subject.
    pub further: Vec<(i32, Edition<'a>)>,
    /// There already, by the instant from which they are in force.
    pub saved: Vec<Edition<'a>>,
    /// Whether any version had to give notice: then saving may not take long.
    pub notice: Notice,
}

/// Whether any version could change what was decided without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Notice {
    /// None could.
    Unneeded,
    /// One could, and takes effect 60 seconds after it is saved at the earliest.
    Given,
}

/// The newest version of a subject: in the database, or further up in the file.
#[derive(Clone, Copy)]
struct Newest {
    number: i32,
    effective_at: Timestamp,
    /// Of a lock.
    locked_through: Option<NaiveDate>,
}

pub(super) fn place<'a>(
    editions: Vec<Edition<'a>>,
    checks: &mut Checks<'_>,
    now: Timestamp,
) -> Plan<'a> {
    let mut plan = Plan {
        further: Vec::new(),
        saved: Vec::new(),
        notice: Notice::Unneeded,
    };
    let known = checks.known;
    let mut newest: HashMap<Subject, Newest> = HashMap::new();
    for edition in editions {
        let at = edition.effective_at;
        checks.date(format_args!("{}.effective_at", edition.path), at);
        let saved = known.versions.get(&edition.subject);
        if saved.is_some_and(|saved| saved.contains_key(&at)) {
            unchanged_goals(&edition, checks);
            plan.saved.push(edition);
            continue;
        }
        let before = newest.get(&edition.subject).copied();
        let before = before.or_else(|| newest_saved(&edition.subject, known));
        follows(&edition, before, checks);
        if saved.is_some() || absence_counts(&edition.subject, known) {
            plan.notice = Notice::Given;
            gives_notice(&edition, now, checks);
        }
        let mut locked_through = None;
        if let Content::Lock(lock) = edition.content {
            let before = before.and_then(|before| before.locked_through);
            goes_forward(&edition.path, lock, before, checks);
            locked_through = Some(lock.locked_through);
        }
        let number = before.map_or(0, |before| before.number).saturating_add(1);
        let this = Newest {
            number,
            effective_at: at,
            locked_through,
        };
        newest.insert(edition.subject.clone(), this);
        plan.further.push((number, edition));
    }
    plan
}

fn newest_saved(subject: &Subject, known: &Known) -> Option<Newest> {
    let saved = known.versions.get(subject)?;
    let (effective_at, _) = saved.last_key_value()?;
    let mut locked_through = None;
    if let Subject::Lock(tenant_id) = subject {
        let locks = known.locks.get(tenant_id);
        locked_through = locks.and_then(|locks| locks.get(effective_at).copied());
    }
    Some(Newest {
        number: *saved.values().max()?,
        effective_at: *effective_at,
        locked_through,
    })
}

fn follows(edition: &Edition<'_>, before: Option<Newest>, checks: &mut Checks<'_>) {
    let before = before.map(|before| before.effective_at);
    if let Some(before) = before.filter(|before| edition.effective_at <= *before) {
        let what = format!(
            "a version in force from {before} on comes before this one: later ones take effect later"
        );
        checks.refuse(format_args!("{}.effective_at", edition.path), what);
    }
}

fn gives_notice(edition: &Edition<'_>, now: Timestamp, checks: &mut Checks<'_>) {
    let at = edition.effective_at;
    let earliest = now.plus_millis(NOTICE_MILLIS);
    if at < earliest {
        let what = format!(
            "{at} is too soon: it takes effect 60 seconds after it is saved at the earliest, so \
             not before {earliest}"
        );
        checks.refuse(format_args!("{}.effective_at", edition.path), what);
    }
}

/// A lock that goes back opens the books: that has to be meant.
fn goes_forward(path: &str, lock: &Lock, before: Option<NaiveDate>, checks: &mut Checks<'_>) {
    let back = before.filter(|before| lock.locked_through < *before);
    match back {
        Some(before) if !lock.reopens => {
            let what = format!(
                "{} lies before {before}, the day through which the books are locked; \
                 `\"reopens\": true` opens them again",
                lock.locked_through
            );
            checks.refuse(format_args!("{path}.locked_through"), what);
        }
        None if lock.reopens => {
            let what = format!("{} opens no books that were locked", lock.locked_through);
            checks.refuse(format_args!("{path}.reopens"), what);
        }
        Some(_) | None => (),
    }
}

/// Whether something was decided by the absence of a first version.
fn absence_counts(subject: &Subject, known: &Known) -> bool {
    match subject {
        Subject::Tenant(_) | Subject::Offer(_) | Subject::Campaign(_) => false,
        Subject::Override(tenant_id, offer_id, _) => {
            known.tenants.contains(tenant_id) && known.offers.contains_key(offer_id)
        }
        Subject::FraudRules(Some(tenant_id)) | Subject::Lock(tenant_id) => {
            known.tenants.contains(tenant_id)
        }
        Subject::FraudRules(None) | Subject::CommissionRules => !known.tenants.is_empty(),
    }
}

/// Rates of goals stand in a table of their own, and are compared here; everything else of a saved
/// version by the database.
fn unchanged_goals(edition: &Edition<'_>, checks: &mut Checks<'_>) {
    let (Subject::Offer(offer_id), Content::Offer(version)) = (&edition.subject, edition.content)
    else {
        return;
    };
    let none: BTreeMap<String, Rate> = BTreeMap::new();
    let saved = checks
        .known
        .goal_rates
        .get(&(*offer_id, edition.effective_at));
    if *saved.unwrap_or(&none) != version.goal_rates {
        checks.refuse(format_args!("{}.goal_rates", edition.path), DIFFERS);
    }
}

/// Of a version that is there already.
pub(in super::super) const DIFFERS: &str = "a version from this instant on is saved with other \
     values, and stays as it is; give a further one with a later effective_at";
