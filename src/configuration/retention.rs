//! `[retention]`: how long things are kept.

use operations::retention::{Periods, PeriodsError};
use serde::Deserialize;

use super::ConfigurationError;

/// How long clicks and reports are kept, by the month of the click.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// Months that clicks are kept.
    pub clicks_months: u32,
    /// Months that reports are kept, and the log.
    pub reports_months: u32,
}

impl Default for Retention {
    fn default() -> Self {
        let Periods { clicks, reports } = Periods::default();
        Self {
            clicks_months: clicks.as_u32(),
            reports_months: reports.as_u32(),
        }
    }
}

impl Retention {
    /// The periods.
    ///
    /// # Errors
    /// When something is still needed for longer than that; the error names the key.
    pub fn periods(&self) -> Result<Periods, ConfigurationError> {
        Periods::new(self.clicks_months, self.reports_months).map_err(|error| {
            ConfigurationError::Value {
                key: match error {
                    PeriodsError::Clicks => "retention.clicks_months",
                    PeriodsError::Reports => "retention.reports_months",
                },
                reason: error.to_string(),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_that_is_too_short_is_refused_by_its_key() {
        assert_eq!(
            Retention::default().periods().expect("valid"),
            Periods::default()
        );
        for (clicks_months, reports_months, key) in [
            (23, 84, "retention.clicks_months"),
            (24, 59, "retention.reports_months"),
        ] {
            let short = Retention {
                clicks_months,
                reports_months,
            };
            let error = short.periods().expect_err("refused").to_string();
            assert!(error.contains(key), "{error}");
        }
    }
}
