//! The records that drawn choices stand for.

use std::fmt;

use schemas::{
    CampaignId, ClickId, EventId, LinkId, NetworkId, OfferId, Position, TenantId, Timestamp, Topic,
    UserId,
    events::{
        ClickFacts, ClickSignals, Command, CommandBody, Correct, Decision, Heal, Matched, Outcome,
        ReportSource, Reported, ReviewClaim, SelfPurchase, Split, Target, Verdict,
    },
};
use uuid::Uuid;

use crate::{
    choices::{Drawn, DrawnReport, What},
    plain::{DAY, amount},
    story::Story,
};

/// Where the calendar of the tests begins.
pub const BASE: i64 = 1_700_000_000_000;

/// A time of the tests' calendar.
pub fn at(offset: i64) -> Timestamp {
    Timestamp::from_millis(BASE + offset)
}

/// A position in `conversions`.
fn position(partition: usize, offset: usize) -> Position {
    Position {
        topic: Topic::Conversions,
        partition: i32::try_from(partition).expect("few partitions"),
        offset: i64::try_from(offset).expect("few records"),
    }
}

impl fmt::Debug for Drawn {
    /// The records in short, for whoever reads a counterexample.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (decisions, commands) = self.records();
        write!(f, "{}", Story(&decisions, &commands))
    }
}

impl Drawn {
    /// The records that the choices stand for, in the order of their appending.
    pub fn records(&self) -> (Vec<Decision>, Vec<Command>) {
        let mut decisions: Vec<_> = (0..self.reports.len())
            .map(|index| self.decision(index))
            .collect();
        decisions.sort_by_key(|decision| decision.appended_at);
        for (offset, decision) in decisions.iter_mut().enumerate() {
            decision.source.offset = i64::try_from(offset).expect("few records");
        }
        let commands = (0..self.commands.len()).map(|index| self.command(index));
        (decisions, commands.collect())
    }

    fn facts(&self, report: &DrawnReport) -> (usize, ClickFacts) {
        let index = report.click % self.clicks.len();
        let click = &self.clicks[index];
        let number = |number: u128| Uuid::from_u128(number);
        let tenant = u128::try_from(click.tenant).expect("few tenants");
        let facts = ClickFacts {
            click_id: ClickId::new(i64::try_from(index).expect("few clicks") + 1),
            clicked_at: at(click.at),
            tenant_id: TenantId::new(number(tenant + 1)),
            campaign_id: CampaignId::new(number(tenant + 1)),
            link_id: LinkId::new(number(tenant + 1)),
            offer_id: OfferId::new(i32::try_from(click.offer).expect("few offers") + 1),
            user_id: click.user.map(|user| UserId::new(number(user))),
            country: None,
            signals: ClickSignals::default(),
        };
        (index, facts)
    }

    fn event_id(&self, index: usize) -> EventId {
        let report = &self.reports[index];
        match report.heal {
            // A heal keeps the name of what it heals.
            Some((parked, _)) => EventId::new(i64::try_from(parked).expect("few") + 500),
            None => EventId::new(report.id * 1_000 + i64::try_from(index).expect("few") + 1),
        }
    }

    fn decision(&self, index: usize) -> Decision {
        let report = &self.reports[index];
        // Heals of one parked report say the same.
        let slot = |report: &DrawnReport| report.heal.map(|(parked, _)| parked);
        let told = match slot(report) {
            Some(parked) => self
                .reports
                .iter()
                .find(|other| slot(other) == Some(parked)),
            None => None,
        };
        let told = told.unwrap_or(report);
        let (number, click) = self.facts(report);
        let drawn_click = &self.clicks[number];
        // Heals keep the receipt of what they heal, and came later.
        let received_at = report.heal.map_or(report.received_at, |(parked, _)| {
            i64::try_from(parked).expect("few") * DAY
        });
        let appended_at = at(received_at + report.delay);
        let received_at = at(received_at);
        let heal = report.heal.map(|(parked, author)| Heal {
            heals: position(11, parked),
            heal_id: EventId::new(9_000 + report.id * 100 + i64::try_from(index).expect("few")),
            author,
            click: click.clone(),
        });
        let version = drawn_click.offer + 2 * usize::from(drawn_click.later_terms);
        let matched = Matched {
            terms: self.terms[version].clone(),
            rules: self.rules[drawn_click.tenant].clone(),
            signals: Vec::new(),
            score: report.score,
            self_purchase: report.self_purchase.then_some(SelfPurchase::Phone),
            split: None,
            books_locked_before: report.locked_before.map(at),
            click,
        };
        let converted_at = told
            .converted
            .map(|after| at(self.facts(told).1.clicked_at.millis() - BASE + after));
        Decision {
            source: position(number, index),
            appended_at,
            event_id: self.event_id(index),
            received_at,
            report_source: match told.snapshot_age {
                Some(0) => ReportSource::Api,
                Some(_) => ReportSource::Csv,
                None => ReportSource::Postback,
            },
            as_of: told.snapshot_age.map(|age| received_at.plus_millis(-age)),
            network_id: NetworkId::new(1),
            reported: Some(Reported {
                converted_at,
                ..told.fields.clone()
            }),
            heal,
            outcome: Outcome::Matched(Box::new(matched)),
        }
    }

    fn command(&self, index: usize) -> Command {
        let drawn = &self.commands[index];
        let event_id = self.event_id(drawn.report % self.reports.len());
        let verdict = |verdict| CommandBody::ReviewClaim(ReviewClaim { event_id, verdict });
        let split = |creator: &str| Split {
            commission: amount("10"),
            subsidy: amount("1"),
            fee: amount("2"),
            user: amount("3"),
            creator: amount(creator),
        };
        let correct = |split: Option<Split>| {
            let target = split.map(|split| Target { split });
            CommandBody::Correct(Correct { event_id, target })
        };
        Command {
            command_id: EventId::new(drawn.id * 1_000 + i64::try_from(index).expect("few")),
            issued_at: at(drawn.issued_at),
            author: "operator".to_owned(),
            reason: "test".to_owned(),
            body: match drawn.what {
                What::Approve => verdict(Verdict::Approve),
                What::Reject => verdict(Verdict::Reject),
                What::Correct => correct(Some(split("6"))),
                What::CorrectWrongly => correct(Some(split("7"))),
                What::Withdraw => correct(None),
            },
        }
    }
}
