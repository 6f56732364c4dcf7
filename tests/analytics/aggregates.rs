//! Aggregates against a second computation of them, in this program: after any sequence of batches,
//! repetitions and kills they are what the events come to.

use std::{collections::BTreeMap, time::Duration};

use clickhouse::Row;
use prometheus::Registry;
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use rustix::process::{Pid, Signal, kill_process};
use schemas::{
    Amount, CampaignId, Currency, LinkId, OfferId, TenantId, Timestamp,
    events::{
        ClaimStatus, ClickRecorded, ClickSignals, Device, LedgerChanged, Split, StatusReason,
    },
};
use serde::Deserialize;
use sqlx::Executor;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use hissaback::embedded::Health;

use crate::{
    events::{amount, claim, click, split},
    world::World,
};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
const BOUNDS: [i64; 13] = [
    60,
    300,
    900,
    3_600,
    10_800,
    21_600,
    43_200,
    86_400,
    259_200,
    604_800,
    1_209_600,
    2_592_000,
    4_294_967_295,
];

/// Where a bucket's row stands: beginning of the bucket in seconds, and everything after it.
type Place = (u32, String, String, i32, String, String, String);

/// Clicks of a bucket: all, and of bots.
type Clicks = (u64, u64);

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Conversions {
    /// All; pending, in review, confirmed, paid, rejected, reversed; orders.
    counts: [u64; 8],
    /// Order value; expected commission, user, creator; posted commission, user, creator; paid;
    /// the most that was posted of what was ever confirmed. In millionths.
    amounts: [i128; 9],
    /// From click to sale, ever confirmed, from sale to confirmation.
    sale_seconds: u64,
    ever_confirmed: u64,
    confirmation_seconds: u64,
    reasons: BTreeMap<String, u64>,
    reason_commission: BTreeMap<String, i128>,
    sale_times: BTreeMap<u32, u64>,
    confirmation_times: BTreeMap<u32, u64>,
    reversals: BTreeMap<u16, u64>,
    reversed_commission: BTreeMap<u16, i128>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Buckets {
    clicks: BTreeMap<Place, Clicks>,
    conversions: BTreeMap<(Place, String), Conversions>,
}

#[derive(Debug, Row, Deserialize)]
struct ClicksRow {
    place: Place,
    clicks: u64,
    bot_clicks: u64,
}

#[derive(Debug, Row, Deserialize)]
struct ConversionsRow {
    place: Place,
    currency: String,
    counts: Vec<u64>,
    amounts: Vec<i128>,
    times: Vec<u64>,
    reasons: Vec<(String, u64)>,
    reason_commission: Vec<(String, i128)>,
    sale_times: Vec<(u32, u64)>,
    confirmation_times: Vec<(u32, u64)>,
    reversals: Vec<(u16, u64)>,
    reversed_commission: Vec<(u16, i128)>,
}

impl Buckets {
    /// What the views show.
    async fn shown(world: &World, period: &str, bucket: &str) -> Self {
        let place = format!(
            "(toUnixTimestamp(toDateTime({bucket}, 'UTC')), toString(tenant_id),
              toString(campaign_id), offer_id, toString(link_id), toString(country),
              toString(device)) AS place"
        );
        let client = world.client();
        let clicks = client
            .query(&format!(
                "SELECT {place}, clicks, bot_clicks FROM hissaback.v_{period}_clicks"
            ))
            .fetch_all::<ClicksRow>()
            .await
            .expect("clicks");
        let conversions = client
            .query(&format!(
                "SELECT {place}, toString(currency) AS currency,
                        [conversions, pending, in_review, confirmed, paid, rejected, reversed,
                         orders] AS counts,
                        [order_value, gross_commission, expected_user, expected_creator,
                         net_commission, user_earnings, creator_earnings, paid_amount,
                         ever_commission] AS amounts,
                        [sale_seconds, ever_confirmed, confirmation_seconds] AS times,
                        reasons, reason_commission, sale_times, confirmation_times, reversals,
                        reversed_commission
                 FROM hissaback.v_{period}_conversions"
            ))
            .fetch_all::<ConversionsRow>()
            .await
            .expect("conversions");
        let mut shown = Self::default();
        for row in clicks {
            let twice = shown.clicks.insert(row.place, (row.clicks, row.bot_clicks));
            assert!(twice.is_none(), "a place has one row");
        }
        for row in conversions {
            let [sale_seconds, ever_confirmed, confirmation_seconds] = row.times[..] else {
                panic!("{:?}", row.times);
            };
            let conversions = Conversions {
                counts: row.counts.try_into().expect("eight"),
                amounts: row.amounts.try_into().expect("nine"),
                sale_seconds,
                ever_confirmed,
                confirmation_seconds,
                reasons: row.reasons.into_iter().collect(),
                reason_commission: row.reason_commission.into_iter().collect(),
                sale_times: row.sale_times.into_iter().collect(),
                confirmation_times: row.confirmation_times.into_iter().collect(),
                reversals: row.reversals.into_iter().collect(),
                reversed_commission: row.reversed_commission.into_iter().collect(),
            };
            let place = (row.place, row.currency);
            let twice = shown.conversions.insert(place, conversions);
            assert!(twice.is_none(), "a place has one row");
        }
        shown
    }

    /// Fails with the rows that differ, and those alone.
    fn assert_equals(&self, expected: &Self, context: &str) {
        fn differing<'a, K: Ord, V: PartialEq>(
            left: &'a BTreeMap<K, V>,
            right: &'a BTreeMap<K, V>,
        ) -> BTreeMap<&'a K, (Option<&'a V>, Option<&'a V>)> {
            let places = left.keys().chain(right.keys());
            let rows = places.map(|place| (place, (left.get(place), right.get(place))));
            rows.filter(|(_, (left, right))| left != right).collect()
        }
        let clicks = differing(&self.clicks, &expected.clicks);
        let conversions = differing(&self.conversions, &expected.conversions);
        assert!(
            clicks.is_empty() && conversions.is_empty(),
            "shown and expected, {context}: {clicks:#?} {conversions:#?}"
        );
    }
}

/// All that was ever appended.
#[derive(Default)]
struct History {
    clicks: BTreeMap<i64, ClickRecorded>,
    /// With the times of their appends.
    changes: Vec<(LedgerChanged, Timestamp)>,
}

impl History {
    async fn click(&mut self, world: &World, click: ClickRecorded) {
        world.append(click.click_id.to_string(), &click).await;
        self.clicks.insert(click.click_id.get(), click);
    }

    async fn change(&mut self, world: &World, change: LedgerChanged) {
        world.append(change.click_id.to_string(), &change).await;
        self.changes.push((change, world.now()));
    }

    /// The newest state of each claim.
    fn claims(&self) -> BTreeMap<i64, &LedgerChanged> {
        let mut newest: BTreeMap<i64, &LedgerChanged> = BTreeMap::new();
        for (change, _) in &self.changes {
            let state = newest.entry(change.claim.get()).or_insert(change);
            if (change.epoch, change.sequence) >= (state.epoch, state.sequence) {
                *state = change;
            }
        }
        newest
    }

    /// What aggregates have to show.
    fn buckets(&self, length_ms: i64) -> Buckets {
        let mut buckets = Buckets::default();
        for click in self.clicks.values() {
            let place = Self::place(length_ms, click);
            let clicks = buckets.clicks.entry(place).or_default();
            clicks.0 += 1;
            clicks.1 += u64::from(click.signals.byte() & 1);
        }
        for claim in self.claims().into_values().filter(|claim| !claim.retired) {
            let mut click = click(0);
            (click.clicked_at, click.tenant_id) = (claim.clicked_at, claim.tenant_id);
            (click.campaign_id, click.offer_id) = (claim.campaign_id, claim.offer_id);
            (click.link_id, click.country) = (claim.link_id, claim.country);
            let mut place = Self::place(length_ms, &click);
            place.6 = self
                .clicks
                .get(&claim.click_id.get())
                .map(|click| device(click.device).to_owned())
                .unwrap_or_default();
            let bucket = buckets
                .conversions
                .entry((place, claim.currency.to_string()))
                .or_default();
            self.add(bucket, claim);
        }
        buckets
    }

    fn add(&self, bucket: &mut Conversions, claim: &LedgerChanged) {
        let approved = matches!(claim.status, ClaimStatus::Confirmed | ClaimStatus::Paid);
        let ordered = claim.sale_amount.filter(|_| approved);
        let status = match claim.status {
            ClaimStatus::Pending => 1,
            ClaimStatus::Review => 2,
            ClaimStatus::Confirmed => 3,
            ClaimStatus::Paid => 4,
            ClaimStatus::Rejected => 5,
            ClaimStatus::Reversed => 6,
        };
        bucket.counts[0] += 1;
        bucket.counts[status] += 1;
        bucket.counts[7] += u64::from(ordered.is_some());

        // Its way with the click that it stands with.
        let mut way = BTreeMap::new();
        for (change, at) in &self.changes {
            if !change.retired && (change.claim, change.click_id) == (claim.claim, claim.click_id) {
                // Told again, it replaces what was told before.
                way.insert((change.epoch, change.sequence), (change, *at));
            }
        }
        let first = |statuses: &[ClaimStatus]| {
            let times = way
                .values()
                .filter(|(change, _)| statuses.contains(&change.status));
            times.map(|(_, at)| *at).min()
        };
        let confirmed_at = first(&[ClaimStatus::Confirmed, ClaimStatus::Paid]);
        let reversed_at = first(&[ClaimStatus::Reversed]);
        let most = way.values().map(|(change, _)| change.posted.commission);
        let most = micros(most.max().unwrap_or_default());
        let ever_confirmed = confirmed_at.is_some() || reversed_at.is_some();

        let (expected, posted) = (claim.expected, claim.posted);
        for (sum, part) in bucket.amounts.iter_mut().zip([
            ordered.map(micros).unwrap_or_default(),
            micros(expected.commission),
            micros(expected.user),
            micros(expected.creator),
            micros(posted.commission),
            micros(posted.user),
            micros(posted.creator),
            micros(claim.paid_amount),
            if ever_confirmed { most } else { 0 },
        ]) {
            *sum += part;
        }
        let sale_after = seconds(claim.clicked_at, claim.converted_at);
        bucket.sale_seconds += sale_after;
        *bucket.sale_times.entry(bound(sale_after)).or_default() += 1;
        bucket.ever_confirmed += u64::from(ever_confirmed);
        if let Some(at) = confirmed_at {
            let confirmed_after = seconds(claim.converted_at, at);
            bucket.confirmation_seconds += confirmed_after;
            *bucket
                .confirmation_times
                .entry(bound(confirmed_after))
                .or_default() += 1;
        }
        if claim.status == ClaimStatus::Reversed {
            let at = reversed_at.expect("the change that reversed it");
            let days = (at.millis() - claim.converted_at.millis()).max(0) / DAY_MS;
            let days = u16::try_from(days).expect("few");
            *bucket.reversals.entry(days).or_default() += 1;
            *bucket.reversed_commission.entry(days).or_default() += most;
        }
        for reason in claim.reasons.iter().map(|reason| reason.name().to_owned()) {
            *bucket.reasons.entry(reason.clone()).or_default() += 1;
            *bucket.reason_commission.entry(reason).or_default() += micros(expected.commission);
        }
    }

    fn place(length_ms: i64, click: &ClickRecorded) -> Place {
        let beginning = click.clicked_at.millis().div_euclid(length_ms) * length_ms / 1_000;
        (
            beginning.try_into().expect("between 1970 and 2106"),
            click.tenant_id.to_string(),
            click.campaign_id.to_string(),
            click.offer_id.get(),
            click.link_id.to_string(),
            click
                .country
                .map(|code| code.to_string())
                .unwrap_or_default(),
            device(click.device).to_owned(),
        )
    }
}

fn device(device: Device) -> &'static str {
    match device {
        Device::Desktop => "desktop",
        Device::Mobile => "mobile",
        Device::Tablet => "tablet",
        Device::Bot => "bot",
        Device::Unknown => "unknown",
    }
}

fn micros(amount: Amount) -> i128 {
    i128::from(amount.micros())
}

fn seconds(from: Timestamp, to: Timestamp) -> u64 {
    let seconds = to.millis().div_euclid(1_000) - from.millis().div_euclid(1_000);
    u64::try_from(seconds).unwrap_or_default()
}

fn bound(seconds: u64) -> u32 {
    let bound = BOUNDS
        .into_iter()
        .find(|bound| i128::from(*bound) >= i128::from(seconds));
    u32::try_from(bound.expect("the last is endless")).expect("as in the column")
}

/// Makes events; what it makes is a function of its seed.
struct Author {
    dice: StdRng,
    sequence: i64,
    epoch: i64,
}

impl Author {
    fn click(&mut self, number: i64) -> ClickRecorded {
        let dice = &mut self.dice;
        let mut click = click(number);
        // A few hours on both sides of a midnight and of the end of a month.
        let boundary = Timestamp::from_millis(1_790_812_800_000);
        click.clicked_at = boundary.plus_millis(dice.random_range(-3 * HOUR_MS..3 * HOUR_MS));
        click.tenant_id = TenantId::new(Uuid::from_u128(dice.random_range(1..=2)));
        click.campaign_id = CampaignId::new(Uuid::from_u128(dice.random_range(1..=2)));
        click.link_id = LinkId::new(Uuid::from_u128(dice.random_range(1..=2)));
        click.offer_id = OfferId::new(dice.random_range(1..=2));
        click.country = ["IN", "US"].choose(dice).and_then(|code| code.parse().ok());
        click.device = *[Device::Mobile, Device::Desktop].choose(dice).expect("two");
        click.signals = if dice.random_ratio(1, 5) {
            ClickSignals::BOT
        } else {
            ClickSignals::default()
        };
        click
    }

    /// Any state of a claim on a click.
    fn state(&mut self, name: i64, click: &ClickRecorded) -> LedgerChanged {
        let status = *[
            ClaimStatus::Pending,
            ClaimStatus::Review,
            ClaimStatus::Confirmed,
            ClaimStatus::Paid,
            ClaimStatus::Rejected,
            ClaimStatus::Reversed,
        ]
        .choose(&mut self.dice)
        .expect("six");
        let booked = matches!(status, ClaimStatus::Confirmed | ClaimStatus::Paid);
        let commission = self.dice.random_range(1..1_000);
        let parts = split(
            &format!("{commission}.03"),
            &format!("{commission}.02"),
            "0.01",
        );
        let posted = if booked { parts } else { Split::default() };
        self.sequence += 1;
        let known = [StatusReason::Score, StatusReason::DuplicateOrder];
        LedgerChanged {
            epoch: self.epoch,
            click_id: click.click_id,
            clicked_at: click.clicked_at,
            tenant_id: click.tenant_id,
            campaign_id: click.campaign_id,
            link_id: click.link_id,
            offer_id: click.offer_id,
            country: click.country,
            converted_at: click
                .clicked_at
                .plus_millis(self.dice.random_range(-60_000..40 * DAY_MS)),
            reasons: known
                .into_iter()
                .filter(|_| self.dice.random_bool(0.3))
                .collect(),
            sale_amount: self.dice.random_bool(0.8).then(|| amount("1999.00")),
            currency: if name % 3 == 0 {
                Currency::USD
            } else {
                Currency::INR
            },
            expected: parts,
            ..claim(name, self.sequence, status, posted)
        }
    }

    /// Appends a round of events: clicks and claims, some of them before their clicks; claims that
    /// change, move, retire, are told again, or begin anew in another epoch.
    async fn round(&mut self, world: &World, history: &mut History) {
        if self.dice.random_ratio(1, 8) {
            (self.epoch, self.sequence) = (self.epoch + 1, 0);
        }
        let mut late = Vec::new();
        for _ in 0..self.dice.random_range(5..40) {
            let number = i64::try_from(history.clicks.len() + late.len()).expect("few") + 1;
            let click = self.click(number);
            if self.dice.random_ratio(1, 3) {
                let change = self.state(number, &click);
                history.change(world, change).await;
            }
            if self.dice.random_ratio(1, 6) {
                late.push(click);
            } else {
                history.click(world, click).await;
            }
        }
        for _ in 0..self.dice.random_range(0..15) {
            let Some((told, _)) = history.changes.choose(&mut self.dice).cloned() else {
                continue;
            };
            match self.dice.random_range(0..4) {
                // Told again, however old.
                0 => {
                    world.append(told.click_id.to_string(), &told).await;
                    history.changes.push((told, world.now()));
                }
                1 => {
                    self.sequence += 1;
                    let retired = LedgerChanged {
                        retired: true,
                        epoch: self.epoch,
                        sequence: self.sequence,
                        posted: Split::default(),
                        ..told
                    };
                    history.change(world, retired).await;
                }
                2 => {
                    let clicks: Vec<&ClickRecorded> = history.clicks.values().collect();
                    let elsewhere = (*clicks.choose(&mut self.dice).expect("clicks")).clone();
                    let moved = self.state(told.claim.get(), &elsewhere);
                    history.change(world, moved).await;
                }
                _ => {
                    let mut click = click(told.click_id.get());
                    (click.clicked_at, click.tenant_id) = (told.clicked_at, told.tenant_id);
                    (click.campaign_id, click.offer_id) = (told.campaign_id, told.offer_id);
                    (click.link_id, click.country) = (told.link_id, told.country);
                    let changed = self.state(told.claim.get(), &click);
                    history.change(world, changed).await;
                }
            }
        }
        for click in late {
            history.click(world, click).await;
        }
        world.advance(Duration::from_millis(
            self.dice.random_range(1..3 * DAY_MS.unsigned_abs()),
        ));
    }
}

/// Lets a sink or two run for a moment and ends them in the middle of whatever they do; sometimes
/// the engine dies too, or positions are found as a crash leaves them.
async fn trouble(world: &World, dice: &mut StdRng) {
    let instance = || tokio::spawn(world.sink(&Registry::new()).run(CancellationToken::new()));
    let sinks: Vec<_> = (0..dice.random_range(1..=2)).map(|_| instance()).collect();
    tokio::time::sleep(Duration::from_millis(dice.random_range(0..300))).await;
    let mut health = world.clickhouse.health();
    let running = match *health.borrow_and_update() {
        Health::Ready { process_id } => Some(process_id),
        Health::Starting | Health::Restarting { .. } | Health::Stopped => None,
    };
    if let Some(process_id) = running
        && dice.random_ratio(1, 4)
    {
        let process = Pid::from_raw(process_id.cast_signed()).expect("an id isn't zero");
        kill_process(process, Signal::KILL).expect("kill");
        tokio::time::sleep(Duration::from_millis(dice.random_range(0..100))).await;
    }
    for sink in sinks {
        sink.abort();
        let _ = sink.await;
    }
    if dice.random_bool(0.5) {
        // In, and not kept: the same batch is made again.
        let pending = "UPDATE analytics_positions
            SET pending_last_offset = next_offset - 1, next_offset = next_offset / 2
            WHERE partition % 2 = 0 AND next_offset > 0 AND pending_last_offset IS NULL";
        world.pool.execute(pending).await.expect("as after a crash");
    }
}

#[tokio::test]
async fn aggregates_are_what_the_events_come_to_after_any_trouble() {
    let seed = std::env::var("SEED").map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
    eprintln!("SEED={seed}");
    let mut author = Author {
        dice: StdRng::seed_from_u64(seed),
        sequence: 0,
        epoch: 1,
    };
    let world = World::start().await;
    let mut history = History::default();
    for round in 0..12 {
        author.round(&world, &mut history).await;
        for _ in 0..author.dice.random_range(0..3) {
            trouble(&world, &mut author.dice).await;
        }
        world.catch_up().await;
        for (period, bucket, length_ms) in [("hourly", "hour", HOUR_MS), ("daily", "day", DAY_MS)] {
            let shown = Buckets::shown(&world, period, bucket).await;
            shown.assert_equals(
                &history.buckets(length_ms),
                &format!("{period}, round {round}, SEED={seed}"),
            );
        }
    }
    assert!(history.claims().len() > 30, "there was something to count");
    world.stop().await;
}
