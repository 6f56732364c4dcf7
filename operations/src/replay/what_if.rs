//! The same history under other rules or terms: folded twice, and the two held against each other.
//! What history decides (velocity, order ownership, closing) is decided anew in both.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    io::Write,
    sync::Arc,
};

use processors::rules::{lifecycle::ClaimState, split::Parts};
use schemas::{CampaignId, EventId, TenantId, events::StatusReason, reference::ReferenceData};
use serde::Serialize;

use super::{
    Amounts, Progress, Replay, ReplayError, ReplaySettings, Span,
    folding::{by_name, claims, each},
    history::{Beside, History},
    judge::{Decisions, Judge},
    ledger::Moment,
    reading::{self, Pace, Source},
    store::{Packed, Side},
};
use crate::reconcile::cell;

/// What would have been.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WhatIfReport {
    /// What was asked for.
    pub span: Span,
    /// Reports of sales that were read.
    pub reports: u64,
    /// Claims that the span touches.
    pub claims: u64,
    /// Claims that would stand otherwise.
    pub changed: u64,
    /// They, by tenant, campaign, and why.
    pub groups: Vec<Group>,
}

/// Claims that would change alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Group {
    /// The creator's, or brand's, account.
    pub tenant_id: TenantId,
    /// Its campaign.
    pub campaign_id: CampaignId,
    /// Status as it is; absent where the claim would be a new one.
    pub status: Option<&'static str>,
    /// Status as it would be; absent where there would be no such claim.
    pub status_then: Option<&'static str>,
    /// Why.
    pub reason: String,
    /// Currency of the sums.
    pub currency: String,
    /// How many.
    pub claims: u64,
    /// What would be booked, less what is.
    pub booked: Amounts,
    /// What would be owed by the terms, whatever the status, less what is.
    pub expected: Amounts,
}

type Key = (
    TenantId,
    CampaignId,
    Option<&'static str>,
    Option<&'static str>,
    String,
    String,
);

/// What a thread found.
#[derive(Default)]
struct Found {
    claims: u64,
    groups: BTreeMap<Key, (u64, Amounts, Amounts)>,
}

impl Replay {
    /// Folds the log as it is and as it would be under `supposed`, both with today's code. Nothing
    /// is changed.
    ///
    /// # Errors
    /// See [`ReplayError`].
    pub async fn what_if(
        &self,
        supposed: Arc<ReferenceData>,
        settings: &ReplaySettings,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<WhatIfReport, ReplayError> {
        // How far the ledger has read is all that is wanted of it.
        let moment = Moment::open(&self.pool, &*self.log).await?;
        let (watermark, scope) = (
            moment.watermark.clone(),
            settings.scope(moment.retired_before),
        );
        moment.close().await?;
        let reference = Arc::clone(&self.reference);
        let judge = Arc::new(Judge::new(Decisions::Anew(reference, supposed)));
        let total = reading::records(&*self.log, &watermark).await? * scope.passes(&watermark);
        let pace = Pace::new(settings.records_per_second, total, progress);
        let source = Source {
            log: &*self.log,
            watermark: &watermark,
            pace: &pace,
        };
        let beside = Arc::new(Beside::read(&source, &settings.span).await?);
        let mut all = Found::default();
        let mut history = History::read(&source, judge, &beside, scope).await?;
        while let Some(grouped) = history.next().await? {
            let (settings, beside) = (settings.clone(), Arc::clone(&beside));
            let found = tokio::task::spawn_blocking(move || {
                each(&grouped, |reports, found: &mut Found| {
                    found.compare(reports, &settings, &beside);
                })
            });
            found.await?.into_iter().for_each(|found| all.add(found));
        }
        Ok(all.report(settings.span, history.read.reports))
    }
}

impl Found {
    fn compare(&mut self, reports: &[&Packed], settings: &ReplaySettings, beside: &Beside) {
        let now = by_name(claims(reports, Side::First, beside));
        let concerned = |state: &ClaimState| settings.concerns(state.click.tenant_id);
        self.claims += now.values().filter(|state| concerned(state)).count() as u64;
        if reports.iter().all(|packed| packed.same()) {
            return;
        }
        let then = by_name(claims(reports, Side::Second, beside));
        let names: BTreeSet<EventId> = now.keys().chain(then.keys()).copied().collect();
        for name in names {
            let (now, then) = (now.get(&name), then.get(&name));
            if let Some(state) = then.or(now).filter(|state| concerned(state)) {
                self.compare_claim(state, now, then);
            }
        }
    }

    fn compare_claim(
        &mut self,
        either: &ClaimState,
        now: Option<&ClaimState>,
        then: Option<&ClaimState>,
    ) {
        let status = |state: Option<&ClaimState>| state.map(|state| state.status.name());
        let booked = |state: Option<&ClaimState>| state.map_or(Parts::default(), |one| one.target);
        let owed = |state: Option<&ClaimState>| state.map_or(Parts::default(), |one| one.expected);
        let reasons = changed_reasons(now, then);
        let same = status(now) == status(then)
            && booked(now) == booked(then)
            && owed(now) == owed(then)
            && reasons.is_empty();
        if same {
            return;
        }
        let reason = match (now, then) {
            (None, _) => "another claim".to_owned(),
            (_, None) => "no claim of its own".to_owned(),
            (Some(_), Some(_)) if reasons.is_empty() => "terms".to_owned(),
            (Some(_), Some(_)) => reasons.join(", "),
        };
        let currency = either.currency;
        let key = (
            either.click.tenant_id,
            either.click.campaign_id,
            status(now),
            status(then),
            reason,
            currency.to_string(),
        );
        let (claims, booked_sum, owed_sum) = self.groups.entry(key).or_default();
        *claims += 1;
        booked_sum.add(Amounts::difference(booked(then), booked(now), currency));
        owed_sum.add(Amounts::difference(owed(then), owed(now), currency));
    }

    fn add(&mut self, other: Self) {
        self.claims += other.claims;
        for (key, (claims, booked, owed)) in other.groups {
            let (claims_sum, booked_sum, owed_sum) = self.groups.entry(key).or_default();
            *claims_sum += claims;
            booked_sum.add(booked);
            owed_sum.add(owed);
        }
    }

    fn report(self, span: Span, reports: u64) -> WhatIfReport {
        let group = |(key, (claims, booked, expected)): (Key, (u64, Amounts, Amounts))| {
            let (tenant_id, campaign_id, status, status_then, reason, currency) = key;
            Group {
                tenant_id,
                campaign_id,
                status,
                status_then,
                reason,
                currency,
                claims,
                booked,
                expected,
            }
        };
        let groups: Vec<Group> = self.groups.into_iter().map(group).collect();
        WhatIfReport {
            span,
            reports,
            claims: self.claims,
            changed: groups.iter().map(|group| group.claims).sum(),
            groups,
        }
    }
}

/// Reasons that come or go.
fn changed_reasons(now: Option<&ClaimState>, then: Option<&ClaimState>) -> Vec<String> {
    let reasons = |state: Option<&ClaimState>| -> BTreeSet<StatusReason> {
        state
            .map(|state| state.reasons().collect())
            .unwrap_or_default()
    };
    let (now, then) = (reasons(now), reasons(then));
    let gone = now
        .difference(&then)
        .map(|reason| format!("no {}", reason.name()));
    let new = then.difference(&now).map(|reason| reason.name().to_owned());
    new.chain(gone).collect()
}

impl WhatIfReport {
    /// A line for each group, safe to open in a spreadsheet: a text that would be taken for a
    /// formula has an apostrophe before it.
    ///
    /// # Errors
    /// When `output` takes no more.
    pub fn write_csv(&self, output: impl Write) -> csv::Result<()> {
        let mut writer = csv::Writer::from_writer(output);
        writer.write_record([
            "tenant_id",
            "campaign_id",
            "status",
            "status_then",
            "reason",
            "claims",
            "currency",
            "booked_commission",
            "booked_user",
            "booked_creator",
            "booked_fee",
            "expected_commission",
            "expected_user",
            "expected_creator",
            "expected_fee",
        ])?;
        for group in &self.groups {
            let sums = [&group.booked, &group.expected]
                .map(|sums| [sums.commission, sums.user, sums.creator, sums.fee]);
            let texts = [
                group.tenant_id.to_string(),
                group.campaign_id.to_string(),
                group.status.unwrap_or_default().to_owned(),
                group.status_then.unwrap_or_default().to_owned(),
                cell(&group.reason),
                group.claims.to_string(),
                group.currency.clone(),
            ];
            let sums = sums.into_iter().flatten().map(|sum| sum.to_string());
            writer.write_record(texts.into_iter().chain(sums))?;
        }
        writer.flush()?;
        Ok(())
    }
}

impl fmt::Display for WhatIfReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} reports read; {} of {} claims would stand otherwise",
            self.reports, self.changed, self.claims
        )?;
        for group in &self.groups {
            let (status, then) = (
                group.status.unwrap_or("-"),
                group.status_then.unwrap_or("-"),
            );
            let Amounts {
                commission,
                user,
                creator,
                fee,
            } = group.booked;
            writeln!(
                f,
                "tenant {}, campaign {}: {} claims {status} to {then}, {}; booked {}: commission \
                 {commission}, shoppers {user}, creators {creator}, platform {fee}",
                group.tenant_id, group.campaign_id, group.claims, group.reason, group.currency
            )?;
        }
        Ok(())
    }
}
