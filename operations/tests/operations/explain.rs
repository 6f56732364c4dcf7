//! From a gift card to the bytes, and what is kept from others on the way.

use operations::explain::{
    ExplainError, Explainer, Explanation, RawEvidence, Subject, Tree,
    proof::{Proof, ProofKey},
};
use schemas::{EventId, PayoutId, TenantId, UserId, events::NetworkStatus};
use uuid::Uuid;

use crate::world::{NOW, World, sale, tenant, token, user};

async fn explained(world: &World, subject: Subject) -> Result<Explanation, ExplainError> {
    let explainer = Explainer {
        pool: &world.operator,
        log: &*world.log,
    };
    explainer.explain(&subject).await
}

fn drawn(explanation: &Explanation) -> String {
    explanation.trees().iter().map(Tree::to_string).collect()
}

/// A sale of click 1, approved, and payable by now.
async fn paid() -> (World, PayoutId, EventId) {
    let world = World::new().await;
    world.click(1).await;
    world.report(sale(&token(1), "A-1")).await;
    world.settle().await;
    world.clock.set(NOW.plus_days(40));
    let summary = world.payout_runs().run(None, false).await.expect("run");
    assert_eq!(summary.paid_count, 1, "{summary:?}");
    let payout: Uuid = sqlx::query_scalar("SELECT payout_id FROM payouts")
        .fetch_one(&world.operator)
        .await
        .expect("a payout");
    let claim = world.number("SELECT led_id FROM ledger").await;
    (world, PayoutId::new(payout), EventId::new(claim))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_is_explained_down_to_the_bytes_and_a_sale_up_to_its_card() {
    let (world, payout, claim) = paid().await;
    let down = explained(&world, Subject::Payout(payout))
        .await
        .expect("explained");
    let Explanation::Payout(lineage) = &down else {
        panic!("{down:?}");
    };
    assert!(lineage.adds_up);
    let [item] = lineage.items.as_slice() else {
        panic!("{lineage:?}");
    };
    assert_eq!(
        (item.claim_then, item.amount.to_string()),
        (claim, "95".to_owned())
    );
    let found = item.claim.as_ref().expect("its claim");
    assert!(found.money.adds_up);
    assert_eq!(found.money.posted.user.to_string(), "95.95");
    let [report] = found.reports.as_slice() else {
        panic!("{found:?}");
    };
    let RawEvidence::Kept { text, .. } = &report.raw else {
        panic!("{report:?}");
    };
    assert_eq!(text, "sale");
    let tree = drawn(&down);
    for line in [
        "item: 95 of claim",
        "rate 8.00% of the sale (the offer's)",
        "user 95.95 + creator 63.97 + fee 0 = commission 159.92 + subsidy 0 INR",
        "raw (query): sale",
        "user_payable 95.95 INR",
        "click 1 at ",
    ] {
        assert!(tree.contains(line), "{line:?} in\n{tree}");
    }
    assert!(tree.contains(&report.position.to_string()));

    let up = explained(&world, Subject::Conversion(claim))
        .await
        .expect("explained");
    assert!(drawn(&up).contains(&format!("payout {payout} (queued) pays 95")));
    let at = explained(&world, Subject::Report(report.position))
        .await
        .expect("explained");
    assert_eq!(drawn(&at), drawn(&up));
    let order = explained(&world, Subject::Order("A-1".to_owned(), None)).await;
    assert_eq!(drawn(&order.expect("explained")), drawn(&up));

    let shopper = explained(&world, Subject::User(user(12), None))
        .await
        .expect("explained");
    assert!(drawn(&shopper).contains("earned 95.95, paid 95, balance 0.95 INR"));
    let nobody = Subject::User(UserId::new(Uuid::from_u128(999)), None);
    assert!(matches!(
        explained(&world, nobody).await,
        Err(ExplainError::Unknown(_))
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn other_tenants_claims_are_a_number_only() {
    let world = World::new().await;
    for click in 1..=3 {
        world.click(click).await;
        world.report(sale(&token(click), "A-1")).await;
    }
    world.settle().await;
    let owner = world
        .number("SELECT led_id FROM ledger WHERE click_id = 1")
        .await;
    let second = world
        .number("SELECT led_id FROM ledger WHERE click_id = 2")
        .await;
    let third = world
        .number("SELECT led_id FROM ledger WHERE click_id = 3")
        .await;
    let stranger = "00000000-0000-0000-0000-000000000099";
    world
        .tamper(&format!(
            "UPDATE conversions SET tenant_id = '{stranger}' WHERE click_id = 1"
        ))
        .await;
    let explanation = explained(&world, Subject::Conversion(EventId::new(second)))
        .await
        .expect("explained");
    let Explanation::Claims(claims) = &explanation else {
        panic!("{explanation:?}");
    };
    let shared = &claims[0].shared_order;
    assert_eq!(shared.same_tenant, [EventId::new(third)]);
    assert_eq!((shared.other_tenants, shared.owner), (1, None));
    let told = serde_json::to_string(&explanation).expect("JSON") + &drawn(&explanation);
    assert!(told.contains("1 claims of other tenants name the same order"));
    assert!(
        !told.contains(&owner.to_string()) && !told.contains(stranger),
        "{told}"
    );

    let order = |tenant| Subject::Order("A-1".to_owned(), tenant);
    assert!(matches!(
        explained(&world, order(None)).await,
        Err(ExplainError::SeveralTenants(2, _))
    ));
    let Explanation::Claims(claims) = explained(&world, order(Some(tenant())))
        .await
        .expect("explained")
    else {
        panic!("claims");
    };
    assert_eq!(claims.len(), 2);
    let nobody = TenantId::new(Uuid::from_u128(7));
    assert!(matches!(
        explained(&world, order(Some(nobody))).await,
        Err(ExplainError::Unknown(_))
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_report_is_explained_too() {
    let world = World::new().await;
    let position = world.report(sale("77", "A-1")).await;
    world.settle().await;
    let explanation = explained(&world, Subject::Report(position))
        .await
        .expect("explained");
    let tree = drawn(&explanation);
    assert!(
        tree.contains("parked: unknown_click") && tree.contains("raw (query): sale"),
        "{tree}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_names_no_shopper_and_cant_be_changed() {
    let (world, _, claim) = paid().await;
    let mut cancelled = sale(&token(1), "A-1");
    cancelled.status = Some(NetworkStatus::Cancelled);
    world.report(cancelled).await;
    world.settle().await;
    let Explanation::Claims(claims) = explained(&world, Subject::Conversion(claim))
        .await
        .expect("explained")
    else {
        panic!("claims");
    };
    let key = ProofKey::from_seed(1, &[5; 32]).expect("a key");
    let proof = key.prove(&claims[0], NOW);
    let text = serde_json::to_string(&proof).expect("JSON");
    let shopper = claims[0].user_id().expect("a shopper");
    assert!(!text.contains(&shopper.to_string()), "{text}");
    assert!(!text.contains("95.95") && text.contains("159.92"), "{text}");
    let read: Proof = serde_json::from_str(&text).expect("a bundle");
    assert_eq!(read.verify(Some(&key.public_key())), Ok(()));
    assert_eq!(read.statement["reports"].as_array().map(Vec::len), Some(2));
    let forged = text.replace("159.92", "259.92");
    let forged: Proof = serde_json::from_str(&forged).expect("a bundle");
    assert!(forged.verify(None).is_err());
}
