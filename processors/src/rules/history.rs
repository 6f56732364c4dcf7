//! Reports as the ledger's fold sees them, and which of them count at an instant.

use schemas::{
    ClickId, EventId, NetworkId, Position, Timestamp, UserId,
    events::{Decision, Heal, HealAuthor, Matched, Outcome, ReportSource, Reported},
};

/// One report whose click is known: a `decisions` record with outcome *matched*.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Position of the `conversions` record: the report's identity.
    pub position: Position,
    /// When that record was appended.
    pub appended_at: Timestamp,
    /// When a heal that comes before this one was appended: from then on this one is undone.
    pub superseded_at: Option<Timestamp>,
    /// Names the report.
    pub event_id: EventId,
    /// When it was first received.
    pub received_at: Timestamp,
    /// Where it came from.
    pub source: ReportSource,
    /// As-of time of its snapshot.
    pub as_of: Option<Timestamp>,
    /// The network instance.
    pub network_id: NetworkId,
    /// What it says.
    pub fields: Reported,
    /// What it heals.
    pub heal: Option<Heal>,
    /// Click, terms, rules, signals.
    pub matched: Box<Matched>,
}

/// A report's place in the order of a claim: by as-of time of the snapshot, else by receipt;
/// then by event id (design section 5, state).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rank {
    /// As-of time, else `received_at`.
    pub at: Timestamp,
    /// Breaks ties.
    pub event_id: EventId,
}

impl Report {
    /// The report that a decision speaks of; `None` unless its click is known.
    pub fn from_decision(decision: &Decision) -> Option<Self> {
        let known = matches!(decision.outcome, Outcome::Matched(_));
        known.then(|| Self::taken_from(decision.clone())).flatten()
    }

    /// The same of a decision that nobody else needs: nothing is copied.
    pub fn taken_from(decision: Decision) -> Option<Self> {
        match (decision.outcome, decision.reported) {
            (Outcome::Matched(matched), Some(fields)) => Some(Self {
                position: decision.source,
                appended_at: decision.appended_at,
                superseded_at: None,
                event_id: decision.event_id,
                received_at: decision.received_at,
                source: decision.report_source,
                as_of: decision.as_of,
                network_id: decision.network_id,
                fields,
                heal: decision.heal,
                matched,
            }),
            (Outcome::Matched(_), None)
            | (Outcome::Unmatched(_) | Outcome::Ignored(_) | Outcome::Poisoned(_), _) => None,
        }
    }

    /// Its place in the order of its claim.
    pub fn rank(&self) -> Rank {
        Rank {
            at: self.as_of.unwrap_or(self.received_at),
            event_id: self.event_id,
        }
    }

    /// The click that it belongs to.
    pub fn click_id(&self) -> ClickId {
        self.matched.click.click_id
    }

    /// The shopper.
    pub fn user_id(&self) -> Option<UserId> {
        self.matched.click.user_id
    }

    /// Whether it counted just before `at`: appended by then, and not undone by then.
    pub fn in_force_at(&self, at: Timestamp) -> bool {
        self.appended_at < at && self.superseded_at.is_none_or(|superseded| superseded >= at)
    }

    /// Its order number, where the offer says that `txn_id` is one.
    pub fn order_number(&self) -> Option<&str> {
        let named = self.matched.terms.txn_id_names_order;
        self.fields.txn_id.as_deref().filter(|_| named)
    }

    /// The order that it names, without the goal: what claims are looked up and locked by.
    pub fn order_key(&self) -> Option<OrderKey> {
        self.order_number().map(|txn_id| OrderKey {
            network_id: self.network_id,
            offer_id: self.matched.click.offer_id,
            txn_id: txn_id.to_owned(),
        })
    }
}

/// An order number in its scope: a network instance and an offer. Ownership also looks at the
/// goal; look-ups and locks don't, so that a goal that becomes known later needs no other lock.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrderKey {
    /// The network instance.
    pub network_id: NetworkId,
    /// The click's offer.
    pub offer_id: schemas::OfferId,
    /// The network's transaction id.
    pub txn_id: String,
}

/// One heal of a parked record, as it competes with others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HealClaim {
    /// Position of the healed record.
    pub position: Position,
    /// Its author.
    pub author: HealAuthor,
    /// Its name.
    pub heal_id: EventId,
    /// When it was appended.
    pub appended_at: Timestamp,
}

/// When the heal at `position` was undone by one that comes before it: an operator's before the
/// machine's, then the lowest `heal_id` (design section 4). `all` holds every heal of the same
/// parked record.
pub fn superseded_at(heal: &HealClaim, all: &[HealClaim]) -> Option<Timestamp> {
    let precedence = |claim: &HealClaim| (claim.author, claim.heal_id, claim.position);
    all.iter()
        .filter(|other| precedence(other) < precedence(heal))
        .map(|other| other.appended_at)
        .min()
}
