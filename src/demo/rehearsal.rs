//! The oracle against the product's own rules: a whole script over HTTP into the real ingest, its
//! log in memory, and everything that the log holds folded at once. Two workings of one design,
//! written apart, have to agree to the minor unit.

use std::{
    collections::{BTreeMap, HashMap},
    num::NonZeroU32,
    sync::{Arc, Mutex},
    time::Duration,
};

use arc_swap::ArcSwap;
use ingest::{Dependencies, Ingest, Settings, router};
use processors::rules::{
    attribution::{LookedUp, click_to_look_up},
    decide::decide,
    fold::Fate,
    history::Report,
    lifecycle::ClaimState,
    payouts::{ClaimBalance, Limits as CardLimits, allocate},
    settlement::{Neighbourhood, Scope, settle},
};
use prometheus::Registry;
use rust_decimal::Decimal;
use schemas::{
    ClickId, Currency, EventId, Minor, TenantId, Timestamp, Topic, UserId, codec,
    contact::ContactKey,
    event_id::EventIds,
    events::{ClickFacts, ClickRecorded, ConversionReported, Outcome},
    reference::ReferenceData,
    token::TokenKeys,
};
use stream::{InMemoryLog, Limits, Log, ManualClock};
use tokio::net::TcpListener;
use web::{ServerLimits, rate_limit::AddressLimits, serve};

use super::{
    driver::{CONCURRENCY_DEFAULT, Driver, Record, Surroundings},
    oracle::{self, ClaimKey, Fates},
    summary::{Actual, ActualClaim, ActualPayout, compare},
    world::{PayoutRun, Phase, Script},
};

mod reference;

const START: Timestamp = Timestamp::from_millis(1_790_000_000_000);

/// The product, as far as it is rehearsed: ingest on a loopback port, and the log.
struct Stage {
    driver: Driver,
    clock: Arc<ManualClock>,
    log: Arc<InMemoryLog>,
    keys: TokenKeys,
    reference: Arc<ReferenceData>,
}

impl Stage {
    async fn set(script: &Script) -> Self {
        let clock = Arc::new(ManualClock::new(script.started_at));
        let log = InMemoryLog::new(clock.clone(), Limits::default());
        let keys = TokenKeys::new(&[(1, [1; 32])]).expect("a key ring");
        let contact_key = ContactKey::new([7; 32]);
        let reference = Arc::new(reference::of(&script.seeds, &contact_key));
        let registry = Registry::new();
        let per_minute = NonZeroU32::new(100).expect("not zero");
        let limits = AddressLimits::new(per_minute, &registry).expect("registered");
        let dependencies = Dependencies {
            log: log.clone(),
            clock: clock.clone(),
            reference: Arc::new(ArcSwap::new(reference.clone())),
            token_keys: keys.clone(),
            contact_key,
            event_ids: Arc::new(Mutex::new(EventIds::new(1).expect("an instance"))),
            limits: Arc::new(limits),
        };
        let settings = Settings::default();
        let ingest = Ingest::new(dependencies, settings, &registry).expect("valid settings");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let forever = std::future::pending();
        tokio::spawn(serve(
            listener,
            router(ingest),
            ServerLimits::default(),
            forever,
        ));
        let driver = Driver::new(address, CONCURRENCY_DEFAULT, script);
        Self {
            driver,
            clock,
            log,
            keys,
            reference,
        }
    }

    async fn play(&mut self, script: &Script, phase: Phase) {
        let (clock, keys) = (self.clock.clone(), self.keys.clone());
        let surroundings = Surroundings {
            set_clock: &|at| clock.set(at),
            click_of_token: &|token| keys.open(token).ok().map(|token| token.click_id),
            progress: &|_| {},
        };
        self.driver
            .play(script, phase, surroundings)
            .await
            .expect("as the contract says");
    }

    async fn read<E: codec::Event>(&self, topic: Topic) -> Vec<(stream::Record, E)> {
        let mut events = Vec::new();
        for partition in 0..topic.partitions() {
            let records = self
                .log
                .read(topic, partition, 0, 1_000_000)
                .await
                .expect("readable");
            events.extend(records.into_iter().map(|record| {
                let event = codec::decode(&record.value).expect("ingest writes what can be read");
                (record, event)
            }));
        }
        events
    }

    /// Decides every report in the log. Counts fates that need no history.
    async fn neighbourhood(&self, fates: &mut Fates) -> Neighbourhood {
        let clicks: HashMap<ClickId, ClickFacts> = self
            .read::<ClickRecorded>(Topic::Clicks)
            .await
            .into_iter()
            .map(|(_, click)| (click.click_id, facts(&click)))
            .collect();
        let mut neighbourhood = Neighbourhood::default();
        for (record, report) in self.read::<ConversionReported>(Topic::Conversions).await {
            let click = click_to_look_up(&report).and_then(|id| clicks.get(&id).cloned());
            let looked_up = click.map_or(LookedUp::Nothing, LookedUp::Click);
            let decision = decide(
                record.position,
                record.appended_at,
                &report,
                looked_up,
                &self.reference,
                &self.keys,
            );
            match &decision.outcome {
                Outcome::Matched(_) => {
                    let report = Report::from_decision(&decision).expect("matched");
                    neighbourhood
                        .reports
                        .entry(report.click_id())
                        .or_default()
                        .push(report);
                }
                Outcome::Unmatched(_) => fates.unmatched += 1,
                Outcome::Ignored(_) => fates.ignored += 1,
                Outcome::Poisoned(_) => fates.dead_lettered += 1,
            }
        }
        neighbourhood
    }
}

fn facts(click: &ClickRecorded) -> ClickFacts {
    ClickFacts {
        click_id: click.click_id,
        clicked_at: click.clicked_at,
        tenant_id: click.tenant_id,
        campaign_id: click.campaign_id,
        link_id: click.link_id,
        offer_id: click.offer_id,
        user_id: click.user_id,
        country: click.country,
        signals: click.signals,
    }
}

fn settled(neighbourhood: &Neighbourhood) -> Vec<ClaimState> {
    let clicks = neighbourhood.reports.keys().copied().collect();
    settle(
        neighbourhood,
        &Scope {
            clicks,
            ..Scope::default()
        },
    )
}

/// Pays as of a run by the product's rules.
fn pay(
    run: PayoutRun,
    claims: &[ClaimState],
    script: &Script,
    paid: &mut BTreeMap<(EventId, UserId), Minor>,
) -> Vec<ActualPayout> {
    let mut payees: BTreeMap<(TenantId, UserId, Currency), Vec<ClaimBalance>> = BTreeMap::new();
    // The gift-card account pays rupees.
    for claim in claims
        .iter()
        .filter(|claim| claim.currency == Currency::INR)
    {
        let Some(user_id) = claim.click.user_id else {
            continue;
        };
        let payee = (claim.click.tenant_id, user_id, claim.currency);
        payees.entry(payee).or_default().push(ClaimBalance {
            claim: claim.name,
            payable_at: claim.payable_at,
            owed: claim.target.user,
            allocated: paid
                .get(&(claim.name, user_id))
                .copied()
                .unwrap_or_default(),
        });
    }
    let mut payouts = Vec::new();
    for ((tenant_id, user_id, currency), balances) in payees {
        let tenant = script.seeds.tenant(tenant_id);
        let user = script
            .seeds
            .users
            .iter()
            .find(|user| user.user_id == user_id);
        if tenant.asks_for_kyc && !user.is_some_and(|user| user.identified) {
            continue;
        }
        let units = |units: i64| Minor::new(units * currency.minor_per_unit());
        let limits = CardLimits {
            payout_min: units(tenant.payout_minimum_units),
            whole_units: true,
            transfer_min: units(1),
            transfer_max: units(10_000),
        };
        for card in allocate(&balances, run.as_of, currency, limits) {
            for (claim, amount) in card.items {
                *paid.entry((claim, user_id)).or_default() += amount;
            }
            payouts.push(ActualPayout {
                as_of: run.as_of,
                tenant_id,
                user_id,
                currency: currency.to_string(),
                amount: decimal(card.amount, currency),
                state: "funded".to_owned(),
            });
        }
    }
    payouts
}

fn decimal(minor: Minor, currency: Currency) -> Decimal {
    Decimal::new(minor.get(), currency.exponent())
}

/// A claim's row as the ledger would hold it.
fn row(claim: &ClaimState, neighbourhood: &Neighbourhood) -> ActualClaim {
    let reports = &neighbourhood.reports[&claim.click.click_id];
    let first = reports.iter().find(|report| report.event_id == claim.name);
    let first = &first
        .expect("a claim is named after one of its reports")
        .fields;
    let amount = |minor| decimal(minor, claim.currency);
    ActualClaim {
        key: ClaimKey {
            click_id: claim.click.click_id,
            conversion_id: first.network_conversion_id.clone(),
            txn_id: first.txn_id.clone(),
            goal_id: first.goal_id.clone(),
        },
        status: claim.status.name().to_owned(),
        currency: claim.currency.to_string(),
        commission: amount(claim.target.commission),
        subsidy: amount(claim.target.subsidy),
        fee: amount(claim.target.fee),
        user: amount(claim.target.user),
        creator: amount(claim.target.creator),
        paid: amount(claim.paid),
        written_at: None,
    }
}

async fn rehearse(seed: u64, conversions: usize) -> (Script, Record, Actual) {
    let script = Script::write(seed, conversions, START);
    let mut stage = Stage::set(&script).await;
    let mut paid = BTreeMap::new();
    let [first, second] = script.runs;

    stage.play(&script, Phase::Traffic).await;
    let open = settled(&stage.neighbourhood(&mut Fates::default()).await);
    let mut payouts = pay(first, &open, &script, &mut paid);

    stage.play(&script, Phase::Late).await;
    let mut fates = Fates::default();
    let mut neighbourhood = stage.neighbourhood(&mut fates).await;
    neighbourhood.paid.clone_from(&paid);
    payouts.extend(pay(second, &settled(&neighbourhood), &script, &mut paid));
    neighbourhood.paid = paid;
    let claims = settled(&neighbourhood);
    for report in claims.iter().flat_map(|claim| &claim.reports) {
        match report.fate {
            Fate::Ledgered => fates.ledgered += 1,
            Fate::Duplicate => fates.duplicates += 1,
            Fate::Update => fates.updates += 1,
            Fate::Repetition => fates.repetitions += 1,
        }
    }
    let rows = claims
        .iter()
        .map(|claim| row(claim, &neighbourhood))
        .collect();
    let actual = Actual {
        fates,
        claims: rows,
        payouts,
        ..Actual::default()
    };
    (script, stage.driver.into_record(), actual)
}

/// The rules post nothing, so that accounts are out of the comparison.
async fn differences(seed: u64, conversions: usize) -> Vec<String> {
    let (script, record, actual) = rehearse(seed, conversions).await;
    let mut expected = oracle::expect(&script, &record);
    expected.balances.clear();
    expected.payees.clear();
    compare(&script, &record, &expected, &actual)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_workings_of_one_design_agree() {
    for seed in [1, 2, 3] {
        let differences = tokio::time::timeout(Duration::from_mins(5), differences(seed, 1_500));
        let differences = differences.await.expect("the rehearsal hangs");
        let head: Vec<_> = differences.iter().take(30).collect();
        assert!(
            differences.is_empty(),
            "seed {seed}: {} {head:#?}",
            differences.len()
        );
    }
}
