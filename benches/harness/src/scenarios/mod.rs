//! The scenarios. Each brings up what it measures, measures, and has the outcome checked.

mod connect;
mod crowd;
mod day;
mod decide;
mod ingest;
mod ledger;
mod original;
mod replay;
mod restart;

use std::ops::Range;

use clap::ValueEnum;

use crate::results::{Findings, Form};

pub use ingest::{Served, serve};

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Scenario {
    /// Postbacks to the log, against the same HTTP server without a log
    Ingest,
    /// Sales with their clicks, over HTTP, end to end
    Day,
    /// The ledger alone, against COPY of the same rows
    Ledger,
    /// The pure core
    Decide,
    /// A month replayed against its ledger
    Replay,
    /// `kill -9` under load, and the start after it
    Restart,
    /// Ten thousand open connections
    Crowd,
    /// The specification's original stack beside the product
    Original,
    /// Redpanda Connect beside the product's ingest, over Kafka
    Connect,
}

/// How a run is to be.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub form: Form,
    pub seed: u64,
    pub repetitions: usize,
    /// Sales of the scenarios `day` and `ledger`.
    pub conversions: u64,
}

impl Plan {
    /// Numbers of so many sales; another seed means others.
    pub const fn sales(&self, count: u64) -> Range<u64> {
        let first = self.seed % 1_000 * 1_000_000_000;
        first..first + count
    }
}

impl Scenario {
    /// Those that need nothing but the product.
    pub fn of_the_product() -> Vec<Self> {
        let all = Self::value_variants().iter().copied();
        all.filter(|scenario| !matches!(scenario, Self::Original | Self::Connect))
            .collect()
    }

    pub async fn run(self, plan: &Plan, findings: &mut Findings) -> anyhow::Result<()> {
        match self {
            Self::Ingest => ingest::measure(plan, findings).await,
            Self::Day => day::measure(plan, findings).await,
            Self::Ledger => ledger::measure(plan, findings).await,
            Self::Decide => decide::measure(findings),
            Self::Replay => replay::measure(plan, findings).await,
            Self::Restart => restart::measure(plan, findings).await,
            Self::Crowd => crowd::measure(plan, findings).await,
            Self::Original => original::measure(plan, findings).await,
            Self::Connect => connect::measure(plan, findings).await,
        }
    }
}
