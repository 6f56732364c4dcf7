//! The kill harness: under load of clicks and postbacks, hissaback, its PostgreSQL or both are
//! killed, at random moments and at every named commit point, and started again; in the end what
//! the product holds is compared with what the load was answered.
//!
//! `make test` makes a few kills at random moments. `make chaos` makes hundreds, walks every commit
//! point, and shows that the harness notices a build that is broken on purpose.

mod campaign;
mod evidence;
mod http;
mod load;
mod plan;
mod product;
mod record;
mod reference;
mod report;
mod small_disk;
mod verdict;

use std::{env, path::Path};

use rand::{SeedableRng, rngs::StdRng};
use stream::commit_points::CommitPoint;

use self::{
    campaign::{Campaign, Ending},
    plan::{Kill, Moment, Victim},
};

/// Kills of a full run, unless `HISSABACK_KILLS` says otherwise.
const KILLS: usize = 216;

/// `HISSABACK_SEED`, or another one each time. It is in the report, and printed.
fn seed() -> u64 {
    let given = env::var("HISSABACK_SEED").ok();
    let seed = given.map_or_else(rand::random, |text| text.parse().expect("a number"));
    eprintln!("seed {seed}");
    seed
}

/// What the ignored tests need, `make chaos` builds.
fn expect_feature(present: bool) {
    assert!(present, "this build lacks a feature: run `make chaos`");
}

#[test]
#[cfg_attr(feature = "positions-first", ignore = "this build loses records")]
fn kill_9_under_load_loses_and_doubles_nothing() {
    let report = Campaign::begin(seed()).run(&plan::at_random(8), Ending::Orderly);
    assert!(report.ok(), "{report:#?}");
    assert_eq!(report.kills_total, 8);
    assert!(report.claims > 0 && report.cards > 0, "{report:#?}");
}

/// Where nobody may mount a disk, the ledger's own test of this (sinks/tests/ledger/trouble.rs)
/// has to do.
#[test]
#[cfg_attr(feature = "positions-first", ignore = "this build loses records")]
fn a_full_disk_of_the_database_loses_nothing() {
    match Campaign::begin(seed()).run_out_of_room() {
        Some(report) => assert!(report.ok() && report.claims > 0, "{report:#?}"),
        None => eprintln!("not tested: no small disk can be mounted here"),
    }
}

#[test]
#[ignore = "takes long, and needs the feature commit-points: make chaos"]
fn kills_at_every_commit_point_lose_and_double_nothing() {
    expect_feature(cfg!(feature = "commit-points"));
    let kills = env::var("HISSABACK_KILLS").map_or(KILLS, |text| text.parse().expect("a number"));
    let seed = seed();
    let mut rng = StdRng::seed_from_u64(seed);
    let kills = plan::everywhere(kills, CommitPoint::ALL, &mut rng);
    let report = Campaign::begin(seed).run(&kills, Ending::EveryCard);
    println!("{}", report.markdown());
    if let Some(path) = env::var_os("HISSABACK_CHAOS_REPORT") {
        report.write_json(Path::new(&path));
    }
    if let Some(path) = env::var_os("HISSABACK_CHAOS_DOCUMENT") {
        report.write_into(Path::new(&path));
    }
    assert!(report.ok(), "{report:#?}");
}

#[test]
#[ignore = "needs a build that is broken on purpose: make chaos"]
fn a_position_that_is_committed_before_its_rows_is_noticed() {
    expect_feature(cfg!(feature = "positions-first"));
    let kill = Kill {
        moment: Moment::At {
            point: CommitPoint::LedgerBeforeCommit,
            pass: 3,
        },
        victim: Victim::Process,
    };
    let report = Campaign::begin(seed()).run(&[kill; 4], Ending::AsItIs);
    println!("{}", report.markdown());
    assert!(report.not_reached.is_empty(), "{report:#?}");
    assert!(!report.verdict.lost.is_empty(), "{report:#?}");
    assert!(!report.audit_green, "{report:#?}");
}
