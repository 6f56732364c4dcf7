use proptest::prelude::*;
use schemas::Currency;

use super::*;

const OURS: &str = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyAhIiMkJSYnKCkqKywtLi8w\
                    MTIzNDU2Nzg5Ojs8PT4_QEFCQ0RFRkdISUpLTE1OT1BRUlNUVVZXWFla_-";
const TRACKIERS: &str = "5f2b18c4d3a9e07f6b1c2d3e";

fn parameters<'a>(pairs: &[(&'a str, &'a str)]) -> Parameters<'a> {
    let mut parameters = Parameters::default();
    for (name, value) in pairs {
        parameters.insert(name, *value);
    }
    parameters
}

fn read_with(name: &str, value: &str) -> Result<Reported, Malformed> {
    read(&parameters(&[("click_id", "7"), (name, value)]), 0)
}

fn bare() -> Reported {
    Reported {
        click_ref: "7".to_owned(),
        ..Reported::default()
    }
}

#[test]
fn every_field_is_read() {
    let report = parameters(&[
        ("click_id", "7"),
        ("offer_id", "12"),
        ("sale_amount", "1999.00"),
        ("status", "Approved"),
        ("txn_id", "ORD-1"),
        ("payout", "159.92"),
        ("currency", "inr"),
        ("goal_id", "g1"),
        ("conversion_id", "c1"),
        ("converted_at", "2026-01-02 03:04:05"),
        ("country", "in"),
    ]);
    let expected = Reported {
        click_ref: "7".to_owned(),
        offer_id: Some(OfferId::new(12)),
        network_conversion_id: Some("c1".to_owned()),
        txn_id: Some("ORD-1".to_owned()),
        goal_id: Some("g1".to_owned()),
        status: Some(NetworkStatus::Approved),
        sale_amount: Some(Amount::from_micros(1_999_000_000)),
        payout: Some(Amount::from_micros(159_920_000)),
        currency: Some(Currency::INR),
        converted_at: Timestamp::parse("2026-01-01T21:34:05Z"),
        country: Some("IN".parse().expect("a country")),
    };
    assert_eq!(read(&report, 330), Ok(expected));
}

#[test]
fn aliases_are_read_where_the_name_itself_is_absent() {
    let report = parameters(&[
        ("p1", "7"),
        ("campaign_id", "12"),
        ("sale", "5"),
        ("conversion_status", "rejected"),
        ("_id", "c1"),
        ("created", "1767323045"),
    ]);
    let read_back = read(&report, 330).expect("well-formed");
    assert_eq!(read_back.offer_id, Some(OfferId::new(12)));
    assert_eq!(read_back.sale_amount, Some(Amount::from_micros(5_000_000)));
    assert_eq!(read_back.status, Some(NetworkStatus::Rejected));
    assert_eq!(read_back.network_conversion_id.as_deref(), Some("c1"));
    assert_eq!(
        read_back.converted_at,
        Timestamp::parse("2026-01-02T03:04:05Z")
    );

    let both = parameters(&[("p1", "7"), ("campaign_id", "12"), ("offer_id", "13")]);
    assert_eq!(
        read(&both, 0).map(|report| report.offer_id),
        Ok(Some(OfferId::new(13)))
    );
    assert_eq!(read_with("campaign_id", TRACKIERS), Ok(bare()));
}

#[test]
fn absent_is_never_zero() {
    assert_eq!(read(&parameters(&[("p1", "7")]), 0), Ok(bare()));
    for name in [
        "sale_amount",
        "status",
        "txn_id",
        "payout",
        "currency",
        "created",
        "country",
    ] {
        for absent in ["", "  ", "{sale_amount}", " {x} "] {
            assert_eq!(read_with(name, absent), Ok(bare()), "{name}={absent:?}");
        }
    }
}

#[test]
fn our_reference_is_picked_among_the_networks() {
    let too_long = "A".repeat(token::MAX_LENGTH + 1);
    let overflowing = "9223372036854775808";
    for (click_id, p1, expected) in [
        (OURS, "", Ok(OURS)),
        ("", OURS, Ok(OURS)),
        (TRACKIERS, OURS, Ok(OURS)),
        (OURS, TRACKIERS, Ok(OURS)),
        (TRACKIERS, "42", Ok("42")),
        ("42", TRACKIERS, Ok("42")),
        ("42", OURS, Ok(OURS)),
        ("42", "43", Ok("42")),
        (TRACKIERS, "odd", Ok("odd")),
        (TRACKIERS, "", Ok(TRACKIERS)),
        (TRACKIERS, "{p1}", Ok(TRACKIERS)),
        ("507191910190000000000000", "42", Ok("42")),
        ("9223372036854775807", "", Ok("9223372036854775807")),
        (overflowing, "", Err(Malformed::ClickIdOutOfRange)),
        (overflowing, OURS, Ok(OURS)),
        ("0", "", Err(Malformed::ClickIdOutOfRange)),
        (&too_long, "", Err(Malformed::ClickRefTooLong)),
        (&too_long, OURS, Ok(OURS)),
        ("a\0b", "", Err(Malformed::FieldInvalid)),
        ("", "{p1}", Err(Malformed::MissingClick)),
        ("-7", "", Ok("-7")),
    ] {
        let report = parameters(&[("click_id", click_id), ("p1", p1)]);
        assert_eq!(
            click_reference(&report),
            expected,
            "click_id={click_id} p1={p1}"
        );
    }
}

#[test]
fn each_defect_has_its_name() {
    let long = "x".repeat(FIELD_BYTES_MAX + 1);
    for (name, value, expected) in [
        ("sale_amount", "abc", Malformed::SaleAmountInvalid),
        ("sale_amount", "NaN", Malformed::SaleAmountInvalid),
        ("sale_amount", "1e3", Malformed::SaleAmountInvalid),
        ("sale_amount", "1,999.00", Malformed::SaleAmountInvalid),
        ("sale_amount", "₹1999", Malformed::SaleAmountInvalid),
        ("sale_amount", "-0.01", Malformed::SaleAmountNegative),
        ("sale_amount", "1000000000001", Malformed::SaleAmountAbsurd),
        ("sale_amount", "9224000000000", Malformed::SaleAmountAbsurd),
        ("sale_amount", "-9224000000000", Malformed::SaleAmountAbsurd),
        (
            "sale_amount",
            "009999999999999.999999",
            Malformed::SaleAmountAbsurd,
        ),
        (
            "sale_amount",
            "9224000000000x",
            Malformed::SaleAmountInvalid,
        ),
        ("payout", "9999999999999", Malformed::PayoutInvalid),
        ("sale_amount", "0.0000001", Malformed::SaleAmountAbsurd),
        ("payout", "8%", Malformed::PayoutInvalid),
        ("payout", "-1", Malformed::PayoutInvalid),
        ("payout", "99999999999999999999", Malformed::PayoutInvalid),
        ("currency", "XXX", Malformed::CurrencyUnknown),
        ("currency", "rupee", Malformed::CurrencyUnknown),
        ("offer_id", "2147483648", Malformed::OfferIdInvalid),
        ("offer_id", "0", Malformed::OfferIdInvalid),
        ("offer_id", "+5", Malformed::OfferIdInvalid),
        ("offer_id", "12a", Malformed::OfferIdInvalid),
        ("txn_id", long.as_str(), Malformed::FieldInvalid),
        ("goal_id", long.as_str(), Malformed::FieldInvalid),
        ("conversion_id", long.as_str(), Malformed::FieldInvalid),
        ("txn_id", "a\0b", Malformed::FieldInvalid),
        ("country", "I\0", Malformed::FieldInvalid),
        ("created", "yesterday", Malformed::ConvertedAtInvalid),
        ("created", "0", Malformed::ConvertedAtInvalid),
        (
            "created",
            "0000-00-00 00:00:00",
            Malformed::ConvertedAtInvalid,
        ),
        (
            "created",
            "9999-12-31 23:59:59",
            Malformed::ConvertedAtInvalid,
        ),
        (
            "created",
            "1999-12-31T23:59:59Z",
            Malformed::ConvertedAtInvalid,
        ),
    ] {
        assert_eq!(read_with(name, value), Err(expected), "{name}={value}");
    }
}

#[test]
fn the_bounds_themselves_are_taken() {
    let longest = "x".repeat(FIELD_BYTES_MAX);
    for (name, value) in [
        ("sale_amount", "0"),
        ("sale_amount", "-0"),
        ("sale_amount", "1000000000000"),
        ("sale_amount", "0.000001"),
        ("payout", "0"),
        ("offer_id", "2147483647"),
        ("txn_id", longest.as_str()),
        ("created", "2000-01-01T00:00:00Z"),
    ] {
        assert!(read_with(name, value).is_ok(), "{name}={value}");
    }
}

#[test]
fn statuses_are_known_in_any_case_and_unknown_ones_kept() {
    for (text, expected) in [
        ("pending", NetworkStatus::Pending),
        ("APPROVED", NetworkStatus::Approved),
        ("cancelled", NetworkStatus::Cancelled),
        ("canceled", NetworkStatus::Cancelled),
        ("rejected", NetworkStatus::Rejected),
        ("extended", NetworkStatus::Extended),
        ("1", NetworkStatus::Unknown),
        ("on hold", NetworkStatus::Unknown),
    ] {
        let status = read_with("status", text).map(|report| report.status);
        assert_eq!(status, Ok(Some(expected)), "{text}");
    }
}

#[test]
fn the_networks_zone_applies_to_times_without_one() {
    for (text, expected) in [
        ("2026-01-02 05:30:00", "2026-01-02T00:00:00Z"),
        ("2026-01-02T05:30:00.250", "2026-01-02T00:00:00.250Z"),
        ("2026-01-02T05:30:00Z", "2026-01-02T05:30:00Z"),
        ("2026-01-02T05:30:00-01:00", "2026-01-02T06:30:00Z"),
        ("2026-01-02 05:30:00+01:00", "2026-01-02T04:30:00Z"),
        ("1767331800", "2026-01-02T05:30:00Z"),
        ("1767331800000", "2026-01-02T05:30:00Z"),
    ] {
        let report = parameters(&[("p1", "7"), ("created", text)]);
        let converted_at = read(&report, 330).map(|report| report.converted_at);
        assert_eq!(converted_at, Ok(Timestamp::parse(expected)), "{text}");
    }
}

#[test]
fn a_country_that_says_nothing_is_absent() {
    for text in ["XX", "zz", "India", "T1", "1"] {
        assert_eq!(read_with("country", text), Ok(bare()), "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_096))]

    #[test]
    fn any_parameters_give_a_report_or_a_reason(
        pairs in prop::collection::vec((names(), values()), 0..12),
        utc_offset_minutes in any::<i32>(),
    ) {
        let mut report = Parameters::default();
        for (name, value) in &pairs {
            report.insert(name, value.as_str());
        }
        if let Ok(reported) = read(&report, utc_offset_minutes) {
            prop_assert_eq!(Ok(reported.click_ref.as_str()), click_reference(&report));
            prop_assert!(reported.click_ref.len() <= token::MAX_LENGTH);
            prop_assert!(reported.sale_amount.is_none_or(|amount| !amount.negative()));
            prop_assert!(reported.payout.is_none_or(|amount| !amount.negative()));
            let texts = [&reported.txn_id, &reported.goal_id, &reported.network_conversion_id];
            for text in texts.into_iter().flatten() {
                prop_assert!(text.len() <= FIELD_BYTES_MAX && !text.is_empty());
                prop_assert!(!text.contains('\0'));
            }
        }
    }

    #[test]
    fn every_amount_in_range_is_read_to_the_digit(micros in 0_i64..=1_000_000_000_000_000_000) {
        let text = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
        let amount = read_with("sale_amount", &text).map(|report| report.sale_amount);
        prop_assert_eq!(amount, Ok(Some(Amount::from_micros(micros))));
    }
}

fn names() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "click_id",
        "p1",
        "offer_id",
        "campaign_id",
        "sale_amount",
        "sale",
        "status",
        "txn_id",
        "payout",
        "currency",
        "goal_id",
        "conversion_id",
        "_id",
        "converted_at",
        "created",
        "country",
        "network",
        "security_token",
    ]);
    prop_oneof![9 => known.prop_map(str::to_owned), 1 => ".*"]
}

fn values() -> impl Strategy<Value = String> {
    prop_oneof![
        ".{0,40}",
        "[0-9]{1,25}",
        "-?[0-9]{0,14}\\.[0-9]{0,8}",
        "[A-Za-z]{2,3}",
        "(19|20|21)[0-9]{2}-[01][0-9]-[0-3][0-9][ T][0-2][0-9]:[0-5][0-9]:[0-5][0-9](Z|)",
        "[A-Za-z0-9_-]{100,140}",
    ]
}
