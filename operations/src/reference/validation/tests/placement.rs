//! Versions against those before them, and locked books.

use schemas::{TenantId, Timestamp};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    super::plan, NOW, SOON, TENANT, TOO_SOON, known, lock, offer_version, own_rate, read, refused,
    refused_by, refuses, takes, tenant_version, with,
};
use crate::reference::{editions::Subject, known::Known};

#[test]
fn books_are_locked_forward_unless_it_is_meant() {
    let locks = |first: Value, second: Value| json!({"locks": [first, second]});
    let first = lock("2026-08-31", SOON);
    takes(&locks(
        first.clone(),
        lock("2026-09-30", "2026-10-02T00:00:00Z"),
    ));
    refuses(
        &locks(first.clone(), lock("2026-08-30", "2026-10-02T00:00:00Z")),
        "locks[1].locked_through: 2026-08-30 lies before 2026-08-31",
    );
    let reopening = with(
        lock("2026-07-31", "2026-10-02T00:00:00Z"),
        json!({"reopens": true}),
    );
    takes(&locks(first.clone(), reopening));
    let nothing = with(
        lock("2026-09-01", "2026-10-02T00:00:00Z"),
        json!({"reopens": true}),
    );
    refuses(&locks(first, nothing), "locks[1].reopens: ");
    // The day has to be over.
    refuses(
        &json!({"locks": [lock("2026-09-21", SOON)]}),
        "locks[0].locked_through: 2026-09-21 isn't over",
    );
    takes(&json!({"locks": [lock("2026-09-21", "2026-09-22T00:00:00Z")]}));
    let mut locked = known();
    let tenant = TenantId::new(Uuid::from_u128(1));
    let before = Timestamp::from_millis(1_780_000_000_000);
    locked
        .versions
        .insert(Subject::Lock(tenant), [(before, 1)].into());
    locked.locks.insert(
        tenant,
        [(before, "2026-08-31".parse().expect("a day"))].into(),
    );
    let back = json!({"locks": [lock("2026-08-30", SOON)]});
    assert_eq!(
        refused_by(&back, &locked).len(),
        1,
        "against what is saved, too"
    );
    for day in ["1999-12-31", "+262142-12-31", "2100-01-01"] {
        assert!(
            !refused(&json!({"locks": [lock(day, SOON)]})).is_empty(),
            "{day}"
        );
    }
}

#[test]
fn notice_is_given_where_something_may_have_been_decided() {
    let at = |effective_at: &str| {
        [
            tenant_version(json!({"effective_at": effective_at})),
            offer_version(json!({"effective_at": effective_at})),
            own_rate(json!({"effective_at": effective_at})),
            json!({"fraud_rules": [{"effective_at": effective_at, "rules": {}}]}),
            json!({"commission_rules": [
                {"effective_at": effective_at, "application": "all", "rules": []}
            ]}),
            json!({"locks": [lock("2026-08-31", effective_at)]}),
        ]
    };
    for file in at(SOON) {
        takes(&file);
    }
    for file in at(TOO_SOON) {
        let problems = refused(&file);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].contains("effective_at: 2026-09-21T14:14:19.999Z is too soon"));
    }
    // Of what is new in the same import nothing was decided yet.
    let long_ago = "2020-06-01T00:00:00Z";
    let [tenant, offer, own, fraud, commission, _] = at(long_ago);
    let parts = [&tenant, &offer, &own, &fraud, &commission];
    let mut all = json!({
        "networks": [{"network_id": 1, "name": "Trackier", "default_currency": "INR",
                      "payout_means": "amount"}],
        "locks": [lock("2020-05-31", long_ago)],
    });
    for part in parts {
        all = with(all, part.clone());
    }
    assert_eq!(refused_by(&all, &Known::default()), Vec::<String>::new());
}

#[test]
fn versions_come_one_after_another_and_are_numbered_on() {
    let two = |first: &str, second: &str| {
        let version = |at| json!({"effective_at": at, "default_share_pct": "60"});
        json!({"tenants": [{"tenant_id": TENANT, "name": "Asha",
                            "versions": [version(first), version(second)]}]})
    };
    let saved = "2020-01-01T00:00:00Z";
    let file = read(&two(saved, SOON)).expect("of the form");
    let plan = plan(&file, &known(), NOW).expect("taken");
    let numbers: Vec<_> = plan.further.iter().map(|(number, _)| *number).collect();
    assert_eq!((plan.saved.len(), numbers), (1, vec![2]));
    refuses(
        &two(SOON, SOON),
        "tenants[0].versions[1].effective_at: a version in force from",
    );
    refuses(
        &two("2026-10-02T00:00:00Z", "2026-10-01T00:00:00Z"),
        "tenants[0].versions[1].effective_at: a version in force from",
    );
    let twice = json!({"tenants": [
        {"tenant_id": TENANT, "name": "Asha", "versions": []},
        {"tenant_id": TENANT, "name": "Asha", "versions": []},
    ]});
    refuses(&twice, "tenants[1].tenant_id: 0000");
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let mut file = own_rate(json!({"rate": {"pct": "200"}, "offer_id": 9}));
    file["locks"] = json!([lock("2026-08-31", TOO_SOON)]);
    file["fraud_rules"] = json!([{"effective_at": SOON, "rules": {"bot_weight": 101}}]);
    let paths: Vec<_> = refused(&file)
        .into_iter()
        .filter_map(|problem| Some(problem.split_once(": ")?.0.to_owned()))
        .collect();
    let expected = [
        "overrides[0].offer_id",
        "overrides[0].rate.pct",
        "fraud_rules[0].rules.bot_weight",
        "locks[0].effective_at",
    ];
    assert_eq!(paths, expected);
}
