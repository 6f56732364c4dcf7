//! The scenarios. Each brings up what it measures, measures, and has the outcome checked.

mod analytics;
mod clicks;
mod connect;
mod crowd;
mod day;
mod decide;
mod grown;
mod ingest;
mod ledger;
mod original;
mod replay;
mod restart;
mod sizes;

use std::{ops::Range, path::Path};

use clap::ValueEnum;

use crate::{
    product::LogPlace,
    results::{Findings, Form},
};

pub use ingest::{Served, serve};

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Scenario {
    /// Postbacks to the log, against the same HTTP server without a log
    Ingest,
    /// Sales with their clicks, over HTTP, end to end
    Day,
    /// The same over Kafka
    DayKafka,
    /// The same with ten clicks for each conversion besides
    Clicks,
    /// The same in several sizes
    Sizes,
    /// The same on top of conversions that were ledgered before
    Grown,
    /// The ledger alone, against COPY of the same rows
    Ledger,
    /// Analytics alone, against raw inserts of the same rows
    Analytics,
    /// The pure core
    Decide,
    /// A month replayed against its ledger
    Replay,
    /// `kill -9` under load, and the start after it
    Restart,
    /// The same over Kafka, as a static member of its groups and as a dynamic one
    RestartKafka,
    /// Ten thousand open connections
    Crowd,
    /// The specification's original stack beside the product
    Original,
    /// Redpanda Connect beside the product's ingest, over Kafka
    Connect,
}

/// How a run is to be.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'a> {
    pub form: Form,
    pub seed: u64,
    pub repetitions: usize,
    /// Sales of the scenarios that are a day, in whole or in part.
    pub conversions: u64,
    /// Conversions that `grown` finds ledgered.
    pub history: u64,
    /// Where they are kept once they are made.
    pub histories: &'a Path,
}

impl Plan<'_> {
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

    pub async fn run(self, plan: &Plan<'_>, findings: &mut Findings) -> anyhow::Result<()> {
        match self {
            Self::Ingest => ingest::measure(plan, findings).await,
            Self::Day => day::measure(plan, LogPlace::Embedded, findings).await,
            Self::DayKafka => day::measure(plan, LogPlace::Kafka, findings).await,
            Self::Clicks => clicks::measure(plan, findings).await,
            Self::Sizes => sizes::measure(plan, findings).await,
            Self::Grown => grown::measure(plan, findings).await,
            Self::Ledger => ledger::measure(plan, findings).await,
            Self::Analytics => analytics::measure(plan, findings).await,
            Self::Decide => decide::measure(findings),
            Self::Replay => replay::measure(plan, findings).await,
            Self::Restart => restart::measure(plan, LogPlace::Embedded, findings).await,
            Self::RestartKafka => restart::measure(plan, LogPlace::Kafka, findings).await,
            Self::Crowd => crowd::measure(plan, findings).await,
            Self::Original => original::measure(plan, findings).await,
            Self::Connect => connect::measure(plan, findings).await,
        }
    }
}
