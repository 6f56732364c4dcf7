//! Rule sets: what speaks against a claim, and what changes a commission.

use schemas::{
    TenantId,
    events::FraudRules,
    reference::{CommissionRuleSet, ReferenceData, Versions},
};
use serde_json::Value;
use sqlx::{PgConnection, Row, postgres::PgRow};

use super::Gathered;
use crate::ledger::LedgerError;

/// The platform's commission rules.
pub(super) async fn commission(
    connection: &mut PgConnection,
) -> Result<Option<Versions<CommissionRuleSet>>, LedgerError> {
    let mut sets: Gathered<(), CommissionRuleSet> = Gathered::new();
    for row in &sqlx::query("SELECT * FROM commission_rule_sets")
        .fetch_all(connection)
        .await?
    {
        let json: Value = row.try_get("rules")?;
        let set = serde_json::from_value(json)
            .map_err(|error| unreadable("commission_rule_sets", row, &error))?;
        sets.push((), row, set)?;
    }
    Ok(sets.finish().remove(&()))
}

/// The platform's fraud rules, and tenants' own.
pub(super) async fn load_fraud(
    connection: &mut PgConnection,
    data: &mut ReferenceData,
) -> Result<(), LedgerError> {
    let mut sets: Gathered<Option<TenantId>, FraudRules> = Gathered::new();
    for row in &sqlx::query("SELECT * FROM fraud_rule_sets")
        .fetch_all(connection)
        .await?
    {
        let tenant_id: Option<uuid::Uuid> = row.try_get("tenant_id")?;
        let rules = with_defaults(row.try_get("rules")?)
            .map_err(|error| unreadable("fraud_rule_sets", row, &error))?;
        sets.push(tenant_id.map(TenantId::new), row, rules)?;
    }
    for (tenant, versions) in sets.finish() {
        match tenant {
            Some(tenant) => {
                data.tenant_rules.insert(tenant, versions);
            }
            None => data.platform_rules = Some(versions),
        }
    }
    Ok(())
}

/// What a set leaves out has its default.
fn with_defaults(given: Value) -> serde_json::Result<FraudRules> {
    let mut rules = serde_json::to_value(FraudRules::default())?;
    match (&mut rules, given) {
        (Value::Object(rules), Value::Object(given)) => rules.extend(given),
        // Not an object: the error below says so.
        (rules, given) => *rules = given,
    }
    serde_json::from_value(rules)
}

fn unreadable(table: &str, row: &PgRow, error: &serde_json::Error) -> LedgerError {
    let version: Result<i32, _> = row.try_get("version");
    let version = version.map_or_else(|_| "?".to_owned(), |version| version.to_string());
    LedgerError::Invalid(format!("{table}, version {version}: {error}"))
}
