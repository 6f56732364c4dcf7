//! The pure core on one core: decisions a second, alone and from bytes to bytes.

use std::{hint::black_box, time::Instant};

use processors::rules::{attribution::LookedUp, decide::decide};
use schemas::{Position, Topic, codec, events::ConversionReported, token::TokenKeys};

use crate::{
    fixture,
    results::{Aim, Findings},
};

/// Reports, each decided so often.
const REPORTS: u32 = 1_000;
const ROUNDS: u32 = 200;
const REPETITIONS: u32 = 5;

pub fn measure(findings: &mut Findings) -> anyhow::Result<()> {
    let keys = TokenKeys::new(&[(1, [1; 32])])?;
    let reference = fixture::reference();
    let reports: Vec<_> = (0..REPORTS)
        .map(|number| fixture::report(&keys, number))
        .collect();
    let encoded: Result<Vec<_>, _> = reports.iter().map(codec::encode).collect();
    let encoded = encoded?;
    let position = Position {
        topic: Topic::Conversions,
        partition: 3,
        offset: 42,
    };
    let decided = |report: &ConversionReported| {
        let nothing = LookedUp::Nothing;
        decide(
            position,
            report.received_at,
            report,
            nothing,
            &reference,
            &keys,
        )
    };
    let rate = |began: Instant| f64::from(REPORTS * ROUNDS) / began.elapsed().as_secs_f64();
    for _ in 0..REPETITIONS {
        let began = Instant::now();
        for report in (0..ROUNDS).flat_map(|_| &reports) {
            black_box(decided(black_box(report)));
        }
        findings.note("decisions", "/s", rate(began));
        let began = Instant::now();
        for bytes in (0..ROUNDS).flat_map(|_| &encoded) {
            let report = codec::decode(black_box(bytes))?;
            black_box(codec::encode(&decided(&report))?);
        }
        findings.note("decisions, with decoding and encoding", "/s", rate(began));
    }
    findings.aim("decisions", Aim::AtLeast(500_000.0));
    findings.aim(
        "decisions, with decoding and encoding",
        Aim::AtLeast(200_000.0),
    );
    Ok(())
}
