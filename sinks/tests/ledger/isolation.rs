//! What the database itself holds to, whoever writes; the walk over every table is in `walk`.

use schemas::Amount;
use sqlx::{AssertSqlSafe, PgConnection, PgPool};
use uuid::Uuid;

use crate::{
    histories::payout_id,
    records::{Logged, T0, click, decision, matched, tenant, user},
    world::World,
};

/// The SQLSTATE that a statement is refused with.
async fn refusal(pool: &PgPool, statement: &str) -> String {
    let refused = sqlx::query(AssertSqlSafe(statement.to_owned()))
        .execute(pool)
        .await;
    let refused = refused.expect_err(statement);
    let database = refused
        .as_database_error()
        .expect("refused by the database");
    database.code().expect("a code").into_owned()
}

const CHECK_VIOLATION: &str = "23514";
const RESTRICT_VIOLATION: &str = "23001";

/// Two tenants with a row in every table of tenants, and a claim each.
pub async fn two_tenants() -> World {
    let world = World::new().await;
    for number in [1_u128, 2] {
        let (tenant, member) = (tenant(number).uuid(), Uuid::from_u128(50 + number));
        let ids = Uuid::from_u128(20 + number);
        for statement in [
            "INSERT INTO tenants (tenant_id, name) VALUES ($1, $2::text)",
            "INSERT INTO tenant_versions VALUES ($1, 1, now(), 60) RETURNING $2::uuid",
            "INSERT INTO users (user_id, email_hash) VALUES ($2, $1::text)",
            "INSERT INTO tenant_members (tenant_id, user_id) VALUES ($1, $2)",
        ] {
            let query = sqlx::query(statement).bind(tenant).bind(member);
            query.execute(&world.owner).await.expect(statement);
        }
        let offer = i32::try_from(number).expect("small");
        for statement in [
            "INSERT INTO networks (network_id, name) VALUES ($3, 'a network') RETURNING $1::uuid, $2::uuid",
            "INSERT INTO offers VALUES ($3, $3, 'a brand') RETURNING $1::uuid, $2::uuid",
            "INSERT INTO campaigns VALUES ($2, $1, 'a campaign') RETURNING $3::int",
            "INSERT INTO campaign_versions VALUES ($2, $1, 1, now()) RETURNING $3::int",
            "INSERT INTO links VALUES ($2, $1, $2, $3, 'slug-' || $3)",
            "INSERT INTO widgets VALUES ($2, $1, $2) RETURNING $3::int",
            "INSERT INTO commission_overrides (tenant_id, offer_id, version, effective_at)
                VALUES ($1, $3, 1, now()) RETURNING $2::uuid",
            "INSERT INTO tenant_locks VALUES ($1, 1, now(), '2026-08-31')
                RETURNING $2::uuid, $3::int",
            "INSERT INTO fraud_rule_sets (tenant_id, effective_at, rules) VALUES ($1, now(), '{}')
                RETURNING $2::uuid, $3::int",
            "INSERT INTO payout_dispatch (tenant_id, payout_id, channel) VALUES ($1, $2, 'agcod')
                RETURNING $3::int",
            "INSERT INTO messages (tenant_id, message_id, user_id, kind, currency, created_at)
                VALUES ($1, $2, $2, 'gift_card', 'INR', now()) RETURNING $3::int",
            "INSERT INTO retired_reports (tenant_id, user_id, conv_id, source_partition,
                    source_offset, click_id, clicked_at, fate)
                VALUES ($1, $2, $3, 0, $3, $3, now(), 'ledgered')",
        ] {
            let query = sqlx::query(statement).bind(tenant).bind(ids).bind(offer);
            query.execute(&world.owner).await.expect(statement);
        }
        let mut sale = decision(i64::from(offer));
        let shopper = 8 + number;
        matched(&mut sale).click = click(i64::from(offer), Some(shopper));
        matched(&mut sale).click.tenant_id = crate::records::tenant(number);
        let clicked = crate::records::recorded(&matched(&mut sale).click);
        world.append(&Logged::Click(clicked)).await;
        world.append(&sale.into()).await;
        world.append(&payout(number, offer, shopper)).await;
    }
    world.fold(10).await;
    world
}

fn payout(number: u128, claim: i32, shopper: u128) -> Logged {
    let amount: Amount = "5".parse().expect("an amount");
    Logged::Payout(schemas::events::PayoutRequested {
        payout_id: payout_id(number),
        tenant_id: tenant(number),
        user_id: user(shopper),
        currency: schemas::Currency::INR,
        amount,
        as_of: T0,
        method: "agcod".to_owned(),
        creation_request_id: format!("Awssb{number}"),
        request: b"{}".to_vec(),
        items: vec![schemas::events::PayoutItem {
            claim: schemas::EventId::new(i64::from(claim)),
            amount,
        }],
    })
}

pub async fn set(connection: &mut PgConnection, name: &str, value: &str) {
    let query = sqlx::query("SELECT set_config($1, $2, false)")
        .bind(name)
        .bind(value);
    query.execute(connection).await.expect("set");
}

#[tokio::test]
async fn a_shopper_sees_what_they_are_owed_and_not_what_others_earn() {
    let world = two_tenants().await;
    let api = world.pool("hissaback_api").await;
    let mut api = api.acquire().await.expect("connected");
    set(&mut api, "app.user", &user(9).uuid().to_string()).await;
    let lines: Vec<String> = sqlx::query_scalar("SELECT DISTINCT account FROM postings ORDER BY 1")
        .fetch_all(&mut *api)
        .await
        .expect("postings");
    assert_eq!(lines, ["payout_clearing", "user_payable"]);
}

#[tokio::test]
async fn postings_are_append_only_and_balanced_whoever_writes() {
    let world = two_tenants().await;
    let superuser = world.pool("postgres").await;
    for pool in [&world.owner, &superuser] {
        for statement in [
            "UPDATE postings SET amount = amount",
            "DELETE FROM postings",
            "TRUNCATE postings",
            "UPDATE audit_log SET author = author",
            "TRUNCATE audit_log",
        ] {
            assert_eq!(
                refusal(pool, statement).await,
                RESTRICT_VIOLATION,
                "{statement}"
            );
        }
    }
    let insert = |lines: &str| {
        format!(
            "INSERT INTO postings (transaction_id, led_id, tenant_id, account, currency, amount)
             SELECT t, 1, '00000000-0000-0000-0000-000000000001', account, currency, amount
             FROM (VALUES {lines}) AS line (t, account, currency, amount)"
        )
    };
    let unbalanced = [
        "(900, 'user_payable', 'INR', 1)",
        "(900, 'user_payable', 'INR', 1), (901, 'network_receivable', 'INR', -1)",
        "(900, 'user_payable', 'INR', 1), (900, 'network_receivable', 'USD', -1)",
        "(900, 'user_payable', 'INR', 1), (900, 'network_receivable', 'INR', -0.99)",
    ];
    for lines in unbalanced {
        assert_eq!(
            refusal(&world.writer, &insert(lines)).await,
            CHECK_VIOLATION,
            "{lines}"
        );
    }
    let balanced =
        insert("(900, 'user_payable', 'INR', 1), (900, 'network_receivable', 'INR', -1)");
    let inserted = sqlx::query(AssertSqlSafe(balanced))
        .execute(&world.writer)
        .await;
    assert_eq!(inserted.expect("balanced").rows_affected(), 2);
    // A row that does not add up is refused as well.
    for statement in [
        "UPDATE ledger SET posted_user = posted_user + 1",
        "UPDATE ledger SET user_amount = user_amount + 1",
        "UPDATE ledger SET posted_user = -1, posted_creator = posted_creator + posted_user + 1",
    ] {
        assert_eq!(
            refusal(&world.writer, statement).await,
            CHECK_VIOLATION,
            "{statement}"
        );
    }
}
