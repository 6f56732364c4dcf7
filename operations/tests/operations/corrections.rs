//! The story of docs/replay.md: from a symptom to a correction, by two operators.

use operations::{
    corrections::{self, CorrectionError},
    replay::{Cause, ReplaySettings},
};
use schemas::events::NetworkStatus;

use crate::{
    replay::replayed,
    world::{World, sale, token},
};

async fn shopper_is_owed(world: &World) -> i64 {
    world
        .number("SELECT (sum(posted_user) * 100)::bigint FROM ledger WHERE click_id = 5")
        .await
}

async fn sales(world: &World) {
    for number in 1..=8 {
        world.click(number).await;
        world
            .report(sale(&token(number), &format!("ORD-{number}")))
            .await;
    }
    world.settle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn from_a_symptom_to_a_correction() {
    let world = World::new().await;
    sales(&world).await;
    assert_eq!(shopper_is_owed(&world).await, 9_595);

    // The symptom: a shopper says that 95.95 is missing. Somebody had changed the row by hand.
    world
        .tamper(
            "UPDATE ledger SET status = 'rejected', posted_commission = 0, posted_user = 0,
                    posted_creator = 0 WHERE click_id = 5",
        )
        .await;
    let report = replayed(&world, &ReplaySettings::default()).await;
    assert_eq!((report.equal, report.different), (false, 1), "{report}");
    assert_eq!(report.causes[&Cause::Altered].claims, 1);

    // One operator proposes, having seen how far it reaches.
    let proposed = corrections::propose(&world.operator, &report, "asha", "ticket 4711").await;
    let proposal = proposed.expect("proposed");
    assert_eq!(proposal.extent.claims, 1);
    let moved = &proposal.extent.moved["INR"];
    assert_eq!(
        (moved.more.to_string(), moved.less.to_string()),
        ("159.92".into(), "0".into())
    );
    assert_eq!(world.number("SELECT count(*) FROM commands").await, 0);

    // They can't approve it themselves, nor can anybody approve something else.
    let approve = async |hash: &str, operator: &str| {
        let commands = world.commands();
        let id = proposal.proposal_id;
        corrections::approve(&world.operator, &commands, id, hash, operator).await
    };
    let own = approve(&proposal.sha256, "Asha").await;
    assert!(
        matches!(own, Err(CorrectionError::SameOperator(_))),
        "{own:?}"
    );
    for hash in ["", "00000000", &proposal.sha256[..7]] {
        let other = approve(hash, "ravi").await;
        assert!(
            matches!(other, Err(CorrectionError::OtherHash(_))),
            "{other:?}"
        );
    }
    let applied = approve(&proposal.sha256[..12], "ravi")
        .await
        .expect("approved");
    assert_eq!(applied.approved_by.as_deref(), Some("ravi"));
    let again = approve(&proposal.sha256, "ravi").await;
    assert!(
        matches!(again, Err(CorrectionError::Applied(_))),
        "{again:?}"
    );

    // The ledger settles the claim anew, pays nobody, and the replay is empty.
    world.settle().await;
    assert_eq!(shopper_is_owed(&world).await, 9_595);
    assert_eq!(world.number("SELECT count(*) FROM payouts").await, 0);
    let report = replayed(&world, &ReplaySettings::default()).await;
    assert!(report.equal, "{report}");
    let audited = "SELECT count(*) FROM audit_log WHERE action = 'approve_corrections'
                   AND author = 'ravi' AND detail->>'proposed_by' = 'asha'";
    assert_eq!(world.number(audited).await, 1);
    let nothing = corrections::propose(&world.operator, &report, "asha", "again").await;
    assert!(matches!(nothing, Err(CorrectionError::Nothing)));
    assert!(world.audit().await.ok);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_decided_otherwise_is_booked_to_a_target() {
    let world = World::new().await;
    sales(&world).await;
    world
        .tamper("UPDATE offer_versions SET base_commission_pct = 10")
        .await;
    let data = sinks::ledger::reference::load(&world.writer)
        .await
        .expect("loaded");
    world.reference.store(std::sync::Arc::new(data));
    let report = replayed(&world, &ReplaySettings::default()).await;
    assert_eq!(report.different, 8, "{report}");
    let proposal = corrections::propose(&world.operator, &report, "asha", "rate").await;
    let proposal = proposal.expect("proposed");
    let (commands, id) = (world.commands(), proposal.proposal_id);
    corrections::approve(&world.operator, &commands, id, &proposal.sha256, "ravi")
        .await
        .expect("approved");
    world.settle().await;
    // 60% of 10% of 1,999.00.
    assert_eq!(shopper_is_owed(&world).await, 11_994);
    assert_eq!(
        world
            .number("SELECT count(*) FROM ledger WHERE 'corrected' = ANY(reasons)")
            .await,
        8
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn books_that_have_moved_on_are_not_corrected() {
    let world = World::new().await;
    sales(&world).await;
    world
        .tamper("UPDATE ledger SET posted_user = 90.95, posted_creator = 68.97 WHERE click_id = 5")
        .await;
    let report = replayed(&world, &ReplaySettings::default()).await;
    let proposal = corrections::propose(&world.operator, &report, "asha", "ticket").await;
    let proposal = proposal.expect("proposed");
    let mut cancelled = sale(&token(5), "ORD-5");
    cancelled.status = Some(NetworkStatus::Cancelled);
    world.report(cancelled).await;
    world.settle().await;
    let (commands, id) = (world.commands(), proposal.proposal_id);
    let stale =
        corrections::approve(&world.operator, &commands, id, &proposal.sha256, "ravi").await;
    assert!(matches!(stale, Err(CorrectionError::Stale(_))), "{stale:?}");
    assert_eq!(world.number("SELECT count(*) FROM commands").await, 0);
    let listed = corrections::list(&world.operator, 10)
        .await
        .expect("listed");
    assert_eq!(listed, [proposal]);
}
