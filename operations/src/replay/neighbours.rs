//! Which claims can mean something for each other.
//!
//! The state of a claim is a function of its neighbourhood: the reports of its click, of every
//! click that ever named one of its orders, of its shopper's clicks within the velocity window, and
//! the heals that compete with its own. Whatever is linked so is folded together, and nothing else
//! has to be.

use std::{
    collections::{HashMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
};

use processors::rules::history::Report;
use schemas::ClickId;

const MILLIS_PER_HOUR: i64 = 3_600_000;

/// A set of claims that is folded together.
pub(super) type Neighbours = u32;

/// What clicks are linked by. Two that hash alike are linked for nothing, which costs a little time
/// and changes nothing.
#[derive(Hash)]
enum Link<'a> {
    Click(i64),
    Order(i32, i32, &'a str),
    Parked(i32, i64),
}

/// Links clicks as their reports come.
#[derive(Debug, Default)]
pub(super) struct Links {
    nodes: HashMap<u64, u32>,
    parents: Vec<u32>,
    /// Shopper (hashed), time and node of each click that has a shopper.
    clicks: Vec<(u64, i64, u32)>,
    velocity_hours_max: i32,
    touched: HashSet<u32>,
}

fn hashed(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

impl Links {
    /// Links a report's click with its orders and competing heals. `touched` are those whose
    /// neighbours are wanted.
    pub fn add(&mut self, report: &Report, touched: bool) {
        let click = &report.matched.click;
        let (node, new) = self.node(&Link::Click(click.click_id.get()));
        if let (true, Some(user_id)) = (new, click.user_id) {
            self.clicks
                .push((hashed(user_id), click.clicked_at.millis(), node));
        }
        // Whether it is an order number, the terms say; those of another fold may say otherwise.
        if let Some(txn_id) = &report.fields.txn_id {
            let order = Link::Order(report.network_id.get(), click.offer_id.get(), txn_id);
            let (order, _) = self.node(&order);
            self.join(node, order);
        }
        if let Some(heal) = &report.heal {
            let parked = Link::Parked(heal.heals.partition, heal.heals.offset);
            let (parked, _) = self.node(&parked);
            self.join(node, parked);
        }
        let hours = report.matched.rules.velocity_hours;
        self.velocity_hours_max = self.velocity_hours_max.max(hours);
        if touched {
            self.touched.insert(node);
        }
    }

    fn node(&mut self, link: &Link<'_>) -> (u32, bool) {
        let next = u32::try_from(self.parents.len()).expect("fewer than 2^32 clicks and orders");
        let node = *self.nodes.entry(hashed(link)).or_insert(next);
        if node == next {
            self.parents.push(next);
        }
        (node, node == next)
    }

    fn root(&mut self, mut node: u32) -> u32 {
        while self.parents[node as usize] != node {
            let grandparent = self.parents[self.parents[node as usize] as usize];
            self.parents[node as usize] = grandparent;
            node = grandparent;
        }
        node
    }

    fn join(&mut self, one: u32, other: u32) {
        let (one, other) = (self.root(one), self.root(other));
        // The later one is the likelier leaf.
        self.parents[one.max(other) as usize] = one.min(other);
    }

    /// Links each shopper's clicks that lie within a velocity window of the one before, and gives
    /// who is whose neighbour.
    pub fn finish(mut self) -> Neighbourhoods {
        let window = i64::from(self.velocity_hours_max) * MILLIS_PER_HOUR;
        let mut clicks = std::mem::take(&mut self.clicks);
        clicks.sort_unstable();
        for pair in clicks.windows(2) {
            let ((user, at, node), (next_user, next_at, next)) = (pair[0], pair[1]);
            if user == next_user && next_at - at <= window {
                self.join(node, next);
            }
        }
        let touched: Vec<u32> = self.touched.drain().collect();
        let touched = touched.into_iter().map(|node| self.root(node)).collect();
        for node in 0..self.parents.len() {
            let node = u32::try_from(node).expect("counted as one");
            self.parents[node as usize] = self.root(node);
        }
        Neighbourhoods {
            nodes: self.nodes,
            roots: self.parents,
            touched,
        }
    }
}

/// Who is whose neighbour, of all clicks that were seen.
#[derive(Debug)]
pub(super) struct Neighbourhoods {
    nodes: HashMap<u64, u32>,
    roots: Vec<u32>,
    touched: HashSet<u32>,
}

impl Neighbourhoods {
    /// The neighbours of a click; none of one that no report is about.
    pub fn of(&self, click: ClickId) -> Option<Neighbours> {
        let node = self.nodes.get(&hashed(Link::Click(click.get())))?;
        Some(self.roots[*node as usize])
    }

    /// Whether any of them is touched.
    pub fn touched(&self, neighbours: Neighbours) -> bool {
        self.touched.contains(&neighbours)
    }
}
