//! What the ledger knows about the clicks and orders of a page of rows.

use std::collections::{BTreeMap, BTreeSet};

use processors::rules::{attribution::click_of_token, claims, history::Report};
use schemas::{
    ClickId, NetworkId, TenantId, codec,
    events::{Decision, Reported},
    reference::ReferenceData,
    token::TokenKeys,
};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    ReconcileError,
    rules::{Rule, speaks_of},
};

/// A row's click, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RowClick {
    /// Known, and of the tenant.
    Ours(ClickId),
    /// Known, and another tenant's.
    AnotherTenants,
    /// Not known.
    Unknown,
}

/// What is known about a page of rows.
pub(super) struct Evidence {
    reports: BTreeMap<ClickId, Vec<Report>>,
    /// Clicks whose claims name an order.
    orders: BTreeMap<String, BTreeSet<ClickId>>,
    /// Clicks of which reports carry a conversion id of the network's.
    conversions: BTreeMap<String, BTreeSet<ClickId>>,
    looked_up: BTreeMap<ClickId, TenantId>,
}

/// What rows are looked up by.
pub(super) struct Scope<'a> {
    pub(super) tenant_id: TenantId,
    pub(super) network_id: NetworkId,
    pub(super) reference: &'a ReferenceData,
    pub(super) token_keys: &'a TokenKeys,
}

impl Evidence {
    /// Loads what is known of these rows.
    pub(super) async fn load(
        connection: &mut PgConnection,
        scope: &Scope<'_>,
        rows: &[&Reported],
    ) -> Result<Self, ReconcileError> {
        let numbers: Vec<i64> = rows
            .iter()
            .filter_map(|fields| Some(fields.click_ref.parse::<ClickId>().ok()?.get()))
            .collect();
        let found: Vec<(i64, Uuid)> =
            sqlx::query_as("SELECT click_id, tenant_id FROM clicks WHERE click_id = ANY($1)")
                .bind(&numbers)
                .fetch_all(&mut *connection)
                .await?;
        let mut evidence = Self {
            reports: BTreeMap::new(),
            orders: BTreeMap::new(),
            conversions: BTreeMap::new(),
            looked_up: found
                .into_iter()
                .map(|(click, tenant)| (ClickId::new(click), TenantId::new(tenant)))
                .collect(),
        };
        let mut clicks = BTreeSet::new();
        let (mut orders, mut conversions) = (Vec::new(), Vec::new());
        for fields in rows {
            match evidence.click_of(scope, fields) {
                RowClick::Ours(click) => {
                    clicks.insert(click);
                }
                RowClick::AnotherTenants => {}
                RowClick::Unknown => {
                    orders.extend(fields.txn_id.clone());
                    conversions.extend(fields.network_conversion_id.clone());
                }
            }
        }
        evidence.load_orders(connection, scope, &orders).await?;
        evidence
            .load_conversions(connection, scope, &conversions)
            .await?;
        let named = [&evidence.orders, &evidence.conversions];
        clicks.extend(named.into_iter().flat_map(BTreeMap::values).flatten());
        evidence.load_reports(connection, scope, &clicks).await?;
        Ok(evidence)
    }

    /// Whose click a row names.
    pub(super) fn click_of(&self, scope: &Scope<'_>, fields: &Reported) -> RowClick {
        let (click, tenant) = if let Ok(click) = fields.click_ref.parse::<ClickId>() {
            match self.looked_up.get(&click) {
                Some(tenant) => (click, *tenant),
                None => return RowClick::Unknown,
            }
        } else {
            let token = scope.token_keys.open(&fields.click_ref).ok();
            let facts = token.and_then(|token| click_of_token(&token, scope.reference));
            match facts {
                Some(facts) => (facts.click_id, facts.tenant_id),
                None => return RowClick::Unknown,
            }
        };
        if tenant == scope.tenant_id {
            RowClick::Ours(click)
        } else {
            RowClick::AnotherTenants
        }
    }

    /// The reports of a click.
    pub(super) fn of_click(&self, click: ClickId) -> &[Report] {
        self.reports.get(&click).map_or(&[], Vec::as_slice)
    }

    /// For a row whose click isn't known: the reports of the one click whose one claim it names
    /// otherwise, and by which rule, the strongest first; none where there are several.
    pub(super) fn of_no_click(&self, fields: &Reported) -> (&[Report], Rule) {
        let conversion = fields.network_conversion_id.as_ref();
        let by_conversion = conversion.and_then(|id| self.conversions.get(id));
        let by_order = fields.txn_id.as_ref().and_then(|id| self.orders.get(id));
        for (rule, clicks) in [(Rule::Conversion, by_conversion), (Rule::Order, by_order)] {
            let clicks = clicks.into_iter().flatten();
            let claims = clicks.flat_map(|click| {
                let claims = claims::group(self.of_click(*click));
                let spoken_of = claims
                    .into_iter()
                    .filter(|claim| speaks_of(fields, claim, rule));
                std::iter::repeat_n(*click, spoken_of.count())
            });
            let candidates: Vec<ClickId> = claims.collect();
            if let [click] = candidates.as_slice() {
                return (self.of_click(*click), rule);
            }
        }
        (&[], Rule::Order)
    }

    async fn load_orders(
        &mut self,
        connection: &mut PgConnection,
        scope: &Scope<'_>,
        orders: &[String],
    ) -> Result<(), ReconcileError> {
        if orders.is_empty() {
            return Ok(());
        }
        // By the key of `order_claims`, one offer of the network after the other.
        let found: Vec<(String, i64)> = sqlx::query_as(
            "SELECT o.txn_id, o.click_id
             FROM (SELECT DISTINCT unnest($2::text[]) AS txn_id) wanted
             CROSS JOIN (SELECT offer_id FROM offers) f
             CROSS JOIN LATERAL (
                 SELECT * FROM order_claims c WHERE c.network_id = $1
                   AND c.offer_id = f.offer_id AND c.txn_id = wanted.txn_id) o",
        )
        .bind(scope.network_id.get())
        .bind(orders)
        .fetch_all(connection)
        .await?;
        for (order, click) in found {
            self.orders
                .entry(order)
                .or_default()
                .insert(ClickId::new(click));
        }
        Ok(())
    }

    async fn load_conversions(
        &mut self,
        connection: &mut PgConnection,
        scope: &Scope<'_>,
        conversions: &[String],
    ) -> Result<(), ReconcileError> {
        if conversions.is_empty() {
            return Ok(());
        }
        let found: Vec<(String, i64)> = sqlx::query_as(
            "SELECT DISTINCT network_conversion_id, click_id FROM conversions
             WHERE network_conversion_id = ANY($1) AND tenant_id = $2 AND network_id = $3
               AND click_id IS NOT NULL AND fate <> 'undone'",
        )
        .bind(conversions)
        .bind(scope.tenant_id.uuid())
        .bind(scope.network_id.get())
        .fetch_all(connection)
        .await?;
        for (conversion, click) in found {
            let clicks = self.conversions.entry(conversion).or_default();
            clicks.insert(ClickId::new(click));
        }
        Ok(())
    }

    async fn load_reports(
        &mut self,
        connection: &mut PgConnection,
        scope: &Scope<'_>,
        clicks: &BTreeSet<ClickId>,
    ) -> Result<(), ReconcileError> {
        let clicks: Vec<i64> = clicks.iter().map(|click| click.get()).collect();
        let decisions: Vec<Vec<u8>> = sqlx::query_scalar(
            "SELECT decision FROM conversions
             WHERE click_id = ANY($1) AND tenant_id = $2 AND network_id = $3
               AND fate <> 'undone'",
        )
        .bind(&clicks)
        .bind(scope.tenant_id.uuid())
        .bind(scope.network_id.get())
        .fetch_all(connection)
        .await?;
        for encoded in &decisions {
            let decision: Decision = codec::decode(encoded)?;
            if let Some(report) = Report::from_decision(&decision) {
                self.reports
                    .entry(report.click_id())
                    .or_default()
                    .push(report);
            }
        }
        Ok(())
    }
}
