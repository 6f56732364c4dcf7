//! The script of the demo: who there is, who clicks when, and what the networks report.
//!
//! A script is a function of seed, size and start. Actions of one step all happen at its instant
//! and may run at once; whatever depends on order stands in different steps. The randomness is
//! that of rand's `StdRng`, so a seed means the same script within one version of this product,
//! not across them.

pub mod calendar;
pub mod coin;
pub mod faults;
pub mod market;
pub mod messages;
mod people;
mod planner;
pub mod seeds;
mod stories;

use std::net::IpAddr;

use rand::{SeedableRng, rngs::StdRng};
use schemas::{NetworkId, OfferId, Timestamp, UserId};

use self::{
    calendar::Calendar,
    coin::{Coin, Exact},
    faults::Fault,
    messages::Spelling,
    planner::Planner,
    seeds::Seeds,
};

/// What happens, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// What it was made from.
    pub seed: u64,
    /// When it begins; nothing happens before.
    pub started_at: Timestamp,
    /// What must stand in the reference data.
    pub seeds: Seeds,
    /// Every click, by number.
    pub clicks: Vec<Click>,
    /// Every postback, by number: exactly as many as conversions were asked for.
    pub postbacks: Vec<Postback>,
    /// What happens when, in order of time.
    pub steps: Vec<Step>,
    /// When payouts run: after the traffic, and after the late phase.
    pub runs: [PayoutRun; 2],
}

/// Index of a click in [`Script::clicks`].
pub type ClickNumber = usize;
/// Index of a postback in [`Script::postbacks`].
pub type PostbackNumber = usize;

/// A part of the script. A payout run follows each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Twenty days of clicks and sales.
    Traffic,
    /// Refunds, late approvals and late reports, after the first payout run.
    Late,
}

/// A payout run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PayoutRun {
    /// The clock stands here when it runs, and it pays what is payable before.
    pub as_of: Timestamp,
}

/// What happens at one instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The instant.
    pub at: Timestamp,
    /// The part that it belongs to.
    pub phase: Phase,
    /// In any order, or at once.
    pub actions: Vec<Action>,
}

/// One request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// A shopper clicks.
    Click(ClickNumber),
    /// A network reports.
    Postback(PostbackNumber),
}

/// A click on a smart link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Click {
    /// When it reaches us.
    pub at: Timestamp,
    /// When it happened, as the trusted edge saw it; else on arrival.
    pub edge_at: Option<Timestamp>,
    /// Index of the link.
    pub link: usize,
    /// The shopper, where known.
    pub user_id: Option<UserId>,
    /// How it reaches us.
    pub route: ClickRoute,
    /// Where the shopper is.
    pub country: &'static str,
    /// What is odd about it.
    pub odd: OddSigns,
    /// The shopper's address.
    pub address: IpAddr,
}

impl Click {
    /// The click's time, which windows, terms and velocity mean.
    pub fn clicked_at(&self) -> Timestamp {
        self.edge_at.unwrap_or(self.at)
    }
}

/// How a click reaches us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClickRoute {
    /// The shopper follows the smart link.
    SmartLink,
    /// A widget or edge worker calls the endpoint.
    Endpoint,
}

/// What is odd about a click.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OddSigns {
    /// A bot's user agent.
    pub bot: bool,
    /// An address in a data centre.
    pub data_centre: bool,
    /// An anonymising proxy.
    pub proxy: bool,
}

/// One request of a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Postback {
    /// When it reaches us.
    pub at: Timestamp,
    /// The part of the script.
    pub phase: Phase,
    /// How it names the click.
    pub reference: Reference,
    /// What it says.
    pub report: Report,
    /// What is wrong with it, if anything.
    pub fault: Option<Fault>,
    /// How it is written.
    pub spelling: Spelling,
}

/// How a postback names its click.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// By the token that the click got.
    Token(ClickNumber),
    /// By the bare number that the click got: only in the late phase, when the look-up table is
    /// sure to hold it, and only clicks of the endpoint, which answers with the number.
    Number(ClickNumber),
    /// By the token, with a character changed.
    Forged(ClickNumber),
    /// By the token, as if sealed with a key that doesn't exist.
    UnknownKey(ClickNumber),
    /// By something that is no click of ours.
    Foreign(String),
}

impl Reference {
    /// The click that it names and that must be found.
    pub const fn found(&self) -> Option<ClickNumber> {
        match self {
            Self::Token(click) | Self::Number(click) => Some(*click),
            Self::Forged(_) | Self::UnknownKey(_) | Self::Foreign(_) => None,
        }
    }
}

/// What a network says of a sale. Absent parameters aren't sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The network instance.
    pub network_id: NetworkId,
    /// The offer that it names.
    pub offer_id: Option<OfferId>,
    /// Its status.
    pub status: Status,
    /// The sale.
    pub sale_amount: Option<Exact>,
    /// The network's payout.
    pub payout: Option<Exact>,
    /// The amounts' currency.
    pub coin: Option<Coin>,
    /// Transaction id.
    pub txn_id: Option<String>,
    /// Goal.
    pub goal_id: Option<String>,
    /// The network's own conversion id.
    pub conversion_id: Option<String>,
    /// The network's own time of the sale.
    pub converted_at: Option<Timestamp>,
    /// Where the sale was made.
    pub country: Option<&'static str>,
}

/// A network's status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// Not decided.
    Pending,
    /// Accepted.
    Approved,
    /// Taken back.
    Cancelled,
    /// Refused as fraud.
    Rejected,
    /// Held for longer.
    Extended,
    /// One that nobody documented.
    OnHold,
}

impl Status {
    /// As networks write it.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Cancelled => "cancelled",
            Self::Rejected => "rejected",
            Self::Extended => "extended",
            Self::OnHold => "on_hold",
        }
    }
}

impl Script {
    /// Writes a script with exactly `conversions` postbacks. Small ones show less: each kind of
    /// story is told once from about two hundred on.
    pub fn write(seed: u64, conversions: usize, started_at: Timestamp) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let calendar = Calendar::from(started_at, &mut rng);
        let mut planner = Planner::new(rng, calendar, started_at, conversions);
        stories::tell(&mut planner, conversions);
        planner.finish(seed, started_at)
    }
}

#[cfg(test)]
mod tests;
