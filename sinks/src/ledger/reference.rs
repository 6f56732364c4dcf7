//! Loads the reference data as one snapshot, and keeps it fresh.

mod rates;
mod rules;

use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use chrono::{DateTime, Utc};
use schemas::{
    Amount, CampaignId, LinkId, NetworkId, OfferId, Percentage, TenantId, UserId,
    events::SelfPurchase,
    reference::{
        Campaign, CampaignTerms, Link, Network, Offer, OfferTerms, ReferenceData, SharedContact,
        TenantSettings, Version, Versions,
    },
};
use sqlx::{PgConnection, PgPool, Row, postgres::PgRow};
use tokio_util::sync::CancellationToken;

use super::{LedgerError, rows};

/// A version takes effect at least 60 seconds after it is saved; snapshots are refreshed far
/// faster than that.
const REFRESH_INTERVAL: Duration = Duration::from_secs(10);

/// Loads everything in one repeatable read, so that the parts fit each other.
///
/// # Errors
/// When the database can't be read, or holds what can't be parsed.
pub async fn load(pool: &PgPool) -> Result<ReferenceData, LedgerError> {
    let mut transaction = pool.begin().await?;
    sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        .execute(&mut *transaction)
        .await?;
    let mut data = ReferenceData {
        tenants: tenants(&mut transaction).await?,
        campaigns: campaigns(&mut transaction).await?,
        closed_campaigns: closed_campaigns(&mut transaction).await?,
        domains: domains(&mut transaction).await?,
        offers: offers(&mut transaction).await?,
        networks: networks(&mut transaction).await?,
        shared_contacts: shared_contacts(&mut transaction).await?,
        overrides: rates::overrides(&mut transaction).await?,
        commission_rules: rules::commission(&mut transaction).await?,
        locks: rates::locks(&mut transaction).await?,
        ..ReferenceData::default()
    };
    load_links(&mut transaction, &mut data).await?;
    rules::load_fraud(&mut transaction, &mut data).await?;
    transaction.commit().await?;
    Ok(data)
}

/// Refreshes the snapshot until `shutdown`. While the database can't be read the old snapshot
/// stands, and the failure is logged each time.
pub async fn refresh(
    pool: PgPool,
    snapshot: Arc<ArcSwap<ReferenceData>>,
    shutdown: CancellationToken,
) {
    while shutdown
        .run_until_cancelled(tokio::time::sleep(REFRESH_INTERVAL))
        .await
        .is_some()
    {
        match load(&pool).await {
            Ok(data) => snapshot.store(Arc::new(data)),
            Err(error) => tracing::error!(%error, "reference data could not be refreshed"),
        }
    }
}

/// Gathers versions by what they are versions of.
struct Gathered<K, T>(HashMap<K, Vec<Version<T>>>);

impl<K: Eq + Hash, T> Gathered<K, T> {
    fn new() -> Self {
        Self(HashMap::new())
    }

    fn push(&mut self, key: K, row: &PgRow, value: T) -> Result<(), LedgerError> {
        let effective_at: DateTime<Utc> = row.try_get("effective_at")?;
        let version = Version {
            version: row.try_get("version")?,
            effective_at: effective_at.into(),
            value,
        };
        self.0.entry(key).or_default().push(version);
        Ok(())
    }

    fn finish(self) -> HashMap<K, Versions<T>> {
        self.0
            .into_iter()
            .filter_map(|(key, versions)| Some((key, Versions::new(versions)?)))
            .collect()
    }
}

fn percentage(row: &PgRow, column: &str) -> Result<Option<Percentage>, LedgerError> {
    let number: Option<rust_decimal::Decimal> = row.try_get(column)?;
    number
        .map(|number| {
            number
                .to_string()
                .parse()
                .map_err(|error| LedgerError::Invalid(format!("{column} {number}: {error}")))
        })
        .transpose()
}

fn amount(row: &PgRow, column: &str) -> Result<Option<Amount>, LedgerError> {
    let number: Option<rust_decimal::Decimal> = row.try_get(column)?;
    number
        .map(|number| {
            Amount::from_decimal(number)
                .map_err(|error| LedgerError::Invalid(format!("{column} {number}: {error}")))
        })
        .transpose()
}

/// A value of an enum whose names are those of its JSON.
fn symbol<T: serde::de::DeserializeOwned>(row: &PgRow, column: &str) -> Result<T, LedgerError> {
    let name: &str = row.try_get(column)?;
    serde_json::from_value(name.into())
        .map_err(|error| LedgerError::Invalid(format!("{column} {name:?}: {error}")))
}

async fn tenants(
    connection: &mut PgConnection,
) -> Result<HashMap<TenantId, Versions<TenantSettings>>, LedgerError> {
    let mut tenants = Gathered::new();
    for row in &sqlx::query("SELECT * FROM tenant_versions")
        .fetch_all(connection)
        .await?
    {
        let settings = TenantSettings {
            level: symbol(row, "level")?,
            default_share: percentage(row, "default_share_pct")?.unwrap_or_default(),
            platform_fee: percentage(row, "platform_fee_pct")?.unwrap_or_default(),
            platform_fee_flat: amount(row, "platform_fee_flat")?.unwrap_or_default(),
            subsidy: amount(row, "subsidy")?.unwrap_or_default(),
        };
        tenants.push(TenantId::new(row.try_get("tenant_id")?), row, settings)?;
    }
    Ok(tenants.finish())
}

async fn campaigns(
    connection: &mut PgConnection,
) -> Result<HashMap<CampaignId, Campaign>, LedgerError> {
    let mut terms = Gathered::new();
    let mut owners = HashMap::new();
    for row in &sqlx::query("SELECT * FROM campaign_versions")
        .fetch_all(connection)
        .await?
    {
        let campaign_id = CampaignId::new(row.try_get("campaign_id")?);
        owners.insert(campaign_id, TenantId::new(row.try_get("tenant_id")?));
        let value = CampaignTerms {
            share: percentage(row, "share_pct")?,
            attribution_window_days: row.try_get("attribution_window_days")?,
        };
        terms.push(campaign_id, row, value)?;
    }
    let campaign = |(id, terms)| {
        Some((
            id,
            Campaign {
                tenant_id: *owners.get(&id)?,
                terms,
            },
        ))
    };
    Ok(terms.finish().into_iter().filter_map(campaign).collect())
}

async fn offers(connection: &mut PgConnection) -> Result<HashMap<OfferId, Offer>, LedgerError> {
    let mut terms = Gathered::new();
    let mut offers = HashMap::new();
    let mut goal_rates = rates::of_goals(connection).await?;
    let rows = sqlx::query(
        "SELECT v.*, v.currency::text AS currency_code, o.network_id, o.category
         FROM offer_versions v JOIN offers o USING (offer_id)",
    )
    .fetch_all(&mut *connection)
    .await?;
    for row in &rows {
        let offer_id = OfferId::new(row.try_get("offer_id")?);
        let category: Option<String> = row.try_get("category")?;
        let network_id = NetworkId::new(row.try_get("network_id")?);
        offers.insert(offer_id, (network_id, category));
        let value = OfferTerms {
            tracking_url: row.try_get("tracking_url")?,
            currency: rows::currency(row, "currency_code")?,
            commission_source: symbol(row, "commission_source")?,
            commission: rates::of_row(row, "base_commission_pct", "commission_flat")?.ok_or_else(
                || LedgerError::Invalid(format!("offer {offer_id} has a version without a rate")),
            )?,
            goal_rates: goal_rates
                .remove(&(offer_id, row.try_get("version")?))
                .unwrap_or_default(),
            commission_max: amount(row, "commission_max")?,
            usual_sale_max: amount(row, "usual_sale_max")?,
            cool_off_days: row.try_get("cool_off_days")?,
            txn_id_names_order: row.try_get("txn_id_names_order")?,
            duplicate_orders: symbol(row, "duplicate_orders")?,
        };
        terms.push(offer_id, row, value)?;
    }
    let offer = |(id, terms)| {
        let (network_id, category) = offers.remove(&id)?;
        Some((
            id,
            Offer {
                network_id,
                category,
                terms,
            },
        ))
    };
    Ok(terms.finish().into_iter().filter_map(offer).collect())
}

async fn networks(
    connection: &mut PgConnection,
) -> Result<HashMap<NetworkId, Network>, LedgerError> {
    let rows = sqlx::query("SELECT *, default_currency::text AS currency_code FROM networks")
        .fetch_all(connection)
        .await?;
    rows.iter()
        .map(|row| {
            let network = Network {
                default_currency: rows::currency(row, "currency_code")?,
                payout_means: symbol(row, "payout_means")?,
                fires_at_sale: row.try_get("fires_at_sale")?,
                security_token_sha256: row.try_get("security_token_sha256")?,
                utc_offset_minutes: row.try_get("utc_offset_minutes")?,
            };
            Ok((NetworkId::new(row.try_get("network_id")?), network))
        })
        .collect()
}

/// Shoppers who share a phone or an e-mail with a member of a tenant: few, whatever the number
/// of shoppers.
async fn shared_contacts(
    connection: &mut PgConnection,
) -> Result<HashMap<(TenantId, UserId), SharedContact>, LedgerError> {
    let rows = sqlx::query(
        "SELECT m.tenant_id, s.user_id, m.since,
                CASE WHEN s.phone_hash = u.phone_hash THEN 'phone' ELSE 'email' END AS contact
         FROM tenant_members m
         JOIN users u ON u.user_id = m.user_id
         JOIN users s ON s.phone_hash = u.phone_hash
         UNION ALL
         SELECT m.tenant_id, s.user_id, m.since, 'email'
         FROM tenant_members m
         JOIN users u ON u.user_id = m.user_id
         JOIN users s ON s.email_hash = u.email_hash
              AND s.phone_hash IS DISTINCT FROM u.phone_hash
         ORDER BY since DESC",
    )
    .fetch_all(connection)
    .await?;
    // Sorted so that the earliest membership is what remains.
    rows.iter()
        .map(|row| {
            let key = (
                TenantId::new(row.try_get("tenant_id")?),
                UserId::new(row.try_get("user_id")?),
            );
            let since: DateTime<Utc> = row.try_get("since")?;
            let contact: SelfPurchase = symbol(row, "contact")?;
            Ok((
                key,
                SharedContact {
                    contact,
                    from: since.into(),
                },
            ))
        })
        .collect()
}

async fn closed_campaigns(
    connection: &mut PgConnection,
) -> Result<HashSet<CampaignId>, LedgerError> {
    let ids = sqlx::query_scalar("SELECT campaign_id FROM campaigns WHERE status <> 'active'")
        .fetch_all(connection)
        .await?;
    Ok(ids.into_iter().map(CampaignId::new).collect())
}

async fn domains(connection: &mut PgConnection) -> Result<HashMap<String, TenantId>, LedgerError> {
    let rows: Vec<(String, uuid::Uuid)> = sqlx::query_as(
        "SELECT lower(custom_domain), tenant_id FROM tenants WHERE custom_domain IS NOT NULL",
    )
    .fetch_all(connection)
    .await?;
    let named = rows
        .into_iter()
        .map(|(domain, tenant)| (domain, TenantId::new(tenant)));
    Ok(named.collect())
}

async fn load_links(
    connection: &mut PgConnection,
    data: &mut ReferenceData,
) -> Result<(), LedgerError> {
    let rows = sqlx::query("SELECT link_id, campaign_id, offer_id, slug FROM links")
        .fetch_all(connection)
        .await?;
    for row in &rows {
        let link_id = LinkId::new(row.try_get("link_id")?);
        let link = Link {
            slug: row.try_get("slug")?,
            campaign_id: CampaignId::new(row.try_get("campaign_id")?),
            offer_id: OfferId::new(row.try_get("offer_id")?),
        };
        data.slugs.insert(link.slug.clone(), link_id);
        data.links.insert(link_id, link);
    }
    Ok(())
}
