//! Rates of commission, tenants' own rates, and locked books, as a file writes them.

use std::{collections::BTreeMap, fmt};

use chrono::NaiveDate;
use rust_decimal::Decimal;
use schemas::{OfferId, TenantId, Timestamp};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error, MapAccess, Visitor},
};

/// A rate: either of the two.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Percentage of the sale amount.
    pub pct: Option<Decimal>,
    /// Amount for each conversion, in units of the offer's currency.
    pub flat: Option<Decimal>,
}

/// A tenant's own rate for an offer, from an instant on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Override {
    /// The tenant.
    pub tenant_id: TenantId,
    /// The offer.
    pub offer_id: OfferId,
    /// The goal that it is for; absent: all.
    pub goal_id: Option<String>,
    /// From when on.
    pub effective_at: Timestamp,
    /// From when on it no longer holds; absent: until the next version.
    pub valid_until: Option<Timestamp>,
    /// The rate; null withdraws the override. It can't be left out, so that none is withdrawn by
    /// a slip.
    #[serde(deserialize_with = "Option::deserialize")]
    pub rate: Option<Rate>,
}

/// A tenant's books are locked through a day, from an instant on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// The tenant.
    pub tenant_id: TenantId,
    /// From when on.
    pub effective_at: Timestamp,
    /// The last locked day, UTC.
    pub locked_through: NaiveDate,
    /// Set where the day is earlier than that of the lock before: the books are opened again.
    #[serde(default)]
    pub reopens: bool,
}

/// Rates by goal. A goal that comes twice is refused: JSON itself would keep the last.
pub(super) fn by_goal<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, Rate>, D::Error> {
    struct ByGoal;

    impl<'de> Visitor<'de> for ByGoal {
        type Value = BTreeMap<String, Rate>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("rates by goal")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut rates = BTreeMap::new();
            while let Some((goal, rate)) = map.next_entry::<String, Rate>()? {
                let refused = format!("goal {goal:?} comes twice");
                if rates.insert(goal, rate).is_some() {
                    return Err(A::Error::custom(refused));
                }
            }
            Ok(rates)
        }
    }

    deserializer.deserialize_map(ByGoal)
}
