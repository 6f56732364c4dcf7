//! Reference data as it might have been: for a replay that asks "what if".
//!
//! A file of the form that is imported says what to suppose. Of each thing that it names, its
//! versions stand in the place of the recorded ones from the first of them on; those before stay.
//! Nothing is saved, and no notice has to be given: what is supposed may lie in the past.

use std::{collections::HashMap, hash::Hash};

use chrono::NaiveTime;
use schemas::{
    Timestamp,
    events::FraudRules,
    reference::{
        CampaignTerms, OfferTerms, OverrideTerms, RateOverride, ReferenceData, TenantSettings,
        Version, Versions,
    },
};

use super::{
    editions::{self, Content, Edition, Subject, rate},
    file::{
        CampaignVersion, FraudRuleSet, FraudRuleValues, Lock, OfferVersion, Rate, ReferenceFile,
        TenantVersion,
    },
    problem::{Problem, Problems},
    validation::values,
};

/// What is wrong with a thing that isn't recorded.
const UNKNOWN: &str =
    "it isn't in the reference data: only what is there can be supposed otherwise";

/// The recorded data, with what a file supposes.
///
/// # Errors
/// Everything that can't be supposed, by field.
pub fn suppose(file: &ReferenceFile, recorded: &ReferenceData) -> Result<ReferenceData, Problems> {
    let mut supposed = Supposed::default();
    let mut problems = Vec::new();
    for edition in editions::of(file) {
        if let Err(problem) = supposed.take(&edition, recorded) {
            problems.push(problem);
        }
    }
    match Problems::new(problems) {
        Some(problems) => Err(problems),
        None => Ok(supposed.over(recorded)),
    }
}

/// Versions by what they are versions of.
type Given<K, T> = HashMap<K, Vec<(Timestamp, T)>>;

#[derive(Default)]
struct Supposed {
    tenants: Given<schemas::TenantId, TenantSettings>,
    offers: Given<schemas::OfferId, OfferTerms>,
    campaigns: Given<schemas::CampaignId, CampaignTerms>,
    overrides: Given<(schemas::TenantId, schemas::OfferId, Option<String>), OverrideTerms>,
    fraud_rules: Given<Option<schemas::TenantId>, FraudRules>,
    commission_rules: Given<(), schemas::reference::CommissionRuleSet>,
    locks: Given<schemas::TenantId, Timestamp>,
}

fn known(holds: bool, edition: &Edition<'_>) -> Result<(), Problem> {
    if holds {
        Ok(())
    } else {
        Err(Problem::new(&edition.path, UNKNOWN))
    }
}

impl Supposed {
    fn take(&mut self, edition: &Edition<'_>, recorded: &ReferenceData) -> Result<(), Problem> {
        let at = edition.effective_at;
        let refused = |what: String| Problem::new(&edition.path, what);
        match (&edition.subject, edition.content) {
            (Subject::Tenant(id), Content::Tenant(version)) => {
                known(recorded.tenants.contains_key(id), edition)?;
                let value = tenant(version).map_err(refused)?;
                self.tenants.entry(*id).or_default().push((at, value));
            }
            (Subject::Offer(id), Content::Offer(version)) => {
                known(recorded.offers.contains_key(id), edition)?;
                let value = offer(version).map_err(refused)?;
                self.offers.entry(*id).or_default().push((at, value));
            }
            (Subject::Campaign(id), Content::Campaign(_, version)) => {
                known(recorded.campaigns.contains_key(id), edition)?;
                let value = campaign(version).map_err(refused)?;
                self.campaigns.entry(*id).or_default().push((at, value));
            }
            (Subject::Override(tenant_id, offer_id, goal_id), Content::Override(own)) => {
                known(recorded.tenants.contains_key(tenant_id), edition)?;
                let rate = own.rate.as_ref().map(rate).transpose().map_err(refused)?;
                let value = OverrideTerms {
                    rate,
                    valid_until: own.valid_until,
                };
                let key = (*tenant_id, *offer_id, goal_id.clone());
                self.overrides.entry(key).or_default().push((at, value));
            }
            (Subject::FraudRules(tenant_id), Content::FraudRules(set)) => {
                let value = fraud_rules(set);
                let sets = self.fraud_rules.entry(*tenant_id).or_default();
                sets.push((at, value));
            }
            (Subject::CommissionRules, Content::CommissionRules(set)) => {
                let value = editions::commission_rules(set, &edition.path)?;
                self.commission_rules
                    .entry(())
                    .or_default()
                    .push((at, value));
            }
            (Subject::Lock(tenant_id), Content::Lock(lock)) => {
                let value = locked_before(lock);
                self.locks.entry(*tenant_id).or_default().push((at, value));
            }
            // An edition's subject is that of its content.
            (
                Subject::Tenant(_)
                | Subject::Offer(_)
                | Subject::Campaign(_)
                | Subject::Override(..)
                | Subject::FraudRules(_)
                | Subject::CommissionRules
                | Subject::Lock(_),
                _,
            ) => {}
        }
        Ok(())
    }

    fn over(self, recorded: &ReferenceData) -> ReferenceData {
        let mut data = recorded.clone();
        replace(&mut data.tenants, self.tenants);
        replace(&mut data.locks, self.locks);
        for (id, given) in self.offers {
            if let Some(offer) = data.offers.get_mut(&id) {
                offer.terms = from_then_on(Some(&offer.terms), given);
            }
        }
        for (id, given) in self.campaigns {
            if let Some(campaign) = data.campaigns.get_mut(&id) {
                campaign.terms = from_then_on(Some(&campaign.terms), given);
            }
        }
        for ((tenant_id, offer_id, goal_id), given) in self.overrides {
            let own = data.overrides.entry((tenant_id, offer_id)).or_default();
            match own.iter_mut().find(|one| one.goal_id == goal_id) {
                Some(one) => one.versions = from_then_on(Some(&one.versions), given),
                None => own.push(RateOverride {
                    goal_id,
                    versions: from_then_on(None, given),
                }),
            }
            own.sort_by(|one, other| one.goal_id.cmp(&other.goal_id));
        }
        for (tenant_id, given) in self.fraud_rules {
            if let Some(id) = tenant_id {
                let versions = from_then_on(data.tenant_rules.get(&id), given);
                data.tenant_rules.insert(id, versions);
            } else {
                let versions = from_then_on(data.platform_rules.as_ref(), given);
                data.platform_rules = Some(versions);
            }
        }
        for given in self.commission_rules.into_values() {
            let versions = from_then_on(data.commission_rules.as_ref(), given);
            data.commission_rules = Some(versions);
        }
        data
    }
}

fn replace<K: Eq + Hash, T: Clone>(all: &mut HashMap<K, Versions<T>>, given: Given<K, T>) {
    for (key, given) in given {
        let versions = from_then_on(all.get(&key), given);
        all.insert(key, versions);
    }
}

/// The recorded versions before the first given one, and then those that are given.
fn from_then_on<T: Clone>(
    recorded: Option<&Versions<T>>,
    given: Vec<(Timestamp, T)>,
) -> Versions<T> {
    let first = given.iter().map(|(at, _)| *at).min();
    let all = recorded.map_or(&[][..], Versions::all);
    let highest = all.iter().map(|version| version.version).max();
    let before = all
        .iter()
        .filter(|version| first.is_none_or(|first| version.effective_at < first))
        .cloned();
    let numbers = highest.unwrap_or_default() + 1..;
    let given = given
        .into_iter()
        .zip(numbers)
        .map(|((effective_at, value), version)| Version {
            version,
            effective_at,
            value,
        });
    Versions::new(before.chain(given).collect()).expect("at least one is given")
}

fn tenant(version: &TenantVersion) -> Result<TenantSettings, String> {
    Ok(TenantSettings {
        level: version.level,
        default_share: values::percentage(version.default_share_pct)?,
        platform_fee: values::percentage(version.platform_fee_pct)?,
        platform_fee_flat: values::amount(version.platform_fee_flat)?,
        subsidy: values::amount(version.subsidy)?,
    })
}

fn offer(version: &OfferVersion) -> Result<OfferTerms, String> {
    let amount = |number: Option<_>| number.map(values::amount).transpose();
    let own = Rate {
        pct: version.base_commission_pct,
        flat: version.commission_flat,
    };
    let goals = version.goal_rates.iter();
    Ok(OfferTerms {
        tracking_url: version.tracking_url.clone(),
        currency: version.currency,
        commission_source: version.commission_source,
        commission: rate(&own)?,
        goal_rates: goals
            .map(|(goal, own)| Ok((goal.clone(), rate(own)?)))
            .collect::<Result<_, String>>()?,
        commission_max: amount(version.commission_max)?,
        usual_sale_max: amount(version.usual_sale_max)?,
        cool_off_days: version.cool_off_days,
        txn_id_names_order: version.txn_id_names_order,
        duplicate_orders: version.duplicate_orders,
    })
}

fn campaign(version: &CampaignVersion) -> Result<CampaignTerms, String> {
    Ok(CampaignTerms {
        share: version.share_pct.map(values::percentage).transpose()?,
        attribution_window_days: version.attribution_window_days,
    })
}

fn fraud_rules(set: &FraudRuleSet) -> FraudRules {
    let FraudRuleValues {
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
    } = set.rules;
    FraudRules {
        // The version that it becomes says which it is.
        version: 0,
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

/// The end of the last locked day.
fn locked_before(lock: &Lock) -> Timestamp {
    let day_after = lock
        .locked_through
        .succ_opt()
        .unwrap_or(lock.locked_through);
    day_after.and_time(NaiveTime::MIN).and_utc().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn versions(values: &[(i32, i64, char)]) -> Versions<char> {
        let version = |(version, millis, value): &(i32, i64, char)| Version {
            version: *version,
            effective_at: Timestamp::from_millis(*millis),
            value: *value,
        };
        Versions::new(values.iter().map(version).collect()).expect("some")
    }

    #[test]
    fn what_is_supposed_holds_from_its_first_version_on() {
        let recorded = versions(&[(1, 10, 'a'), (2, 20, 'b'), (3, 30, 'c')]);
        let at = Timestamp::from_millis;
        let given = vec![(at(15), 'x'), (at(25), 'y')];
        let supposed = from_then_on(Some(&recorded), given);
        assert_eq!(
            supposed,
            versions(&[(1, 10, 'a'), (4, 15, 'x'), (5, 25, 'y')])
        );
        let nothing_before = from_then_on(Some(&recorded), vec![(at(0), 'z')]);
        assert_eq!(nothing_before, versions(&[(4, 0, 'z')]));
    }

    #[test]
    fn what_is_not_recorded_is_refused() {
        let file = include_str!("../../../schemas/examples/reference.json");
        let file = ReferenceFile::parse(file).expect("a reference file");
        let problems = suppose(&file, &ReferenceData::default()).expect_err("refused");
        let paths: Vec<_> = problems
            .as_slice()
            .iter()
            .map(|one| one.path.as_str())
            .collect();
        assert_eq!(
            paths,
            [
                "tenants[0].versions[0]",
                "offers[0].versions[0]",
                "campaigns[0].versions[0]",
                "overrides[0]",
            ]
        );
    }
}
