//! `[trackier]`: the network's own API.

use std::{collections::BTreeMap, num::NonZeroU32};

use operations::trackier::{
    Account,
    account::{BASE_URL, REQUESTS_PER_SECOND},
};
use schemas::{Country, NetworkId, TenantId};
use secrecy::SecretString;
use serde::Deserialize;

use super::{ConfigurationError, refused};
use crate::schedules::{Apply, NetworkSchedule};

/// The longest window: what happened two years ago is final.
const WINDOW_DAYS_MAX: u32 = 730;

/// Accounts with Trackier: the platform's, and those of tenants who have their own.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Trackier {
    /// Base address.
    pub url: String,
    /// The network instance that it is.
    pub network: NetworkId,
    /// The platform's key as a publisher.
    pub api_key: Option<SecretString>,
    /// Requests a second, at most.
    pub requests_per_second: NonZeroU32,
    /// What the role schedule does each day about what the network lists.
    pub reconcile_daily: Daily,
    /// How far back conversions are listed: over which time they may still change.
    pub window_days: u32,
    /// Whose payouts count where offers are synced.
    pub country: Country,
    /// What the role schedule does each day about the network's campaigns.
    pub sync_offers_daily: Daily,
    /// Keys of tenants with accounts of their own.
    pub tenants: BTreeMap<TenantId, TenantAccount>,
}

/// What a schedule does about a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Daily {
    /// It isn't looked for.
    Never,
    /// It is counted and told.
    Report,
    /// It is made up for.
    Apply,
}

impl Daily {
    fn apply(self) -> Option<Apply> {
        match self {
            Self::Never => None,
            Self::Report => Some(Apply(false)),
            Self::Apply => Some(Apply(true)),
        }
    }
}

/// A tenant's own account.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TenantAccount {
    /// Its key.
    pub api_key: SecretString,
}

impl Default for Trackier {
    fn default() -> Self {
        Self {
            url: BASE_URL.to_owned(),
            network: NetworkId::new(1),
            api_key: None,
            requests_per_second: REQUESTS_PER_SECOND,
            reconcile_daily: Daily::Apply,
            window_days: 60,
            country: Country::from_letters(*b"IN").expect("two letters"),
            sync_offers_daily: Daily::Never,
            tenants: BTreeMap::new(),
        }
    }
}

impl Trackier {
    /// The platform's account, where there is one.
    ///
    /// # Errors
    /// When its address can't be used.
    pub fn account(&self) -> Result<Option<Account>, ConfigurationError> {
        let key = self.api_key.as_ref();
        key.map(|key| self.account_with(key)).transpose()
    }

    /// The account that lists a tenant's conversions: its own, else the platform's.
    ///
    /// # Errors
    /// When its address can't be used.
    pub fn account_of(&self, tenant_id: TenantId) -> Result<Option<Account>, ConfigurationError> {
        match self.tenants.get(&tenant_id) {
            Some(own) => self.account_with(&own.api_key).map(Some),
            None => self.account(),
        }
    }

    fn account_with(&self, key: &SecretString) -> Result<Account, ConfigurationError> {
        Ok(Account {
            requests_per_second: self.requests_per_second,
            ..Account::new(&self.url, key.clone()).map_err(refused("trackier.url"))?
        })
    }

    /// What is done without being asked for, where there is an account.
    ///
    /// # Errors
    /// When a value can't be used; the error names its key.
    pub fn schedule(&self) -> Result<Option<NetworkSchedule>, ConfigurationError> {
        let own = self.tenants.iter().map(|(tenant_id, account)| {
            let account = self.account_with(&account.api_key)?;
            Ok((*tenant_id, account))
        });
        let schedule = NetworkSchedule {
            network_id: self.network,
            platform: self.account()?,
            own: own.collect::<Result<_, ConfigurationError>>()?,
            window_days: self.window_days()?,
            reconcile: self.reconcile_daily.apply(),
            sync_offers: self.sync_offers_daily.apply(),
            country: self.country,
        };
        let account = schedule.platform.is_some() || !schedule.own.is_empty();
        let anything = schedule.reconcile.is_some() || schedule.sync_offers.is_some();
        Ok((account && anything).then_some(schedule))
    }

    /// Days that are listed.
    ///
    /// # Errors
    /// When there is none, or there are too many.
    pub fn window_days(&self) -> Result<i64, ConfigurationError> {
        if (1..=WINDOW_DAYS_MAX).contains(&self.window_days) {
            Ok(self.window_days.into())
        } else {
            let range = format!(
                "{} is not between 1 and {WINDOW_DAYS_MAX}",
                self.window_days
            );
            Err(refused("trackier.window_days")(range))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Trackier {
        toml::from_str(text).expect("valid")
    }

    #[test]
    fn a_tenant_with_a_key_of_its_own_has_an_account_of_its_own() {
        let tenant = "00000000-0000-0000-0000-000000000007";
        let text = format!("api_key = \"ours\"\n[tenants.{tenant}]\napi_key = \"theirs\"\n");
        let trackier = parsed(&text);
        let key_of = |tenant: &str| {
            use secrecy::ExposeSecret;
            let account = trackier.account_of(tenant.parse().expect("an id"));
            let account = account.expect("usable").expect("an account");
            account.api_key.expose_secret().to_owned()
        };
        assert_eq!(key_of(tenant), "theirs");
        assert_eq!(key_of("00000000-0000-0000-0000-000000000008"), "ours");
        assert!(!format!("{trackier:?}").contains("theirs"));
        assert!(parsed("").account().expect("usable").is_none());
    }

    #[test]
    fn what_cannot_be_used_is_refused_by_its_key() {
        let plain = parsed("url = \"http://api.trackier.example\"\napi_key = \"sesame\"");
        let error = plain.account().expect_err("refused").to_string();
        assert!(
            error.contains("trackier.url") && !error.contains("sesame"),
            "{error}"
        );
        for days in [0, 731] {
            let error = parsed(&format!("window_days = {days}")).window_days();
            let error = error.expect_err("refused").to_string();
            assert!(error.contains("trackier.window_days"), "{error}");
        }
    }
}
