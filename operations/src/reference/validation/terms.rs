//! Tenants, networks, offers, campaigns and links; tenants' own rates and locked books.

use std::{
    collections::{BTreeSet, HashSet},
    fmt::Display,
    hash::Hash,
};

use chrono::{Duration, NaiveDate, NaiveTime};
use schemas::{Currency, Timestamp, events::CommissionSource};

use super::Checks;
use crate::reference::{
    file::{Offer, OfferVersion, TenantVersion},
    known::KnownOffer,
};

const DAYS_MAX: i32 = 730;
/// Local times lie between UTC-12 and UTC+14.
const UTC_OFFSET_MINUTES: std::ops::RangeInclusive<i32> = -720..=840;

impl Checks<'_> {
    /// Tenants, and who runs them.
    pub fn tenants(&mut self) {
        let file = self.file;
        self.once(
            "tenants",
            "tenant_id",
            file.tenants.iter().map(|tenant| tenant.tenant_id),
        );
        for (index, tenant) in file.tenants.iter().enumerate() {
            let path = format!("tenants[{index}]");
            self.name(format_args!("{path}.name"), &tenant.name);
            for (number, version) in tenant.versions.iter().enumerate() {
                self.tenant_version(&format!("{path}.versions[{number}]"), version);
            }
        }
        self.once(
            "users",
            "user_id",
            file.users.iter().map(|user| user.user_id),
        );
        for (index, member) in file.members.iter().enumerate() {
            self.tenant(format_args!("members[{index}].tenant_id"), member.tenant_id);
            self.date(format_args!("members[{index}].since"), member.since);
        }
    }

    fn tenant_version(&mut self, path: &str, version: &TenantVersion) {
        self.percentage(
            format_args!("{path}.default_share_pct"),
            version.default_share_pct,
        );
        self.percentage(
            format_args!("{path}.platform_fee_pct"),
            version.platform_fee_pct,
        );
        self.amount(
            format_args!("{path}.platform_fee_flat"),
            version.platform_fee_flat,
        );
        self.amount(format_args!("{path}.subsidy"), version.subsidy);
        self.amount(format_args!("{path}.payout_min"), version.payout_min);
    }

    /// Instances of networks.
    pub fn networks(&mut self) {
        let file = self.file;
        let ids = file.networks.iter().map(|network| network.network_id);
        self.once("networks", "network_id", ids);
        for (index, network) in file.networks.iter().enumerate() {
            let path = format!("networks[{index}]");
            self.name(format_args!("{path}.name"), &network.name);
            self.within(
                format_args!("{path}.utc_offset_minutes"),
                network.utc_offset_minutes,
                UTC_OFFSET_MINUTES,
            );
        }
    }

    /// Offers and their terms.
    pub fn offers(&mut self) {
        let file = self.file;
        self.once(
            "offers",
            "offer_id",
            file.offers.iter().map(|offer| offer.offer_id),
        );
        for (index, offer) in file.offers.iter().enumerate() {
            let path = format!("offers[{index}]");
            self.within(
                format_args!("{path}.offer_id"),
                offer.offer_id.get(),
                1..=i32::MAX,
            );
            if !self.networks.contains(&offer.network_id) {
                let what = format!("there is no network {}", offer.network_id);
                self.refuse(format_args!("{path}.network_id"), what);
            }
            if let Some(known) = self.known.offers.get(&offer.offer_id) {
                self.set_once(&path, offer, known);
            }
            self.name(format_args!("{path}.brand"), &offer.brand);
            if let Some(category) = &offer.category {
                self.name(format_args!("{path}.category"), category);
            }
            for (number, version) in offer.versions.iter().enumerate() {
                self.offer_version(&format!("{path}.versions[{number}]"), version);
            }
        }
    }

    /// What an offer's reports and rules go by doesn't change under them.
    fn set_once(&mut self, path: &str, offer: &Offer, known: &KnownOffer) {
        if offer.network_id != known.network_id {
            let what = format!(
                "the offer belongs to network {}, for good",
                known.network_id
            );
            self.refuse(format_args!("{path}.network_id"), what);
        }
        if offer.category != known.category {
            let category = known.category.as_deref().unwrap_or("none");
            let what = format!("the offer's category is {category:?}, for good");
            self.refuse(format_args!("{path}.category"), what);
        }
    }

    fn offer_version(&mut self, path: &str, version: &OfferVersion) {
        self.text(format_args!("{path}.tracking_url"), &version.tracking_url);
        let currency = BTreeSet::from([version.currency]);
        match (version.base_commission_pct, version.commission_flat) {
            (Some(pct), None) => self.percentage(format_args!("{path}.base_commission_pct"), pct),
            (None, Some(flat)) => {
                self.booked(format_args!("{path}.commission_flat"), flat, &currency);
                self.below_max(format_args!("{path}.commission_flat"), flat, version);
            }
            (None, None) | (Some(_), Some(_)) => {
                let what = "an offer has either base_commission_pct or commission_flat: give one";
                self.refuse(format_args!("{path}.base_commission_pct"), what);
            }
        }
        for (goal, rate) in &version.goal_rates {
            let path = format!("{path}.goal_rates.{goal}");
            self.name(&path, goal);
            self.rate(&path, rate, &currency);
            if let Some(flat) = rate.flat {
                self.below_max(format_args!("{path}.flat"), flat, version);
            }
        }
        for (field, number) in [
            ("commission_max", version.commission_max),
            ("usual_sale_max", version.usual_sale_max),
        ] {
            if let Some(number) = number {
                self.amount(format_args!("{path}.{field}"), number);
            }
        }
        self.within(
            format_args!("{path}.cool_off_days"),
            version.cool_off_days,
            1..=DAYS_MAX,
        );
    }

    /// A flat rate above the cap would send every conversion to review.
    fn below_max(
        &mut self,
        path: impl Display,
        flat: rust_decimal::Decimal,
        version: &OfferVersion,
    ) {
        let counts = version.commission_source == CommissionSource::Percentage;
        if let Some(max) = version.commission_max.filter(|max| counts && flat > *max) {
            self.refuse(path, format!("{flat} is above commission_max, {max}"));
        }
    }

    /// Campaigns and their terms.
    pub fn campaigns(&mut self) {
        let file = self.file;
        let ids = file.campaigns.iter().map(|campaign| campaign.campaign_id);
        self.once("campaigns", "campaign_id", ids);
        for (index, campaign) in file.campaigns.iter().enumerate() {
            let path = format!("campaigns[{index}]");
            self.tenant(format_args!("{path}.tenant_id"), campaign.tenant_id);
            let owner = self.known.campaigns.get(&campaign.campaign_id);
            if let Some(owner) = owner.filter(|owner| **owner != campaign.tenant_id) {
                let what = format!("the campaign belongs to tenant {owner}, for good");
                self.refuse(format_args!("{path}.tenant_id"), what);
            }
            self.name(format_args!("{path}.name"), &campaign.name);
            for (number, version) in campaign.versions.iter().enumerate() {
                let path = format!("{path}.versions[{number}]");
                if let Some(share) = version.share_pct {
                    self.percentage(format_args!("{path}.share_pct"), share);
                }
                self.within(
                    format_args!("{path}.attribution_window_days"),
                    version.attribution_window_days,
                    1..=DAYS_MAX,
                );
            }
        }
    }

    /// Smart links.
    pub fn links(&mut self) {
        let file = self.file;
        self.once(
            "links",
            "link_id",
            file.links.iter().map(|link| link.link_id),
        );
        self.once("links", "slug", file.links.iter().map(|link| &link.slug));
        for (index, link) in file.links.iter().enumerate() {
            let path = format!("links[{index}]");
            self.slug(format_args!("{path}.slug"), &link.slug);
            if !self.campaigns.contains(&link.campaign_id) {
                let what = format!("there is no campaign {}", link.campaign_id);
                self.refuse(format_args!("{path}.campaign_id"), what);
            }
            self.offer(format_args!("{path}.offer_id"), link.offer_id);
        }
    }

    /// Tenants' own rates.
    pub fn overrides(&mut self) {
        let file = self.file;
        for (index, own) in file.overrides.iter().enumerate() {
            let path = format!("overrides[{index}]");
            self.tenant(format_args!("{path}.tenant_id"), own.tenant_id);
            self.offer(format_args!("{path}.offer_id"), own.offer_id);
            if let Some(goal) = &own.goal_id {
                self.name(format_args!("{path}.goal_id"), goal);
            }
            if let Some(until) = own.valid_until {
                self.date(format_args!("{path}.valid_until"), until);
                if until <= own.effective_at {
                    let what = format!("{until} is not after effective_at, {}", own.effective_at);
                    self.refuse(format_args!("{path}.valid_until"), what);
                }
            }
            match &own.rate {
                Some(rate) => {
                    let currencies = self.currencies(own.offer_id);
                    self.rate(format_args!("{path}.rate"), rate, &currencies);
                }
                None if own.valid_until.is_some() => {
                    let what = "a withdrawn override (rate: null) has no end";
                    self.refuse(format_args!("{path}.valid_until"), what);
                }
                None => (),
            }
        }
    }

    fn currencies(&self, offer_id: schemas::OfferId) -> BTreeSet<Currency> {
        self.offers.get(&offer_id).cloned().unwrap_or_default()
    }

    /// Locked books, each by itself.
    pub fn locks(&mut self) {
        let file = self.file;
        for (index, lock) in file.locks.iter().enumerate() {
            let path = format!("locks[{index}]");
            self.tenant(format_args!("{path}.tenant_id"), lock.tenant_id);
            let through = end_of(lock.locked_through);
            let last_day = through.plus_days(-1);
            self.date(format_args!("{path}.locked_through"), last_day);
            if through > lock.effective_at {
                let what = format!(
                    "{} isn't over when the lock takes effect, at {}",
                    lock.locked_through, lock.effective_at
                );
                self.refuse(format_args!("{path}.locked_through"), what);
            }
        }
    }

    /// What stands in a list more than once.
    fn once<T: Hash + Eq + Display>(
        &mut self,
        list: &str,
        field: &str,
        values: impl Iterator<Item = T>,
    ) {
        let mut seen = HashSet::new();
        for (index, value) in values.enumerate() {
            let path = format_args!("{list}[{index}].{field}").to_string();
            if seen.contains(&value) {
                self.refuse(path, format!("{value} stands in the file twice"));
            }
            seen.insert(value);
        }
    }
}

/// The end of a day, UTC; of the last day there is, its start.
fn end_of(day: NaiveDate) -> Timestamp {
    let midnight = day.and_time(NaiveTime::MIN).and_utc();
    let end = midnight.checked_add_signed(Duration::days(1));
    end.unwrap_or(midnight).into()
}
