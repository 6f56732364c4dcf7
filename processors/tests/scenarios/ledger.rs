//! A ledger that takes records one by one, in any order, and posts after each what the books lack:
//! so the scenarios see postings as they arise, not the fold of a finished set only.

use std::collections::{BTreeMap, BTreeSet};

use processors::rules::{
    history::{self, HealClaim, Report},
    lifecycle::ClaimState,
    payouts::{self, ClaimBalance, Limits, OwedClaim},
    postings::{self, Booking},
    settlement::{Neighbourhood, Scope, settle},
};
use schemas::{Currency, EventId, Minor, Timestamp, UserId, events::Command};

use crate::record::Paid;

/// What the ledger reads.
#[derive(Debug, Clone)]
pub enum Entry {
    Report(Box<Report>),
    Command(Command),
    /// A funded card of the payout of this number.
    Paid(i64, Vec<Paid>),
}

#[derive(Debug, Default)]
pub struct Ledger {
    /// In the order of arrival.
    reports: Vec<Report>,
    commands: BTreeMap<EventId, Command>,
    paid: BTreeMap<i64, Vec<Paid>>,
    journal: Vec<(EventId, Booking)>,
    pub claims: Vec<ClaimState>,
}

impl Ledger {
    /// Takes a record; one that it knows changes nothing.
    pub fn take(&mut self, entry: &Entry) -> Result<(), String> {
        match entry {
            Entry::Report(report) => {
                let known = |other: &Report| other.position == report.position;
                if !self.reports.iter().any(known) {
                    self.reports.push((**report).clone());
                }
            }
            Entry::Command(command) => {
                self.commands.insert(command.command_id, command.clone());
            }
            Entry::Paid(payout, items) => {
                self.paid.insert(*payout, items.clone());
            }
        }
        self.settle()
    }

    fn settle(&mut self) -> Result<(), String> {
        let neighbourhood = self.neighbourhood();
        let scope = Scope {
            clicks: neighbourhood.reports.keys().copied().collect(),
            ..Scope::default()
        };
        self.claims = settle(&neighbourhood, &scope);
        for claim in &self.claims {
            let target = postings::target(claim);
            let lines = postings::difference(&target, &self.booked(claim));
            let sum: Minor = lines.values().copied().sum();
            if !sum.zero() {
                return Err(format!("the lines of {} sum to {sum:?}", claim.name));
            }
            if !lines.is_empty() {
                self.journal.push((claim.name, lines));
            }
            if self.booked(claim) != target {
                return Err(format!("the books of {} are not its target", claim.name));
            }
        }
        Ok(())
    }

    fn neighbourhood(&self) -> Neighbourhood {
        let mut reports: BTreeMap<_, Vec<Report>> = BTreeMap::new();
        for report in &self.reports {
            let mut report = report.clone();
            report.superseded_at = self.superseded_at(&report);
            reports.entry(report.click_id()).or_default().push(report);
        }
        let mut paid = BTreeMap::new();
        for Paid {
            user,
            claim,
            amount,
        } in self.paid.values().flatten()
        {
            *paid.entry((*claim, *user)).or_insert(Minor::ZERO) += *amount;
        }
        Neighbourhood {
            reports,
            commands: self.commands.values().cloned().collect(),
            paid,
        }
    }

    fn superseded_at(&self, report: &Report) -> Option<Timestamp> {
        let parked = report.heal.as_ref()?.heals;
        let rivals: Vec<_> = self
            .reports
            .iter()
            .filter_map(heal_claim)
            .filter(|(heals, _)| *heals == parked)
            .map(|(_, claim)| claim)
            .collect();
        history::superseded_at(&heal_claim(report)?.1, &rivals)
    }

    /// The fold of a claim's postings, under all its names.
    fn booked(&self, claim: &ClaimState) -> Booking {
        let mut booking = Booking::new();
        for (name, lines) in &self.journal {
            if claim.holds(*name) {
                postings::add(&mut booking, lines);
            }
        }
        booking
    }

    /// Everything in the books, by account.
    pub fn books(&self) -> Booking {
        let mut books = Booking::new();
        for (_, lines) in &self.journal {
            postings::add(&mut books, lines);
        }
        books
    }

    /// The shoppers who were ever paid, with what is still open: below zero, they owe it.
    pub fn balances_of_the_paid(&self) -> BTreeMap<UserId, Minor> {
        let users: BTreeSet<_> = self.paid.values().flatten().map(|paid| paid.user).collect();
        users
            .into_iter()
            .map(|user| {
                let claims = self.balances(user);
                let open = claims.iter().map(|claim| claim.owed - claim.allocated);
                (user, open.sum())
            })
            .collect()
    }

    fn balances(&self, user: UserId) -> Vec<ClaimBalance> {
        let of_user = |claim: &&ClaimState| claim.click.user_id == Some(user);
        let owed: Vec<_> = self
            .claims
            .iter()
            .filter(of_user)
            .map(|claim| OwedClaim {
                claim: claim.name,
                names: claim.reports.iter().map(|report| report.event_id).collect(),
                payable_at: claim.payable_at,
                owed: claim.target.user,
            })
            .collect();
        let taken: Vec<_> = self
            .paid
            .values()
            .flatten()
            .filter(|paid| paid.user == user)
            .map(|paid| (paid.claim, paid.amount))
            .collect();
        payouts::balances(&owed, &taken)
    }

    /// What a payout run would pay: cards of whole rupees, from one rupee on.
    pub fn payouts_due(&self, as_of: Timestamp) -> Vec<Paid> {
        let limits = Limits {
            payout_min: Minor::new(100),
            whole_units: true,
            transfer_min: Minor::new(1),
            transfer_max: Minor::new(1_000_000),
        };
        let users: BTreeSet<_> = self
            .claims
            .iter()
            .filter_map(|claim| claim.click.user_id)
            .collect();
        let mut due = Vec::new();
        for user in users {
            let cards = payouts::allocate(&self.balances(user), as_of, Currency::INR, limits);
            let items = cards.into_iter().flat_map(|card| card.items);
            due.extend(items.map(|(claim, amount)| Paid {
                user,
                claim,
                amount,
            }));
        }
        due
    }
}

fn heal_claim(report: &Report) -> Option<(schemas::Position, HealClaim)> {
    let heal = report.heal.as_ref()?;
    let claim = HealClaim {
        position: report.position,
        author: heal.author,
        heal_id: heal.heal_id,
        appended_at: report.appended_at,
    };
    Some((heal.heals, claim))
}
