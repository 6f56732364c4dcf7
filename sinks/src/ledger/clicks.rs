//! Looks up bare click ids in the `clicks` table.

use std::collections::HashMap;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use processors::stage::{ClickLookup, LookupError};
use schemas::{
    CampaignId, ClickId, LinkId, OfferId, TenantId, UserId,
    events::{ClickFacts, ClickSignals},
};
use sqlx::{PgPool, Row, postgres::PgRow};

/// Clicks that the ledger has stored.
#[derive(Clone)]
pub struct StoredClicks {
    pool: PgPool,
}

impl StoredClicks {
    /// Over connections of a role that may read clicks.
    pub fn new(pool: PgPool) -> Self {
        Self { pool }
    }
}

#[async_trait]
impl ClickLookup for StoredClicks {
    async fn clicks(&self, ids: &[ClickId]) -> Result<HashMap<ClickId, ClickFacts>, LookupError> {
        let ids: Vec<i64> = ids.iter().map(|id| id.get()).collect();
        let rows = sqlx::query(
            "SELECT click_id, clicked_at, tenant_id, campaign_id, link_id, offer_id, user_id,
                    country::text AS country, signals
             FROM clicks WHERE click_id = ANY($1)",
        )
        .bind(&ids)
        .fetch_all(&self.pool)
        .await
        .map_err(LookupError::new)?;
        rows.iter()
            .map(|row| facts(row).map(|facts| (facts.click_id, facts)))
            .collect::<Result<_, _>>()
            .map_err(LookupError::new)
    }
}

fn facts(row: &PgRow) -> Result<ClickFacts, Box<dyn std::error::Error + Send + Sync>> {
    let clicked_at: DateTime<Utc> = row.try_get("clicked_at")?;
    let user_id: Option<uuid::Uuid> = row.try_get("user_id")?;
    let country: Option<&str> = row.try_get("country")?;
    let signals: i32 = row.try_get("signals")?;
    Ok(ClickFacts {
        click_id: ClickId::new(row.try_get("click_id")?),
        clicked_at: clicked_at.into(),
        tenant_id: TenantId::new(row.try_get("tenant_id")?),
        campaign_id: CampaignId::new(row.try_get("campaign_id")?),
        link_id: LinkId::new(row.try_get("link_id")?),
        offer_id: OfferId::new(row.try_get("offer_id")?),
        user_id: user_id.map(UserId::new),
        country: country.map(str::parse).transpose()?,
        signals: ClickSignals::from_byte(u8::try_from(signals)?),
    })
}
