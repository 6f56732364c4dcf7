//! Which claims can mean something for each other.
//!
//! The state of a claim is a function of its neighbourhood: the reports of its click, of every
//! click that ever named one of its orders, of its shopper's clicks within the velocity window, and
//! the heals that compete with its own. Whatever is linked so is folded together, and nothing else
//! has to be.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
};

use processors::rules::{history::Report, velocity};
use schemas::ClickId;

/// A set of claims that is folded together: the node that stands for all of it.
pub(super) type Neighbours = Node;

/// What clicks are linked by. Two that hash alike are linked for nothing, which costs a little time
/// and changes nothing.
#[derive(Hash)]
enum Link<'a> {
    Click(i64),
    Order(i32, i32, &'a str),
    Parked(i32, i64),
}

/// What a report links its click with; all of it hashed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Linked {
    click: u64,
    clicked_at: i64,
    shopper: Option<u64>,
    order: Option<u64>,
    parked: Option<u64>,
    velocity_hours: i32,
    touched: bool,
}

/// A click, an order or a parked record among those that are linked.
pub(super) type Node = u32;

/// By a hash that is one already.
type Nodes = HashMap<u64, Node, foldhash::fast::RandomState>;

/// Links clicks as their reports come.
#[derive(Debug, Default)]
pub(super) struct Links {
    nodes: Nodes,
    parents: Vec<Node>,
    /// Whether a node's neighbours are wanted.
    touched: Vec<bool>,
    /// Shopper (hashed), time and node of each click that has a shopper.
    clicks: Vec<(u64, i64, Node)>,
    velocity_hours_max: i32,
}

fn hashed(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

impl Linked {
    /// What links a report's click with others. `touched` are those whose neighbours are wanted.
    pub fn of(report: &Report, touched: bool) -> Self {
        let click = &report.matched.click;
        // Whether it is an order number, the terms say; those of another fold may say otherwise.
        let order = report.fields.txn_id.as_deref().map(|txn_id| {
            let (network_id, offer_id) = (report.network_id.get(), click.offer_id.get());
            hashed(Link::Order(network_id, offer_id, txn_id))
        });
        let parked = report.heal.as_ref().map(|heal| {
            let parked = Link::Parked(heal.heals.partition, heal.heals.offset);
            hashed(parked)
        });
        Self {
            click: hashed(Link::Click(click.click_id.get())),
            clicked_at: click.clicked_at.millis(),
            shopper: click.user_id.map(hashed),
            order,
            parked,
            velocity_hours: report.matched.rules.velocity_hours,
            touched,
        }
    }
}

impl Links {
    /// Links a report's click with its orders and competing heals, and gives the click's node.
    pub fn add(&mut self, linked: &Linked) -> Node {
        let (node, new) = self.node(linked.click);
        if let (true, Some(shopper)) = (new, linked.shopper) {
            self.clicks.push((shopper, linked.clicked_at, node));
        }
        for other in [linked.order, linked.parked].into_iter().flatten() {
            let (other, _) = self.node(other);
            self.join(node, other);
        }
        self.velocity_hours_max = self.velocity_hours_max.max(linked.velocity_hours);
        self.touched[node as usize] |= linked.touched;
        node
    }

    fn node(&mut self, hash: u64) -> (Node, bool) {
        let next = u32::try_from(self.parents.len()).expect("fewer than 2^32 clicks and orders");
        let node = *self.nodes.entry(hash).or_insert(next);
        if node == next {
            self.parents.push(next);
            self.touched.push(false);
        }
        (node, node == next)
    }

    fn root(&mut self, mut node: Node) -> Node {
        while self.parents[node as usize] != node {
            let grandparent = self.parents[self.parents[node as usize] as usize];
            self.parents[node as usize] = grandparent;
            node = grandparent;
        }
        node
    }

    fn join(&mut self, one: Node, other: Node) {
        let (one, other) = (self.root(one), self.root(other));
        // The later one is the likelier leaf.
        self.parents[one.max(other) as usize] = one.min(other);
    }

    /// Links each shopper's clicks that lie within a velocity window of the one before, and gives
    /// who is whose neighbour.
    pub fn finish(mut self) -> Neighbourhoods {
        let window = velocity::window_millis(self.velocity_hours_max);
        let mut clicks = std::mem::take(&mut self.clicks);
        clicks.sort_unstable();
        for pair in clicks.windows(2) {
            let ((user, at, node), (next_user, next_at, next)) = (pair[0], pair[1]);
            if user == next_user && next_at - at <= window {
                self.join(node, next);
            }
        }
        for node in 0..self.parents.len() {
            let root = self.root(u32::try_from(node).expect("counted as one"));
            self.parents[node] = root;
            self.touched[root as usize] |= self.touched[node];
        }
        Neighbourhoods {
            nodes: self.nodes,
            roots: self.parents,
            touched: self.touched,
        }
    }
}

/// Who is whose neighbour, of all clicks that were seen.
#[derive(Debug, Default)]
pub(super) struct Neighbourhoods {
    nodes: Nodes,
    roots: Vec<Neighbours>,
    /// Holds of the roots.
    touched: Vec<bool>,
}

impl Neighbourhoods {
    /// The neighbours of a click; none of one that no report is about.
    pub fn of(&self, click: ClickId) -> Option<Neighbours> {
        let node = self.nodes.get(&hashed(Link::Click(click.get())))?;
        Some(self.of_node(*node))
    }

    /// The neighbours of a click by its node.
    pub fn of_node(&self, node: Node) -> Neighbours {
        self.roots[node as usize]
    }

    /// Whether any of them is touched.
    pub fn touched(&self, neighbours: Neighbours) -> bool {
        self.touched[neighbours as usize]
    }
}
