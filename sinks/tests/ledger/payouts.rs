//! What is paid, what is taken back, and what a rebuilt ledger knows of both.

use std::collections::BTreeSet;

use schemas::{
    Amount, Currency, PayoutId, Timestamp, Topic, codec,
    events::{
        CancelPayout, Command, CommandBody, NetworkStatus, PayoutRequested, PayoutResult,
        PayoutStep, ReportSource,
    },
};
use sinks::{
    ledger::payout_run::{self, PayoutRunSummary, Scope, Skip},
    payouts::{
        AgcodConfig, Rail,
        agcod::{Endpoint, signature::KeyPair},
        config::CREATE_PATH,
    },
};
use sqlx::PgPool;
use stream::{Log, Record};

use crate::{
    histories::rupees,
    records::{Logged, T0, click, decision, fields, matched, tenant, user},
    snapshot::Snapshot,
    world::World,
};

fn account() -> AgcodConfig {
    AgcodConfig {
        endpoint: Endpoint::parse("http://127.0.0.1:1", CREATE_PATH).expect("an address"),
        region: "eu-west-1".into(),
        partner_id: "Awssb".parse().expect("a partner id"),
        program_id: None,
        currency: Currency::INR,
        key_pair: KeyPair {
            access_key_id: "test-key".into(),
            secret_access_key: "test-secret".into(),
        },
        timeout_ms: 1_000,
    }
}

pub fn rails() -> [Rail; 1] {
    [Rail::Agcod(account())]
}

async fn seed_tenants(owner: &PgPool, payout_min: i32, kyc_required: bool) {
    for number in [1, 2] {
        sqlx::query("INSERT INTO tenants (tenant_id, name) VALUES ($1, 'a creator')")
            .bind(tenant(number).uuid())
            .execute(owner)
            .await
            .expect("a tenant");
        sqlx::query(
            "INSERT INTO tenant_versions
                 (tenant_id, version, effective_at, default_share_pct, payout_min, kyc_required)
             VALUES ($1, 1, $2, 60, $3, $4)",
        )
        .bind(tenant(number).uuid())
        .bind(T0.plus_days(-900).to_datetime())
        .bind(payout_min)
        .bind(kyc_required)
        .execute(owner)
        .await
        .expect("settings");
    }
}

pub async fn world() -> World {
    let world = World::new().await;
    seed_tenants(&world.owner, 1, false).await;
    world
}

/// An approved sale of ₹1,999.00 on a click of its own: 95.95 for user 9, older ones first.
pub fn sale(number: i64) -> Logged {
    let mut sale = decision(number);
    sale.received_at = T0.plus_millis(number);
    matched(&mut sale).click = click(number, Some(9));
    matched(&mut sale).click.clicked_at = T0.plus_days(i32::try_from(number).expect("small") - 60);
    fields(&mut sale).txn_id = Some(format!("order {number}"));
    sale.into()
}

/// The network's CSV takes the sale back.
fn taken_back(number: i64) -> Logged {
    let Logged::Decision(mut sale) = sale(number) else {
        unreachable!("made as a decision")
    };
    sale.source.offset = 1_000 + number;
    sale.event_id = schemas::EventId::new(1_000 + number);
    sale.report_source = ReportSource::Csv;
    sale.as_of = Some(T0.plus_days(32));
    fields(&mut sale).status = Some(NetworkStatus::Cancelled);
    Logged::Decision(sale)
}

pub fn step(payout_id: PayoutId, step: PayoutStep) -> Logged {
    Logged::Step(PayoutResult {
        payout_id,
        step,
        at: T0.plus_days(33),
        attempt: 1,
        detail: None,
        card_id: (step == PayoutStep::Funded).then(|| "card".to_owned()),
    })
}

pub async fn fold(world: &World, records: &[Logged]) {
    world.scatter(records, 3).await;
    world.fold(10).await;
}

/// Publishes what the ledger has to say, and reads it back.
pub async fn settle(world: &World) {
    world.publish().await;
    world.fold(10).await;
}

pub async fn pay(world: &World, days: i32) -> PayoutRunSummary {
    let summary = payout_run::run(
        &world.writer,
        &rails(),
        Scope::all(T0.plus_days(days), false),
    )
    .await;
    summary.expect("a payout run")
}

pub async fn payouts(world: &World) -> Vec<PayoutRequested> {
    read_all(world, Topic::Payouts)
        .await
        .iter()
        .map(|record| codec::decode(&record.value).expect("decoded"))
        .collect()
}

async fn state(world: &World, payout_id: PayoutId) -> String {
    sqlx::query_scalar("SELECT state FROM payouts WHERE payout_id = $1")
        .bind(payout_id.uuid())
        .fetch_one(&world.owner)
        .await
        .expect("a payout")
}

async fn claim(world: &World, name: i64) -> (String, String) {
    sqlx::query_as("SELECT status, paid_amount::text FROM ledger WHERE led_id = $1")
        .bind(name)
        .fetch_one(&world.owner)
        .await
        .expect("a claim")
}

pub async fn read_all(world: &World, topic: Topic) -> Vec<Record> {
    let mut all = Vec::new();
    for partition in 0..topic.partitions() {
        let high = world
            .log
            .watermarks(topic, partition)
            .await
            .expect("read")
            .high;
        let mut offset = 0;
        while offset < high {
            let records = world.log.read(topic, partition, offset, 1_000).await;
            all.extend(records.expect("read"));
            offset = all.last().expect("not at the end").position.offset + 1;
        }
    }
    all
}

fn amounts(payout: &PayoutRequested) -> Vec<(i64, Amount)> {
    let items = payout.items.iter();
    items.map(|item| (item.claim.get(), item.amount)).collect()
}

fn amount(text: &str) -> Amount {
    text.parse().expect("an amount")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_runs_at_once_pay_whole_rupees_once_oldest_first() {
    let world = world().await;
    fold(&world, &[sale(2), sale(1)]).await;
    assert_eq!(pay(&world, 30).await.paid_count, 0, "nothing has matured");
    let rails = rails();
    let runs =
        (0..4).map(|_| payout_run::run(&world.writer, &rails, Scope::all(T0.plus_days(31), false)));
    let runs: Vec<_> = futures::future::try_join_all(runs).await.expect("runs");
    assert_eq!(runs.iter().map(|run| run.paid_count).sum::<u64>(), 1);
    settle(&world).await;
    let made = payouts(&world).await;
    assert_eq!(made.len(), 1);
    assert_eq!(made[0].amount, rupees(191));
    assert_eq!(
        amounts(&made[0]),
        [(1, amount("95.95")), (2, amount("95.05"))]
    );
    assert_eq!(
        pay(&world, 31).await.paid_count,
        0,
        "less than a rupee is left"
    );
    // What it made itself and read back is one payout.
    assert_eq!(world.count("payouts").await, 1);
    let booked = Snapshot::read(&world.owner).await.paid;
    assert_eq!(booked.len(), 1);
}

#[tokio::test]
async fn a_large_balance_makes_cards_of_at_most_ten_thousand() {
    let world = world().await;
    let Logged::Decision(mut large) = sale(1) else {
        unreachable!("made as a decision")
    };
    fields(&mut large).sale_amount = Some(rupees(300_000));
    fold(&world, &[Logged::Decision(large)]).await;
    let dry = payout_run::run(&world.writer, &rails(), Scope::all(T0.plus_days(31), true)).await;
    let wet = pay(&world, 31).await;
    assert_eq!(dry.expect("a dry run"), wet);
    assert_eq!((wet.paid_count, wet.paid_amount), (2, rupees(14_400)));
    world.publish().await;
    let made: BTreeSet<_> = payouts(&world)
        .await
        .iter()
        .map(|payout| payout.amount)
        .collect();
    assert_eq!(made, BTreeSet::from([rupees(4_400), rupees(10_000)]));
}

#[tokio::test]
async fn a_tenant_asks_for_a_minimum_and_for_kyc() {
    let world = World::new().await;
    seed_tenants(&world.owner, 96, true).await;
    fold(&world, &[sale(1)]).await;
    let skipped = |run: &PayoutRunSummary| -> Vec<(Skip, u64)> {
        let totals = run.totals.iter();
        totals.flat_map(|totals| totals.skipped.clone()).collect()
    };
    let below = pay(&world, 31).await;
    assert_eq!((below.payees, below.paid_count), (1, 0));
    assert_eq!(skipped(&below), [(Skip::BelowMinimum, 1)]);
    fold(&world, &[sale(2)]).await;
    let held_back = pay(&world, 31).await;
    assert_eq!(
        (
            held_back.payees,
            held_back.kyc_missing,
            held_back.paid_count
        ),
        (1, 1, 0)
    );
    assert_eq!(skipped(&held_back), [(Skip::KycMissing, 1)]);
    sqlx::query("INSERT INTO users (user_id, kyc_hash) VALUES ($1, 'known')")
        .bind(user(9).uuid())
        .execute(&world.owner)
        .await
        .expect("a user");
    let paid = pay(&world, 31).await;
    assert_eq!(paid.paid_count, 1);
    let [totals] = &paid.totals[..] else {
        panic!("one tenant and currency: {paid:?}")
    };
    assert_eq!((totals.payees, totals.transfers), (1, 1));
    assert_eq!((totals.amount, totals.without_phone), (rupees(191), 1));
}

/// Each payee who isn't paid is counted under the reason, and another tenant's not at all.
#[tokio::test]
async fn a_run_says_who_is_not_paid_and_why() {
    let world = world().await;
    fold(&world, &[sale(1)]).await;
    let usd = Rail::Agcod(AgcodConfig {
        currency: Currency::USD,
        ..account()
    });
    let scope = Scope::all(T0.plus_days(31), true);
    let run = payout_run::run(&world.writer, &[usd], scope).await;
    let run = run.expect("a dry run");
    assert_eq!(run.totals[0].skipped[&Skip::CurrencyNotPaid], 1);
    for (number, payees) in [(1, 1), (2, 0)] {
        let scope = Scope {
            tenant_id: Some(tenant(number)),
            ..scope
        };
        let run = payout_run::run(&world.writer, &rails(), scope).await;
        assert_eq!(run.expect("a dry run").payees, payees, "tenant {number}");
    }
    // Paid, and taken back after that.
    pay(&world, 31).await;
    settle(&world).await;
    let made = payouts(&world).await[0].payout_id;
    fold(&world, &[step(made, PayoutStep::Sending)]).await;
    fold(&world, &[step(made, PayoutStep::Funded)]).await;
    let paid = payout_run::run(&world.writer, &rails(), scope).await;
    let paid = paid.expect("a dry run");
    // Ninety-five paise are left.
    assert_eq!(paid.totals[0].skipped[&Skip::BelowMinimum], 1);
    fold(&world, &[taken_back(1)]).await;
    let debt = payout_run::run(&world.writer, &rails(), scope).await;
    let debt = debt.expect("a dry run");
    assert_eq!(debt.totals[0].skipped[&Skip::NegativeBalance], 1);
    assert_eq!(debt.paid_count, 0);
}

/// A card that was cancelled at the rail: the step counts attempts, and is final over the card.
#[tokio::test]
async fn a_recalled_payout_gives_its_money_back_exactly_once() {
    let world = world().await;
    fold(&world, &[sale(1), sale(2)]).await;
    pay(&world, 31).await;
    settle(&world).await;
    let made = payouts(&world).await[0].payout_id;
    fold(&world, &[step(made, PayoutStep::Sending)]).await;
    fold(&world, &[step(made, PayoutStep::Funded)]).await;
    assert_eq!(claim(&world, 1).await.1, "95.95");
    // It comes twice, as records do.
    fold(&world, &[step(made, PayoutStep::Cancelled)]).await;
    fold(&world, &[step(made, PayoutStep::Cancelled)]).await;
    assert_eq!(state(&world, made).await, "cancelled");
    assert_eq!(
        claim(&world, 1).await,
        ("confirmed".to_owned(), "0".to_owned())
    );
    assert!(
        Snapshot::read(&world.owner).await.paid.is_empty(),
        "booked back"
    );
    let card: Option<String> = sqlx::query_scalar("SELECT card_id FROM payouts")
        .fetch_one(&world.owner)
        .await
        .expect("a payout");
    assert_eq!(card, None);
    // And it is paid again, by another card.
    let again = pay(&world, 31).await;
    assert_eq!((again.paid_count, again.paid_amount), (1, rupees(191)));
    assert_eq!(pay(&world, 31).await.paid_count, 0);
}

#[tokio::test]
async fn a_clawback_before_sending_cancels_the_payout_and_frees_its_items() {
    let world = world().await;
    fold(&world, &[sale(1), sale(2)]).await;
    pay(&world, 31).await;
    settle(&world).await;
    let made = payouts(&world).await;
    fold(&world, &[taken_back(1)]).await;
    assert_eq!(state(&world, made[0].payout_id).await, "cancelled");
    settle(&world).await;
    let steps = read_all(&world, Topic::PayoutResults).await;
    let step: PayoutResult = codec::decode(&steps[0].value).expect("decoded");
    assert_eq!((steps.len(), step.step), (1, PayoutStep::Cancelled));
    assert!(
        Snapshot::read(&world.owner).await.paid.is_empty(),
        "booked back"
    );

    pay(&world, 31).await;
    settle(&world).await;
    let again = payouts(&world).await;
    let again = again
        .iter()
        .find(|payout| payout.payout_id != made[0].payout_id);
    assert_eq!(amounts(again.expect("a second payout")), [(2, rupees(95))]);
}

/// The claim was renamed and then taken back: its item still stands under the old name.
#[tokio::test]
async fn a_clawback_of_a_claim_that_was_renamed_cancels_the_payout() {
    let world = world().await;
    fold(&world, &[sale(5)]).await;
    pay(&world, 31).await;
    settle(&world).await;
    let Logged::Decision(mut earlier) = taken_back(5) else {
        unreachable!("made as a decision")
    };
    earlier.source.offset = 2_000;
    earlier.event_id = schemas::EventId::new(2_000);
    earlier.as_of = Some(T0.plus_days(-1));
    fields(&mut earlier).status = None;
    fold(&world, &[Logged::Decision(earlier)]).await;
    assert_eq!(
        claim(&world, 2_000).await.0,
        "confirmed",
        "the claim has another name now"
    );
    let made = payouts(&world).await[0].payout_id;
    assert_eq!(state(&world, made).await, "queued");
    fold(&world, &[taken_back(5)]).await;
    assert_eq!(state(&world, made).await, "cancelled");
}

#[tokio::test]
async fn a_clawback_after_sending_is_a_debt_that_later_earnings_fill() {
    let world = world().await;
    fold(&world, &[sale(1), sale(2)]).await;
    pay(&world, 31).await;
    settle(&world).await;
    let made = payouts(&world).await[0].payout_id;
    fold(&world, &[step(made, PayoutStep::Sending)]).await;
    fold(&world, &[taken_back(1)]).await;
    assert_eq!(state(&world, made).await, "sending", "a card may exist");
    fold(&world, &[step(made, PayoutStep::Funded)]).await;
    assert_eq!(state(&world, made).await, "funded");
    assert_eq!(
        claim(&world, 1).await,
        ("reversed".to_owned(), "95.95".to_owned())
    );
    assert_eq!(
        claim(&world, 2).await,
        ("confirmed".to_owned(), "95.05".to_owned())
    );

    // Owed 95.95, paid 191: the next sale fills the debt, the one after that is paid out of.
    fold(&world, &[sale(3)]).await;
    assert_eq!(pay(&world, 60).await.paid_count, 0);
    fold(&world, &[sale(4)]).await;
    assert_eq!(pay(&world, 60).await.paid_amount, rupees(96));
}

#[tokio::test]
async fn a_claim_is_paid_once_all_of_it_is_in_funded_cards() {
    let world = world().await;
    let Logged::Decision(mut round) = sale(1) else {
        unreachable!("made as a decision")
    };
    fields(&mut round).sale_amount = Some(rupees(1_250));
    fold(&world, &[Logged::Decision(round)]).await;
    pay(&world, 31).await;
    settle(&world).await;
    let made = payouts(&world).await[0].payout_id;
    for (reached, status, paid) in [
        (PayoutStep::Sending, "confirmed", "0"),
        (PayoutStep::ErrorSoft, "confirmed", "0"),
        (PayoutStep::Sending, "confirmed", "0"),
        (PayoutStep::Funded, "paid", "60"),
    ] {
        fold(&world, &[step(made, reached)]).await;
        assert_eq!(
            claim(&world, 1).await,
            (status.to_owned(), paid.to_owned()),
            "{reached:?}"
        );
    }
    let (paid_at, card): (chrono::DateTime<chrono::Utc>, String) =
        sqlx::query_as("SELECT paid_at, card_id FROM payouts")
            .fetch_one(&world.owner)
            .await
            .expect("the payout");
    assert_eq!(
        (Timestamp::from(paid_at), &*card),
        (T0.plus_days(33), "card")
    );
}

#[tokio::test]
async fn an_operator_gives_up_what_was_not_sent() {
    let world = world().await;
    fold(&world, &[sale(1)]).await;
    pay(&world, 31).await;
    settle(&world).await;
    let made = payouts(&world).await[0].payout_id;
    let give_up = |number| {
        Logged::Command(Command {
            command_id: schemas::EventId::new(number),
            issued_at: T0.plus_days(32),
            author: "operator".to_owned(),
            reason: "asked to".to_owned(),
            body: CommandBody::CancelPayout(CancelPayout { payout_id: made }),
        })
    };
    fold(&world, &[give_up(1)]).await;
    assert_eq!(state(&world, made).await, "cancelled");
    settle(&world).await;
    pay(&world, 31).await;
    settle(&world).await;
    let second = payouts(&world)
        .await
        .iter()
        .map(|payout| payout.payout_id)
        .find(|id| *id != made);
    let second = second.expect("its items were free again");
    fold(&world, &[step(second, PayoutStep::Sending)]).await;
    let Logged::Command(mut command) = give_up(2) else {
        unreachable!("made as a command")
    };
    command.body = CommandBody::CancelPayout(CancelPayout { payout_id: second });
    fold(&world, &[Logged::Command(command)]).await;
    assert_eq!(state(&world, second).await, "sending", "a card may exist");
}
