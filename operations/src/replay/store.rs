//! Reports in memory, packed: a 30-day log of six million is to fit, and most of a report is terms
//! and rules that thousands share.

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    sync::Arc,
};

use processors::rules::history::Report;
use schemas::{
    Amount, CampaignId, ClickId, Country, Currency, EventId, LinkId, NetworkId, OfferId, Position,
    TenantId, Timestamp, Topic, UserId,
    events::{
        ClickFacts, ClickSignals, FraudRules, Heal, Matched, NetworkStatus, ReportSource, Reported,
        SelfPurchase, Signal, Terms,
    },
};

/// About what a report takes, with what is kept beside it.
pub(super) const BYTES_PER_REPORT: u64 = 450;

/// What was decided on a report, as far as a fold reads it.
#[derive(Debug, Clone, PartialEq)]
struct Facts {
    terms: Arc<Terms>,
    rules: Arc<FraudRules>,
    signals: Vec<Signal>,
    score: i32,
    self_purchase: Option<SelfPurchase>,
    books_locked_before: Option<Timestamp>,
}

/// Where a click leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Place {
    tenant: TenantId,
    campaign: CampaignId,
    link: LinkId,
    offer: OfferId,
}

/// The fields of a report, but for the click reference, which no fold reads.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fields {
    offer_id: Option<OfferId>,
    network_conversion_id: Option<Box<str>>,
    txn_id: Option<Box<str>>,
    goal_id: Option<Arc<str>>,
    status: Option<NetworkStatus>,
    sale_amount: Option<Amount>,
    payout: Option<Amount>,
    currency: Option<Currency>,
    converted_at: Option<Timestamp>,
    country: Option<Country>,
}

/// A report, in one of two folds or both.
#[derive(Debug)]
pub(super) struct Packed {
    offset: i64,
    partition: i32,
    network_id: NetworkId,
    appended_at: Timestamp,
    pub event_id: EventId,
    received_at: Timestamp,
    as_of: Option<Timestamp>,
    source: ReportSource,
    fields: Fields,
    heal: Option<Box<Heal>>,
    pub click_id: ClickId,
    clicked_at: Timestamp,
    place: Arc<Place>,
    user_id: Option<UserId>,
    country: Option<Country>,
    signals: ClickSignals,
    facts: Facts,
    /// In which folds it is, and whether with the same facts.
    presence: Presence,
}

/// In which folds a report is.
#[derive(Debug)]
enum Presence {
    /// In both, alike.
    Same,
    /// In both, with other facts or fields in the second.
    Differs(Box<Other>),
    /// In the first only.
    First,
    /// In the second only.
    Second,
}

/// What is different in the second fold.
#[derive(Debug)]
struct Other {
    facts: Facts,
    fields: Fields,
}

/// Which of two folds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    First,
    Second,
}

/// Packs reports, and keeps once what many of them hold.
#[derive(Debug, Default)]
pub(super) struct Packer {
    terms: HashMap<(TenantId, OfferId), Vec<Arc<Terms>>>,
    rules: HashMap<i32, Vec<Arc<FraudRules>>>,
    places: HashMap<Place, Arc<Place>>,
    goals: HashSet<Arc<str>>,
}

impl Packer {
    /// Packs a report of both folds; nothing where it is in neither.
    pub fn pack(&mut self, first: Option<Report>, second: Option<Report>) -> Option<Packed> {
        match (first, second) {
            (None, None) => None,
            (Some(first), None) => Some(self.pack_as(first, Presence::First)),
            (None, Some(second)) => Some(self.pack_as(second, Presence::Second)),
            (Some(first), Some(second)) => {
                // Mostly they are the same throughout, which is told without packing both.
                if first.fields == second.fields && first.matched == second.matched {
                    return Some(self.pack_as(first, Presence::Same));
                }
                let facts = self.facts(&second);
                let fields = self.fields(second.fields);
                let mut packed = self.pack_as(first, Presence::Same);
                if packed.facts != facts || packed.fields != fields {
                    packed.presence = Presence::Differs(Box::new(Other { facts, fields }));
                }
                Some(packed)
            }
        }
    }

    fn pack_as(&mut self, report: Report, presence: Presence) -> Packed {
        let facts = self.facts(&report);
        let ClickFacts {
            click_id,
            clicked_at,
            tenant_id,
            campaign_id,
            link_id,
            offer_id,
            user_id,
            country,
            signals,
        } = report.matched.click;
        let place = Place {
            tenant: tenant_id,
            campaign: campaign_id,
            link: link_id,
            offer: offer_id,
        };
        let place = self.places.entry(place).or_insert_with(|| Arc::new(place));
        let place = Arc::clone(place);
        Packed {
            offset: report.position.offset,
            partition: report.position.partition,
            network_id: report.network_id,
            appended_at: report.appended_at,
            event_id: report.event_id,
            received_at: report.received_at,
            as_of: report.as_of,
            source: report.source,
            fields: self.fields(report.fields),
            heal: report.heal.map(Box::new),
            click_id,
            clicked_at,
            place,
            user_id,
            country,
            signals,
            facts,
            presence,
        }
    }

    fn facts(&mut self, report: &Report) -> Facts {
        let Matched {
            click,
            terms,
            rules,
            signals,
            score,
            self_purchase,
            books_locked_before,
            ..
        } = &*report.matched;
        let known = self.terms.entry((click.tenant_id, click.offer_id));
        Facts {
            terms: kept_once(known, terms),
            rules: kept_once(self.rules.entry(rules.version), rules),
            signals: signals.clone(),
            score: *score,
            self_purchase: *self_purchase,
            books_locked_before: *books_locked_before,
        }
    }

    fn fields(&mut self, reported: Reported) -> Fields {
        let goal_id = reported.goal_id.map(|goal| {
            if let Some(known) = self.goals.get(&*goal) {
                return Arc::clone(known);
            }
            let goal: Arc<str> = goal.into();
            self.goals.insert(Arc::clone(&goal));
            goal
        });
        Fields {
            offer_id: reported.offer_id,
            network_conversion_id: reported.network_conversion_id.map(Into::into),
            txn_id: reported.txn_id.map(Into::into),
            goal_id,
            status: reported.status,
            sale_amount: reported.sale_amount,
            payout: reported.payout,
            currency: reported.currency,
            converted_at: reported.converted_at,
            country: reported.country,
        }
    }
}

fn kept_once<K, T: Clone + PartialEq>(entry: Entry<'_, K, Vec<Arc<T>>>, value: &T) -> Arc<T> {
    let known = entry.or_default();
    // Versions come one after the other: the newest is the likeliest.
    if let Some(found) = known.iter().rev().find(|found| ***found == *value) {
        return Arc::clone(found);
    }
    let value = Arc::new(value.clone());
    known.push(Arc::clone(&value));
    value
}

impl Packed {
    /// The report in one of the folds, if it is there.
    pub fn unpack(&self, side: Side) -> Option<Report> {
        let (facts, fields) = match (&self.presence, side) {
            (Presence::Same, _)
            | (Presence::Differs(_) | Presence::First, Side::First)
            | (Presence::Second, Side::Second) => (&self.facts, &self.fields),
            (Presence::Differs(other), Side::Second) => (&other.facts, &other.fields),
            (Presence::First, Side::Second) | (Presence::Second, Side::First) => return None,
        };
        Some(Report {
            position: self.position(),
            appended_at: self.appended_at,
            superseded_at: None,
            event_id: self.event_id,
            received_at: self.received_at,
            source: self.source,
            as_of: self.as_of,
            network_id: self.network_id,
            fields: fields.unpack(),
            heal: self.heal.as_deref().cloned(),
            matched: Box::new(self.matched(facts)),
        })
    }

    fn position(&self) -> Position {
        Position {
            topic: Topic::Conversions,
            partition: self.partition,
            offset: self.offset,
        }
    }

    fn matched(&self, facts: &Facts) -> Matched {
        let place = *self.place;
        Matched {
            click: ClickFacts {
                click_id: self.click_id,
                clicked_at: self.clicked_at,
                tenant_id: place.tenant,
                campaign_id: place.campaign,
                link_id: place.link,
                offer_id: place.offer,
                user_id: self.user_id,
                country: self.country,
                signals: self.signals,
            },
            terms: Terms::clone(&facts.terms),
            rules: FraudRules::clone(&facts.rules),
            signals: facts.signals.clone(),
            score: facts.score,
            self_purchase: facts.self_purchase,
            // That of the report alone: a fold computes the claim's.
            split: None,
            books_locked_before: facts.books_locked_before,
        }
    }

    /// Whether it is the same in both folds.
    pub fn same(&self) -> bool {
        matches!(self.presence, Presence::Same)
    }

    /// What is decided otherwise in the second fold.
    pub fn otherwise(&self) -> Vec<&'static str> {
        match &self.presence {
            Presence::Same => Vec::new(),
            Presence::First | Presence::Second => vec!["outcome"],
            Presence::Differs(other) => {
                let (ours, theirs) = (&self.facts, &other.facts);
                [
                    ("fields", self.fields != other.fields),
                    ("terms", ours.terms != theirs.terms),
                    ("rules", ours.rules != theirs.rules),
                    (
                        "signals",
                        ours.signals != theirs.signals || ours.score != theirs.score,
                    ),
                    ("self_purchase", ours.self_purchase != theirs.self_purchase),
                    (
                        "lock",
                        ours.books_locked_before != theirs.books_locked_before,
                    ),
                ]
                .into_iter()
                .filter_map(|(what, differs)| differs.then_some(what))
                .collect()
            }
        }
    }
}

impl Fields {
    fn unpack(&self) -> Reported {
        Reported {
            click_ref: String::new(),
            offer_id: self.offer_id,
            network_conversion_id: self.network_conversion_id.as_deref().map(str::to_owned),
            txn_id: self.txn_id.as_deref().map(str::to_owned),
            goal_id: self.goal_id.as_deref().map(str::to_owned),
            status: self.status,
            sale_amount: self.sale_amount,
            payout: self.payout,
            currency: self.currency,
            converted_at: self.converted_at,
            country: self.country,
        }
    }
}
