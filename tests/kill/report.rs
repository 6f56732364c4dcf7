//! What a run came to, as JSON and as a table for docs/reliability.md.

use std::{collections::BTreeMap, fmt::Write, fs, path::Path};

use serde::Serialize;

use crate::{
    plan::{Moment, Victim},
    verdict::Verdict,
};

/// The table stands between these lines of the document.
const BEGIN: &str = "<!-- kills: written by `make chaos` -->";
const END: &str = "<!-- end of kills -->";

/// A kill, and what came after.
#[derive(Debug, Clone)]
pub struct Struck {
    pub moment: Moment,
    pub victim: Victim,
    /// From the kill to the next batch that the ledger committed; absent where the next kill came
    /// first.
    pub recovered_ms: Option<u64>,
}

/// A run.
#[derive(Debug, Serialize)]
pub struct Report {
    pub seed: u64,
    pub seconds: u64,
    pub kills: Vec<Row>,
    pub kills_total: usize,
    /// Planned kills whose commit point wasn't passed in time.
    pub not_reached: Vec<String>,
    pub recovery_median_ms: u64,
    pub recovery_max_ms: u64,
    pub postbacks_answered: usize,
    pub postbacks_sent: usize,
    pub clicks: usize,
    pub claims: u64,
    pub payouts: usize,
    /// Of these, payouts that wait for their next try.
    pub payouts_waiting: usize,
    pub cards: usize,
    pub audit_green: bool,
    pub verdict: Verdict,
}

/// Kills at one moment.
#[derive(Debug, Serialize)]
pub struct Row {
    pub moment: &'static str,
    pub kills: BTreeMap<&'static str, usize>,
    pub recovery_median_ms: Option<u64>,
    pub recovery_max_ms: Option<u64>,
}

/// The kills, in the order of the pipeline.
pub fn rows(struck: &[Struck]) -> Vec<Row> {
    let mut moments: BTreeMap<Moment, Vec<&Struck>> = BTreeMap::new();
    for kill in struck {
        let moment = match kill.moment {
            Moment::Random => Moment::Random,
            Moment::At { point, .. } => Moment::At { point, pass: 0 },
        };
        moments.entry(moment).or_default().push(kill);
    }
    let row = |(moment, kills): (Moment, Vec<&Struck>)| {
        let mut counts = BTreeMap::new();
        for kill in &kills {
            *counts.entry(kill.victim.name()).or_default() += 1;
        }
        let recovered = recoveries(kills.into_iter());
        Row {
            moment: moment.name(),
            kills: counts,
            recovery_median_ms: median(&recovered),
            recovery_max_ms: recovered.last().copied(),
        }
    };
    moments.into_iter().map(row).collect()
}

/// Times to recover, sorted.
pub fn recoveries<'a>(struck: impl Iterator<Item = &'a Struck>) -> Vec<u64> {
    let mut recovered: Vec<u64> = struck.filter_map(|kill| kill.recovered_ms).collect();
    recovered.sort_unstable();
    recovered
}

pub fn median(sorted: &[u64]) -> Option<u64> {
    sorted.get(sorted.len() / 2).copied()
}

impl Report {
    pub fn ok(&self) -> bool {
        self.verdict.clean() && self.audit_green && self.not_reached.is_empty()
    }

    /// The table, and the sums below it.
    pub fn markdown(&self) -> String {
        let mut text = String::from("| killed | process");
        let columns = &Victim::ALL[1..];
        for victim in columns {
            let _ = write!(text, " | {}", victim.name());
        }
        text.push_str(" | recovered after: median | longest |\n|---|---|---|---|---|---|---|\n");
        for row in &self.kills {
            let name = match row.moment {
                "at random" => "at random".to_owned(),
                point => format!("`{point}`"),
            };
            let _ = write!(text, "| {name}");
            for victim in Victim::ALL {
                let kills = row.kills.get(victim.name()).copied().unwrap_or_default();
                let _ = write!(text, " | {kills}");
            }
            let time = |ms: Option<u64>| ms.map_or("–".to_owned(), |ms| format!("{ms} ms"));
            let _ = writeln!(
                text,
                " | {} | {} |",
                time(row.recovery_median_ms),
                time(row.recovery_max_ms)
            );
        }
        let _ = write!(
            text,
            "\n{} kills in {} s, seed {}; recovered after {} ms (median), {} ms at the longest.\n\
             Of {} postbacks sent, {} were answered 200; {} clicks, {} claims, {} payouts \
             ({} waiting for their next try), {} gift cards.\n\
             **Lost {}, doubled {}**, untraced {}, wrong money {}; \
             `hissaback audit` {}.\n",
            self.kills_total,
            self.seconds,
            self.seed,
            self.recovery_median_ms,
            self.recovery_max_ms,
            self.postbacks_sent,
            self.postbacks_answered,
            self.clicks,
            self.claims,
            self.payouts,
            self.payouts_waiting,
            self.cards,
            self.verdict.lost.len(),
            self.verdict.doubled.len(),
            self.verdict.untraced.len(),
            self.verdict.money.len(),
            if self.audit_green { "green" } else { "red" },
        );
        text
    }

    pub fn write_json(&self, path: &Path) {
        let json = serde_json::to_string_pretty(self).expect("JSON");
        fs::write(path, json + "\n").expect("written");
    }

    /// Puts the table between the document's markers.
    pub fn write_into(&self, document: &Path) {
        let text = fs::read_to_string(document).expect("a document");
        let (before, rest) = text.split_once(BEGIN).expect("the first marker");
        let (_, after) = rest.split_once(END).expect("the second marker");
        let table = self.markdown();
        fs::write(document, format!("{before}{BEGIN}\n{table}{END}{after}")).expect("written");
    }
}
