use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, Visitor},
};

use crate::{Amount, Percentage, Timestamp};

/// A rate of commission.
///
/// JSON shows `{"percentage": "8.00"}` or `{"flat": "40"}`; Avro carries a union of hundredths of a
/// percent (which the first version of the schema had plainly) and a decimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rate {
    /// Of the sale amount.
    Percentage(Percentage),
    /// For each conversion, in the offer's currency.
    Flat(Amount),
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// What people write.
        #[derive(Deserialize)]
        #[serde(rename_all = "snake_case")]
        enum Named {
            Percentage(Percentage),
            Flat(Amount),
        }
        if !deserializer.is_human_readable() {
            return deserializer.deserialize_any(RateInAvro);
        }
        Ok(match Named::deserialize(deserializer)? {
            Named::Percentage(percentage) => Self::Percentage(percentage),
            Named::Flat(amount) => Self::Flat(amount),
        })
    }
}

/// Tells the branches of Avro's union by their types.
struct RateInAvro;

impl Visitor<'_> for RateInAvro {
    type Value = Rate;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("hundredths of a percent, or a decimal")
    }

    fn visit_i32<E: de::Error>(self, hundredths: i32) -> Result<Rate, E> {
        Percentage::from_hundredths(hundredths)
            .map(Rate::Percentage)
            .map_err(E::custom)
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Rate, E> {
        Amount::from_decimal_bytes(bytes)
            .map(Rate::Flat)
            .ok_or_else(|| E::invalid_length(bytes.len(), &"a decimal of 1 to 8 bytes"))
    }
}

/// Where a rate is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RateOrigin {
    /// The offer's terms.
    #[default]
    Offer,
    /// The tenant's own rate for the offer, in force at the click.
    Override,
}

/// The rate of one goal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoalRate {
    /// The network's goal.
    pub goal_id: String,
    /// Its rate.
    pub rate: Rate,
    /// Where that rate is from.
    pub origin: RateOrigin,
}

/// Commission rules: a set, pinned by version and by value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommissionRules {
    /// Version of the set.
    pub version: i32,
    /// How many of those that hold apply.
    pub application: RuleApplication,
    /// In the order of the set.
    pub rules: Vec<CommissionRule>,
}

/// How many of the rules that hold apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleApplication {
    /// The first.
    First,
    /// All, in their order.
    All,
}

/// A commission rule: conditions on the conversion, which must all hold, and what becomes of the
/// commission then. What depends on the click alone was decided when the terms were pinned.
/// Amounts are in the offer's currency.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CommissionRule {
    /// Its name in the set.
    pub name: String,
    /// The goal is one of these; empty is any, or none.
    pub goals: Vec<String>,
    /// The sale is at least this.
    pub sale_from: Option<Amount>,
    /// The sale is below this.
    pub sale_below: Option<Amount>,
    /// The conversion's time is this or later.
    pub converted_from: Option<Timestamp>,
    /// The conversion's time is before this.
    pub converted_before: Option<Timestamp>,
    /// First: another rate instead.
    pub replace: Option<Replacement>,
    /// Then: the commission times this factor.
    pub multiply: Option<Amount>,
    /// Last: this much on top, where there is a commission.
    pub bonus: Option<Amount>,
}

/// The rate that a rule puts in the place of another. (A record of its own, because Avro knows no
/// optional union.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replacement {
    /// The rate.
    pub rate: Rate,
}
