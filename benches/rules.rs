//! The pure core: one report from its bytes to its decision, and one claim settled.
//!
//! `cargo bench --bench rules`. Figures are per report; the ledger's database is not in them.

#[path = "harness/src/fixture.rs"]
mod fixture;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use processors::rules::{
    attribution::LookedUp,
    decide::decide,
    history::Report,
    settlement::{Neighbourhood, Scope, settle},
};
use schemas::{Position, Topic, codec, events::ConversionReported, token::TokenKeys};

fn rules(criterion: &mut Criterion) {
    let keys = TokenKeys::new(&[(1, [1; 32])]).expect("a key ring");
    let reference = fixture::reference();
    let report = fixture::report(&keys, 1);
    let encoded = codec::encode(&report).expect("encodes");
    let position = Position {
        topic: Topic::Conversions,
        partition: 3,
        offset: 42,
    };
    let appended_at = report.received_at;
    let decided = |report: &ConversionReported| {
        decide(
            position,
            appended_at,
            report,
            LookedUp::Nothing,
            &reference,
            &keys,
        )
    };

    let mut group = criterion.benchmark_group("one report");
    group.throughput(Throughput::Elements(1));
    group.bench_function("decide", |bencher| {
        bencher.iter(|| decided(black_box(&report)));
    });
    group.bench_function("decode, decide, encode", |bencher| {
        bencher.iter(|| {
            let report = codec::decode(black_box(&encoded)).expect("decodes");
            codec::encode(&decided(&report)).expect("encodes")
        });
    });
    let fact = Report::from_decision(&decided(&report)).expect("matched");
    let neighbourhood = Neighbourhood {
        reports: [(fact.click_id(), vec![fact.clone()])].into(),
        ..Neighbourhood::default()
    };
    let scope = Scope {
        clicks: [fact.click_id()].into(),
        ..Scope::default()
    };
    group.bench_function("settle a claim of one report", |bencher| {
        bencher.iter(|| settle(black_box(&neighbourhood), &scope));
    });
    group.finish();
}

criterion_group!(benches, rules);
criterion_main!(benches);
