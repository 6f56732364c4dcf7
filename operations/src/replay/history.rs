//! What the log holds of the claims that a span touches: their neighbourhoods, whole.

use std::{
    collections::{HashMap, HashSet},
    ops::Range,
    sync::Arc,
};

use processors::rules::{history::Report, payouts::PayoutState};
use schemas::{
    EventId, Minor, PayoutId, Position, Timestamp, Topic, UserId,
    events::{Command, CommandBody, PayoutRequested, PayoutResult},
};

use super::{
    ReplayError, Span,
    grouping::{Grouped, Kept},
    judge::{Judge, Judged},
    neighbours::{Linked, Links, Neighbourhoods},
    reading::{Source, Watermark, Work},
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

/// The history of the touched neighbourhoods, so much of it at a time as memory allows: all at once
/// if all of it is touched and fits; else one pass over the log tells who is whose neighbour, and
/// each part takes another one.
pub(super) struct History<'a> {
    source: &'a Source<'a>,
    judge: Arc<Judge>,
    scope: Scope,
    pub read: Read,
    pub neighbourhoods: Arc<Neighbourhoods>,
    /// All reports, if they are read at once.
    kept: Option<Kept>,
    /// The parts that are still to be read.
    left: Range<u32>,
}

/// What the first pass makes of a report.
struct Sifted {
    in_span: bool,
    /// Nothing of a report that no fold has a place for.
    counted: Option<Counted>,
}

struct Counted {
    linked: Linked,
    /// In the second fold, if that is something else.
    linked_otherwise: Option<Box<Linked>>,
    packed: Option<Packed>,
}

impl<'a> History<'a> {
    /// Reads the log once.
    pub async fn read(
        source: &'a Source<'a>,
        judge: Arc<Judge>,
        beside: &Arc<Beside>,
        scope: Scope,
    ) -> Result<Self, ReplayError> {
        let parts = scope.parts(source.watermark);
        let at_once = scope.at_once(parts);
        let work = {
            let beside = Arc::clone(beside);
            Work::new(&judge, move |judged, packer| {
                let packer = at_once.then_some(packer);
                scope.sift(judged, &beside, packer)
            })
        };
        let mut links = Links::default();
        let mut kept = at_once.then(Kept::default);
        let mut read = Read::default();
        let left = source
            .reports(work, |batch| {
                read.usable_now.extend(&batch.usable_now);
                for sifted in batch.made {
                    read.reports += 1;
                    read.in_span += u64::from(sifted.in_span);
                    let Some(counted) = sifted.counted else {
                        continue;
                    };
                    let node = links.add(&counted.linked);
                    if let Some(linked) = counted.linked_otherwise {
                        links.add(&linked);
                    }
                    if let (Some(kept), Some(packed)) = (&mut kept, counted.packed) {
                        kept.add(node, packed);
                    }
                }
            })
            .await?;
        read.undecided = left.undecided;
        Ok(Self {
            source,
            judge,
            scope,
            read,
            neighbourhoods: Arc::new(links.finish()),
            kept,
            left: 0..parts,
        })
    }

    /// The next part, with all reports of each neighbourhood in it; nothing after the last one.
    pub async fn next(&mut self) -> Result<Option<Grouped>, ReplayError> {
        let Some(part) = self.left.next() else {
            return Ok(None);
        };
        let kept = match self.kept.take() {
            Some(kept) => kept,
            None => self.part(part).await?,
        };
        let grouped = kept.grouped(&self.neighbourhoods);
        if self.left.is_empty() {
            // Nobody asks any more, and it takes much memory.
            self.neighbourhoods = Arc::default();
        }
        Ok(Some(grouped))
    }

    async fn part(&self, part: u32) -> Result<Kept, ReplayError> {
        let parts = self.left.end;
        let (scope, neighbourhoods) = (self.scope, Arc::clone(&self.neighbourhoods));
        let work = Work::new(&self.judge, move |judged, packer| {
            let judged = scope.counts(judged)?;
            let report = judged.first.as_ref().or(judged.second.as_ref())?;
            let neighbours = neighbourhoods.of(report.click_id())?;
            let wanted = neighbours % parts == part && neighbourhoods.touched(neighbours);
            let packed = wanted.then(|| packer.pack(judged.first, judged.second));
            Some((neighbours, packed.flatten()?))
        });
        let mut kept = Kept::default();
        self.source
            .reports(work, |batch| {
                for (neighbours, packed) in batch.made.into_iter().flatten() {
                    kept.add(neighbours, packed);
                }
            })
            .await?;
        Ok(kept)
    }
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

    /// What the first pass has to know of a report; packed as well, if there is a packer.
    fn sift(&self, judged: Judged, beside: &Beside, packer: Option<&mut Packer>) -> Sifted {
        let in_span = self.span.holds(judged.position, judged.appended_at);
        let linked = |report: &Report| {
            let named = beside.touched.contains(&report.event_id);
            Linked::of(report, in_span || named)
        };
        let counted = self.counts(judged).and_then(|judged| {
            let first = judged.first.as_ref().map(linked);
            let second = judged.second.as_ref().map(linked);
            let second = second.filter(|second| first.as_ref() != Some(second));
            let (linked, linked_otherwise) = match (first, second) {
                (Some(first), second) => (first, second.map(Box::new)),
                (None, second) => (second?, None),
            };
            Some(Counted {
                linked,
                linked_otherwise,
                packed: packer.and_then(|packer| packer.pack(judged.first, judged.second)),
            })
        });
        Sifted { in_span, counted }
    }

    /// A record that some fold has a place for.
    fn counts(&self, mut judged: Judged) -> Option<Judged> {
        let open = |report: &Report| report.matched.click.clicked_at >= self.retired_before;
        judged.first = judged.first.filter(open);
        judged.second = judged.second.filter(open);
        (judged.first.is_some() || judged.second.is_some()).then_some(judged)
    }
}
