//! Reference data as the stages read it.

use std::collections::BTreeMap;

use schemas::{
    CampaignId, Currency, LinkId, NetworkId, OfferId, Percentage, Timestamp,
    events::{
        CommissionRule, CommissionSource, DuplicatePolicy, FraudRules, PayoutMeans, Rate,
        Replacement, RuleApplication, SelfPurchase,
    },
    reference::{CommissionRuleSet, OverrideTerms, PartnerLevel, ReferenceData, ScopedRule},
};
use sinks::ledger::reference;
use sqlx::{PgPool, error::DatabaseError};
use uuid::Uuid;

use crate::{
    postgres::Database,
    records::{T0, tenant, user},
};

const CAMPAIGN: Uuid = Uuid::from_u128(2);
const LINK: Uuid = Uuid::from_u128(3);

fn percentage(hundredths: u16) -> Percentage {
    Percentage::from_hundredths(hundredths.into()).expect("a percentage")
}

/// `$1` tenant, `$2` campaign, `$3` link, `$4` to `$6` people, `$7` when.
async fn seed(operator: &PgPool) {
    for statement in [
        "INSERT INTO tenants (tenant_id, name, custom_domain)
            VALUES ($1, 'a creator', 'Shop.Creator.example')",
        "INSERT INTO tenant_versions VALUES
            ($1, 1, $7, 60, 2.5, 1.75, 0.5, 100, true, 'standard'),
            ($1, 2, $7 + interval '1 day', 55, 0, 0, 0, 1, false, 'gold')",
        "INSERT INTO networks VALUES (7, 'Trackier', 'USD', 'percentage', true, 'ab', 330)",
        "INSERT INTO offers VALUES (1, 7, 'a brand', NULL, 'footwear')",
        "INSERT INTO offer_versions VALUES
            (1, 1, $7, 'https://shop.example/?p1={click_token}', 'INR', 'payout', 8.25, 500, 9999.99,
             45, false, 'accept'),
            (1, 2, $7 + interval '2 days', 'https://shop.example/', 'INR', 'percentage', 9, NULL,
             NULL, 30, true, 'reject')",
        "INSERT INTO campaigns VALUES
            ($2, $1, 'a campaign', 'active'), (gen_random_uuid(), $1, 'a former one', 'archived'),
            (gen_random_uuid(), $1, 'one that rests', 'paused')",
        "INSERT INTO campaign_versions VALUES
            ($2, $1, 1, $7, 62.5, 14), ($2, $1, 2, $7 + interval '1 day', NULL, 30)",
        "INSERT INTO links VALUES ($3, $1, $2, 1, 'summer-shoes')",
        "INSERT INTO offer_versions (offer_id, version, effective_at, tracking_url, currency,
                                     commission_flat)
            VALUES (1, 3, $7 + interval '3 days', 'https://shop.example/', 'INR', 12.5)",
        "INSERT INTO offer_goal_rates VALUES
            (1, 2, 'signup', NULL, 40), (1, 2, 'sale', 7.25, NULL)",
        "INSERT INTO commission_overrides VALUES
            ($1, 1, '', 1, $7, $7 + interval '1 day', 11.5, NULL),
            ($1, 1, '', 2, $7 + interval '2 days', NULL, NULL, NULL),
            ($1, 1, 'signup', 1, $7, NULL, NULL, 55.5)",
        "INSERT INTO tenant_locks VALUES
            ($1, 1, $7, '2026-07-31'), ($1, 2, $7 + interval '1 day', '2026-08-31')",
        "INSERT INTO users (user_id, phone_hash, email_hash) VALUES
            ($4, 'p', 'e'), ($5, 'p', 'other'), ($6, NULL, 'e')",
        "INSERT INTO tenant_members (tenant_id, user_id, since) VALUES
            ($1, $4, $7), ($1, $5, $7 + interval '1 day')",
    ] {
        // Each names only some of the values; the first line types them all.
        let typed = format!(
            "WITH given AS (SELECT $1::uuid, $2::uuid, $3::uuid, $4::uuid, $5::uuid, $6::uuid,
                                   $7::timestamptz) {statement}"
        );
        sqlx::query(sqlx::AssertSqlSafe(typed))
            .bind(tenant(1).uuid())
            .bind(CAMPAIGN)
            .bind(LINK)
            .bind(user(4).uuid())
            .bind(user(5).uuid())
            .bind(user(6).uuid())
            .bind(T0.to_datetime())
            .execute(operator)
            .await
            .expect(statement);
    }
    let rules = |review_score| {
        serde_json::to_value(FraudRules {
            review_score,
            ..FraudRules::default()
        })
        .expect("JSON")
    };
    for (owner, at, review_score) in [
        (None, T0, 4),
        (Some(tenant(1)), T0.plus_days(1), 5),
        (None, T0.plus_days(2), 6),
    ] {
        sqlx::query(
            "INSERT INTO fraud_rule_sets (tenant_id, effective_at, rules) VALUES ($1, $2, $3)",
        )
        .bind(owner.map(schemas::TenantId::uuid))
        .bind(at.to_datetime())
        .bind(rules(review_score))
        .execute(operator)
        .await
        .expect("rules");
    }
}

#[tokio::test]
async fn everything_that_operators_saved_is_read_back() {
    let database = Database::new().await;
    let operator = database.pool("hissaback_operator").await;
    let writer = database.pool("hissaback_writer").await;
    assert!(
        reference::load(&writer)
            .await
            .expect("empty")
            .links
            .is_empty()
    );
    seed(&operator).await;
    let data = reference::load(&writer).await.expect("loaded");
    let (first, later): (Timestamp, Timestamp) = (T0, T0.plus_days(3));

    let settings = &data.tenants[&tenant(1)];
    assert_eq!(
        (settings.as_of(first).version, settings.as_of(later).version),
        (1, 2)
    );
    let old = &settings.as_of(first).value;
    assert_eq!(
        (old.default_share, old.platform_fee),
        (percentage(6_000), percentage(250))
    );
    assert_eq!(old.platform_fee_flat, "1.75".parse().expect("an amount"));
    assert_eq!(old.subsidy, "0.5".parse().expect("an amount"));

    let network = &data.networks[&NetworkId::new(7)];
    assert_eq!(network.payout_means, PayoutMeans::Percentage);
    assert_eq!(
        (network.fires_at_sale, network.utc_offset_minutes),
        (true, 330)
    );
    assert_eq!(network.security_token_sha256.as_deref(), Some("ab"));

    let offer = &data.offers[&OfferId::new(1)];
    assert_eq!(offer.network_id, NetworkId::new(7));
    let old = &offer.terms.as_of(first).value;
    assert_eq!(old.tracking_url, "https://shop.example/?p1={click_token}");
    assert_eq!(
        (old.currency, old.commission),
        (Currency::INR, Rate::Percentage(percentage(825)))
    );
    assert_eq!(old.commission_source, CommissionSource::Payout);
    assert_eq!(old.commission_max, Some("500".parse().expect("an amount")));
    assert_eq!(
        old.usual_sale_max,
        Some("9999.99".parse().expect("an amount"))
    );
    assert_eq!((old.cool_off_days, old.txn_id_names_order), (45, false));
    assert_eq!(old.duplicate_orders, DuplicatePolicy::Accept);
    let new = &offer.terms.as_of(T0.plus_days(2)).value;
    assert_eq!(
        (new.commission, new.commission_max),
        (Rate::Percentage(percentage(900)), None)
    );

    let campaign = &data.campaigns[&CampaignId::new(CAMPAIGN)];
    assert_eq!(campaign.tenant_id, tenant(1));
    assert_eq!(
        campaign.terms.as_of(first).value.share,
        Some(percentage(6_250))
    );
    assert_eq!(
        campaign.terms.as_of(first).value.attribution_window_days,
        14
    );
    assert_eq!(campaign.terms.as_of(later).value.share, None);

    let domain = data.domains.get("shop.creator.example");
    assert_eq!((domain, data.domains.len()), (Some(&tenant(1)), 1));
    assert_eq!(data.closed_campaigns.len(), 2);
    assert!(!data.closed_campaigns.contains(&CampaignId::new(CAMPAIGN)));

    let link = data.slugs["summer-shoes"];
    assert_eq!(link, LinkId::new(LINK));
    assert_eq!(data.links[&link].campaign_id, CampaignId::new(CAMPAIGN));

    let rules = |at| {
        let rules = data.fraud_rules(tenant(1), at);
        (rules.version, rules.review_score)
    };
    assert_eq!(
        [rules(first), rules(later)],
        [(1, 4), (2, 5)],
        "its own over the platform's"
    );
    assert_eq!(data.fraud_rules(tenant(2), later).review_score, 6);

    rates_and_locks(&data);

    // Members themselves, and who shares a contact with one, since the earliest membership.
    let shared = |number| {
        let shared = &data.shared_contacts[&(tenant(1), user(number))];
        (shared.contact, shared.from)
    };
    assert_eq!(data.shared_contacts.len(), 3);
    assert_eq!(shared(4), (SelfPurchase::Phone, T0));
    assert_eq!(shared(5), (SelfPurchase::Phone, T0));
    assert_eq!(shared(6), (SelfPurchase::Email, T0));
}

fn rates_and_locks(data: &ReferenceData) {
    let (first, later) = (T0, T0.plus_days(3));
    let settings = &data.tenants[&tenant(1)];
    let levels = [first, later].map(|at| settings.as_of(at).value.level);
    assert_eq!(levels, [PartnerLevel::Standard, PartnerLevel::Gold]);

    let flat = |text: &str| Rate::Flat(text.parse().expect("an amount"));
    let offer = &data.offers[&OfferId::new(1)];
    assert_eq!(offer.category.as_deref(), Some("footwear"));
    assert_eq!(offer.terms.as_of(later).value.commission, flat("12.5"));
    assert!(offer.terms.as_of(first).value.goal_rates.is_empty());
    let goals = &offer.terms.as_of(T0.plus_days(2)).value.goal_rates;
    let expected = [
        ("sale".to_owned(), Rate::Percentage(percentage(725))),
        ("signup".to_owned(), flat("40")),
    ];
    assert_eq!(*goals, BTreeMap::from(expected));

    let [for_all, for_signup] = &data.overrides[&(tenant(1), OfferId::new(1))][..] else {
        panic!("one for all goals and one for signup were saved");
    };
    assert_eq!(for_all.goal_id, None);
    let own = |at| for_all.versions.as_of(at).value;
    let expected = OverrideTerms {
        rate: Some(Rate::Percentage(percentage(1_150))),
        valid_until: Some(T0.plus_days(1)),
    };
    assert_eq!(own(first), expected);
    assert_eq!((own(later).rate, own(later).valid_until), (None, None));
    assert_eq!(for_signup.goal_id.as_deref(), Some("signup"));
    assert_eq!(
        for_signup.versions.as_of(first).value.rate,
        Some(flat("55.5"))
    );

    // Through a day: before the start of the next.
    let locked = |at| data.books_locked_before(tenant(1), at);
    let day = |text: &str| Timestamp::parse(text).expect("an instant");
    assert_eq!(locked(first.plus_millis(-1)), None);
    assert_eq!(locked(first), Some(day("2026-08-01T00:00:00Z")));
    assert_eq!(locked(later), Some(day("2026-09-01T00:00:00Z")));
}

#[tokio::test]
async fn rule_sets_are_read_with_their_defaults_or_refused_by_their_number() {
    let database = Database::new().await;
    let owner = database.owner().await;
    let rules = CommissionRuleSet {
        application: RuleApplication::First,
        rules: vec![ScopedRule {
            tenants: vec![tenant(1)],
            levels: vec![PartnerLevel::Gold],
            offers: vec![OfferId::new(1)],
            categories: vec!["footwear".to_owned()],
            currency: Some(Currency::INR),
            rule: CommissionRule {
                name: "festive".to_owned(),
                goals: vec!["sale".to_owned()],
                sale_from: Some("1000".parse().expect("an amount")),
                converted_before: Some(T0),
                replace: Some(Replacement {
                    rate: Rate::Percentage(percentage(1_000)),
                }),
                bonus: Some("12.5".parse().expect("an amount")),
                ..CommissionRule::default()
            },
        }],
    };
    for at in [T0, T0.plus_days(1)] {
        sqlx::query("INSERT INTO commission_rule_sets (effective_at, rules) VALUES ($1, $2)")
            .bind(at.to_datetime())
            .bind(serde_json::to_value(&rules).expect("JSON"))
            .execute(&owner)
            .await
            .expect("saved");
    }
    sqlx::raw_sql(
        r#"INSERT INTO fraud_rule_sets (effective_at, rules)
           VALUES ('2020-01-01Z', '{"review_score": 2}')"#,
    )
    .execute(&owner)
    .await
    .expect("saved");
    let data = reference::load(&owner).await.expect("loaded");
    let sets = data.commission_rules.as_ref().expect("saved above");
    assert!(sets.in_force(T0.plus_millis(-1)).is_none());
    let newest = sets.as_of(T0.plus_days(1));
    assert_eq!((newest.version, &newest.value), (2, &rules));
    let expected = FraudRules {
        version: 1,
        review_score: 2,
        ..FraudRules::default()
    };
    assert_eq!(data.fraud_rules(tenant(1), T0), expected);

    sqlx::raw_sql("UPDATE commission_rule_sets SET rules = '{\"rules\": []}' WHERE version = 2")
        .execute(&owner)
        .await
        .expect("changed");
    let refused = reference::load(&owner).await.expect_err("no set");
    let text = refused.to_string();
    assert!(text.contains("commission_rule_sets, version 2"), "{text}");
}

/// What the database holds to by itself, whoever writes.
#[tokio::test]
async fn rates_and_locks_lie_in_their_ranges_whoever_writes() {
    let database = Database::new().await;
    let operator = database.pool("hissaback_operator").await;
    seed(&operator).await;
    let tenant = tenant(1).uuid();
    let offer = "INSERT INTO offer_versions (offer_id, version, effective_at, tracking_url,
                 currency, base_commission_pct, commission_flat) VALUES (1, 9, now(), '', 'INR'";
    let own = format!(
        "INSERT INTO commission_overrides (tenant_id, offer_id, version, effective_at, valid_until,
         commission_pct, commission_flat) VALUES ('{tenant}', 1, 9, '2026-01-02Z'"
    );
    let goal = "INSERT INTO offer_goal_rates VALUES (1, 1";
    let lock = format!("INSERT INTO tenant_locks VALUES ('{tenant}', 9, now()");
    for statement in [
        format!("{offer}, 8, 5)"),
        format!("{offer}, NULL, NULL)"),
        format!("{offer}, NULL, -1)"),
        format!("{offer}, NULL, 1000000000001)"),
        format!("{own}, NULL, 8, 5)"),
        format!("{own}, NULL, NULL, -0.01)"),
        format!("{own}, NULL, 100.01, NULL)"),
        format!("{own}, '2026-01-02Z', 8, NULL)"),
        format!("{goal}, 'a', 8, 5)"),
        format!("{goal}, 'a', NULL, NULL)"),
        format!("{goal}, '', 8, NULL)"),
        format!("{lock}, '1999-12-31')"),
        format!("{lock}, '2100-01-01')"),
        "INSERT INTO commission_rule_sets (effective_at, rules) VALUES (now(), '[]')".to_owned(),
    ] {
        let refused = sqlx::query(sqlx::AssertSqlSafe(statement.clone()))
            .execute(&operator)
            .await
            .expect_err(&statement);
        let code = refused.as_database_error().and_then(DatabaseError::code);
        assert_eq!(code.as_deref(), Some("23514"), "{statement}");
    }
}

#[tokio::test]
async fn a_value_that_cannot_be_meant_is_refused_by_its_name() {
    let database = Database::new().await;
    let owner = database.owner().await;
    seed(&owner).await;
    sqlx::query("UPDATE networks SET default_currency = 'XXQ'")
        .execute(&owner)
        .await
        .expect("changed");
    let refused = reference::load(&owner)
        .await
        .expect_err("no such currency")
        .to_string();
    assert!(refused.contains("XXQ"), "{refused}");
}
