//! Records of a scenario's log: reports, heals, an operator's commands, payout runs; each written
//! in a line of code and read back in a line of the document.

use schemas::{
    EventId, Minor, Position, Timestamp, Topic, UserId,
    events::{
        Command, CommandBody, ConversionReported, Correct, Heal, HealAuthor, ReviewClaim, Split,
        Target, Verdict,
    },
};

use crate::{click::Click, moment::Moment, report::Report, world::amount};

/// A parked report that found its click: the new record that says so.
#[derive(Debug, Clone)]
pub struct Healed {
    /// The number of the parked record.
    pub parked: i64,
    /// The click that it found.
    pub click: char,
    author: HealAuthor,
    at: Moment,
}

/// A heal by the retry.
pub fn retried(parked: i64, click: char) -> Healed {
    Healed {
        parked,
        click,
        author: HealAuthor::Machine,
        at: Moment::new("2h"),
    }
}

/// A heal by an operator's hand.
pub fn matched_by_hand(parked: i64, click: char) -> Healed {
    Healed {
        author: HealAuthor::Operator,
        ..retried(parked, click)
    }
}

impl Healed {
    pub fn at(mut self, at: &'static str) -> Self {
        self.at = Moment::new(at);
        self
    }

    /// The healed report: the parked one, with the facts of the click that was found.
    pub fn event(
        &self,
        heal_id: EventId,
        parked: ConversionReported,
        found: &Click,
    ) -> ConversionReported {
        let heal = Heal {
            heals: position(self.parked),
            heal_id,
            author: self.author,
            click: found.facts(),
        };
        ConversionReported {
            heal: Some(heal),
            ..parked
        }
    }
}

/// Where a record stands in `conversions`.
pub fn position(number: i64) -> Position {
    Position {
        topic: Topic::Conversions,
        partition: 0,
        offset: number,
    }
}

/// An operator's command about the claim that holds a report.
#[derive(Debug, Clone)]
pub struct Commanded {
    at: Moment,
    body: CommandBody,
    line: String,
}

fn commanded(body: CommandBody, line: String) -> Commanded {
    Commanded {
        at: Moment::new("1d"),
        body,
        line,
    }
}

fn review(record: i64, verdict: Verdict, word: &str) -> Commanded {
    let event_id = EventId::new(record);
    let body = CommandBody::ReviewClaim(ReviewClaim { event_id, verdict });
    commanded(body, format!("an operator {word} the claim of {record}"))
}

pub fn approve(record: i64) -> Commanded {
    review(record, Verdict::Approve, "approves")
}

pub fn reject(record: i64) -> Commanded {
    review(record, Verdict::Reject, "rejects")
}

/// Books a claim to a commission of which user and creator get these parts.
pub fn correct(record: i64, commission: &str, user: &str, creator: &str) -> Commanded {
    let split = Split {
        commission: amount(commission),
        user: amount(user),
        creator: amount(creator),
        ..Split::default()
    };
    let body = CommandBody::Correct(Correct {
        event_id: EventId::new(record),
        target: Some(Target { split }),
    });
    let sums = format!("{commission} = {user} shopper + {creator} creator");
    commanded(
        body,
        format!("an operator corrects the claim of {record} to {sums}"),
    )
}

pub fn lift_correction(record: i64) -> Commanded {
    let body = CommandBody::Correct(Correct {
        event_id: EventId::new(record),
        target: None,
    });
    commanded(
        body,
        format!("an operator withdraws the correction of {record}"),
    )
}

impl Commanded {
    pub fn at(mut self, at: &'static str) -> Self {
        self.at = Moment::new(at);
        self
    }

    /// As it stands in `commands`.
    pub fn event(&self, command_id: EventId) -> Command {
        Command {
            command_id,
            issued_at: self.at.at(),
            author: "operator".to_owned(),
            reason: "a scenario".to_owned(),
            body: self.body.clone(),
        }
    }
}

/// A payout run, all cards of which are made.
#[derive(Debug, Clone)]
pub struct PayoutRun {
    pub at: Moment,
}

pub fn payout_run(at: &'static str) -> PayoutRun {
    PayoutRun {
        at: Moment::new(at),
    }
}

/// What was paid of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paid {
    pub user: UserId,
    pub claim: EventId,
    pub amount: Minor,
}

/// One record of the log.
#[derive(Debug, Clone)]
pub enum Record {
    Reported(Box<Report>),
    Healed(Healed),
    Commanded(Commanded),
    PayoutRun(PayoutRun),
}

impl From<Report> for Record {
    fn from(report: Report) -> Self {
        Self::Reported(Box::new(report))
    }
}

impl From<Healed> for Record {
    fn from(healed: Healed) -> Self {
        Self::Healed(healed)
    }
}

impl From<Commanded> for Record {
    fn from(commanded: Commanded) -> Self {
        Self::Commanded(commanded)
    }
}

impl From<PayoutRun> for Record {
    fn from(run: PayoutRun) -> Self {
        Self::PayoutRun(run)
    }
}

impl Record {
    /// When it is appended.
    pub fn appended_at(&self) -> Timestamp {
        match self {
            Self::Reported(report) => report.appended_at(),
            Self::Healed(healed) => healed.at.at(),
            Self::Commanded(commanded) => commanded.at.at(),
            Self::PayoutRun(run) => run.at.at(),
        }
    }

    /// For the document.
    pub fn line(&self) -> String {
        match self {
            Self::Reported(report) => report.line(),
            Self::Healed(healed) => {
                let Healed {
                    parked, click, at, ..
                } = healed;
                match healed.author {
                    HealAuthor::Operator => {
                        format!("{at}: an operator matches {parked} to {click} by hand")
                    }
                    HealAuthor::Machine => format!("{at}: the retry of {parked} finds {click}"),
                }
            }
            Self::Commanded(commanded) => format!("{}: {}", commanded.at, commanded.line),
            Self::PayoutRun(run) => format!("{}: payout run", run.at),
        }
    }
}
