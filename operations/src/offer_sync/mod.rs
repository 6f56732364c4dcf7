//! Our offers, brought in line with the network's campaigns.
//!
//! ```text
//!  campaigns ─▶ terms, or why they can't be ours ─▶ against what is saved ─▶ new, changed, gone
//!                                                                               │
//!                              reference import, whole or not at all ◀──────────┘
//! ```
//!
//! Terms are versions: what a campaign pays now becomes a version in force a little later than now,
//! and clicks of before keep the terms that they had. What the network doesn't say (caps, cool-off,
//! what a second claim on an order means) stays as it is saved. Nothing is ever taken away: an
//! offer that isn't listed any more is named, and a person decides.

mod difference;
mod mapping;

use std::collections::{BTreeMap, BTreeSet};

use schemas::{
    Country, NetworkId, OfferId, Timestamp,
    events::{CommissionSource, DuplicatePolicy},
    reference::{OfferTerms, ReferenceData},
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sinks::ledger::{LedgerError, reference as saved};
use sqlx::PgPool;

use crate::{
    advisory_lock::AdvisoryLock,
    reference::{self, Contacts, ReferenceError, ReferenceFile, file},
    trackier::{Client, TrackierError, campaign::Campaign},
};
pub use difference::FieldChange;
use mapping::Listed;

/// From saving to taking effect: twice what a version needs, since saving takes time too.
const NOTICE_MS: i64 = 120_000;
/// How often the list is read, at most, until it is as long as the network says.
const READINGS_MAX: u32 = 3;
/// Pages, at most: a million campaigns.
const PAGES_MAX: u32 = 1_000;
/// From the sale to payable, of an offer that is new here.
const COOL_OFF_DAYS: i32 = 30;
const LOCK: &str = "hissaback.offer_sync";

/// What to sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OfferSyncSettings {
    /// The network instance whose campaigns are listed.
    pub network_id: NetworkId,
    /// Whose payouts count: Trackier's differ by country, and ours don't.
    pub country: Country,
    /// Whether to tell the differences only.
    pub dry_run: bool,
}

/// What a sync came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct OfferSyncReport {
    /// Campaigns that are listed.
    pub campaigns: u64,
    /// Whether fewer were seen than the network said there are; then none counts as gone.
    pub unsettled: bool,
    /// Offers that are as the network has them.
    pub unchanged: u64,
    /// Offers that are new here.
    pub new: Vec<NewOffer>,
    /// Offers whose terms differ, and in what.
    pub changed: Vec<ChangedOffer>,
    /// Offers of the network that it doesn't list. Nothing is done about them.
    pub gone: Vec<OfferId>,
    /// Campaigns that can't be taken as they are.
    pub refused: Vec<RefusedCampaign>,
    /// From when on the versions are in force.
    pub effective_at: Option<Timestamp>,
    /// Rows that were saved, or would be.
    pub rows: u64,
    /// Whether they were saved.
    pub saved: bool,
}

/// An offer that is new here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NewOffer {
    /// Its number.
    pub offer_id: OfferId,
    /// Its name.
    pub brand: String,
    /// What it pays.
    pub terms: Vec<FieldChange>,
}

/// An offer whose terms differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChangedOffer {
    /// Its number.
    pub offer_id: OfferId,
    /// Its name at the network.
    pub brand: String,
    /// In what.
    pub changes: Vec<FieldChange>,
}

/// A campaign that can't be taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RefusedCampaign {
    /// Its number, where it has one that is ours to use.
    pub offer_id: Option<OfferId>,
    /// Why not.
    pub reason: String,
}

/// Why nothing was synced.
#[derive(Debug, thiserror::Error)]
pub enum OfferSyncError {
    /// The list can't be had.
    #[error(transparent)]
    Trackier(#[from] TrackierError),
    /// The list has no end.
    #[error("there are over {PAGES_MAX} pages of campaigns")]
    Endless,
    /// No such network instance.
    #[error("there is no network {0}: import it first")]
    NetworkUnknown(NetworkId),
    /// What is saved can't be read.
    #[error("the saved offers can't be read: {0}")]
    Saved(#[from] LedgerError),
    /// Another instance is at it.
    #[error("another sync of offers is under way")]
    Running,
    /// The versions can't be saved, and none is.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// The database doesn't answer.
    #[error("the database can't be asked: {0}")]
    Database(#[from] sqlx::Error),
}

/// Lists the campaigns, compares, and saves what is new: all of it or nothing. `now` is the time of
/// saving; `author` stands in the audit log.
///
/// # Errors
/// See [`OfferSyncError`].
pub async fn sync(
    client: &Client,
    pool: &PgPool,
    contacts: &Contacts,
    settings: OfferSyncSettings,
    now: impl Fn() -> Timestamp,
    author: &str,
) -> Result<OfferSyncReport, OfferSyncError> {
    let lock = AdvisoryLock::take(pool, LOCK).await?;
    let lock = lock.ok_or(OfferSyncError::Running)?;
    let outcome = sync_alone(client, pool, contacts, settings, now, author).await;
    lock.release().await?;
    outcome
}

async fn sync_alone(
    client: &Client,
    pool: &PgPool,
    contacts: &Contacts,
    settings: OfferSyncSettings,
    now: impl Fn() -> Timestamp,
    author: &str,
) -> Result<OfferSyncReport, OfferSyncError> {
    let listing = list(client).await?;
    let saved = saved::load(pool).await?;
    if !saved.networks.contains_key(&settings.network_id) {
        return Err(OfferSyncError::NetworkUnknown(settings.network_id));
    }
    let saving_at = now();
    let effective_at = whole_second(saving_at.plus_millis(NOTICE_MS));
    let (mut report, file) = compare(&listing, &saved, settings, effective_at);
    if file.offers.is_empty() {
        return Ok(report);
    }
    report.effective_at = Some(effective_at);
    let added = if settings.dry_run {
        reference::rehearse(pool, &file, contacts, saving_at).await?
    } else {
        reference::import(pool, &file, contacts, saving_at).await?
    };
    report.rows = added.rows();
    report.saved = !settings.dry_run;
    if report.saved {
        let detail = serde_json::json!({
            "effective_at": effective_at, "new": report.new, "changed": report.changed,
        });
        sqlx::query(
            "INSERT INTO audit_log (author, action, subject, detail)
             VALUES ($1, 'offer_sync', $2, $3)",
        )
        .bind(author)
        .bind(settings.network_id.to_string())
        .bind(detail)
        .execute(pool)
        .await?;
    }
    Ok(report)
}

fn whole_second(at: Timestamp) -> Timestamp {
    Timestamp::from_millis(at.millis().div_euclid(1_000) * 1_000)
}

/// The campaigns that are listed, by number; what has none stands under its own bytes.
#[derive(Debug, Default)]
struct Listing {
    campaigns: BTreeMap<Identity, Box<RawValue>>,
    settled: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Identity {
    Number(i64),
    Bytes(String),
}

impl Identity {
    fn of(row: &RawValue) -> Self {
        #[derive(Deserialize)]
        struct Numbered {
            id: i64,
        }
        serde_json::from_str::<Numbered>(row.get()).map_or_else(
            |_| Self::Bytes(row.get().to_owned()),
            |numbered| Self::Number(numbered.id),
        )
    }
}

/// Reads the list until it is as long as the network says, a few times at most: campaigns come and
/// go while one reads.
async fn list(client: &Client) -> Result<Listing, OfferSyncError> {
    let mut listing = Listing::default();
    for _ in 0..READINGS_MAX {
        let (mut seen, mut most) = (BTreeSet::new(), None);
        for number in 1.. {
            if number > PAGES_MAX {
                return Err(OfferSyncError::Endless);
            }
            let page = client.campaigns_page(number).await?;
            most = most.max(page.count);
            let mut further = false;
            for row in page.rows {
                let identity = Identity::of(&row);
                further |= seen.insert(identity.clone());
                listing.campaigns.insert(identity, row);
            }
            let all = most.is_some_and(|most| seen.len() as u64 >= most);
            if all || !further {
                break;
            }
        }
        listing.settled = most.is_none_or(|most| seen.len() as u64 >= most);
        if listing.settled {
            listing
                .campaigns
                .retain(|identity, _| seen.contains(identity));
            break;
        }
    }
    Ok(listing)
}

/// What differs, and the file that makes up for it. Pure.
fn compare(
    listing: &Listing,
    saved: &ReferenceData,
    settings: OfferSyncSettings,
    effective_at: Timestamp,
) -> (OfferSyncReport, ReferenceFile) {
    let mut report = OfferSyncReport {
        campaigns: listing.campaigns.len() as u64,
        unsettled: !listing.settled,
        ..OfferSyncReport::default()
    };
    let mut file = ReferenceFile::default();
    let mut seen = BTreeSet::new();
    for (identity, row) in &listing.campaigns {
        let offer_id = match identity {
            Identity::Number(number) => i32::try_from(*number).ok().map(OfferId::new),
            Identity::Bytes(_) => None,
        };
        seen.extend(offer_id);
        let listed = serde_json::from_str::<Campaign>(row.get())
            .map_err(|error| format!("it can't be read: {error}"))
            .and_then(|campaign| mapping::listed(&campaign, settings.country));
        let taken = listed.and_then(|listed| {
            take(
                &listed,
                saved,
                settings.network_id,
                effective_at,
                &mut report,
            )
        });
        match taken {
            Ok(offer) => file.offers.extend(offer),
            Err(reason) => report.refused.push(RefusedCampaign { offer_id, reason }),
        }
    }
    let ours = saved.offers.iter();
    let ours = ours.filter(|(_, offer)| offer.network_id == settings.network_id);
    let gone = ours
        .map(|(offer_id, _)| *offer_id)
        .filter(|id| !seen.contains(id));
    if listing.settled {
        report.gone = gone.collect();
        report.gone.sort_unstable();
    }
    (report, file)
}

/// The offer to import, if there is anything new about it.
fn take(
    listed: &Listed,
    saved: &ReferenceData,
    network_id: NetworkId,
    effective_at: Timestamp,
    report: &mut OfferSyncReport,
) -> Result<Option<file::Offer>, String> {
    let offer_id = listed.offer_id;
    let offer = |category: Option<String>, terms: &OfferTerms| file::Offer {
        offer_id,
        network_id,
        brand: listed.brand.clone(),
        category,
        versions: vec![mapping::version(terms, effective_at)],
    };
    let Some(known) = saved.offers.get(&offer_id) else {
        let terms = listed.terms.over(&of_new_offers(listed));
        report.new.push(NewOffer {
            offer_id,
            brand: listed.brand.clone(),
            terms: difference::told(&listed.terms),
        });
        return Ok(Some(offer(listed.category.clone(), &terms)));
    };
    if known.network_id != network_id {
        return Err(format!("the offer belongs to network {}", known.network_id));
    }
    let newest = known.terms.all().last().ok_or("the offer has no terms")?;
    let changes = difference::between(&newest.value, &listed.terms);
    if changes.is_empty() {
        report.unchanged += 1;
        return Ok(None);
    }
    if newest.effective_at >= effective_at {
        return Err(format!(
            "terms that differ are saved, in force from {} on: sync again after that",
            newest.effective_at
        ));
    }
    report.changed.push(ChangedOffer {
        offer_id,
        brand: listed.brand.clone(),
        changes,
    });
    let terms = listed.terms.over(&newest.value);
    Ok(Some(offer(known.category.clone(), &terms)))
}

/// What the network doesn't say of an offer, as an offer begins here.
fn of_new_offers(listed: &Listed) -> OfferTerms {
    OfferTerms {
        tracking_url: listed.terms.tracking_url.clone(),
        currency: listed.terms.currency,
        commission_source: CommissionSource::Percentage,
        commission: listed.terms.commission,
        goal_rates: BTreeMap::new(),
        commission_max: None,
        usual_sale_max: None,
        cool_off_days: COOL_OFF_DAYS,
        txn_id_names_order: true,
        duplicate_orders: DuplicatePolicy::Reject,
    }
}

#[cfg(test)]
mod tests;
