//! Places clicks and reports on the calendar, and makes steps of them.

mod sales;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rand::{RngExt, rngs::StdRng};
use schemas::{OfferId, Timestamp, UserId};

use super::{
    Action, Click, ClickNumber, ClickRoute, OddSigns, Postback, PostbackNumber, Reference, Report,
    Script, Step,
    calendar::{Calendar, Slot},
    faults::Fault,
    market,
    messages::{Form, Spelling},
    people::People,
    seeds::{Seeds, User},
};

pub use self::sales::Sale;

/// More actions of one slot go into steps of their own, a second apart: a millisecond holds 4,096
/// event ids, and the clock stands still within a step.
const STEP_ACTIONS_MAX: usize = 1_000;
const STEP_SPLIT_MS: i64 = 1_000;

/// Postbacks for each regular shopper.
const POSTBACKS_PER_SHOPPER: usize = 5;

/// The script while it is being written.
#[derive(Debug)]
pub struct Planner {
    /// Its randomness.
    pub rng: StdRng,
    /// When slots are.
    pub calendar: Calendar,
    /// The reference data.
    pub seeds: Seeds,
    people: People,
    clicks: Vec<(Slot, Click)>,
    postbacks: Vec<(Slot, Postback)>,
    weights: Vec<u32>,
    names: u64,
}

/// How far the script has come, to return to.
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    clicks: usize,
    postbacks: usize,
}

impl Planner {
    /// An empty script.
    pub fn new(
        mut rng: StdRng,
        calendar: Calendar,
        started_at: Timestamp,
        conversions: usize,
    ) -> Self {
        let mut seeds = market::seeds(started_at, &mut rng);
        let regulars = (conversions / POSTBACKS_PER_SHOPPER).clamp(50, 100_000);
        let people = People::new(&mut seeds, regulars, started_at, &mut rng);
        Self {
            rng,
            calendar,
            seeds,
            people,
            clicks: Vec::new(),
            postbacks: Vec::new(),
            weights: market::link_weights().to_vec(),
            names: 0,
        }
    }

    /// Postbacks so far.
    pub fn postbacks(&self) -> usize {
        self.postbacks.len()
    }

    /// How far the script has come.
    pub fn mark(&self) -> Mark {
        Mark {
            clicks: self.clicks.len(),
            postbacks: self.postbacks.len(),
        }
    }

    /// Takes everything after a mark back, but for the people, who only met nobody.
    pub fn back_to(&mut self, mark: Mark) {
        self.clicks.truncate(mark.clicks);
        self.postbacks.truncate(mark.postbacks);
    }

    /// Indexes of the links of an offer.
    pub fn links_of(&self, offer_id: OfferId) -> Vec<usize> {
        let links = self.seeds.links.iter().enumerate();
        links
            .filter(|(_, link)| link.offer_id == offer_id)
            .map(|(index, _)| index)
            .collect()
    }

    /// A link of an offer.
    pub fn link_of(&mut self, offer_id: OfferId) -> usize {
        let links = self.links_of(offer_id);
        links[self.rng.random_range(0..links.len())]
    }

    /// A link, as often as shoppers take it.
    pub fn any_link(&mut self) -> usize {
        let total: u32 = self.weights.iter().sum();
        let mut left = self.rng.random_range(0..total);
        for (link, weight) in self.weights.iter().enumerate() {
            if left < *weight {
                return link;
            }
            left -= weight;
        }
        unreachable!("a number below the sum of the weights falls on one of them")
    }

    /// A number of slots or the like, both ends included.
    pub fn between(&mut self, least: usize, most: usize) -> usize {
        self.rng.random_range(least..=most)
    }

    /// True so many times in a hundred.
    pub fn percent(&mut self, of_100: u32) -> bool {
        self.rng.random_ratio(of_100, 100)
    }

    /// A person of whom nobody else tells.
    pub fn newcomer(&mut self) -> UserId {
        self.people.newcomer(&mut self.seeds, &mut self.rng)
    }

    /// A person's contacts.
    pub fn user_mut(&mut self, user_id: UserId) -> &mut User {
        let found = self
            .seeds
            .users
            .iter_mut()
            .rev()
            .find(|user| user.user_id == user_id);
        found.expect("users are among the seeds")
    }

    /// A name that nothing else in the script has.
    pub fn name(&mut self, prefix: &str) -> String {
        self.names += 1;
        format!("{prefix}{:06}", self.names)
    }

    /// A click, whose user the story chose.
    pub fn click(&mut self, slot: Slot, link: usize, user_id: Option<UserId>) -> ClickNumber {
        let smart = self.percent(40);
        let edge = !smart && self.percent(20);
        let late_ms = self.rng.random_range(50..45 * 60_000);
        let odd = self.percent(3);
        let foreign = self.seeds.offer_of(link).network_id == market::FOREIGN;
        self.clicks.push((
            slot,
            Click {
                at: self.calendar.at(slot),
                edge_at: edge.then(|| self.calendar.at(slot).plus_millis(-late_ms)),
                link,
                user_id,
                route: if smart {
                    ClickRoute::SmartLink
                } else {
                    ClickRoute::Endpoint
                },
                country: if foreign { "US" } else { "IN" },
                odd: OddSigns {
                    proxy: odd,
                    ..OddSigns::default()
                },
                address: self.address(user_id),
            },
        ));
        self.clicks.len() - 1
    }

    /// One address for each known shopper, out of the block for documentation; one of a test
    /// network's for each stranger.
    fn address(&self, user_id: Option<UserId>) -> IpAddr {
        if let Some(user_id) = user_id {
            // A subscriber's network is a /64: everyone has one of their own.
            let person = user_id.uuid().as_u128() & u128::from(u64::MAX);
            let (network, device) = (person & u128::from(u32::MAX), person >> 32);
            IpAddr::V6(Ipv6Addr::from_bits(
                0x2001_0db8 << 96 | network << 64 | device,
            ))
        } else {
            let stranger = u32::try_from(self.clicks.len() % 131_072).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(0xC612_0000 | stranger))
        }
    }

    /// A click of the past, to change before it is reported on.
    pub fn click_mut(&mut self, click: ClickNumber) -> &mut Click {
        &mut self.clicks[click].1
    }

    /// A click that leads to nothing.
    pub fn idle_click(&mut self) {
        let slot = self.between(0, Calendar::BEFORE_ANNIVERSARY - 1);
        let link = self.any_link();
        let user_id = self
            .percent(50)
            .then(|| self.people.passer_by(&mut self.rng));
        self.click(slot, link, user_id);
    }

    /// A report that names its click by the token.
    pub fn send(&mut self, slot: Slot, click: ClickNumber, report: Report) -> PostbackNumber {
        self.post(slot, Reference::Token(click), report, None)
    }

    /// Any report.
    pub fn post(
        &mut self,
        slot: Slot,
        reference: Reference,
        report: Report,
        fault: Option<Fault>,
    ) -> PostbackNumber {
        let form = match self.between(0, 9) {
            0..=5 => Form::Query,
            6..=7 => Form::Form,
            8 => Form::QueryAndForm,
            _ => Form::Json,
        };
        let spelling = Spelling {
            form,
            click_in_p1: self.percent(30),
            trackier_names: self.percent(30),
            padded: self.percent(70),
        };
        let at = self.calendar.at(slot);
        let phase = Calendar::phase(slot);
        self.postbacks.push((
            slot,
            Postback {
                at,
                phase,
                reference,
                report,
                fault,
                spelling,
            },
        ));
        self.postbacks.len() - 1
    }

    /// The very same request once more.
    pub fn again(&mut self, slot: Slot, postback: PostbackNumber) {
        let at = self.calendar.at(slot);
        let phase = Calendar::phase(slot);
        let again = Postback {
            at,
            phase,
            ..self.postbacks[postback].1.clone()
        };
        self.postbacks.push((slot, again));
    }

    /// The script.
    pub fn finish(self, seed: u64, started_at: Timestamp) -> Script {
        let Self {
            calendar,
            seeds,
            clicks,
            postbacks,
            ..
        } = self;
        let mut by_slot: Vec<Vec<Action>> = calendar.slots().map(|_| Vec::new()).collect();
        for (number, (slot, _)) in clicks.iter().enumerate() {
            by_slot[*slot].push(Action::Click(number));
        }
        for (number, (slot, _)) in postbacks.iter().enumerate() {
            by_slot[*slot].push(Action::Postback(number));
        }
        let mut clicks: Vec<Click> = clicks.into_iter().map(|(_, click)| click).collect();
        let mut postbacks: Vec<Postback> = postbacks
            .into_iter()
            .map(|(_, postback)| postback)
            .collect();
        let mut steps = Vec::new();
        for (slot, actions) in by_slot.iter().enumerate() {
            let mut at = calendar.at(slot);
            for actions in actions.chunks(STEP_ACTIONS_MAX) {
                for action in actions {
                    match *action {
                        Action::Click(number) => clicks[number].at = at,
                        Action::Postback(number) => postbacks[number].at = at,
                    }
                }
                let phase = Calendar::phase(slot);
                steps.push(Step {
                    at,
                    phase,
                    actions: actions.to_vec(),
                });
                at = at.plus_millis(STEP_SPLIT_MS);
            }
        }
        Script {
            seed,
            started_at,
            seeds,
            clicks,
            postbacks,
            steps,
            runs: calendar.runs(),
        }
    }
}
