//! What the log holds of the claims that a span touches: their neighbourhoods, whole.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use processors::rules::payouts::PayoutState;
use schemas::{
    EventId, Minor, PayoutId, Position, Timestamp, Topic, UserId,
    events::{Command, CommandBody, PayoutRequested, PayoutResult},
};

use super::{
    ReplayError, Span,
    judge::{Judge, Judged},
    neighbours::{Links, Neighbourhoods},
    reading::{Source, Watermark},
    store::{BYTES_PER_REPORT, Packed, Packer},
};

/// What a fold reads besides reports.
#[derive(Debug, Default)]
pub(super) struct Beside {
    /// Commands on claims, by the report that they name.
    pub commands: HashMap<EventId, Vec<Command>>,
    /// What was paid to whom, by the claim's name at the time.
    pub paid: HashMap<EventId, Vec<(UserId, Minor)>>,
    /// Names that the span's commands and payouts touch.
    touched: HashSet<EventId>,
}

/// What is asked of the log.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope {
    pub span: Span,
    /// Claims on clicks before it are final: no fold has them.
    pub retired_before: Timestamp,
    /// Memory that reports may take, in bytes.
    pub memory_bytes: u64,
}

/// What reading came to, beside the reports.
#[derive(Debug, Default)]
pub(super) struct Read {
    /// Reports that were decided.
    pub reports: u64,
    /// Of them, those in the span.
    pub in_span: u64,
    /// Reports that the ledger hasn't got a decision on yet.
    pub undecided: u64,
    /// Records that were given up, and that today's code can use.
    pub usable_now: Vec<Position>,
}

impl Beside {
    pub async fn read(source: &Source<'_>, span: &Span) -> Result<Self, ReplayError> {
        let mut beside = Self::default();
        let mut seen = HashSet::new();
        source
            .events(|command: Command, record| {
                let subject = match &command.body {
                    CommandBody::ReviewClaim(review) => review.event_id,
                    CommandBody::Correct(correct) => correct.event_id,
                    CommandBody::MatchByHand(_)
                    | CommandBody::ReleasePayout(_)
                    | CommandBody::CancelPayout(_)
                    | CommandBody::ChannelSwitch(_)
                    | CommandBody::ResendMessage(_) => return,
                };
                // The first one under an id counts.
                if seen.insert(command.command_id) {
                    if span.holds(record.position, record.appended_at) {
                        beside.touched.insert(subject);
                    }
                    beside.commands.entry(subject).or_default().push(command);
                }
            })
            .await?;
        beside.read_payouts(source, span).await?;
        Ok(beside)
    }

    async fn read_payouts(&mut self, source: &Source<'_>, span: &Span) -> Result<(), ReplayError> {
        let mut payouts: HashMap<PayoutId, PayoutRequested> = HashMap::new();
        let mut states: HashMap<PayoutId, PayoutState> = HashMap::new();
        let mut touched = HashSet::new();
        source
            .events(|payout: PayoutRequested, record| {
                if span.holds(record.position, record.appended_at) {
                    touched.insert(payout.payout_id);
                }
                payouts.entry(payout.payout_id).or_insert(payout);
            })
            .await?;
        source
            .events(|result: PayoutResult, record| {
                if span.holds(record.position, record.appended_at) {
                    touched.insert(result.payout_id);
                }
                let state = states
                    .entry(result.payout_id)
                    .or_insert(PayoutState::Queued);
                *state = state.after_result(result.step, result.attempt);
            })
            .await?;
        for (payout_id, payout) in payouts {
            let funded = states.get(&payout_id) == Some(&PayoutState::Funded);
            for item in payout.items {
                if touched.contains(&payout_id) {
                    self.touched.insert(item.claim);
                }
                if funded {
                    let amount = item.amount.to_minor(payout.currency);
                    let paid = self.paid.entry(item.claim).or_default();
                    paid.push((payout.user_id, amount));
                }
            }
        }
        Ok(())
    }
}

/// Reports of some neighbourhoods, each with the others of its own.
pub(super) type Grouped = Vec<Packed>;

/// Reads the reports, and hands over those of the touched neighbourhoods, so many at a time as
/// memory allows: in one pass over the log, if all of it is touched and fits; else in one pass for
/// who is whose neighbour, and one for each part.
pub(super) async fn read(
    source: &Source<'_>,
    judge: &Arc<Judge>,
    beside: &Beside,
    scope: &Scope,
    mut fold: impl AsyncFnMut(Grouped, &Neighbourhoods) -> Result<(), ReplayError>,
) -> Result<(Read, Neighbourhoods), ReplayError> {
    let parts = scope.parts(source.watermark);
    let at_once = scope.at_once(parts);
    let mut links = Links::default();
    let mut packer = Packer::default();
    let mut kept: Vec<Packed> = Vec::new();
    let mut read = Read::default();
    let left = source
        .reports(judge, |batch| {
            read.usable_now.extend(&batch.usable_now);
            for judged in batch.judged {
                read.reports += 1;
                let decision = &judged.decision;
                let in_span = scope.span.holds(decision.source, decision.appended_at);
                read.in_span += u64::from(in_span);
                let Some(judged) = scope.counts(judged) else {
                    continue;
                };
                let reports = [&judged.first, &judged.second];
                for report in reports.into_iter().flatten() {
                    let named = beside.touched.contains(&report.event_id);
                    links.add(report, in_span || named);
                }
                if at_once {
                    kept.extend(packer.pack(judged.first, judged.second));
                }
            }
        })
        .await?;
    read.undecided = left.undecided;
    let neighbourhoods = links.finish();
    if at_once {
        fold(group(kept, &neighbourhoods), &neighbourhoods).await?;
        return Ok((read, neighbourhoods));
    }

    for part in 0..parts {
        let mut packer = Packer::default();
        let mut kept = Vec::new();
        source
            .reports(judge, |batch| {
                for judged in batch.judged.into_iter().filter_map(|one| scope.counts(one)) {
                    let report = judged.first.as_ref().or(judged.second.as_ref());
                    let neighbours = report.and_then(|one| neighbourhoods.of(one.click_id()));
                    let wanted = neighbours.is_some_and(|neighbours| {
                        neighbours % parts == part && neighbourhoods.touched(neighbours)
                    });
                    if wanted {
                        kept.extend(packer.pack(judged.first, judged.second));
                    }
                }
            })
            .await?;
        fold(group(kept, &neighbourhoods), &neighbourhoods).await?;
    }
    Ok((read, neighbourhoods))
}

impl Scope {
    /// Parts of the log that are folded one after the other.
    fn parts(&self, watermark: &Watermark) -> u32 {
        let decisions: i64 = (0..Topic::Decisions.partitions())
            .map(|partition| watermark.end((Topic::Decisions, partition)))
            .sum();
        let bytes = decisions.unsigned_abs() * BYTES_PER_REPORT;
        let parts = bytes.div_ceil(self.memory_bytes.max(1)).max(1);
        u32::try_from(parts).unwrap_or(u32::MAX)
    }

    fn at_once(&self, parts: u32) -> bool {
        parts == 1 && self.span.whole()
    }

    /// How often the log is read.
    pub fn passes(&self, watermark: &Watermark) -> u64 {
        let parts = self.parts(watermark);
        if self.at_once(parts) {
            1
        } else {
            1 + u64::from(parts)
        }
    }

    /// A record that some fold has a place for.
    fn counts(&self, mut judged: Judged) -> Option<Judged> {
        let open = |report: &processors::rules::history::Report| {
            report.matched.click.clicked_at >= self.retired_before
        };
        judged.first = judged.first.filter(open);
        judged.second = judged.second.filter(open);
        (judged.first.is_some() || judged.second.is_some()).then_some(judged)
    }
}

/// In place: there may be millions.
fn group(mut kept: Vec<Packed>, neighbourhoods: &Neighbourhoods) -> Grouped {
    for packed in &mut kept {
        if let Some(neighbours) = neighbourhoods.of(packed.click_id) {
            packed.neighbours = neighbours;
        }
    }
    kept.sort_unstable_by_key(|packed| (packed.neighbours, packed.event_id));
    kept
}
