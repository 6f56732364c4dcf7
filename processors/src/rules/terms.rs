//! The terms of a conversion: pinned as of its click, by version and by value, so that a later
//! edit never re-prices history (design section 4, terms).

use schemas::{
    events::{ClickFacts, Terms},
    reference::ReferenceData,
};

/// The terms of a click, as they stood when it happened.
///
/// They are a function of the click alone, so that all reports of a click agree on them: the
/// network's part is that of the instance that the *offer* comes from, whichever instance a report
/// claims to be from. The share falls back from the campaign to the tenant. `None` where the
/// reference data lacks the tenant, campaign, offer or network.
pub fn terms_as_of_click(click: &ClickFacts, reference: &ReferenceData) -> Option<Terms> {
    let tenant = reference
        .tenants
        .get(&click.tenant_id)?
        .as_of(click.clicked_at);
    let campaign = reference
        .campaigns
        .get(&click.campaign_id)?
        .terms
        .as_of(click.clicked_at);
    let offered = reference.offers.get(&click.offer_id)?;
    let offer = offered.terms.as_of(click.clicked_at);
    let network = reference.networks.get(&offered.network_id)?;
    Some(Terms {
        tenant_version: tenant.version,
        campaign_version: campaign.version,
        offer_version: offer.version,
        currency: offer.value.currency,
        default_currency: network.default_currency,
        commission_source: offer.value.commission_source,
        commission: offer.value.commission,
        payout_means: network.payout_means,
        commission_max: offer.value.commission_max,
        usual_sale_max: offer.value.usual_sale_max,
        cool_off_days: offer.value.cool_off_days,
        attribution_window_days: campaign.value.attribution_window_days,
        fires_at_sale: network.fires_at_sale,
        txn_id_names_order: offer.value.txn_id_names_order,
        duplicate_orders: offer.value.duplicate_orders,
        user_share: campaign.value.share.unwrap_or(tenant.value.default_share),
        platform_fee: tenant.value.platform_fee,
        platform_fee_flat: tenant.value.platform_fee_flat,
        subsidy: tenant.value.subsidy,
    })
}
