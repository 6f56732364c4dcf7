//! Reference data as the stages read it.

use schemas::{
    CampaignId, Currency, LinkId, NetworkId, OfferId, Percentage, Timestamp,
    events::{CommissionSource, DuplicatePolicy, FraudRules, PayoutMeans, SelfPurchase},
};
use sinks::ledger::reference;
use sqlx::PgPool;
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
        "INSERT INTO tenants (tenant_id, name) VALUES ($1, 'a creator')",
        "INSERT INTO tenant_versions VALUES
            ($1, 1, $7, 60, 2.5, 1.75, 0.5, 100, true),
            ($1, 2, $7 + interval '1 day', 55, 0, 0, 0, 1, false)",
        "INSERT INTO networks VALUES (7, 'Trackier', 'USD', 'percentage', true, 'ab', 330)",
        "INSERT INTO offers VALUES (1, 7, 'a brand')",
        "INSERT INTO offer_versions VALUES
            (1, 1, $7, 'https://shop.example/?p1={click_token}', 'INR', 'payout', 8.25, 500, 9999.99,
             45, false, 'accept'),
            (1, 2, $7 + interval '2 days', 'https://shop.example/', 'INR', 'percentage', 9, NULL,
             NULL, 30, true, 'reject')",
        "INSERT INTO campaigns VALUES ($2, $1, 'a campaign')",
        "INSERT INTO campaign_versions VALUES
            ($2, $1, 1, $7, 62.5, 14), ($2, $1, 2, $7 + interval '1 day', NULL, 30)",
        "INSERT INTO links VALUES ($3, $1, $2, 1, 'summer-shoes')",
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
        (Currency::INR, percentage(825))
    );
    assert_eq!(old.commission_source, CommissionSource::Payout);
    assert_eq!(old.commission_max, Some("500".parse().expect("an amount")));
    assert_eq!(
        old.usual_sale_max,
        Some("9999.99".parse().expect("an amount"))
    );
    assert_eq!((old.cool_off_days, old.txn_id_names_order), (45, false));
    assert_eq!(old.duplicate_orders, DuplicatePolicy::Accept);
    let new = &offer.terms.as_of(later).value;
    assert_eq!(
        (new.commission, new.commission_max),
        (percentage(900), None)
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
