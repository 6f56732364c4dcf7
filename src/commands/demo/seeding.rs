//! Writes the demo's seeds into the reference data, as an operator would.

use hex::encode;
use rust_decimal::Decimal;
use schemas::contact::ContactKey;
use sha2::{Digest, Sha256};
use sqlx::{PgConnection, PgPool};

use crate::demo::world::{
    coin::Exact,
    seeds::{CommissionRule, PayoutMeaning, Seeds},
};

/// Writes all of it in one transaction.
///
/// # Errors
/// When the database refuses.
pub async fn seed(pool: &PgPool, seeds: &Seeds, contacts: &ContactKey) -> sqlx::Result<()> {
    let mut transaction = pool.begin().await?;
    tenants(&mut transaction, seeds).await?;
    people(&mut transaction, seeds, contacts).await?;
    networks_and_offers(&mut transaction, seeds).await?;
    campaigns_and_links(&mut transaction, seeds).await?;
    transaction.commit().await
}

fn percentage(hundredths: i64) -> Decimal {
    Decimal::new(hundredths, 2)
}

fn number(exact: Exact) -> Decimal {
    Decimal::new(exact.micros(), 6).normalize()
}

async fn tenants(connection: &mut PgConnection, seeds: &Seeds) -> sqlx::Result<()> {
    for tenant in &seeds.tenants {
        sqlx::query("INSERT INTO tenants (tenant_id, name) VALUES ($1, $2)")
            .bind(tenant.tenant_id.uuid())
            .bind(tenant.name)
            .execute(&mut *connection)
            .await?;
        for (edition, version) in tenant.settings.iter().zip(1_i32..) {
            sqlx::query(
                "INSERT INTO tenant_versions (tenant_id, version, effective_at, default_share_pct,
                    platform_fee_pct, platform_fee_flat, subsidy, payout_min, kyc_required)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            )
            .bind(tenant.tenant_id.uuid())
            .bind(version)
            .bind(edition.effective_at.to_datetime())
            .bind(percentage(edition.value.default_share))
            .bind(percentage(edition.value.platform_fee))
            .bind(number(edition.value.platform_fee_flat))
            .bind(number(edition.value.subsidy))
            .bind(Decimal::from(tenant.payout_minimum_units))
            .bind(tenant.asks_for_kyc)
            .execute(&mut *connection)
            .await?;
        }
    }
    Ok(())
}

async fn people(
    connection: &mut PgConnection,
    seeds: &Seeds,
    contacts: &ContactKey,
) -> sqlx::Result<()> {
    for user in &seeds.users {
        sqlx::query(
            "INSERT INTO users (user_id, phone, email, phone_hash, email_hash, kyc_hash, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(user.user_id.uuid())
        .bind(&user.phone)
        .bind(&user.email)
        .bind(contacts.phone(&user.phone))
        .bind(contacts.email(&user.email))
        .bind(user.identified.then(|| encode(Sha256::digest(user.user_id.uuid()))))
        .bind(user.created_at.to_datetime())
        .execute(&mut *connection)
        .await?;
    }
    for member in &seeds.members {
        sqlx::query("INSERT INTO tenant_members (tenant_id, user_id, since) VALUES ($1, $2, $3)")
            .bind(member.tenant_id.uuid())
            .bind(member.user_id.uuid())
            .bind(member.joined_at.to_datetime())
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

async fn networks_and_offers(connection: &mut PgConnection, seeds: &Seeds) -> sqlx::Result<()> {
    for network in &seeds.networks {
        let means = match network.payout {
            PayoutMeaning::Amount => "amount",
            PayoutMeaning::Percentage => "percentage",
        };
        sqlx::query(
            "INSERT INTO networks (network_id, name, default_currency, payout_means, fires_at_sale,
                security_token_sha256) VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(network.network_id.get())
        .bind(network.name)
        .bind(network.default_coin.code())
        .bind(means)
        .bind(network.fires_at_sale)
        .bind(network.security_token.map(|token| encode(Sha256::digest(token))))
        .execute(&mut *connection)
        .await?;
    }
    for offer in &seeds.offers {
        sqlx::query(
            "INSERT INTO offers (offer_id, network_id, brand, category) VALUES ($1, $2, $3, $4)",
        )
        .bind(offer.offer_id.get())
        .bind(offer.network_id.get())
        .bind(offer.brand)
        .bind(offer.category)
        .execute(&mut *connection)
        .await?;
        for (edition, version) in offer.terms.iter().zip(1_i32..) {
            let terms = &edition.value;
            let (source, rate) = match terms.commission {
                CommissionRule::OfSale(rate) => ("percentage", rate),
                CommissionRule::ReportedPayout => ("payout", 0),
            };
            sqlx::query(
                "INSERT INTO offer_versions (offer_id, version, effective_at, tracking_url,
                    currency, commission_source, base_commission_pct, commission_max,
                    usual_sale_max, cool_off_days, txn_id_names_order, duplicate_orders)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
            )
            .bind(offer.offer_id.get())
            .bind(version)
            .bind(edition.effective_at.to_datetime())
            .bind(terms.tracking_url)
            .bind(terms.coin.code())
            .bind(source)
            .bind(percentage(rate))
            .bind(terms.commission_max.map(number))
            .bind(terms.usual_sale_max.map(number))
            .bind(terms.cool_off_days)
            .bind(terms.txn_id_names_order)
            .bind(if terms.accepts_duplicates { "accept" } else { "reject" })
            .execute(&mut *connection)
            .await?;
        }
    }
    Ok(())
}

async fn campaigns_and_links(connection: &mut PgConnection, seeds: &Seeds) -> sqlx::Result<()> {
    for campaign in &seeds.campaigns {
        sqlx::query("INSERT INTO campaigns (campaign_id, tenant_id, name) VALUES ($1, $2, $3)")
            .bind(campaign.campaign_id.uuid())
            .bind(campaign.tenant_id.uuid())
            .bind(campaign.name)
            .execute(&mut *connection)
            .await?;
        for (edition, version) in campaign.terms.iter().zip(1_i32..) {
            sqlx::query(
                "INSERT INTO campaign_versions (campaign_id, tenant_id, version, effective_at,
                    share_pct, attribution_window_days) VALUES ($1, $2, $3, $4, $5, $6)",
            )
            .bind(campaign.campaign_id.uuid())
            .bind(campaign.tenant_id.uuid())
            .bind(version)
            .bind(edition.effective_at.to_datetime())
            .bind(edition.value.share.map(percentage))
            .bind(edition.value.attribution_window_days)
            .execute(&mut *connection)
            .await?;
        }
    }
    for (link, index) in seeds.links.iter().zip(0..) {
        sqlx::query(
            "INSERT INTO links (link_id, tenant_id, campaign_id, offer_id, slug)
             VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(link.link_id.uuid())
        .bind(seeds.tenant_of(index).tenant_id.uuid())
        .bind(link.campaign_id.uuid())
        .bind(link.offer_id.get())
        .bind(&link.slug)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}
