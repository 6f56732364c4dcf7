//! Everything written can be read: golden payloads per version, and properties over random
//! events.

use std::{fmt::Debug, fs, path::PathBuf};

use apache_avro::{Schema, reader::datum::GenericDatumReader, writer::datum::GenericDatumWriter};
use proptest::prelude::*;
use schemas::{
    Amount, CampaignId, ClickId, Country, Currency, EventId, LinkId, NetworkId, OfferId, PayoutId,
    Percentage, Position, TenantId, Timestamp, Topic, UserId,
    codec::{self, CodecError, Event},
    events::*,
};
use uuid::Uuid;

fn amount(text: &str) -> Amount {
    text.parse().expect("an amount")
}

fn percentage(hundredths: i32) -> Percentage {
    Percentage::from_hundredths(hundredths).expect("a percentage")
}

fn country(code: &str) -> Country {
    code.parse().expect("a country")
}

fn click_facts() -> ClickFacts {
    ClickFacts {
        click_id: ClickId::new(900_719_925_474_099_301),
        clicked_at: Timestamp::from_millis(1_790_000_000_000),
        tenant_id: TenantId::new(Uuid::from_u128(1)),
        campaign_id: CampaignId::new(Uuid::from_u128(2)),
        link_id: LinkId::new(Uuid::from_u128(3)),
        offer_id: OfferId::new(5_509),
        user_id: Some(UserId::new(Uuid::from_u128(4))),
        country: Some(country("IN")),
        signals: ClickSignals::BOT.with(ClickSignals::PROXY),
    }
}

fn position(offset: i64) -> Position {
    Position {
        topic: Topic::Conversions,
        partition: 3,
        offset,
    }
}

fn reported() -> Reported {
    Reported {
        click_ref: "900719925474099301".to_owned(),
        offer_id: Some(OfferId::new(5_509)),
        network_conversion_id: Some("64f0c0ffee64f0c0ffee64f0".to_owned()),
        txn_id: Some("ORDER-1 \u{20b9}".to_owned()),
        goal_id: None,
        status: Some(NetworkStatus::Approved),
        sale_amount: Some(amount("1999.00")),
        payout: Some(amount("-0.000001")),
        currency: Some(Currency::INR),
        converted_at: Some(Timestamp::from_millis(1_790_000_100_000)),
        country: Some(country("IN")),
    }
}

fn split() -> Split {
    Split {
        commission: amount("159.92"),
        subsidy: amount("0"),
        fee: amount("0.01"),
        user: amount("95.95"),
        creator: amount("63.96"),
    }
}

fn click_recorded() -> ClickRecorded {
    let facts = click_facts();
    ClickRecorded {
        click_id: facts.click_id,
        clicked_at: facts.clicked_at,
        received_at: facts.clicked_at.plus_millis(12),
        tenant_id: facts.tenant_id,
        campaign_id: facts.campaign_id,
        link_id: facts.link_id,
        offer_id: facts.offer_id,
        user_id: facts.user_id,
        country: facts.country,
        device: Device::Mobile,
        signals: facts.signals,
        address_hash: Some("00ff".to_owned()),
        address_prefix: Some("203.0.113.0/24".to_owned()),
        referrer: None,
        origin: ClickOrigin::Redirect,
    }
}

fn conversion_reported() -> ConversionReported {
    ConversionReported {
        event_id: EventId::new(900_719_925_474_099_302),
        received_at: Timestamp::from_millis(1_790_000_200_000),
        source: ReportSource::Csv,
        as_of: Some(Timestamp::from_millis(1_790_000_150_000)),
        network_id: NetworkId::new(1),
        tenant_id: Some(TenantId::new(Uuid::from_u128(1))),
        click_id: Some(ClickId::new(900_719_925_474_099_301)),
        raw: RawReport {
            bytes: vec![0, 255, 1],
            content_type: "query".to_owned(),
            sha256: "ab".repeat(32),
            truncated: false,
        },
        reported: Some(reported()),
        malformed: None,
        heal: Some(Heal {
            heals: position(7),
            heal_id: EventId::new(900_719_925_474_099_303),
            author: HealAuthor::Machine,
            click: click_facts(),
        }),
    }
}

fn decision(outcome: Outcome) -> Decision {
    Decision {
        source: position(8),
        appended_at: Timestamp::from_millis(1_790_000_200_001),
        event_id: EventId::new(900_719_925_474_099_302),
        received_at: Timestamp::from_millis(1_790_000_200_000),
        report_source: ReportSource::Postback,
        as_of: None,
        network_id: NetworkId::new(1),
        reported: Some(reported()),
        heal: None,
        outcome,
    }
}

fn matched() -> Outcome {
    Outcome::Matched(Box::new(Matched {
        click: click_facts(),
        terms: Terms {
            tenant_version: 1,
            campaign_version: 2,
            offer_version: 3,
            currency: Currency::INR,
            default_currency: Currency::USD,
            commission_source: CommissionSource::Percentage,
            commission: Rate::Percentage(percentage(800)),
            rate_origin: RateOrigin::Offer,
            goal_rates: Vec::new(),
            commission_rules: None,
            payout_means: PayoutMeans::Percentage,
            commission_max: Some(amount("10000")),
            usual_sale_max: None,
            cool_off_days: 30,
            attribution_window_days: 30,
            fires_at_sale: false,
            txn_id_names_order: true,
            duplicate_orders: DuplicatePolicy::Reject,
            user_share: percentage(6_000),
            platform_fee: Percentage::ZERO,
            platform_fee_flat: Amount::ZERO,
            subsidy: Amount::ZERO,
        },
        rules: FraudRules::default(),
        signals: vec![Signal {
            code: SignalCode::CountryMismatch,
            weight: 1,
            evidence: "click IN, conversion US".to_owned(),
        }],
        score: 1,
        self_purchase: Some(SelfPurchase::Email),
        split: Some(split()),
        books_locked_before: None,
    }))
}

/// With everything that version 2 of the schema added.
fn matched_by_rules() -> Outcome {
    let Outcome::Matched(mut matched) = matched() else {
        unreachable!("made as matched")
    };
    matched.books_locked_before = Some(Timestamp::from_millis(1_789_000_000_000));
    matched.terms.commission = Rate::Flat(amount("40"));
    matched.terms.rate_origin = RateOrigin::Override;
    matched.terms.goal_rates = vec![GoalRate {
        goal_id: "signup".to_owned(),
        rate: Rate::Percentage(percentage(1_250)),
        origin: RateOrigin::Offer,
    }];
    let everything = CommissionRule {
        name: "festival".to_owned(),
        goals: vec!["signup".to_owned()],
        sale_from: Some(amount("100")),
        sale_below: Some(amount("5000")),
        converted_from: Some(Timestamp::from_millis(1_790_000_000_000)),
        converted_before: Some(Timestamp::from_millis(1_791_000_000_000)),
        replace: Some(Replacement {
            rate: Rate::Percentage(percentage(1_500)),
        }),
        multiply: Some(amount("1.5")),
        bonus: Some(amount("10")),
    };
    let flat = CommissionRule {
        name: "launch".to_owned(),
        replace: Some(Replacement {
            rate: Rate::Flat(amount("25")),
        }),
        ..CommissionRule::default()
    };
    matched.terms.commission_rules = Some(CommissionRules {
        version: 7,
        application: RuleApplication::All,
        rules: vec![everything, flat],
    });
    Outcome::Matched(matched)
}

fn command(body: CommandBody) -> Command {
    Command {
        command_id: EventId::new(900_719_925_474_099_304),
        issued_at: Timestamp::from_millis(1_790_000_300_000),
        author: "operator:asha".to_owned(),
        reason: "receipt seen".to_owned(),
        body,
    }
}

fn ledger_changed() -> LedgerChanged {
    let facts = click_facts();
    LedgerChanged {
        epoch: 1,
        sequence: 42,
        claim: EventId::new(900_719_925_474_099_302),
        retired: false,
        click_id: facts.click_id,
        clicked_at: facts.clicked_at,
        tenant_id: facts.tenant_id,
        campaign_id: facts.campaign_id,
        link_id: facts.link_id,
        offer_id: facts.offer_id,
        user_id: facts.user_id,
        country: facts.country,
        first_received_at: facts.clicked_at,
        converted_at: facts.clicked_at,
        payable_at: facts.clicked_at.plus_days(30),
        status: ClaimStatus::Confirmed,
        reasons: vec![StatusReason::TimeOfReceipt],
        sale_amount: Some(amount("1999")),
        currency: Currency::INR,
        expected: split(),
        posted: split(),
        paid_amount: Amount::ZERO,
        postings: vec![Posting {
            account: Account::UserPayable,
            tenant_id: facts.tenant_id,
            user_id: facts.user_id,
            currency: Currency::INR,
            amount: amount("95.95"),
        }],
    }
}

fn payout_requested() -> PayoutRequested {
    PayoutRequested {
        payout_id: PayoutId::new(Uuid::from_u128(9)),
        tenant_id: TenantId::new(Uuid::from_u128(1)),
        user_id: UserId::new(Uuid::from_u128(4)),
        currency: Currency::INR,
        amount: amount("95"),
        as_of: Timestamp::from_millis(1_795_000_000_000),
        method: "agcod".to_owned(),
        creation_request_id: "Awssb0001".to_owned(),
        request: b"{}".to_vec(),
        items: vec![PayoutItem {
            claim: EventId::new(1),
            amount: amount("95"),
        }],
    }
}

fn payout_result() -> PayoutResult {
    PayoutResult {
        payout_id: PayoutId::new(Uuid::from_u128(9)),
        step: PayoutStep::Funded,
        at: Timestamp::from_millis(1_795_000_000_500),
        attempt: 2,
        detail: None,
        card_id: Some("5535125272070255".to_owned()),
    }
}

/// Our codec is held against apache-avro's, which knows nothing of it: the same bytes for an event,
/// and the same event from them.
fn as_apache_avro<E: Event + PartialEq + Debug>(encoded: &[u8], event: &E) {
    let version = codec::newest(E::TOPIC).expect("its topic has a schema");
    let schema = Schema::parse_str(version.json).expect("a schema");
    let writer = GenericDatumWriter::builder(&schema).human_readable(false);
    let mut datum = Vec::new();
    writer
        .build()
        .expect("a writer")
        .write_ser(&mut datum, event)
        .expect("written");
    assert_eq!(encoded[5..], datum, "{event:?}");
    let reader = GenericDatumReader::builder(&schema).human_readable(false);
    let read: E = reader
        .build()
        .expect("a reader")
        .read_deser(&mut datum.as_slice())
        .expect("read");
    assert_eq!(&read, event);
}

fn golden_path(name: &str, version: u32) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("golden")
        .join(format!("{name}.v{version}.avro"))
}

/// What an earlier version of a schema wrote reads as ever.
fn golden_of_earlier_version<E: Event + PartialEq + Debug>(name: &str, version: u32, event: &E) {
    let committed = fs::read(golden_path(name, version)).expect("a golden payload is committed");
    assert_eq!(
        &codec::decode::<E>(&committed).expect("decodes"),
        event,
        "{name}, version {version}"
    );
}

/// Compares with the committed bytes of the newest version; `UPDATE_GOLDEN=1` writes them.
fn golden<E: Event + PartialEq + Debug>(name: &str, version: u32, event: &E) {
    let path = golden_path(name, version);
    let encoded = codec::encode(event).expect("encodes");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &encoded).expect("golden file written");
    }
    let committed = fs::read(&path).expect("a golden payload is committed");
    assert_eq!(
        &codec::decode::<E>(&committed).expect("decodes"),
        event,
        "{name}"
    );
    assert_eq!(
        committed, encoded,
        "{name}: the encoding changed without a new schema version"
    );
    as_apache_avro(&encoded, event);
}

fn golden_both_versions<E: Event + PartialEq + Debug>(name: &str, event: &E) {
    golden_of_earlier_version(name, 1, event);
    golden(name, 2, event);
}

#[test]
fn golden_payloads_read_and_write_as_ever() {
    golden("clicks", 1, &click_recorded());
    golden("conversions", 1, &conversion_reported());
    golden_of_earlier_version("decisions.matched", 1, &decision(matched()));
    golden("decisions.matched", 2, &decision(matched_by_rules()));
    golden_both_versions(
        "decisions.unmatched",
        &decision(Outcome::Unmatched(Unmatched {
            reason: UnmatchedReason::TokenKeyUnknown,
            click_id: None,
        })),
    );
    golden_both_versions(
        "decisions.ignored",
        &decision(Outcome::Ignored(Ignored {
            reason: Malformed::SecurityTokenInvalid,
        })),
    );
    golden_both_versions(
        "decisions.poisoned",
        &decision(Outcome::Poisoned(Poisoned {
            error: "not framed".to_owned(),
        })),
    );
    let event_id = EventId::new(1);
    let payout_id = PayoutId::new(Uuid::from_u128(9));
    for (name, body) in [
        (
            "review",
            CommandBody::ReviewClaim(ReviewClaim {
                event_id,
                verdict: Verdict::Reject,
            }),
        ),
        (
            "match",
            CommandBody::MatchByHand(MatchByHand {
                report: position(7),
                click_id: ClickId::new(5),
            }),
        ),
        (
            "correct",
            CommandBody::Correct(Correct {
                event_id,
                target: Some(Target { split: split() }),
            }),
        ),
        (
            "release",
            CommandBody::ReleasePayout(ReleasePayout { payout_id }),
        ),
        (
            "cancel",
            CommandBody::CancelPayout(CancelPayout { payout_id }),
        ),
        (
            "switch",
            CommandBody::ChannelSwitch(ChannelSwitch {
                channel: "agcod".to_owned(),
                paused: true,
            }),
        ),
    ] {
        golden_both_versions(&format!("commands.{name}"), &command(body));
    }
    let resend = CommandBody::ResendMessage(ResendMessage { payout_id });
    golden("commands.resend", 2, &command(resend));
    golden_of_earlier_version("ledger", 1, &ledger_changed());
    let locked = LedgerChanged {
        reasons: vec![StatusReason::BooksLocked],
        ..ledger_changed()
    };
    golden("ledger", 2, &locked);
    golden("payouts", 1, &payout_requested());
    golden("payout-results", 1, &payout_result());
}

#[test]
fn every_topic_but_dead_letters_has_a_schema_with_an_id_of_its_own() {
    let mut ids: Vec<_> = codec::REGISTRY.iter().map(|version| version.id).collect();
    ids.dedup();
    assert_eq!(ids.len(), codec::REGISTRY.len());
    for topic in Topic::ALL {
        assert_eq!(
            codec::newest(topic).is_none(),
            topic == Topic::DeadLetters,
            "{topic}"
        );
    }
}

#[test]
fn foreign_bytes_are_refused_with_their_reason() {
    let bytes = codec::encode(&payout_result()).expect("encodes");
    let read = |bytes: &[u8]| codec::decode::<PayoutResult>(bytes).expect_err("refused");
    assert!(matches!(read(b""), CodecError::NotFramed));
    assert!(matches!(read(b"{\"a\":1}"), CodecError::NotFramed));
    assert!(matches!(
        codec::decode::<ClickRecorded>(&bytes).expect_err("refused"),
        CodecError::UnknownSchema { id: 7, .. }
    ));
    assert!(matches!(
        read(&bytes[..bytes.len() - 1]),
        CodecError::Datum { .. }
    ));
    let longer = [bytes.as_slice(), b"x"].concat();
    assert!(matches!(
        read(&longer),
        CodecError::TrailingBytes { bytes: 1 }
    ));
}

#[test]
fn events_are_json_with_string_ids_and_plain_times() {
    let json = serde_json::to_value(click_recorded()).expect("json");
    assert_eq!(json["click_id"], "900719925474099301");
    assert_eq!(json["clicked_at"], "2026-09-21T14:13:20.000Z");
    let back: ClickRecorded = serde_json::from_value(json).expect("reads back");
    assert_eq!(back, click_recorded());
}

prop_compose! {
    fn any_reported()(
        click_ref in ".{0,40}",
        offer in prop::option::of(1_i32..),
        txn in prop::option::of(".{0,20}"),
        status in prop::option::of(prop::sample::select(vec![
            NetworkStatus::Pending, NetworkStatus::Approved, NetworkStatus::Cancelled,
            NetworkStatus::Rejected, NetworkStatus::Extended, NetworkStatus::Unknown,
        ])),
        sale in prop::option::of(any::<i64>()),
        payout in prop::option::of(any::<i64>()),
        currency in prop::option::of(prop::sample::select(vec!["INR", "JPY", "KWD"])),
        converted in prop::option::of(any::<i64>()),
    ) -> Reported {
        Reported {
            click_ref,
            offer_id: offer.map(OfferId::new),
            network_conversion_id: None,
            txn_id: txn.clone(),
            goal_id: txn,
            status,
            sale_amount: sale.map(Amount::from_micros),
            payout: payout.map(Amount::from_micros),
            currency: currency.map(|code| code.parse().expect("a currency")),
            converted_at: converted.map(Timestamp::from_millis),
            country: None,
        }
    }
}

proptest! {
    #[test]
    fn everything_written_can_be_read(
        fields in prop::option::of(any_reported()),
        event_id: i64,
        bytes: Vec<u8>,
        offset: i64,
    ) {
        let report = ConversionReported {
            event_id: EventId::new(event_id),
            reported: fields.clone(),
            raw: RawReport { bytes, ..conversion_reported().raw },
            ..conversion_reported()
        };
        let encoded = codec::encode(&report).expect("encodes");
        as_apache_avro(&encoded, &report);
        prop_assert_eq!(codec::decode::<ConversionReported>(&encoded).expect("decodes"), report);
        let made = Decision {
            source: position(offset),
            reported: fields,
            ..decision(matched_by_rules())
        };
        let encoded = codec::encode(&made).expect("encodes");
        as_apache_avro(&encoded, &made);
        prop_assert_eq!(codec::decode::<Decision>(&encoded).expect("decodes"), made);
    }

    #[test]
    fn random_bytes_never_panic_the_decoder(tail: Vec<u8>, id in 0_u8..11) {
        let bytes = [&[0, 0, 0, 0, id], tail.as_slice()].concat();
        let _outcome = codec::decode::<Decision>(&bytes);
        let _outcome = codec::decode::<Command>(&bytes);
    }
}
