//! Rule sets as a file writes them.

use rust_decimal::Decimal;
use schemas::{
    Currency, Days, OfferId, TenantId, Timestamp,
    events::{FraudRules, RuleApplication},
    reference::PartnerLevel,
};
use serde::{Deserialize, Serialize};

use super::Rate;

/// Fraud rules, in force from an instant on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FraudRuleSet {
    /// Whose; absent: the platform's, for tenants without their own.
    pub tenant_id: Option<TenantId>,
    /// From when on.
    pub effective_at: Timestamp,
    /// Weights and thresholds.
    pub rules: FraudRuleValues,
}

/// Weights and thresholds, as [`FraudRules`] explains them. What is left out has its default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "FraudRules explains each")]
pub struct FraudRuleValues {
    pub velocity_claims: i32,
    pub velocity_hours: i32,
    pub duplicate_days: Days,
    pub review_score: i32,
    pub country_mismatch_weight: i32,
    pub hasty_sale_weight: i32,
    pub hasty_sale_seconds: i32,
    pub bot_weight: i32,
    pub data_centre_weight: i32,
    pub proxy_weight: i32,
    pub unusual_sale_weight: i32,
    pub reject_self_purchase: bool,
}

impl Default for FraudRuleValues {
    fn default() -> Self {
        let FraudRules {
            version: _,
            velocity_claims,
            velocity_hours,
            duplicate_days,
            review_score,
            country_mismatch_weight,
            hasty_sale_weight,
            hasty_sale_seconds,
            bot_weight,
            data_centre_weight,
            proxy_weight,
            unusual_sale_weight,
            reject_self_purchase,
        } = FraudRules::default();
        Self {
            velocity_claims,
            velocity_hours,
            duplicate_days,
            review_score,
            country_mismatch_weight,
            hasty_sale_weight,
            hasty_sale_seconds,
            bot_weight,
            data_centre_weight,
            proxy_weight,
            unusual_sale_weight,
            reject_self_purchase,
        }
    }
}

/// The platform's commission rules, in force from an instant on. A set without rules ends those
/// before it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommissionRuleSet {
    /// From when on.
    pub effective_at: Timestamp,
    /// How many of the rules that hold apply.
    pub application: RuleApplication,
    /// In the order in which they are tried.
    pub rules: Vec<CommissionRule>,
}

/// A commission rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommissionRule {
    /// Its name, unique in the set: the ledger shows it with what it changed.
    pub name: String,
    /// What must hold, all of it; without conditions it always holds.
    #[serde(default)]
    pub when: Conditions,
    /// What becomes of the commission.
    pub then: Actions,
}

/// Conditions of a rule. Each that is given must hold; an empty list is none.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Conditions {
    /// The click's tenant is one of these.
    pub tenants: Vec<TenantId>,
    /// The tenant's level at the click is one of these.
    pub levels: Vec<PartnerLevel>,
    /// The offer is one of these.
    pub offers: Vec<OfferId>,
    /// The offer's category is one of these.
    pub categories: Vec<String>,
    /// The offer's currency: a must where the rule names amounts.
    pub currency: Option<Currency>,
    /// The goal is one of these.
    pub goals: Vec<String>,
    /// The sale is at least this.
    pub sale_from: Option<Decimal>,
    /// The sale is below this.
    pub sale_below: Option<Decimal>,
    /// The conversion's time is this or later.
    pub converted_from: Option<Timestamp>,
    /// The conversion's time is before this.
    pub converted_before: Option<Timestamp>,
}

/// What a rule does, in this order.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Actions {
    /// Another rate in the place of the commission so far.
    pub replace: Option<Rate>,
    /// The commission times this.
    pub multiply: Option<Decimal>,
    /// This much on top.
    pub bonus: Option<Decimal>,
}
