//! Does a piece of the pure core's work so many times. `scripts/instructions.sh` runs it under
//! valgrind, twice: what the longer run takes more is the work's, and not the start's.

#[path = "../../harness/src/fixture.rs"]
mod fixture;

use std::hint::black_box;

use anyhow::Context;
use clap::{Parser, ValueEnum};
use instructions::rules::{
    attribution::LookedUp,
    decide::decide,
    history::Report,
    settlement::{Neighbourhood, Scope, settle},
};
use schemas::{
    Position, Topic, codec,
    events::{ConversionReported, Decision},
    reference::ReferenceData,
    token::TokenKeys,
};

/// Reports that the work goes round: no two are alike.
const REPORTS: u32 = 100;
const POSITION: Position = Position {
    topic: Topic::Conversions,
    partition: 3,
    offset: 42,
};

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Work {
    /// One report decided
    Decide,
    /// The same from bytes to bytes
    FromBytes,
    /// One claim settled
    Settle,
}

#[derive(Debug, Parser)]
struct Arguments {
    work: Work,
    /// How many times
    times: u32,
}

/// Reports and all that a decision on them takes.
struct Core {
    keys: TokenKeys,
    reference: ReferenceData,
    reports: Vec<ConversionReported>,
}

impl Core {
    fn new() -> anyhow::Result<Self> {
        let keys = TokenKeys::new(&[(1, [1; 32])])?;
        let reports = (0..REPORTS).map(|number| fixture::report(&keys, number));
        Ok(Self {
            reports: reports.collect(),
            reference: fixture::reference(),
            keys,
        })
    }

    fn decide(&self, report: &ConversionReported) -> Decision {
        let (at, nothing) = (report.received_at, LookedUp::Nothing);
        decide(POSITION, at, report, nothing, &self.reference, &self.keys)
    }

    fn neighbourhood(&self, report: &ConversionReported) -> anyhow::Result<(Neighbourhood, Scope)> {
        let fact =
            Report::from_decision(&self.decide(report)).context("a report without a click")?;
        let scope = Scope {
            clicks: [fact.click_id()].into(),
            ..Scope::default()
        };
        let neighbourhood = Neighbourhood {
            reports: [(fact.click_id(), vec![fact])].into(),
            ..Neighbourhood::default()
        };
        Ok((neighbourhood, scope))
    }
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let core = Core::new()?;
    let times = usize::try_from(arguments.times)?;
    match arguments.work {
        Work::Decide => {
            for report in core.reports.iter().cycle().take(times) {
                black_box(core.decide(black_box(report)));
            }
        }
        Work::FromBytes => {
            let encoded: Result<Vec<_>, _> = core.reports.iter().map(codec::encode).collect();
            for bytes in encoded?.iter().cycle().take(times) {
                let report = codec::decode(black_box(bytes))?;
                black_box(codec::encode(&core.decide(&report))?);
            }
        }
        Work::Settle => {
            let made = core.reports.iter().map(|report| core.neighbourhood(report));
            let made: Vec<_> = made.collect::<Result<_, _>>()?;
            for (neighbourhood, scope) in made.iter().cycle().take(times) {
                black_box(settle(black_box(neighbourhood), scope));
            }
        }
    }
    Ok(())
}
