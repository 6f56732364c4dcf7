//! What a scenario came to, and the files that keep it.

use std::{fs, path::Path};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::latencies::Latencies;

/// How much of everything is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// All scenarios in a few minutes.
    Short,
    /// The sizes that the aims are about.
    Full,
}

impl Form {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Short => "short",
            Self::Full => "full",
        }
    }

    pub const fn pick<T: Copy>(self, short: T, full: T) -> T {
        match self {
            Self::Short => short,
            Self::Full => full,
        }
    }
}

/// What a figure is to reach.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aim {
    AtLeast(f64),
    AtMost(f64),
}

/// One figure, measured once or a few times.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Figure {
    pub name: String,
    pub unit: String,
    /// One for each repetition.
    pub values: Vec<f64>,
    #[serde(default)]
    pub aim: Option<Aim>,
}

impl Figure {
    /// The middle value; the lower of the two middle ones.
    pub fn median(&self) -> f64 {
        median(&self.values)
    }

    /// Whether it is what it was to be; `None` without an aim.
    pub fn reached(&self) -> Option<bool> {
        Some(match self.aim? {
            Aim::AtLeast(least) => self.median() >= least,
            Aim::AtMost(most) => self.median() <= most,
        })
    }
}

pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let middle = sorted.len().saturating_sub(1) / 2;
    sorted.get(middle).copied().unwrap_or(f64::NAN)
}

/// Latency at a rate.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Point {
    pub per_second: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
}

/// A line of a picture: latency over throughput.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Curve {
    pub name: String,
    pub points: Vec<Point>,
}

/// What one of several sizes of the same work cost.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Size {
    pub conversions: u64,
    pub cpu_seconds_per_thousand: f64,
    pub memory_mib: f64,
}

/// How often something took how long.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Distribution {
    pub name: String,
    /// Upper bound in milliseconds, and how many lie under it and above the one before.
    pub buckets: Vec<(f64, u64)>,
}

impl Distribution {
    pub fn of(name: &str, latencies: &Latencies) -> Self {
        Self {
            name: name.to_owned(),
            buckets: latencies.doubling_buckets(),
        }
    }
}

/// A scenario's results.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Outcome {
    pub scenario: String,
    pub form: Form,
    pub seed: u64,
    /// What the figures were measured on and with, by name.
    pub settings: Vec<(String, String)>,
    pub figures: Vec<Figure>,
    #[serde(default)]
    pub curves: Vec<Curve>,
    #[serde(default)]
    pub distributions: Vec<Distribution>,
    #[serde(default)]
    pub sizes: Vec<Size>,
}

/// What a scenario measures, while it does.
#[derive(Debug, Default)]
pub struct Findings {
    pub settings: Vec<(String, String)>,
    pub figures: Vec<Figure>,
    pub curves: Vec<Curve>,
    pub distributions: Vec<Distribution>,
    pub sizes: Vec<Size>,
}

impl Findings {
    /// Notes a value; another one of the same figure is its next repetition.
    pub fn note(&mut self, name: &str, unit: &str, value: f64) {
        eprintln!("  {name}: {} {unit}", shown(value));
        if let Some(figure) = self.figures.iter_mut().find(|figure| figure.name == name) {
            figure.values.push(value);
            return;
        }
        self.figures.push(Figure {
            name: name.to_owned(),
            unit: unit.to_owned(),
            values: vec![value],
            aim: None,
        });
    }

    /// Says what a figure that was noted is to reach.
    pub fn aim(&mut self, name: &str, aim: Aim) {
        if let Some(figure) = self.figures.iter_mut().find(|figure| figure.name == name) {
            figure.aim = Some(aim);
        }
    }

    pub fn set(&mut self, name: &str, value: &impl ToString) {
        let value = value.to_string();
        if !self.settings.iter().any(|(known, _)| known == name) {
            self.settings.push((name.to_owned(), value));
        }
    }

    pub fn median(&self, name: &str) -> f64 {
        let figure = self.figures.iter().find(|figure| figure.name == name);
        figure.map_or(f64::NAN, Figure::median)
    }
}

/// A number as tables show it: three digits that count, thousands apart.
pub fn shown(value: f64) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    let decimals = match value.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 || size == 0.0 => 2,
        size if size >= 0.1 => 3,
        _ => 4,
    };
    let text = format!("{value:.decimals$}");
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let mut grouped = String::new();
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && digit.is_ascii_digit() && (whole.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if fraction.is_empty() {
        grouped
    } else {
        format!("{grouped}.{fraction}")
    }
}

/// Writes a file whole or not at all.
pub fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let folder = path.parent().context("a file has a folder")?;
    fs::create_dir_all(folder)?;
    let unfinished = path.with_extension("unfinished");
    fs::write(&unfinished, text)
        .and_then(|()| fs::rename(&unfinished, path))
        .with_context(|| format!("{} can't be written", path.display()))
}
