//! Reference data from a file: what is saved, what the stages read of it, and what is refused.

use operations::reference::{self, Added, Contacts, ReferenceError, ReferenceFile};
use schemas::{
    Currency, OfferId, TenantId, Timestamp,
    contact::ContactKey,
    events::{Rate, RuleApplication},
    reference::{PartnerLevel, ReferenceData},
};
use serde_json::{Value, json};
use sinks::sealing::KeyRing;
use sqlx::PgPool;

use crate::postgres::Database;

const EXAMPLE: &str = include_str!("../../../schemas/examples/reference.json");
const TENANT: &str = "7a1f3c52-0c1e-4a53-9a51-3f6b2f1d0001";
const OFFER: OfferId = OfferId::new(5_509);
/// 2026-09-21T14:13:20Z.
const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);
/// 60 seconds later, to the millisecond.
const EARLIEST: &str = "2026-09-21T14:14:20Z";

fn tenant() -> TenantId {
    TENANT.parse().expect("a tenant id")
}

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).expect("an instant")
}

fn contacts() -> Contacts {
    let key = format!("1:{}", "7a".repeat(32));
    Contacts {
        hashed: ContactKey::new([7; 32]),
        sealed: KeyRing::parse(&key.into()).expect("a key"),
    }
}

fn example() -> Value {
    serde_json::from_str(EXAMPLE).expect("JSON")
}

struct Saved {
    /// Keeps it running.
    _database: Database,
    operator: PgPool,
    writer: PgPool,
}

impl Saved {
    async fn empty() -> Self {
        let database = Database::new().await;
        Self {
            operator: database.pool("hissaback_operator").await,
            writer: database.pool("hissaback_writer").await,
            _database: database,
        }
    }

    /// With the example in it.
    async fn example() -> Self {
        let saved = Self::empty().await;
        saved.import(&example()).await.expect("taken");
        saved
    }

    async fn import(&self, file: &Value) -> Result<Added, ReferenceError> {
        let file = ReferenceFile::parse(&file.to_string())?;
        reference::import(&self.operator, &file, &contacts(), NOW).await
    }

    /// The text that a file is refused with.
    async fn refusal(&self, file: &Value) -> String {
        let refused = self.import(file).await.expect_err("refused");
        refused.to_string()
    }

    async fn load(&self) -> ReferenceData {
        let loaded = sinks::ledger::reference::load(&self.writer).await;
        loaded.expect("readable")
    }

    async fn count(&self, query: &'static str) -> i64 {
        let counted = sqlx::query_scalar(query).fetch_one(&self.operator).await;
        counted.expect("counted")
    }
}

fn flat(text: &str) -> Rate {
    Rate::Flat(text.parse().expect("an amount"))
}

#[tokio::test]
async fn the_example_is_saved_once_and_read_as_it_says() {
    let saved = Saved::empty().await;
    let added = saved.import(&example()).await.expect("taken");
    let by_table: Vec<_> = added.by_table().collect();
    let expected = [
        ("campaign_versions", 1),
        ("campaigns", 1),
        ("commission_overrides", 1),
        ("commission_rule_sets", 1),
        ("fraud_rule_sets", 2),
        ("links", 1),
        ("networks", 1),
        ("offer_goal_rates", 1),
        ("offer_versions", 1),
        ("offers", 1),
        ("tenant_locks", 1),
        ("tenant_members", 1),
        ("tenant_versions", 1),
        ("tenants", 1),
        ("users", 2),
    ];
    assert_eq!(by_table, expected);
    let again = saved.import(&example()).await.expect("taken");
    assert_eq!(again.rows(), 0, "what is there already stays as it is");

    let data = saved.load().await;
    let settings = &data.tenants[&tenant()].as_of(NOW).value;
    assert_eq!(settings.level, PartnerLevel::Silver);
    let terms = &data.offers[&OFFER].terms.as_of(NOW).value;
    assert_eq!(terms.goal_rates["signup"], flat("40"));
    assert_eq!(terms.currency, Currency::INR);
    let own = &data.overrides[&(tenant(), OFFER)][0];
    assert_eq!(own.goal_id.as_deref(), Some("signup"));
    assert_eq!(own.versions.as_of(NOW).value.rate, Some(flat("50")));
    let set = data.commission_rules.as_ref().expect("saved").as_of(NOW);
    assert_eq!(set.value.application, RuleApplication::First);
    let names: Vec<_> = set.value.rules.iter().map(|rule| &rule.rule.name).collect();
    assert_eq!(names, ["gold partners, large baskets", "opening month"]);
    assert_eq!(data.fraud_rules(tenant(), NOW).unusual_sale_weight, 2);
    let locked = data.books_locked_before(tenant(), NOW);
    assert_eq!(locked, Some(at("2020-02-01T00:00:00Z")));
    let unsaved = saved
        .count("SELECT count(*) FROM offer_versions WHERE saved_at <> to_timestamp(1790000000)")
        .await;
    assert_eq!(unsaved, 0, "saved when the import says");
}

#[tokio::test]
async fn a_rehearsal_adds_nothing() {
    let saved = Saved::empty().await;
    let file = ReferenceFile::parse(EXAMPLE).expect("of the form");
    let rehearsed = reference::rehearse(&saved.operator, &file, &contacts(), NOW).await;
    assert_eq!(rehearsed.expect("taken").rows(), 17);
    assert_eq!(saved.count("SELECT count(*) FROM tenants").await, 0);
    let imported = saved.import(&example()).await.expect("taken");
    assert_eq!(imported.rows(), 17);
}

/// Each kind on top of the example, in force 60 seconds later and not a millisecond before.
#[tokio::test]
async fn further_versions_are_added_with_notice() {
    let saved = Saved::example().await;
    let offer = json!([{"offer_id": OFFER, "network_id": 1, "brand": "Paduka Shoes",
        "category": "footwear", "versions": [{
            "effective_at": EARLIEST, "tracking_url": "https://network.example/click",
            "currency": "INR", "commission_source": "percentage", "commission_flat": "75.5",
            "goal_rates": {"sale": {"pct": "9.25"}, "signup": {"flat": "45"}},
            "cool_off_days": 30, "txn_id_names_order": true, "duplicate_orders": "reject"}]}]);
    let file = json!({
        "tenants": [{"tenant_id": TENANT, "name": "Asha's Closet", "versions": [
            {"effective_at": EARLIEST, "level": "gold", "default_share_pct": "55"}]}],
        "offers": offer,
        "overrides": [
            {"tenant_id": TENANT, "offer_id": OFFER, "goal_id": "signup",
             "effective_at": EARLIEST, "rate": null},
            {"tenant_id": TENANT, "offer_id": OFFER, "effective_at": EARLIEST,
             "rate": {"pct": "12"}}],
        "fraud_rules": [{"effective_at": EARLIEST, "rules": {"review_score": 4}}],
        "commission_rules": [{"effective_at": EARLIEST, "application": "all", "rules": []}],
        "locks": [{"tenant_id": TENANT, "effective_at": EARLIEST,
                   "locked_through": "2026-08-31"}],
    });
    let soon: Value = serde_json::from_str(
        &file
            .to_string()
            .replace(EARLIEST, "2026-09-21T14:14:19.999Z"),
    )
    .expect("JSON");
    let refusal = saved.refusal(&soon).await;
    assert_eq!(refusal.matches("is too soon").count(), 7, "{refusal}");
    assert_eq!(saved.import(&file).await.expect("taken").rows(), 9);
    assert_eq!(saved.import(&file).await.expect("taken").rows(), 0);

    let data = saved.load().await;
    let (before, after) = (at(EARLIEST).plus_millis(-1), at(EARLIEST));
    let terms = &data.offers[&OFFER].terms;
    assert_eq!(terms.as_of(before).version, 1);
    assert_eq!(terms.as_of(after).version, 2);
    assert_eq!(terms.as_of(after).value.commission, flat("75.5"));
    let goals: Vec<_> = terms.as_of(after).value.goal_rates.keys().collect();
    assert_eq!(goals, ["sale", "signup"]);
    let tenants = &data.tenants[&tenant()];
    assert_eq!(tenants.as_of(after).value.level, PartnerLevel::Gold);
    let [for_all, for_signup] = &data.overrides[&(tenant(), OFFER)][..] else {
        panic!("two goals have a rate");
    };
    assert!(for_all.versions.in_force(before).is_none());
    assert_eq!(for_signup.versions.as_of(after).version, 2);
    assert_eq!(for_signup.versions.as_of(after).value.rate, None);
    let sets = data.commission_rules.as_ref().expect("saved");
    assert_eq!(sets.as_of(before).value.rules.len(), 2);
    assert!(sets.as_of(after).value.rules.is_empty());
    let locked = |at| data.books_locked_before(tenant(), at);
    assert_eq!(locked(before), Some(at("2020-02-01T00:00:00Z")));
    assert_eq!(locked(after), Some(at("2026-09-01T00:00:00Z")));
}

#[tokio::test]
async fn what_is_saved_is_not_changed_behind_its_back() {
    let saved = Saved::example().await;
    for (pointer, value, path) in [
        (
            "/tenants/0/versions/0/default_share_pct",
            json!("61"),
            "tenants[0].versions[0]",
        ),
        (
            "/tenants/0/versions/0/level",
            json!("gold"),
            "tenants[0].versions[0]",
        ),
        (
            "/offers/0/versions/0/base_commission_pct",
            json!("8.01"),
            "offers[0].versions[0]",
        ),
        (
            "/campaigns/0/versions/0/attribution_window_days",
            json!(31),
            "campaigns[0].versions[0]",
        ),
        ("/overrides/0/rate/flat", json!("50.01"), "overrides[0]"),
        (
            "/fraud_rules/1/rules/unusual_sale_weight",
            json!(1),
            "fraud_rules[1]",
        ),
        (
            "/commission_rules/0/rules/1/then/multiply",
            json!("2"),
            "commission_rules[0]",
        ),
        ("/locks/0/locked_through", json!("2020-01-30"), "locks[0]"),
        (
            "/offers/0/versions/0/goal_rates/signup/flat",
            json!("41"),
            "offers[0].versions[0].goal_rates",
        ),
    ] {
        let mut file = example();
        *file.pointer_mut(pointer).expect(pointer) = value;
        let refusal = saved.refusal(&file).await;
        let expected =
            format!("\n{path}: a version from this instant on is saved with other values");
        assert!(refusal.contains(&expected), "{pointer}: {refusal}");
        assert_eq!(refusal.lines().count(), 2, "{refusal}");
    }
    // The same number, written otherwise, is the same.
    let mut file = example();
    file["tenants"][0]["versions"][0]["default_share_pct"] = json!("60.00");
    assert_eq!(saved.import(&file).await.expect("taken").rows(), 0);
}

#[tokio::test]
async fn a_refused_file_is_refused_whole_and_by_its_fields() {
    let saved = Saved::empty().await;
    let mut file = example();
    file["offers"][0]["versions"][0]["base_commission_pct"] = json!("108");
    file["fraud_rules"][0]["rules"]["review_score"] = json!(60);
    file["commission_rules"][0]["rules"][0]["when"]["currency"] = json!("JPY");
    file["commission_rules"][0]["rules"][0]["then"]["bonus"] = json!("0.5");
    let expected = "the reference data is refused, and nothing of it was saved:
offers[0].versions[0].base_commission_pct: 108 is refused: a percentage lies between 0 and 100 and \
has at most two decimal places
fraud_rules[0].rules.review_score: 60 can never be reached: all weights together make 6
commission_rules[0].rules[0].then.bonus: 0.5 is no sum of JPY, which has 0 decimal places";
    assert_eq!(saved.refusal(&file).await, expected);
    assert_eq!(saved.count("SELECT count(*) FROM tenants").await, 0);

    // What is no condition yet is refused by its name, not passed over.
    let mut file = example();
    file["commission_rules"][0]["rules"][1]["when"]["is_first_purchase"] = json!(true);
    let refusal = saved.refusal(&file).await;
    let path = "commission_rules[0].rules[1].when.is_first_purchase: unknown field";
    assert!(refusal.contains(path), "{refusal}");

    // What only the database knows.
    let mut file = example();
    file["users"] = json!([]);
    let refusal = saved.refusal(&file).await;
    assert!(refusal.starts_with("the database refuses"), "{refusal}");
    assert_eq!(saved.count("SELECT count(*) FROM tenants").await, 0);
}

/// The ends of every range: what validation takes, the database and the stages take too.
#[tokio::test]
async fn extremes_are_saved_and_read() {
    let saved = Saved::example().await;
    let last_instant = "2099-12-31T23:59:59.999Z";
    let (largest, smallest) = ("1000000000000", "0.000001");
    let long = "\u{1F6D2}".repeat(63);
    let goal = |rate| json!({ long.clone(): rate });
    let version = |currency: &str, flat: &str, effective_at: &str| {
        json!({"effective_at": effective_at, "tracking_url": "", "currency": currency,
               "commission_source": "payout", "commission_flat": flat,
               "goal_rates": goal(json!({"pct": "100"})), "commission_max": smallest,
               "usual_sale_max": largest, "cool_off_days": 730, "txn_id_names_order": false,
               "duplicate_orders": "accept"})
    };
    let file = json!({
        "tenants": [{"tenant_id": TENANT, "name": long, "versions": [
            {"effective_at": last_instant, "level": "platinum", "default_share_pct": "100",
             "platform_fee_pct": "100.00", "platform_fee_flat": largest, "subsidy": smallest,
             "payout_min": largest, "kyc_required": true}]}],
        "offers": [{"offer_id": i32::MAX, "network_id": 1, "brand": long, "versions": [
            version("KWD", "0.001", "2000-01-01T00:00:00Z"),
            version("JPY", largest, last_instant)]}],
        "overrides": [{"tenant_id": TENANT, "offer_id": i32::MAX, "goal_id": long,
            "effective_at": "2000-01-01T00:00:00Z", "valid_until": last_instant,
            "rate": {"flat": largest}}],
        "fraud_rules": [{"effective_at": last_instant, "rules": {
            "velocity_claims": 1_000_000, "velocity_hours": 720, "duplicate_days": 730,
            "review_score": 600, "country_mismatch_weight": 100, "hasty_sale_weight": 100,
            "hasty_sale_seconds": 86_400, "bot_weight": 100, "data_centre_weight": 100,
            "proxy_weight": 100, "unusual_sale_weight": 100, "reject_self_purchase": false}}],
        "commission_rules": [{"effective_at": last_instant, "application": "all", "rules": [
            {"name": long, "when": {"currency": "INR", "sale_from": "0", "sale_below": largest,
                "goals": [long], "categories": [long], "converted_from": "2000-01-01T00:00:00Z",
                "converted_before": last_instant},
             "then": {"replace": {"flat": largest}, "multiply": "1000", "bonus": largest}}]}],
        "locks": [{"tenant_id": TENANT, "effective_at": last_instant,
                   "locked_through": "2099-12-30"}],
    });
    saved.import(&file).await.expect("taken");
    assert_eq!(saved.import(&file).await.expect("taken").rows(), 0);
    let data = saved.load().await;
    let offer = &data.offers[&OfferId::new(i32::MAX)].terms;
    assert_eq!(offer.as_of(NOW).value.commission, flat("0.001"));
    assert_eq!(
        offer.as_of(at(last_instant)).value.commission,
        flat(largest)
    );
    let locked = data.books_locked_before(tenant(), at(last_instant));
    assert_eq!(locked, Some(at("2099-12-31T00:00:00Z")));
}

#[tokio::test]
async fn imports_go_one_at_a_time() {
    let saved = Saved::empty().await;
    let mut other = saved.operator.begin().await.expect("begun");
    sqlx::query("SELECT pg_advisory_xact_lock(hashtext('hissaback.reference_import'))")
        .execute(&mut *other)
        .await
        .expect("locked");
    let refused = saved.import(&example()).await;
    assert!(matches!(refused, Err(ReferenceError::Busy)), "{refused:?}");
    other.rollback().await.expect("rolled back");
    saved.import(&example()).await.expect("taken");
}

#[tokio::test]
async fn a_person_gets_a_number_and_a_rail_later_and_neither_is_replaced() {
    let saved = Saved::empty().await;
    let person = "11111111-1111-1111-1111-111111111111";
    let without = json!({ "users": [{ "user_id": person }] });
    saved.import(&without).await.expect("taken");
    let with = |phone: &str, method: &str| {
        json!({
            "users": [{ "user_id": person, "phone": phone }],
            "payout_methods": [{
                "user_id": person, "method": method, "destination": "an account",
                "effective_at": "2026-09-01T00:00:00Z",
            }],
        })
    };
    let added = saved.import(&with("+911", "bank_transfer")).await;
    let added: Vec<_> = added.as_ref().expect("taken").by_table().collect();
    assert_eq!(added, [("phone numbers", 1), ("user_payout_methods", 1)]);
    let again = saved.import(&with("+912", "agcod")).await.expect("taken");
    assert_eq!(again.rows(), 0);
    let kept = "SELECT count(*) FROM user_payout_methods WHERE method = 'bank_transfer'";
    assert_eq!(saved.count(kept).await, 1);

    let unnamed = saved.refusal(&with("+911", "Bank transfer")).await;
    assert!(
        unnamed.contains("payout_methods[0].method: \"Bank transfer\" is refused"),
        "{unnamed}"
    );
    let stranger = json!({ "payout_methods": [{
        "user_id": "22222222-2222-2222-2222-222222222222", "method": "agcod",
        "effective_at": "2026-09-01T00:00:00Z",
    }] });
    let unknown = saved.import(&stranger).await;
    assert!(
        matches!(unknown, Err(ReferenceError::Database(_))),
        "{unknown:?}"
    );
}
