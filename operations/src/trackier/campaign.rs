//! A campaign as Trackier writes it: what we call an offer.

use std::str::FromStr;

use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, de::Error};
use serde_json::value::RawValue;

/// A campaign, as far as it is read.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Campaign {
    /// Its number: our offer's.
    pub id: i64,
    /// Its name.
    pub title: String,
    /// What payouts are in; US dollars where it is absent.
    pub currency: Option<String>,
    /// What it sells.
    #[serde(default, deserialize_with = "absent_as_default")]
    pub categories: Vec<String>,
    /// What is paid for. With `cps` a payout is a percentage of the sale.
    pub model: String,
    /// Where clicks go, with placeholders in braces.
    pub tracking_link: Option<String>,
    /// What is paid, by place.
    #[serde(default, deserialize_with = "absent_as_default")]
    pub payouts: Vec<Payout>,
    /// Further events that are paid for.
    #[serde(default, deserialize_with = "absent_as_default")]
    pub goals: Vec<Goal>,
}

/// What is paid, in some places or under some condition.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Payout {
    /// How much: an amount or a percentage.
    #[serde(deserialize_with = "decimal")]
    pub payout: Decimal,
    /// In which countries; everywhere where it is empty or `ALL`.
    #[serde(default, deserialize_with = "absent_as_default")]
    pub geo: Vec<String>,
    /// In which cities only.
    #[serde(default, deserialize_with = "absent_as_default")]
    pub city: Vec<String>,
    /// In which regions only.
    #[serde(default, deserialize_with = "absent_as_default")]
    pub region: Vec<String>,
    /// For which values of a parameter only.
    #[serde(
        default,
        rename = "allowedValues",
        deserialize_with = "absent_as_default"
    )]
    pub allowed_values: Vec<String>,
}

/// A further event that is paid for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Goal {
    /// What reports call it in `goal_id`.
    pub id: String,
    /// What its payouts are: `fixed` is an amount.
    pub payout_model: Option<String>,
    /// What is paid, by place.
    #[serde(default, deserialize_with = "absent_as_default")]
    pub payouts: Vec<Payout>,
}

/// A list that may be null.
fn absent_as_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// A number by the digits that it is written with, in quotes or not: none passes through a float.
fn decimal<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Decimal, D::Error> {
    let raw = Box::<RawValue>::deserialize(deserializer)?;
    let digits = raw.get().trim_matches('"');
    Decimal::from_str(digits).map_err(|_| D::Error::custom("a payout is no number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_campaign_is_read_with_what_it_has() {
        let text = r#"{"id":18,"title":"Shoes","model":"cps","currency":null,"categories":null,
            "payouts":[{"payout":1.87,"geo":["IN"]},{"payout":"0.10","fixedPayout":3}],
            "goals":[{"id":"g","title":"Signed up","payout_model":"fixed","payouts":null}]}"#;
        let campaign: Campaign = serde_json::from_str(text).expect("a campaign");
        assert_eq!(campaign.payouts[0].payout.to_string(), "1.87");
        assert_eq!(campaign.payouts[1].payout.to_string(), "0.10");
        assert!(campaign.goals[0].payouts.is_empty() && campaign.categories.is_empty());
        let nonsense = text.replace("1.87", "\"much\"");
        assert!(serde_json::from_str::<Campaign>(&nonsense).is_err());
    }
}
