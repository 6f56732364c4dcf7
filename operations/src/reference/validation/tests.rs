//! What is refused, field by field; and that nothing panics.

mod placement;
mod properties;
mod rules;
mod terms;

use std::collections::BTreeSet;

use schemas::{CampaignId, Currency, NetworkId, OfferId, TenantId, Timestamp};
use serde_json::{Value, json};
use uuid::Uuid;

use super::check;
use crate::reference::{
    editions::Subject,
    file::ReferenceFile,
    known::{Known, KnownOffer},
};

/// 2026-09-21T14:13:20Z.
const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);
const SOON: &str = "2026-09-21T14:14:20Z";
const TOO_SOON: &str = "2026-09-21T14:14:19.999Z";
const TENANT: &str = "00000000-0000-0000-0000-000000000001";

fn currency(code: &str) -> Currency {
    code.parse().expect("a currency")
}

/// One tenant with offers of three currencies, all since 2020.
fn known() -> Known {
    let since = Timestamp::from_millis(1_577_836_800_000);
    let tenant_id = TenantId::new(Uuid::from_u128(1));
    let campaign_id = CampaignId::new(Uuid::from_u128(2));
    let mut known = Known {
        tenants: [tenant_id].into(),
        networks: [NetworkId::new(1)].into(),
        campaigns: [(campaign_id, tenant_id)].into(),
        ..Known::default()
    };
    for (offer, code) in [(1, "INR"), (2, "JPY"), (3, "KWD")] {
        let offer = OfferId::new(offer);
        let saved = KnownOffer {
            network_id: NetworkId::new(1),
            category: None,
            currencies: BTreeSet::from([currency(code)]),
        };
        known.offers.insert(offer, saved);
        known
            .versions
            .insert(Subject::Offer(offer), [(since, 1)].into());
    }
    let versions = [Subject::Tenant(tenant_id), Subject::Campaign(campaign_id)];
    for subject in versions {
        known.versions.insert(subject, [(since, 1)].into());
    }
    known
}

fn read(file: &Value) -> Result<ReferenceFile, String> {
    ReferenceFile::parse(&file.to_string()).map_err(|problems| problems.to_string())
}

/// What a file is refused for, a line each; none where it is taken.
fn refused(file: &Value) -> Vec<String> {
    refused_by(file, &known())
}

fn refused_by(file: &Value, known: &Known) -> Vec<String> {
    let text = match read(file) {
        Err(text) => text,
        Ok(file) => match check(&file, known, NOW) {
            Ok(()) => return Vec::new(),
            Err(problems) => problems.to_string(),
        },
    };
    text.lines().map(str::to_owned).collect()
}

/// A file with one part changed is refused for exactly one thing, which begins like this.
#[track_caller]
fn refuses(file: &Value, begins: &str) {
    let problems = refused(file);
    assert!(
        problems.len() == 1 && problems[0].starts_with(begins),
        "{problems:#?} instead of {begins}"
    );
}

#[track_caller]
fn takes(file: &Value) {
    assert_eq!(refused(file), Vec::<String>::new());
}

/// A value with some of its keys replaced.
fn with(mut value: Value, changes: Value) -> Value {
    let (Value::Object(object), Value::Object(changes)) = (&mut value, changes) else {
        panic!("objects were expected");
    };
    object.extend(changes);
    value
}

fn tenant_version(changes: Value) -> Value {
    let version = with(
        json!({"effective_at": SOON, "default_share_pct": "60"}),
        changes,
    );
    json!({"tenants": [{"tenant_id": TENANT, "name": "Asha", "versions": [version]}]})
}

fn offer_version(changes: Value) -> Value {
    let version = json!({
        "effective_at": SOON,
        "tracking_url": "https://network.example/click",
        "currency": "INR",
        "commission_source": "percentage",
        "commission_flat": "12.50",
        "cool_off_days": 30,
        "txn_id_names_order": true,
        "duplicate_orders": "reject",
    });
    let version = with(version, changes);
    json!({"offers": [
        {"offer_id": 1, "network_id": 1, "brand": "Paduka", "versions": [version]}
    ]})
}

fn own_rate(changes: Value) -> Value {
    let own = json!({
        "tenant_id": TENANT, "offer_id": 1, "effective_at": SOON, "rate": {"pct": "10"}
    });
    json!({"overrides": [with(own, changes)]})
}

#[expect(clippy::needless_pass_by_value, reason = "values are made at the call")]
fn fraud_rules(rules: Value) -> Value {
    json!({"fraud_rules": [{"effective_at": SOON, "rules": rules}]})
}

#[expect(clippy::needless_pass_by_value, reason = "values are made at the call")]
fn rule_set(application: &str, rules: Value) -> Value {
    json!({"commission_rules": [
        {"effective_at": SOON, "application": application, "rules": rules}
    ]})
}

/// A set of one rule.
#[expect(clippy::needless_pass_by_value, reason = "values are made at the call")]
fn rule(when: Value, then: Value) -> Value {
    rule_set(
        "all",
        json!([{"name": "festive", "when": when, "then": then}]),
    )
}

fn lock(through: &str, effective_at: &str) -> Value {
    json!({"tenant_id": TENANT, "effective_at": effective_at, "locked_through": through})
}
