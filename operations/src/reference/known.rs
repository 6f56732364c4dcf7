//! What the database holds already, as far as a file is checked against it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use chrono::{DateTime, NaiveDate, Utc};
use schemas::{CampaignId, Currency, NetworkId, OfferId, TenantId, Timestamp};
use sqlx::{PgConnection, Row, postgres::PgRow};
use uuid::Uuid;

use super::{editions::Subject, file::Rate};

/// What is saved.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Tenants.
    pub tenants: HashSet<TenantId>,
    /// Instances of networks.
    pub networks: HashSet<NetworkId>,
    /// Campaigns, each with its owner.
    pub campaigns: HashMap<CampaignId, TenantId>,
    /// Offers.
    pub offers: HashMap<OfferId, KnownOffer>,
    /// The number of each version, by what it is a version of and from when on it is in force.
    pub versions: HashMap<Subject, BTreeMap<Timestamp, i32>>,
    /// Rates of single goals, by offer and from when on its version is in force.
    pub goal_rates: HashMap<(OfferId, Timestamp), BTreeMap<String, Rate>>,
    /// Through which day each lock goes, by from when on it is in force.
    pub locks: HashMap<TenantId, BTreeMap<Timestamp, NaiveDate>>,
}

/// An offer that is saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownOffer {
    /// Its network.
    pub network_id: NetworkId,
    /// What it sells.
    pub category: Option<String>,
    /// The currencies that its versions ever had.
    pub currencies: BTreeSet<Currency>,
}

impl Known {
    /// Reads it.
    ///
    /// # Errors
    /// When the database doesn't answer, or holds a currency that isn't known.
    pub(super) async fn load(connection: &mut PgConnection) -> sqlx::Result<Self> {
        let mut known = Self::default();
        for row in &fetch(connection, "SELECT tenant_id FROM tenants").await? {
            known.tenants.insert(tenant(row)?);
        }
        for row in &fetch(connection, "SELECT network_id FROM networks").await? {
            let network_id = NetworkId::new(row.try_get("network_id")?);
            known.networks.insert(network_id);
        }
        for row in &fetch(connection, "SELECT campaign_id, tenant_id FROM campaigns").await? {
            let campaign_id = CampaignId::new(row.try_get("campaign_id")?);
            known.campaigns.insert(campaign_id, tenant(row)?);
        }
        known.load_offers(connection).await?;
        known.load_versions(connection).await?;
        known.load_locks(connection).await?;
        Ok(known)
    }

    async fn load_offers(&mut self, connection: &mut PgConnection) -> sqlx::Result<()> {
        let rows = fetch(
            connection,
            "SELECT o.offer_id, o.network_id, o.category,
                    ARRAY(SELECT v.currency::text FROM offer_versions v
                          WHERE v.offer_id = o.offer_id) AS currencies
             FROM offers o",
        )
        .await?;
        for row in &rows {
            let codes: Vec<String> = row.try_get("currencies")?;
            let currencies: Result<_, _> = codes.iter().map(|code| code.parse()).collect();
            let known = KnownOffer {
                network_id: NetworkId::new(row.try_get("network_id")?),
                category: row.try_get("category")?,
                currencies: currencies.map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
            };
            self.offers.insert(offer(row)?, known);
        }
        let rows = fetch(
            connection,
            "SELECT offer_id, effective_at, goal_id, g.commission_pct, g.commission_flat
             FROM offer_goal_rates g JOIN offer_versions v USING (offer_id, version)",
        )
        .await?;
        for row in &rows {
            let rate = Rate {
                pct: row.try_get("commission_pct")?,
                flat: row.try_get("commission_flat")?,
            };
            self.goal_rates
                .entry((offer(row)?, effective_at(row)?))
                .or_default()
                .insert(row.try_get("goal_id")?, rate);
        }
        Ok(())
    }

    async fn load_versions(&mut self, connection: &mut PgConnection) -> sqlx::Result<()> {
        type Read = fn(&PgRow) -> sqlx::Result<Subject>;
        let tables: [(&str, Read); 7] = [
            ("SELECT * FROM tenant_versions", |row| {
                Ok(Subject::Tenant(tenant(row)?))
            }),
            ("SELECT * FROM offer_versions", |row| {
                Ok(Subject::Offer(offer(row)?))
            }),
            ("SELECT * FROM campaign_versions", |row| {
                let campaign_id = CampaignId::new(row.try_get("campaign_id")?);
                Ok(Subject::Campaign(campaign_id))
            }),
            ("SELECT * FROM commission_overrides", |row| {
                let goal_id: String = row.try_get("goal_id")?;
                let goal_id = (!goal_id.is_empty()).then_some(goal_id);
                Ok(Subject::Override(tenant(row)?, offer(row)?, goal_id))
            }),
            ("SELECT * FROM fraud_rule_sets", |row| {
                let tenant_id: Option<Uuid> = row.try_get("tenant_id")?;
                Ok(Subject::FraudRules(tenant_id.map(TenantId::new)))
            }),
            ("SELECT * FROM commission_rule_sets", |_| {
                Ok(Subject::CommissionRules)
            }),
            ("SELECT * FROM tenant_locks", |row| {
                Ok(Subject::Lock(tenant(row)?))
            }),
        ];
        for (query, subject) in tables {
            for row in &fetch(connection, query).await? {
                self.versions
                    .entry(subject(row)?)
                    .or_default()
                    .insert(effective_at(row)?, row.try_get("version")?);
            }
        }
        Ok(())
    }

    async fn load_locks(&mut self, connection: &mut PgConnection) -> sqlx::Result<()> {
        for row in &fetch(connection, "SELECT * FROM tenant_locks").await? {
            self.locks
                .entry(tenant(row)?)
                .or_default()
                .insert(effective_at(row)?, row.try_get("locked_through")?);
        }
        Ok(())
    }
}

async fn fetch(connection: &mut PgConnection, query: &'static str) -> sqlx::Result<Vec<PgRow>> {
    sqlx::query(query).fetch_all(connection).await
}

fn tenant(row: &PgRow) -> sqlx::Result<TenantId> {
    row.try_get("tenant_id").map(TenantId::new)
}

fn offer(row: &PgRow) -> sqlx::Result<OfferId> {
    row.try_get("offer_id").map(OfferId::new)
}

fn effective_at(row: &PgRow) -> sqlx::Result<Timestamp> {
    let at: DateTime<Utc> = row.try_get("effective_at")?;
    Ok(at.into())
}
