//! Where a smart link leads. Everything that it takes is in memory, in the newest snapshot of the
//! reference data: no database and no other process is asked.

use schemas::{
    LinkId, Timestamp,
    reference::{Link, ReferenceData},
};

use crate::destination::destination;

/// A link that leads somewhere.
#[derive(Debug, Clone, Copy)]
pub struct SmartLink<'r> {
    /// Its id.
    pub link_id: LinkId,
    /// Its campaign and offer.
    pub link: &'r Link,
    tracking_url: &'r str,
}

/// Why a slug leads nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeadEnd {
    /// There is no such link, here.
    Unknown,
    /// There was: its campaign is paused or archived, or its offer has no usable address.
    Ended,
}

impl<'r> SmartLink<'r> {
    /// The link of a slug, at an instant. `host` is the name that it was asked under: under a
    /// tenant's own domain there are only that tenant's links, under any other name all of them.
    ///
    /// # Errors
    /// When it leads nowhere.
    pub fn resolve(
        reference: &'r ReferenceData,
        host: Option<&str>,
        slug: &str,
        at: Timestamp,
    ) -> Result<Self, DeadEnd> {
        let link_id = *reference.slugs.get(slug).ok_or(DeadEnd::Unknown)?;
        let link = reference.links.get(&link_id).ok_or(DeadEnd::Unknown)?;
        let campaign = reference.campaigns.get(&link.campaign_id);
        let campaign = campaign.ok_or(DeadEnd::Unknown)?;
        let domain_of = host.and_then(|host| reference.domains.get(host));
        if domain_of.is_some_and(|tenant| *tenant != campaign.tenant_id) {
            return Err(DeadEnd::Unknown);
        }
        if reference.closed_campaigns.contains(&link.campaign_id) {
            return Err(DeadEnd::Ended);
        }
        let offer = reference.offers.get(&link.offer_id).ok_or(DeadEnd::Ended)?;
        Ok(Self {
            link_id,
            link,
            tracking_url: &offer.terms.as_of(at).value.tracking_url,
        })
    }

    /// The network's address with the click in it, and what of the shopper's own query is passed
    /// on.
    ///
    /// # Errors
    /// When the offer's address is none that a browser can be sent to.
    pub fn location(&self, click_reference: &str, query: &str) -> Result<String, DeadEnd> {
        destination(self.tracking_url, click_reference, query).ok_or_else(|| {
            tracing::error!(offer_id = %self.link.offer_id, "the offer's address is unusable");
            DeadEnd::Ended
        })
    }
}
