//! What the network lists, once a day: conversions against the ledger, campaigns against our
//! offers.

use std::{collections::BTreeMap, sync::Arc};

use arc_swap::ArcSwap;
use operations::{
    event_ids::EventIdSource,
    offer_sync::{self, OfferSyncError, OfferSyncSettings},
    reconcile::{
        Reconciler,
        daily::{self, DailyReconciliation, TenantsOfAccount},
        rules::BreakKind,
    },
    reference::Contacts,
    trackier::{Account, Client},
};
use prometheus::{IntGauge, IntGaugeVec, Opts, Registry};
use schemas::{
    Country, NetworkId, TenantId, Timestamp, reference::ReferenceData, token::TokenKeys,
};
use sqlx::PgPool;
use stream::{Clock, Log};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::DUE_CHECK_INTERVAL;

/// What is done each day about what the network lists.
#[derive(Debug, Clone)]
pub struct NetworkSchedule {
    /// The network instance.
    pub network_id: NetworkId,
    /// The platform's account.
    pub platform: Option<Account>,
    /// Accounts of tenants who have their own.
    pub own: BTreeMap<TenantId, Account>,
    /// How far back conversions are listed, in days.
    pub window_days: i64,
    /// Whether conversions are compared; and then whether what is missing is appended.
    pub reconcile: Option<Apply>,
    /// Whether campaigns are compared; and then whether terms are saved.
    pub sync_offers: Option<Apply>,
    /// Whose payouts count.
    pub country: Country,
}

/// Whether differences are made up for, or only told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Apply(pub bool);

/// What the jobs need of the platform.
pub struct NetworkPlatform {
    /// Connections of the operator.
    pub operator: PgPool,
    /// Connections of the writer.
    pub writer: PgPool,
    /// The log.
    pub log: Arc<dyn Log>,
    /// The time port.
    pub clock: Arc<dyn Clock>,
    /// Names what is appended.
    pub event_ids: EventIdSource,
    /// Opens click references.
    pub token_keys: TokenKeys,
    /// Seals contacts; an import of reference data asks for it.
    pub contacts: Contacts,
    /// The newest snapshot of the reference data.
    pub reference: Arc<ArcSwap<ReferenceData>>,
}

/// The network's lists, once a day. When the last ones were stands in the audit log.
pub struct Network {
    platform: NetworkPlatform,
    schedule: NetworkSchedule,
    /// Since when tenants are looked after: one that never was reconciled counts from then.
    since: Timestamp,
    breaks: IntGaugeVec,
    reconciled_at: IntGauge,
    offers: IntGaugeVec,
}

impl Network {
    /// # Errors
    /// When its metrics are registered already.
    pub fn new(
        platform: NetworkPlatform,
        schedule: NetworkSchedule,
        registry: &Registry,
    ) -> Result<Self, prometheus::Error> {
        let breaks = IntGaugeVec::new(
            Opts::new(
                "hissaback_network_reconciliation_breaks",
                "Differences from the network's list at each tenant's last comparison.",
            ),
            &["kind"],
        )?;
        let reconciled_at = IntGauge::new(
            "hissaback_network_reconciled_timestamp_seconds",
            "As of when every tenant was compared with the network's list; at first, the start.",
        )?;
        let offers = IntGaugeVec::new(
            Opts::new(
                "hissaback_offer_sync_findings",
                "Offers that differed from the network's campaigns at the last daily sync.",
            ),
            &["kind"],
        )?;
        registry.register(Box::new(breaks.clone()))?;
        registry.register(Box::new(reconciled_at.clone()))?;
        registry.register(Box::new(offers.clone()))?;
        let since = platform.clock.now();
        reconciled_at.set(since.millis() / 1_000);
        Ok(Self {
            platform,
            schedule,
            since,
            breaks,
            reconciled_at,
            offers,
        })
    }

    /// Runs until `shutdown`. What is interrupted is done again from the beginning: rows that were
    /// appended agree by then.
    pub async fn run(&self, shutdown: CancellationToken) {
        while shutdown
            .run_until_cancelled(sleep(DUE_CHECK_INTERVAL))
            .await
            .is_some()
        {
            let work = async {
                if let Some(Apply(apply)) = self.schedule.reconcile
                    && let Err(error) = self.reconcile(apply).await
                {
                    tracing::error!(%error, "whether the network's list is due isn't known");
                }
                if let Some(Apply(apply)) = self.schedule.sync_offers
                    && let Err(error) = self.sync_offers(apply).await
                {
                    tracing::error!(%error, "offers were not synced with the network");
                }
            };
            if shutdown.run_until_cancelled(work).await.is_none() {
                return;
            }
        }
    }

    async fn reconcile(&self, apply: bool) -> anyhow::Result<()> {
        let platform = &self.platform;
        let reference = platform.reference.load_full();
        let accounts = self.accounts(&reference);
        let daily = DailyReconciliation {
            reconciler: Reconciler {
                pool: platform.operator.clone(),
                log: Arc::clone(&platform.log),
                clock: Arc::clone(&platform.clock),
                event_ids: platform.event_ids.clone(),
                token_keys: platform.token_keys.clone(),
                redaction: ingest::Settings::default().redaction,
                reference,
            },
            writer: platform.writer.clone(),
            network_id: self.schedule.network_id,
            window_days: self.schedule.window_days,
            apply,
        };
        match daily.run(&accounts).await? {
            None => tracing::info!("another instance asks the network"),
            Some(outcome) => {
                for error in outcome.failures {
                    tracing::error!(%error, "not compared with the network's list");
                }
            }
        }
        Ok(self.show(&accounts).await?)
    }

    /// Every tenant with a link to an offer of the network, by the account that lists its
    /// conversions.
    fn accounts(&self, reference: &ReferenceData) -> Vec<TenantsOfAccount> {
        let NetworkSchedule {
            platform,
            own,
            network_id,
            ..
        } = &self.schedule;
        let tenants = tenants_of(reference, *network_id);
        let with_own = own.iter().map(|(tenant_id, account)| TenantsOfAccount {
            account: account.clone(),
            tenants: vec![*tenant_id],
        });
        let others = tenants.into_iter().filter(|one| !own.contains_key(one));
        let shared = platform.iter().map(|account| TenantsOfAccount {
            account: account.clone(),
            tenants: others.clone().collect(),
        });
        shared.chain(with_own).collect()
    }

    /// Shows every tenant's last comparison, whichever instance made it.
    async fn show(&self, accounts: &[TenantsOfAccount]) -> sqlx::Result<()> {
        let last = daily::last_compared(&self.platform.operator).await?;
        let mut breaks: BTreeMap<&str, u64> = BTreeMap::new();
        let mut oldest = None;
        for tenant_id in accounts.iter().flat_map(|account| &account.tenants) {
            let compared = last.get(tenant_id);
            let at = compared.map_or(self.since, |compared| compared.as_of);
            oldest = Some(oldest.map_or(at, |oldest: Timestamp| oldest.min(at)));
            for (kind, count) in compared.into_iter().flat_map(|compared| &compared.breaks) {
                *breaks.entry(kind).or_default() += count;
            }
        }
        for kind in BreakKind::ALL {
            let count = breaks.get(kind.name()).copied().unwrap_or(0);
            let gauge = self.breaks.with_label_values(&[kind.name()]);
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        let at = oldest.unwrap_or_else(|| self.platform.clock.now());
        self.reconciled_at.set(at.millis() / 1_000);
        Ok(())
    }

    async fn sync_offers(&self, apply: bool) -> anyhow::Result<()> {
        let Some(account) = self.schedule.platform.clone() else {
            return Ok(());
        };
        let platform = &self.platform;
        let network_id = self.schedule.network_id;
        let due: bool = sqlx::query_scalar(
            "SELECT NOT EXISTS (SELECT FROM audit_log WHERE action = 'offer_sync_daily'
                 AND subject = $1 AND at > now() - interval '1 day')",
        )
        .bind(network_id.to_string())
        .fetch_one(&platform.operator)
        .await?;
        if !due {
            return Ok(());
        }
        let settings = OfferSyncSettings {
            network_id,
            country: self.schedule.country,
            dry_run: !apply,
        };
        let client = Client::new(account)?;
        let (pool, contacts) = (&platform.operator, &platform.contacts);
        let now = || platform.clock.now();
        let synced = offer_sync::sync(&client, pool, contacts, settings, now, "schedule").await;
        let report = match synced {
            Ok(report) => report,
            Err(OfferSyncError::Running) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let counts = [
            ("new", report.new.len()),
            ("changed", report.changed.len()),
            ("gone", report.gone.len()),
            ("refused", report.refused.len()),
        ];
        for (kind, count) in counts {
            let gauge = self.offers.with_label_values(&[kind]);
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        tracing::info!(
            ?counts,
            saved = report.saved,
            "offers against the network's campaigns"
        );
        sqlx::query(
            "INSERT INTO audit_log (author, action, subject, detail)
             VALUES ('schedule', 'offer_sync_daily', $1, $2)",
        )
        .bind(network_id.to_string())
        .bind(serde_json::json!(BTreeMap::from(counts)))
        .execute(pool)
        .await?;
        Ok(())
    }
}

/// Tenants with a link to an offer of a network.
fn tenants_of(reference: &ReferenceData, network_id: NetworkId) -> Vec<TenantId> {
    let of_network = |offer_id| {
        let offer = reference.offers.get(offer_id);
        offer.is_some_and(|offer| offer.network_id == network_id)
    };
    let links = reference.links.values();
    let campaigns = links
        .filter(|link| of_network(&link.offer_id))
        .filter_map(|link| reference.campaigns.get(&link.campaign_id));
    let mut tenants: Vec<TenantId> = campaigns.map(|campaign| campaign.tenant_id).collect();
    tenants.sort_unstable();
    tenants.dedup();
    tenants
}
