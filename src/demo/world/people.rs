//! The demo's people, and who of them shops when.

use std::collections::HashMap;

use rand::{RngExt, rngs::StdRng};
use schemas::{TenantId, Timestamp, UserId};

use super::{
    calendar::{DAY_MS, Slot},
    market::uuid,
    seeds::{Member, Seeds, User},
};

/// Sales of one shopper whose clicks lie within this many slots are counted together. Wider than
/// the velocity rule's day, whatever the jitter.
const CLOSE_SLOTS: Slot = 12;
/// So many, so that ordinary shoppers never meet the velocity rule.
const CLOSE_SALES_MAX: usize = 4;
/// How often another shopper is tried before the click stays without one.
const TRIES: usize = 8;

/// The shoppers and what they are doing.
#[derive(Debug)]
pub struct People {
    regulars: Vec<UserId>,
    sales: HashMap<UserId, Vec<Planned>>,
    joined_at: Timestamp,
}

/// A sale of a shopper.
#[derive(Debug, Clone, Copy)]
struct Planned {
    click: Slot,
    report: Slot,
}

impl People {
    /// Members of every tenant, and `regulars` shoppers.
    pub fn new(
        seeds: &mut Seeds,
        regulars: usize,
        started_at: Timestamp,
        rng: &mut StdRng,
    ) -> Self {
        let joined_at = started_at.plus_millis(-60 * DAY_MS);
        let mut people = Self {
            regulars: Vec::new(),
            sales: HashMap::new(),
            joined_at,
        };
        let tenants: Vec<TenantId> = seeds
            .tenants
            .iter()
            .map(|tenant| tenant.tenant_id)
            .collect();
        for tenant_id in tenants {
            for _ in 0..2 {
                let user_id = people.newcomer(seeds, rng);
                seeds.members.push(Member {
                    tenant_id,
                    user_id,
                    joined_at,
                });
            }
        }
        for _ in 0..regulars {
            let user_id = people.newcomer(seeds, rng);
            people.regulars.push(user_id);
        }
        people
    }

    /// A person whom no other story knows, with contacts of their own. Seven of ten are
    /// identified.
    pub fn newcomer(&mut self, seeds: &mut Seeds, rng: &mut StdRng) -> UserId {
        let number = seeds.users.len();
        let user_id = UserId::new(uuid(rng));
        seeds.users.push(User {
            user_id,
            phone: format!("+9198{number:08}"),
            email: format!("shopper{number}@mail.example"),
            identified: rng.random_bool(0.7),
            created_at: self.joined_at,
        });
        user_id
    }

    /// A regular shopper who is free for a click and the first report of its sale, and notes
    /// that; `None` for a click without a user.
    pub fn regular(&mut self, click: Slot, report: Slot, rng: &mut StdRng) -> Option<UserId> {
        for _ in 0..TRIES {
            let user_id = self.regulars[rng.random_range(0..self.regulars.len())];
            let sales = self.sales.entry(user_id).or_default();
            let close = sales
                .iter()
                .filter(|sale| sale.click.abs_diff(click) <= CLOSE_SLOTS);
            let clash = sales
                .iter()
                .any(|sale| sale.click == click || sale.report == report);
            if close.count() < CLOSE_SALES_MAX && !clash {
                sales.push(Planned { click, report });
                return Some(user_id);
            }
        }
        None
    }

    /// Any regular shopper, for a click that leads to nothing.
    pub fn passer_by(&self, rng: &mut StdRng) -> UserId {
        self.regulars[rng.random_range(0..self.regulars.len())]
    }
}
