//! Whether a reference file may be taken: values in, all that is wrong with it out.
//!
//! What is refused here never gets into the database, and so never into a decision. Reports of
//! sales can't be refused like that; what is odd about them goes to review.

mod commission_rules;
mod fraud_rules;
mod payout_methods;
mod placement;
mod terms;
#[cfg(test)]
mod tests;
pub(super) mod values;

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fmt::Display,
};

use schemas::{CampaignId, Currency, NetworkId, OfferId, TenantId, Timestamp};

pub(super) use placement::{DIFFERS, Notice, Plan};

use super::{
    editions,
    file::ReferenceFile,
    known::Known,
    problem::{Problem, Problems},
};

/// Checks a file against what is known already, as of the time of saving.
///
/// # Errors
/// Everything that is wrong with it, by field.
pub fn check(file: &ReferenceFile, known: &Known, now: Timestamp) -> Result<(), Problems> {
    plan(file, known, now).map(drop)
}

/// Checks a file, and tells which of its versions are new.
pub(super) fn plan<'a>(
    file: &'a ReferenceFile,
    known: &Known,
    now: Timestamp,
) -> Result<Plan<'a>, Problems> {
    let mut checks = Checks::new(file, known);
    checks.tenants();
    checks.payout_methods();
    checks.networks();
    checks.offers();
    checks.campaigns();
    checks.links();
    checks.overrides();
    checks.fraud_rules();
    checks.commission_rules();
    checks.locks();
    let plan = placement::place(editions::of(file), &mut checks, now);
    match Problems::new(checks.problems) {
        Some(problems) => Err(problems),
        None => Ok(plan),
    }
}

/// A check under way.
struct Checks<'a> {
    file: &'a ReferenceFile,
    known: &'a Known,
    /// Known, or in the file.
    tenants: HashSet<TenantId>,
    networks: HashSet<NetworkId>,
    campaigns: HashSet<CampaignId>,
    /// With the currencies of all versions.
    offers: BTreeMap<OfferId, BTreeSet<Currency>>,
    problems: Vec<Problem>,
}

impl<'a> Checks<'a> {
    fn new(file: &'a ReferenceFile, known: &'a Known) -> Self {
        let saved = known.offers.iter();
        let mut offers: BTreeMap<OfferId, BTreeSet<Currency>> = saved
            .map(|(offer_id, offer)| (*offer_id, offer.currencies.clone()))
            .collect();
        for offer in &file.offers {
            let currencies = offer.versions.iter().map(|version| version.currency);
            offers.entry(offer.offer_id).or_default().extend(currencies);
        }
        let tenants = file.tenants.iter().map(|tenant| tenant.tenant_id);
        let networks = file.networks.iter().map(|network| network.network_id);
        let campaigns = file.campaigns.iter().map(|campaign| campaign.campaign_id);
        Self {
            file,
            known,
            tenants: known.tenants.iter().copied().chain(tenants).collect(),
            networks: known.networks.iter().copied().chain(networks).collect(),
            campaigns: known.campaigns.keys().copied().chain(campaigns).collect(),
            offers,
            problems: Vec::new(),
        }
    }

    fn refuse(&mut self, path: impl Display, what: impl Display) {
        self.problems.push(Problem::new(path, what));
    }

    /// A tenant that is neither known nor in the file.
    fn tenant(&mut self, path: impl Display, tenant_id: TenantId) {
        if !self.tenants.contains(&tenant_id) {
            self.refuse(path, format!("there is no tenant {tenant_id}"));
        }
    }

    /// An offer that is neither known nor in the file.
    fn offer(&mut self, path: impl Display, offer_id: OfferId) {
        if !self.offers.contains_key(&offer_id) {
            self.refuse(path, format!("there is no offer {offer_id}"));
        }
    }
}
