//! Fraud rules: weights and thresholds in their ranges, and no threshold that can't be reached.

use processors::rules::velocity;

use super::Checks;
use crate::reference::file::FraudRuleValues;

const CLAIMS_MAX: i32 = 1_000_000;
const DUPLICATE_DAYS_MAX: i32 = 730;
const HASTY_SECONDS_MAX: i32 = 86_400;
const WEIGHT_MAX: i32 = 100;
const SCORE_MAX: i32 = 600;

impl Checks<'_> {
    /// Fraud rules of the platform and of tenants.
    pub fn fraud_rules(&mut self) {
        let file = self.file;
        for (index, set) in file.fraud_rules.iter().enumerate() {
            let path = format!("fraud_rules[{index}]");
            if let Some(tenant_id) = set.tenant_id {
                self.tenant(format_args!("{path}.tenant_id"), tenant_id);
            }
            self.fraud_rule_values(&format!("{path}.rules"), &set.rules);
        }
    }

    fn fraud_rule_values(&mut self, path: &str, rules: &FraudRuleValues) {
        for (field, number, allowed) in [
            ("velocity_claims", rules.velocity_claims, 1..=CLAIMS_MAX),
            (
                "velocity_hours",
                rules.velocity_hours,
                1..=velocity::HOURS_MAX,
            ),
            (
                "duplicate_days",
                rules.duplicate_days,
                1..=DUPLICATE_DAYS_MAX,
            ),
            (
                "hasty_sale_seconds",
                rules.hasty_sale_seconds,
                0..=HASTY_SECONDS_MAX,
            ),
            ("review_score", rules.review_score, 1..=SCORE_MAX),
        ] {
            self.within(format_args!("{path}.{field}"), number, allowed);
        }
        let weights = [
            ("country_mismatch_weight", rules.country_mismatch_weight),
            ("hasty_sale_weight", rules.hasty_sale_weight),
            ("bot_weight", rules.bot_weight),
            ("data_centre_weight", rules.data_centre_weight),
            ("proxy_weight", rules.proxy_weight),
            ("unusual_sale_weight", rules.unusual_sale_weight),
        ];
        for (field, weight) in weights {
            self.within(format_args!("{path}.{field}"), weight, 0..=WEIGHT_MAX);
        }
        // All weights zero says plainly that signals don't count.
        let sum: i64 = weights.iter().map(|(_, weight)| i64::from(*weight)).sum();
        if sum > 0 && sum < i64::from(rules.review_score) {
            let what = format!(
                "{} can never be reached: all weights together make {sum}",
                rules.review_score
            );
            self.refuse(format_args!("{path}.review_score"), what);
        }
    }
}
