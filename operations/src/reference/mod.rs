//! Reference data from a file: tenants, people, networks, offers, campaigns, links.
//!
//! Reference data is append-only versions (design section 1). So an import only adds: what is
//! there already stays as it is, and a further version takes effect at least 60 seconds after it
//! is saved, so that no two instances differ about an instant that has passed.

mod file;

use rust_decimal::Decimal;
use schemas::{
    Percentage, Timestamp,
    contact::ContactKey,
    events::{CommissionSource, DuplicatePolicy, PayoutMeans},
};
use sha2::{Digest, Sha256};
use sqlx::{PgConnection, PgPool};

pub use file::{
    Campaign, CampaignTerms, Effective, Link, Member, Network, Offer, OfferTerms, ReferenceFile,
    Tenant, TenantSettings, User,
};

/// A version that follows others takes effect this long after it is saved, at the earliest.
const NOTICE_MILLIS: i64 = 60_000;

/// Why a file isn't taken.
#[derive(Debug, thiserror::Error)]
pub enum ReferenceError {
    /// A further version would take effect too soon.
    #[error(
        "version {version} of {what} takes effect at {effective_at}: a version that follows others \
         takes effect at {earliest} at the earliest"
    )]
    TooSoon {
        /// Of what.
        what: String,
        /// Which.
        version: i32,
        /// When it would.
        effective_at: Timestamp,
        /// When it may.
        earliest: Timestamp,
    },
    /// The database refuses: a name that isn't there, a value out of range.
    #[error("the database refuses the reference data: {0}")]
    Database(#[from] sqlx::Error),
}

/// Adds what a file holds, all of it or nothing. Gives the number of rows that are new.
///
/// # Errors
/// When a further version would take effect too soon, or the database refuses.
pub async fn import(
    pool: &PgPool,
    file: &ReferenceFile,
    contacts: &ContactKey,
    now: Timestamp,
) -> Result<u64, ReferenceError> {
    let mut transaction = pool.begin().await?;
    let mut import = Import {
        connection: &mut transaction,
        contacts,
        now,
        rows: 0,
    };
    import.tenants(&file.tenants).await?;
    import.people(&file.users, &file.members).await?;
    import.networks(&file.networks).await?;
    import.offers(&file.offers).await?;
    import.campaigns(&file.campaigns).await?;
    import.links(&file.links).await?;
    let rows = import.rows;
    transaction.commit().await?;
    Ok(rows)
}

struct Import<'a> {
    connection: &'a mut PgConnection,
    contacts: &'a ContactKey,
    now: Timestamp,
    rows: u64,
}

type Insert<'q> = sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments>;

impl Import<'_> {
    async fn insert(&mut self, insert: Insert<'_>) -> Result<(), ReferenceError> {
        self.rows += insert.execute(&mut *self.connection).await?.rows_affected();
        Ok(())
    }

    /// The versions that aren't there yet, with their numbers.
    fn further<'v, T>(
        &self,
        what: String,
        newest: Option<i32>,
        versions: &'v [Effective<T>],
    ) -> Result<Vec<(i32, &'v Effective<T>)>, ReferenceError> {
        let known = newest.unwrap_or(0);
        let earliest = self.now.plus_millis(NOTICE_MILLIS);
        let further: Vec<_> = (1_i32..)
            .zip(versions)
            .filter(|(version, _)| *version > known)
            .collect();
        let too_soon = further
            .iter()
            .find(|(_, version)| known > 0 && version.effective_at < earliest);
        match too_soon {
            Some((version, effective)) => Err(ReferenceError::TooSoon {
                what,
                version: *version,
                effective_at: effective.effective_at,
                earliest,
            }),
            None => Ok(further),
        }
    }

    async fn tenants(&mut self, tenants: &[Tenant]) -> Result<(), ReferenceError> {
        for tenant in tenants {
            let id = tenant.tenant_id.uuid();
            let insert = sqlx::query(
                "INSERT INTO tenants (tenant_id, name) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            );
            self.insert(insert.bind(id).bind(&tenant.name)).await?;
            let newest =
                sqlx::query_scalar("SELECT max(version) FROM tenant_versions WHERE tenant_id = $1")
                    .bind(id)
                    .fetch_one(&mut *self.connection)
                    .await?;
            let what = format!("tenant {}", tenant.tenant_id);
            for (
                version,
                Effective {
                    effective_at,
                    value,
                },
            ) in self.further(what, newest, &tenant.versions)?
            {
                let insert = sqlx::query(
                    "INSERT INTO tenant_versions (tenant_id, version, effective_at,
                        default_share_pct, platform_fee_pct, platform_fee_flat, subsidy,
                        payout_min, kyc_required)
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
                )
                .bind(id)
                .bind(version)
                .bind(effective_at.to_datetime())
                .bind(percent(value.default_share_pct))
                .bind(percent(value.platform_fee_pct))
                .bind(value.platform_fee_flat)
                .bind(value.subsidy)
                .bind(value.payout_min)
                .bind(value.kyc_required);
                self.insert(insert).await?;
            }
        }
        Ok(())
    }

    async fn people(&mut self, users: &[User], members: &[Member]) -> Result<(), ReferenceError> {
        for user in users {
            let phone_hash = user
                .phone
                .as_deref()
                .map(|phone| self.contacts.phone(phone));
            let email_hash = user
                .email
                .as_deref()
                .map(|email| self.contacts.email(email));
            let insert = sqlx::query(
                "INSERT INTO users (user_id, phone, email, phone_hash, email_hash, kyc_hash)
                 VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (user_id) DO NOTHING",
            )
            .bind(user.user_id.uuid())
            .bind(&user.phone)
            .bind(&user.email)
            .bind(phone_hash)
            .bind(email_hash)
            .bind(&user.kyc_hash);
            self.insert(insert).await?;
        }
        for member in members {
            let insert = sqlx::query(
                "INSERT INTO tenant_members (tenant_id, user_id, since) VALUES ($1, $2, $3)
                 ON CONFLICT DO NOTHING",
            )
            .bind(member.tenant_id.uuid())
            .bind(member.user_id.uuid())
            .bind(member.since.to_datetime());
            self.insert(insert).await?;
        }
        Ok(())
    }

    async fn networks(&mut self, networks: &[Network]) -> Result<(), ReferenceError> {
        for network in networks {
            let token = network.security_token.as_deref();
            let insert = sqlx::query(
                "INSERT INTO networks (network_id, name, default_currency, payout_means,
                    fires_at_sale, security_token_sha256, utc_offset_minutes)
                 VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
            )
            .bind(network.network_id.get())
            .bind(&network.name)
            .bind(network.default_currency.to_string())
            .bind(match network.payout_means {
                PayoutMeans::Amount => "amount",
                PayoutMeans::Percentage => "percentage",
            })
            .bind(network.fires_at_sale)
            .bind(token.map(|token| hex::encode(Sha256::digest(token))))
            .bind(network.utc_offset_minutes);
            self.insert(insert).await?;
        }
        Ok(())
    }

    async fn offers(&mut self, offers: &[Offer]) -> Result<(), ReferenceError> {
        for offer in offers {
            let id = offer.offer_id.get();
            let insert = sqlx::query(
                "INSERT INTO offers (offer_id, network_id, brand, category)
                 VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
            );
            let insert = insert
                .bind(id)
                .bind(offer.network_id.get())
                .bind(&offer.brand);
            self.insert(insert.bind(&offer.category)).await?;
            let newest =
                sqlx::query_scalar("SELECT max(version) FROM offer_versions WHERE offer_id = $1")
                    .bind(id)
                    .fetch_one(&mut *self.connection)
                    .await?;
            let what = format!("offer {}", offer.offer_id);
            for (version, effective) in self.further(what, newest, &offer.versions)? {
                self.insert(offer_version(id, version, effective)).await?;
            }
        }
        Ok(())
    }

    async fn campaigns(&mut self, campaigns: &[Campaign]) -> Result<(), ReferenceError> {
        for campaign in campaigns {
            let id = campaign.campaign_id.uuid();
            let tenant = campaign.tenant_id.uuid();
            let insert = sqlx::query(
                "INSERT INTO campaigns (campaign_id, tenant_id, name) VALUES ($1, $2, $3)
                 ON CONFLICT DO NOTHING",
            );
            self.insert(insert.bind(id).bind(tenant).bind(&campaign.name))
                .await?;
            let newest = sqlx::query_scalar(
                "SELECT max(version) FROM campaign_versions WHERE campaign_id = $1",
            )
            .bind(id)
            .fetch_one(&mut *self.connection)
            .await?;
            let what = format!("campaign {}", campaign.campaign_id);
            for (
                version,
                Effective {
                    effective_at,
                    value,
                },
            ) in self.further(what, newest, &campaign.versions)?
            {
                let insert = sqlx::query(
                    "INSERT INTO campaign_versions (campaign_id, tenant_id, version, effective_at,
                        share_pct, attribution_window_days) VALUES ($1, $2, $3, $4, $5, $6)",
                )
                .bind(id)
                .bind(tenant)
                .bind(version)
                .bind(effective_at.to_datetime())
                .bind(value.share_pct.map(percent))
                .bind(value.attribution_window_days);
                self.insert(insert).await?;
            }
        }
        Ok(())
    }

    async fn links(&mut self, links: &[Link]) -> Result<(), ReferenceError> {
        for link in links {
            let insert = sqlx::query(
                "INSERT INTO links (link_id, tenant_id, campaign_id, offer_id, slug)
                 VALUES ($1, (SELECT tenant_id FROM campaigns WHERE campaign_id = $2), $2, $3, $4)
                 ON CONFLICT (link_id) DO NOTHING",
            )
            .bind(link.link_id.uuid())
            .bind(link.campaign_id.uuid())
            .bind(link.offer_id.get())
            .bind(&link.slug);
            self.insert(insert).await?;
        }
        Ok(())
    }
}

fn percent(percentage: Percentage) -> Decimal {
    Decimal::new(i64::from(percentage.hundredths()), 2)
}

fn offer_version(id: i32, version: i32, effective: &Effective<OfferTerms>) -> Insert<'_> {
    let terms = &effective.value;
    sqlx::query(
        "INSERT INTO offer_versions (offer_id, version, effective_at, tracking_url, currency,
            commission_source, base_commission_pct, commission_max, usual_sale_max, cool_off_days,
            txn_id_names_order, duplicate_orders)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
    )
    .bind(id)
    .bind(version)
    .bind(effective.effective_at.to_datetime())
    .bind(&terms.tracking_url)
    .bind(terms.currency.to_string())
    .bind(match terms.commission_source {
        CommissionSource::Percentage => "percentage",
        CommissionSource::Payout => "payout",
    })
    .bind(percent(terms.base_commission_pct))
    .bind(terms.commission_max)
    .bind(terms.usual_sale_max)
    .bind(terms.cool_off_days)
    .bind(terms.txn_id_names_order)
    .bind(match terms.duplicate_orders {
        DuplicatePolicy::Reject => "reject",
        DuplicatePolicy::Accept => "accept",
    })
}
