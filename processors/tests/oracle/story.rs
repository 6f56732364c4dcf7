//! A set of records told in short: a line each, with what differs from the plainest record.

use std::fmt;

use schemas::{
    Timestamp,
    events::{Command, CommandBody, Decision, Outcome, ReportSource},
};

use crate::records::BASE;

/// Decisions and commands.
pub struct Story<'a>(pub &'a [Decision], pub &'a [Command]);

/// An instant as days, hours and milliseconds since the beginning of the tests' calendar.
fn day(at: Timestamp) -> String {
    const HOUR: i64 = 3_600_000;
    let offset = at.millis() - BASE;
    let hours = (offset + HOUR / 2).div_euclid(HOUR);
    let (days, hour) = (hours.div_euclid(24), hours.rem_euclid(24));
    match (hour, offset - hours * HOUR) {
        (0, 0) => format!("d{days}"),
        (0, beside) => format!("d{days}{beside:+}ms"),
        (hour, 0) => format!("d{days}:{hour}h"),
        (hour, beside) => format!("d{days}:{hour}h{beside:+}ms"),
    }
}

impl fmt::Display for Story<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut told = Vec::new();
        for decision in self.0 {
            report(f, decision, &mut told)?;
        }
        for command in self.1 {
            let issued = day(command.issued_at);
            match &command.body {
                CommandBody::ReviewClaim(review) => {
                    write!(f, "\n  {issued} {:?} {}", review.verdict, review.event_id)?;
                }
                CommandBody::Correct(correct) => {
                    let creator = correct.target.map(|target| target.split.creator);
                    write!(f, "\n  {issued} Correct {} {creator:?}", correct.event_id)?;
                }
                body @ (CommandBody::MatchByHand(_)
                | CommandBody::ReleasePayout(_)
                | CommandBody::CancelPayout(_)
                | CommandBody::ChannelSwitch(_)
                | CommandBody::ResendMessage(_)) => write!(f, "\n  {issued} {body:?}")?,
            }
        }
        Ok(())
    }
}

fn report<'a>(
    f: &mut fmt::Formatter<'_>,
    decision: &'a Decision,
    told: &mut Vec<&'a schemas::events::Matched>,
) -> fmt::Result {
    let (Outcome::Matched(matched), Some(fields)) = (&decision.outcome, &decision.reported) else {
        return write!(f, "\n  {decision:?}");
    };
    let click = &matched.click;
    if !told.iter().any(|known| known.click == *click) {
        told.push(matched);
        let user = click.user_id.map(|user| user.uuid().as_u128());
        let tenant = click.tenant_id.uuid().as_u128();
        write!(
            f,
            "\n  click {} at {} tenant {tenant} user {user:?} offer {}\n    {:?}\n    {:?}",
            click.click_id,
            day(click.clicked_at),
            click.offer_id,
            matched.terms,
            matched.rules
        )?;
    }
    write!(
        f,
        "\n  appended {} report {} of click {} received {}",
        day(decision.appended_at),
        decision.event_id,
        click.click_id,
        day(decision.received_at)
    )?;
    if decision.report_source != ReportSource::Postback {
        write!(f, " {:?}", decision.report_source)?;
    }
    if let Some(as_of) = decision.as_of {
        write!(f, " as of {}", day(as_of))?;
    }
    if let Some(heal) = &decision.heal {
        let author = heal.author;
        write!(
            f,
            " heals {} by {author:?} {}",
            heal.heals.offset, heal.heal_id
        )?;
    }
    if let Some(lock) = matched.books_locked_before {
        write!(f, " LOCK {}", day(lock))?;
    }
    if matched.score != 0 {
        write!(f, " score {}", matched.score)?;
    }
    if matched.self_purchase.is_some() {
        f.write_str(" self-purchase")?;
    }
    for (name, text) in [
        ("conversion", fields.network_conversion_id.clone()),
        ("order", fields.txn_id.clone()),
        ("goal", fields.goal_id.clone()),
        ("status", fields.status.map(|status| format!("{status:?}"))),
        ("sale", fields.sale_amount.map(|sum| sum.to_string())),
        ("payout", fields.payout.map(|sum| sum.to_string())),
        (
            "currency",
            fields.currency.map(|currency| currency.to_string()),
        ),
        ("offer", fields.offer_id.map(|offer| offer.to_string())),
        ("converted", fields.converted_at.map(day)),
    ] {
        if let Some(text) = text {
            write!(f, " {name}={text}")?;
        }
    }
    Ok(())
}
