//! What a run came to, as JSON and as a table for docs/reliability.md.

use std::{collections::BTreeMap, fmt::Write, fs, path::Path, time::Duration};

use serde::Serialize;

use crate::{supervision::Campaign, verdict::Verdict};

/// The figures stand between these lines of the document.
const BEGIN: &str = "<!-- payouts: written by `make payouts` -->";
const END: &str = "<!-- end of payouts -->";

#[derive(Debug, Serialize)]
pub struct Report {
    pub payouts: u64,
    pub seed: u64,
    pub seconds: u64,
    pub kills: u64,
    /// How often the channel was resumed, by what had paused it.
    pub resumed: BTreeMap<String, u64>,
    /// Nightly runs that tried payouts again.
    pub nights: u64,
    pub verdict: Verdict,
}

impl Report {
    pub fn new(
        campaign: &Campaign,
        took: Duration,
        kills: u64,
        resumed: BTreeMap<String, u64>,
        nights: u64,
        verdict: Verdict,
    ) -> Self {
        Self {
            payouts: campaign.payouts,
            seed: campaign.seed,
            seconds: took.as_secs(),
            kills,
            resumed,
            nights,
            verdict,
        }
    }

    pub fn clean(&self) -> bool {
        self.verdict.findings.is_empty()
    }

    pub fn markdown(&self) -> String {
        let verdict = &self.verdict;
        let mut text = String::from("| | |\n|---|---|\n");
        let mut row = |name: &str, value: String| {
            let _ = writeln!(text, "| {name} | {value} |");
        };
        row("payouts", self.payouts.to_string());
        row("calls for cards", verdict.attempts.to_string());
        row(
            "payouts with a doubtful attempt",
            verdict.doubtful.to_string(),
        );
        row("kills of the process", self.kills.to_string());
        let pauses: u64 = self.resumed.values().sum();
        row("channel paused and resumed", format!("{pauses} times"));
        row("funded payouts", verdict.funded.to_string());
        row(
            "cards that can be spent, by the service's book",
            verdict.cards.to_string(),
        );
        for (reason, count) in &verdict.waiting {
            row(
                &format!("left to an operator, `{reason}`"),
                count.to_string(),
            );
        }
        row(
            "sum of the cards",
            format!("₹{}", verdict.cards_sum.normalize()),
        );
        row(
            "sum by the ledger",
            format!("₹{}", verdict.ledger_sum.normalize()),
        );
        row(
            "sum by the postings",
            format!("₹{}", verdict.cleared_sum.normalize()),
        );
        row(
            "**paid twice, lost, stuck, or differing**",
            verdict.findings.len().to_string(),
        );
        let rate = self.payouts / self.seconds.max(1);
        let _ = write!(
            text,
            "\nSeed {}, {} s: {rate} payouts a second, unoptimised, with all of it on one machine.\n",
            self.seed, self.seconds
        );
        for finding in verdict.findings.iter().take(50) {
            let _ = writeln!(text, "- {finding}");
        }
        text
    }

    /// Puts the figures into the document.
    pub fn replace_in(&self, path: &Path) {
        let document = fs::read_to_string(path).expect("the document");
        let (before, rest) = document.split_once(BEGIN).expect("where the figures begin");
        let (_, after) = rest.split_once(END).expect("where the figures end");
        let figures = self.markdown();
        fs::write(path, format!("{before}{BEGIN}\n{figures}{END}{after}")).expect("written");
    }
}
