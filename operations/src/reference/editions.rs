//! The versions in a file, whatever they are versions of, and the rows that they become.

use schemas::{
    CampaignId, OfferId, TenantId, Timestamp, events,
    reference::{self, ScopedRule},
};
use serde_json::{Map, Value, json};

use super::{
    file::{
        Campaign, CampaignVersion, CommissionRule, CommissionRuleSet, FraudRuleSet, Lock,
        OfferVersion, Override, Rate, ReferenceFile, TenantVersion,
    },
    problem::Problem,
    validation::values,
};

/// What a version is one of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A tenant's settings.
    Tenant(TenantId),
    /// An offer's terms.
    Offer(OfferId),
    /// A campaign's terms.
    Campaign(CampaignId),
    /// A tenant's own rate for an offer, and one goal or all.
    Override(TenantId, OfferId, Option<String>),
    /// A tenant's fraud rules, or the platform's.
    FraudRules(Option<TenantId>),
    /// The platform's commission rules.
    CommissionRules,
    /// A tenant's locked books.
    Lock(TenantId),
}

/// A version in a file.
#[derive(Debug, Clone)]
pub(super) struct Edition<'a> {
    /// Where it stands.
    pub path: String,
    /// What it is one of.
    pub subject: Subject,
    /// From when on it is in force.
    pub effective_at: Timestamp,
    /// What it says.
    pub content: Content<'a>,
}

/// What a version says.
#[derive(Debug, Clone, Copy)]
pub(super) enum Content<'a> {
    Tenant(&'a TenantVersion),
    Offer(&'a OfferVersion),
    Campaign(TenantId, &'a CampaignVersion),
    Override(&'a Override),
    FraudRules(&'a FraudRuleSet),
    CommissionRules(&'a CommissionRuleSet),
    Lock(&'a Lock),
}

/// All versions in a file, in its order.
pub(super) fn of(file: &ReferenceFile) -> Vec<Edition<'_>> {
    let tenants = (0..).zip(&file.tenants).flat_map(|(index, tenant)| {
        (0..)
            .zip(&tenant.versions)
            .map(move |(number, version)| Edition {
                path: format!("tenants[{index}].versions[{number}]"),
                subject: Subject::Tenant(tenant.tenant_id),
                effective_at: version.effective_at,
                content: Content::Tenant(version),
            })
    });
    let offers = (0..).zip(&file.offers).flat_map(|(index, offer)| {
        (0..)
            .zip(&offer.versions)
            .map(move |(number, version)| Edition {
                path: format!("offers[{index}].versions[{number}]"),
                subject: Subject::Offer(offer.offer_id),
                effective_at: version.effective_at,
                content: Content::Offer(version),
            })
    });
    tenants
        .chain(offers)
        .chain((0..).zip(&file.campaigns).flat_map(of_campaign))
        .chain((0..).zip(&file.overrides).map(of_override))
        .chain((0..).zip(&file.fraud_rules).map(|(index, set)| Edition {
            path: format!("fraud_rules[{index}]"),
            subject: Subject::FraudRules(set.tenant_id),
            effective_at: set.effective_at,
            content: Content::FraudRules(set),
        }))
        .chain(
            (0..)
                .zip(&file.commission_rules)
                .map(|(index, set)| Edition {
                    path: format!("commission_rules[{index}]"),
                    subject: Subject::CommissionRules,
                    effective_at: set.effective_at,
                    content: Content::CommissionRules(set),
                }),
        )
        .chain((0..).zip(&file.locks).map(|(index, lock)| Edition {
            path: format!("locks[{index}]"),
            subject: Subject::Lock(lock.tenant_id),
            effective_at: lock.effective_at,
            content: Content::Lock(lock),
        }))
        .collect()
}

fn of_campaign((index, campaign): (usize, &Campaign)) -> impl Iterator<Item = Edition<'_>> {
    (0..)
        .zip(&campaign.versions)
        .map(move |(number, version): (usize, _)| Edition {
            path: format!("campaigns[{index}].versions[{number}]"),
            subject: Subject::Campaign(campaign.campaign_id),
            effective_at: version.effective_at,
            content: Content::Campaign(campaign.tenant_id, version),
        })
}

fn of_override((index, own): (usize, &Override)) -> Edition<'_> {
    Edition {
        path: format!("overrides[{index}]"),
        subject: Subject::Override(own.tenant_id, own.offer_id, own.goal_id.clone()),
        effective_at: own.effective_at,
        content: Content::Override(own),
    }
}

impl Content<'_> {
    /// The table that it goes to.
    pub fn table(self) -> &'static str {
        match self {
            Self::Tenant(_) => "tenant_versions",
            Self::Offer(_) => "offer_versions",
            Self::Campaign(..) => "campaign_versions",
            Self::Override(_) => "commission_overrides",
            Self::FraudRules(_) => "fraud_rule_sets",
            Self::CommissionRules(_) => "commission_rule_sets",
            Self::Lock(_) => "tenant_locks",
        }
    }

    /// Whether the database numbers its versions itself, over all subjects.
    pub fn numbered_by_the_database(self) -> bool {
        match self {
            Self::FraudRules(_) | Self::CommissionRules(_) => true,
            Self::Tenant(_)
            | Self::Offer(_)
            | Self::Campaign(..)
            | Self::Override(_)
            | Self::Lock(_) => false,
        }
    }
}

impl Edition<'_> {
    /// Its row, by column, without its number and the time of saving.
    ///
    /// # Errors
    /// When a value is out of range: what passed validation isn't.
    pub fn row(&self) -> Result<Map<String, Value>, Problem> {
        let columns = self.subject.columns().into_iter();
        let row = columns
            .chain([("effective_at", json!(self.effective_at))])
            .chain(self.content.columns(&self.path)?)
            .map(|(column, value)| (column.to_owned(), value));
        Ok(row.collect())
    }
}

/// A column and what stands in it.
type Column = (&'static str, Value);

impl Subject {
    fn columns(&self) -> Vec<Column> {
        match self {
            Self::Tenant(tenant_id) | Self::Lock(tenant_id) => {
                vec![("tenant_id", json!(tenant_id))]
            }
            Self::Offer(offer_id) => vec![("offer_id", json!(offer_id))],
            Self::Campaign(campaign_id) => vec![("campaign_id", json!(campaign_id))],
            Self::Override(tenant_id, offer_id, goal_id) => vec![
                ("tenant_id", json!(tenant_id)),
                ("offer_id", json!(offer_id)),
                ("goal_id", json!(goal_id.as_deref().unwrap_or_default())),
            ],
            Self::FraudRules(tenant_id) => vec![("tenant_id", json!(tenant_id))],
            Self::CommissionRules => Vec::new(),
        }
    }
}

impl Content<'_> {
    fn columns(self, path: &str) -> Result<Vec<Column>, Problem> {
        Ok(match self {
            Self::Tenant(version) => vec![
                ("level", json!(version.level)),
                ("default_share_pct", json!(version.default_share_pct)),
                ("platform_fee_pct", json!(version.platform_fee_pct)),
                ("platform_fee_flat", json!(version.platform_fee_flat)),
                ("subsidy", json!(version.subsidy)),
                ("payout_min", json!(version.payout_min)),
                ("kyc_required", json!(version.kyc_required)),
            ],
            Self::Offer(version) => vec![
                ("tracking_url", json!(version.tracking_url)),
                ("currency", json!(version.currency)),
                ("commission_source", json!(version.commission_source)),
                ("base_commission_pct", json!(version.base_commission_pct)),
                ("commission_flat", json!(version.commission_flat)),
                ("commission_max", json!(version.commission_max)),
                ("usual_sale_max", json!(version.usual_sale_max)),
                ("cool_off_days", json!(version.cool_off_days)),
                ("txn_id_names_order", json!(version.txn_id_names_order)),
                ("duplicate_orders", json!(version.duplicate_orders)),
            ],
            Self::Campaign(tenant_id, version) => vec![
                ("tenant_id", json!(tenant_id)),
                ("share_pct", json!(version.share_pct)),
                (
                    "attribution_window_days",
                    json!(version.attribution_window_days),
                ),
            ],
            Self::Override(own) => {
                let rate = own.rate.clone().unwrap_or_default();
                vec![
                    ("valid_until", json!(own.valid_until)),
                    ("commission_pct", json!(rate.pct)),
                    ("commission_flat", json!(rate.flat)),
                ]
            }
            Self::FraudRules(set) => vec![("rules", json!(set.rules))],
            Self::CommissionRules(set) => {
                vec![("rules", json!(commission_rules(set, path)?))]
            }
            Self::Lock(lock) => vec![("locked_through", json!(lock.locked_through))],
        })
    }
}

/// A set as the stages read it.
pub(super) fn commission_rules(
    set: &CommissionRuleSet,
    path: &str,
) -> Result<reference::CommissionRuleSet, Problem> {
    let rules = (0_usize..).zip(&set.rules).map(|(index, rule)| {
        scoped(rule).map_err(|what| Problem::new(format_args!("{path}.rules[{index}]"), what))
    });
    Ok(reference::CommissionRuleSet {
        application: set.application,
        rules: rules.collect::<Result<_, _>>()?,
    })
}

fn scoped(rule: &CommissionRule) -> Result<ScopedRule, String> {
    let amount = |number: Option<_>| number.map(values::amount).transpose();
    let CommissionRule { name, when, then } = rule;
    let replace = then.replace.as_ref().map(rate).transpose()?;
    Ok(ScopedRule {
        tenants: when.tenants.clone(),
        levels: when.levels.clone(),
        offers: when.offers.clone(),
        categories: when.categories.clone(),
        currency: when.currency,
        rule: events::CommissionRule {
            name: name.clone(),
            goals: when.goals.clone(),
            sale_from: amount(when.sale_from)?,
            sale_below: amount(when.sale_below)?,
            converted_from: when.converted_from,
            converted_before: when.converted_before,
            replace: replace.map(|rate| events::Replacement { rate }),
            multiply: amount(then.multiply)?,
            bonus: amount(then.bonus)?,
        },
    })
}

/// A rate as the stages read it.
pub(super) fn rate(rate: &Rate) -> Result<events::Rate, String> {
    match (rate.pct, rate.flat) {
        (Some(percentage), None) => values::percentage(percentage).map(events::Rate::Percentage),
        (None, Some(flat)) => values::amount(flat).map(events::Rate::Flat),
        (None, None) | (Some(_), Some(_)) => Err(values::EITHER_RATE.to_owned()),
    }
}
