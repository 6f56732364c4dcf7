//! The daily reconciliation by the network's API.

use std::collections::BTreeMap;

use operations::reconcile::daily::{self, DailyReconciliation, TenantsOfAccount};
use serde_json::json;

use crate::{
    reconcile::reconciler,
    trackier::{Served, serve},
    world::{NETWORK, NOW, World, sale, tenant, token},
};

fn job(world: &World) -> DailyReconciliation {
    DailyReconciliation {
        reconciler: reconciler(world),
        writer: world.writer.clone(),
        network_id: NETWORK,
        window_days: 3,
        apply: true,
    }
}

fn accounts(served: &Served) -> Vec<TenantsOfAccount> {
    vec![TenantsOfAccount {
        account: served.account(),
        tenants: vec![tenant()],
    }]
}

fn list(served: &Served, click: i64, status: &str) {
    served.fake.add_conversion(json!({
        "_id": format!("c{click}"), "p1": token(click), "created": "2026-09-20T14:13:20.000Z",
        "status": status, "txn_id": format!("A-{click}"), "sale": 1999, "currency": "INR",
    }));
}

/// Runs while the pipeline folds what is appended.
async fn run(world: &World, served: &Served) -> Option<u64> {
    let (job, accounts) = (job(world), accounts(served));
    let work = job.run(&accounts);
    tokio::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => {
                let outcome = done.expect("reconciled")?;
                assert!(outcome.failures.is_empty(), "{outcome:?}");
                return Some(outcome.compared);
            }
            () = world.settle() => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_is_reconciled_once_a_day_by_one_instance() {
    let world = World::new().await;
    let served = serve().await;
    world.click(1).await;
    world.click(2).await;
    world.report(sale(&token(1), "A-1")).await;
    world.settle().await;
    list(&served, 1, "cancelled");
    list(&served, 2, "approved");

    assert_eq!(run(&world, &served).await, Some(1));
    let last = daily::last_compared(&world.operator).await.expect("noted");
    let noted = &last[&tenant()];
    assert_eq!((noted.as_of, noted.appended, noted.compared), (NOW, 2, 2));
    let breaks = BTreeMap::from([("missing_here".to_owned(), 1), ("status".to_owned(), 1)]);
    assert_eq!(noted.breaks, breaks);
    let statuses: Vec<String> = sqlx::query_scalar("SELECT status FROM ledger ORDER BY txn_id")
        .fetch_all(&world.operator)
        .await
        .expect("claims");
    assert_eq!(statuses, ["reversed", "confirmed"]);

    let asked = served.fake.asked().len();
    assert_eq!(run(&world, &served).await, Some(0), "not due");
    assert_eq!(served.fake.asked().len(), asked, "so nobody is asked");

    world.clock.set(NOW.plus_days(1));
    let (first, second) = (job(&world), job(&world));
    let accounts = accounts(&served);
    let (one, other) = tokio::join!(first.run(&accounts), second.run(&accounts));
    let mut outcomes =
        [one, other].map(|outcome| outcome.expect("reconciled").map(|outcome| outcome.compared));
    outcomes.sort_unstable();
    // The other saw it under way, or done.
    assert!(
        outcomes == [None, Some(1)] || outcomes == [Some(0), Some(1)],
        "{outcomes:?}"
    );
    let last = daily::last_compared(&world.operator).await.expect("noted");
    assert_eq!(
        (last[&tenant()].appended, last[&tenant()].breaks.len()),
        (0, 0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_is_refused_keeps_no_other_from_being_reconciled() {
    let world = World::new().await;
    let served = serve().await;
    world.settle().await;
    let mut accounts = accounts(&served);
    let mut refused = served.account();
    refused.api_key = "another".into();
    let refused = TenantsOfAccount {
        account: refused,
        tenants: vec![
            "00000000-0000-0000-0000-000000000009"
                .parse()
                .expect("an id"),
        ],
    };
    accounts.insert(0, refused);
    let outcome = job(&world).run(&accounts).await;
    let outcome = outcome.expect("run").expect("alone");
    let failures: Vec<String> = outcome.failures.iter().map(ToString::to_string).collect();
    assert!(
        failures.len() == 1 && failures[0].contains("Invalid API Key"),
        "{failures:?}"
    );
    assert_eq!(outcome.compared, 1);
    let last = daily::last_compared(&world.operator).await.expect("noted");
    assert_eq!(last.keys().copied().collect::<Vec<_>>(), [tenant()]);
}
