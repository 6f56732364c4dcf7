//! A scenario: a world, what came in, and what it must come to.

use std::collections::BTreeMap;

use processors::rules::{attribution::LookedUp, decide::decide, history::Report};
use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};
use schemas::{
    ClickId, EventId,
    events::{ConversionReported, Decision},
};

use crate::{
    click::{Click, click},
    ledger::{Entry, Ledger},
    outcome::{self, Line},
    record::{Record, position},
    world::{World, keys},
};

/// Up to this many records, every order is tried.
const RECORDS_PERMUTED_MAX: usize = 5;
/// Of more, this many orders, drawn from a seed.
const ORDERS_DRAWN: usize = 200;
const SEED: u64 = 20_260_901;

/// What is so after some records.
#[derive(Debug, Clone)]
struct Checkpoint {
    records: usize,
    expected: Vec<&'static str>,
}

#[derive(Debug, Clone)]
pub struct Scenario {
    title: &'static str,
    world: World,
    given: Vec<&'static str>,
    clicks: BTreeMap<char, Click>,
    records: Vec<Record>,
    checkpoints: Vec<Checkpoint>,
    why: Option<Vec<&'static str>>,
    rated: bool,
}

/// A scenario in the world as it is.
pub fn scenario(title: &'static str) -> Scenario {
    Scenario {
        title,
        world: World::new(),
        given: Vec::new(),
        clicks: BTreeMap::new(),
        records: Vec::new(),
        checkpoints: Vec::new(),
        why: None,
        rated: false,
    }
}

impl Scenario {
    /// Changes the world, in words and in deed.
    pub fn given(mut self, words: &'static str, change: impl FnOnce(&mut World)) -> Self {
        change(&mut self.world);
        self.given.push(words);
        self
    }

    /// A click that differs from the plain one of its name.
    pub fn click(mut self, click: Click) -> Self {
        self.clicks.insert(click.name, click);
        self
    }

    /// The next record of the log.
    pub fn then(mut self, record: impl Into<Record>) -> Self {
        let record = record.into();
        let named = match &record {
            Record::Reported(report) => Some(report.click()),
            Record::Healed(healed) => Some(healed.click),
            Record::Commanded(_) | Record::PayoutRun(_) => None,
        };
        if let Some(name) = named {
            self.clicks.entry(name).or_insert_with(|| click(name));
        }
        self.records.push(record);
        self
    }

    /// What is so now, line by line; after the last record, the end.
    pub fn so<const LINES: usize>(mut self, expected: [&'static str; LINES]) -> Self {
        self.checkpoints.push(Checkpoint {
            records: self.records.len(),
            expected: expected.to_vec(),
        });
        self
    }

    /// Why it ends so: reasons and their evidence, to the letter.
    pub fn why<const LINES: usize>(mut self, expected: [&'static str; LINES]) -> Self {
        self.why = Some(expected.to_vec());
        self
    }

    /// Also why: how the commission came about.
    pub fn rated<const LINES: usize>(mut self, expected: [&'static str; LINES]) -> Self {
        self.rated = true;
        self.why(expected)
    }

    pub const fn title(&self) -> &'static str {
        self.title
    }

    /// Runs it in the log's order, then in the others.
    pub fn check(&self) -> Result<(), String> {
        let run = self.run()?;
        let ends_checked = self
            .checkpoints
            .last()
            .is_some_and(|last| last.records == self.records.len());
        if !ends_checked {
            return Err("its end isn't written".to_owned());
        }
        for (checkpoint, lines) in self.checkpoints.iter().zip(&run.checkpoints) {
            let actual: Vec<_> = lines.iter().map(Line::literal).collect();
            differ(&checkpoint.expected, &actual)
                .map_err(|difference| format!("after {}: {difference}", checkpoint.records))?;
        }
        if let Some(expected) = &self.why {
            differ(expected, &run.why).map_err(|difference| format!("why: {difference}"))?;
        }
        run.check_every_order()
    }

    fn run(&self) -> Result<Run, String> {
        let names: BTreeMap<ClickId, char> = self
            .clicks
            .values()
            .map(|click| (click.id(), click.name))
            .collect();
        let mut run = Run::default();
        let mut apart: Vec<Decision> = Vec::new();
        let mut last = None;
        for (number, record) in (1..).zip(&self.records) {
            if last.is_some_and(|last| last > record.appended_at()) {
                return Err(format!(
                    "record {number} is appended before the one before it"
                ));
            }
            last = Some(record.appended_at());
            let entry = match record {
                Record::Reported(_) | Record::Healed(_) => {
                    let decision = self.decided(number, record);
                    let report = Report::from_decision(&decision);
                    apart.retain(|parked| parked.event_id != decision.event_id);
                    if report.is_none() {
                        apart.push(decision);
                    }
                    report.map(|report| Entry::Report(Box::new(report)))
                }
                Record::Commanded(commanded) => {
                    Some(Entry::Command(commanded.event(EventId::new(number))))
                }
                Record::PayoutRun(payout_run) => {
                    let due = run.ledger.payouts_due(payout_run.at.at());
                    Some(Entry::Paid(number, due))
                }
            };
            if let Some(entry) = entry {
                run.ledger.take(&entry)?;
                run.entries.push(entry);
            }
            let done = usize::try_from(number).expect("a few records");
            let mut checkpoints = self.checkpoints.iter();
            if checkpoints.any(|checkpoint| checkpoint.records == done) {
                let lines = outcome::lines(&run.ledger, &names, &apart);
                run.checkpoints.push(lines);
            }
        }
        run.why = outcome::why(&run.ledger, &names, self.rated);
        Ok(run)
    }

    /// A report through the stage's rules.
    fn decided(&self, number: i64, record: &Record) -> Decision {
        let (event, found) = self.event(number, record);
        let looked_up = match found {
            Some(click) => LookedUp::Click(click.facts()),
            None => LookedUp::Nothing,
        };
        decide(
            position(number),
            record.appended_at(),
            &event,
            looked_up,
            &self.world.0,
            &keys(),
        )
    }

    /// The record as it stands in `conversions`, and the click that the look-up finds for it.
    fn event(&self, number: i64, record: &Record) -> (ConversionReported, Option<&Click>) {
        match record {
            Record::Reported(report) => {
                let click = &self.clicks[&report.click()];
                let event = report.event(EventId::new(number), click);
                (event, report.found().then_some(click))
            }
            Record::Healed(healed) => {
                let parked = usize::try_from(healed.parked - 1).expect("a record's number");
                let (parked, _) = self.event(healed.parked, &self.records[parked]);
                let found = &self.clicks[&healed.click];
                (healed.event(EventId::new(number), parked, found), None)
            }
            Record::Commanded(_) | Record::PayoutRun(_) => panic!("no report"),
        }
    }

    /// Its row of the document.
    pub fn row(&self) -> Row {
        let run = self.run().unwrap_or_else(|failure| panic!("{failure}"));
        let mut came_in: Vec<_> = self
            .given
            .iter()
            .map(|words| format!("*given {words}*"))
            .collect();
        let told = self.clicks.values().filter(|click| !click.plain());
        came_in.extend(told.map(Click::line));
        let records = (1..).zip(&self.records);
        came_in.extend(records.map(|(number, record)| format!("{number}. {}", record.line())));
        let mut outcome = Vec::new();
        for (checkpoint, lines) in self.checkpoints.iter().zip(&run.checkpoints) {
            if self.checkpoints.len() > 1 {
                outcome.push(format!("after {}:", checkpoint.records));
            }
            outcome.extend(lines.iter().map(|line| line.text.clone()));
        }
        Row {
            title: self.title,
            came_in,
            outcome,
            why: run.why,
        }
    }
}

/// A row of the document; each cell a list of lines.
pub struct Row {
    pub title: &'static str,
    pub came_in: Vec<String>,
    pub outcome: Vec<String>,
    pub why: Vec<String>,
}

#[derive(Default)]
struct Run {
    entries: Vec<Entry>,
    ledger: Ledger,
    checkpoints: Vec<Vec<Line>>,
    why: Vec<String>,
}

impl Run {
    /// Any order of processing, each record once more: the same claims and the same books.
    fn check_every_order(&self) -> Result<(), String> {
        for order in orders(self.entries.len()) {
            let mut ledger = Ledger::default();
            for index in &order {
                ledger.take(&self.entries[*index])?;
                ledger.take(&self.entries[*index])?;
            }
            for entry in &self.entries {
                ledger.take(entry)?;
            }
            if ledger.claims != self.ledger.claims || ledger.books() != self.ledger.books() {
                return Err(format!(
                    "processed in the order {order:?} (seed {SEED}) it ends otherwise:\n{:#?}",
                    ledger.claims
                ));
            }
        }
        Ok(())
    }
}

fn differ(expected: &[&str], actual: &[String]) -> Result<(), String> {
    if expected == actual {
        Ok(())
    } else {
        Err(format!(
            "\n  expected  {}\n  but it is {}",
            expected.join("\n            "),
            actual.join("\n            ")
        ))
    }
}

/// Orders of so many records.
fn orders(count: usize) -> Vec<Vec<usize>> {
    if count <= RECORDS_PERMUTED_MAX {
        return permutations(&(0..count).collect::<Vec<_>>());
    }
    let mut random = StdRng::seed_from_u64(SEED);
    let draw = |_| {
        let mut order: Vec<_> = (0..count).collect();
        order.shuffle(&mut random);
        order
    };
    (0..ORDERS_DRAWN).map(draw).collect()
}

fn permutations(items: &[usize]) -> Vec<Vec<usize>> {
    if items.is_empty() {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for (index, first) in items.iter().enumerate() {
        let rest = [&items[..index], &items[index + 1..]].concat();
        all.extend(permutations(&rest).into_iter().map(|mut order| {
            order.insert(0, *first);
            order
        }));
    }
    all
}

#[test]
fn all_orders_of_a_few_records_are_tried_and_200_of_more() {
    assert_eq!(orders(3).len(), 6);
    assert_eq!(orders(5).len(), 120);
    assert_eq!(orders(6).len(), 200);
}
