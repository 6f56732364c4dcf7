//! The document: tables and pictures of all results that are kept, between its markers.

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;

use crate::{
    pictures,
    results::{self, Aim, Curve, Figure, Outcome, shown},
};

const BEGIN: &str = "<!-- figures: written by `make bench` -->";
const END: &str = "<!-- end of figures -->";

/// Writes the document's figures anew, and its pictures into the folder of its name.
pub fn write_into(document: &Path, results: &Path) -> anyhow::Result<()> {
    let outcomes = kept(results)?;
    let pictures = document.with_extension("");
    let text = fs::read_to_string(document)
        .with_context(|| format!("{} can't be read", document.display()))?;
    let parts = text.split_once(BEGIN).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(END)?;
        Some((before, after))
    });
    let (before, after) = parts.context("the document lacks the markers of its figures")?;
    let mut figures = String::new();
    for outcome in &outcomes {
        figures.push_str(&table(outcome));
        for (file, title, svg) in drawn(outcome) {
            results::write(&pictures.join(&file), &svg)?;
            let folder = pictures.file_name().context("a name")?.to_string_lossy();
            let _ = writeln!(figures, "\n![{title}]({folder}/{file})");
        }
    }
    let whole = format!("{before}{BEGIN}\n{figures}\n{END}{after}");
    results::write(document, &whole)
}

/// Results in the order of their names.
fn kept(folder: &Path) -> anyhow::Result<Vec<Outcome>> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("{} holds no results", folder.display()))?;
    let mut paths: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .collect();
    paths.sort();
    let read = |path: &PathBuf| {
        let text = fs::read_to_string(path)?;
        serde_json::from_str(&text).with_context(|| format!("{} is no result", path.display()))
    };
    paths.iter().map(read).collect()
}

fn table(outcome: &Outcome) -> String {
    let settings: Vec<String> = outcome
        .settings
        .iter()
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    let mut text = format!(
        "\n### {}\n\n{} form, seed {}. {}.\n\n| what | median | runs | aim |\n|---|---:|---|---|\n",
        outcome.scenario,
        outcome.form.name(),
        outcome.seed,
        settings.join("; ")
    );
    for figure in &outcome.figures {
        text.push_str(&row(figure));
    }
    text
}

fn row(figure: &Figure) -> String {
    let Figure {
        name, unit, values, ..
    } = figure;
    let runs: Vec<String> = values.iter().map(|value| shown(*value)).collect();
    let aim = figure.aim.map_or_else(String::new, |aim| match aim {
        Aim::AtLeast(least) => format!("≥ {}", shown(least)),
        Aim::AtMost(most) => format!("≤ {}", shown(most)),
    });
    let reached = match figure.reached() {
        Some(true) => ", reached",
        Some(false) => ", **not reached**",
        None => "",
    };
    let median = shown(figure.median());
    let runs = if values.len() > 1 {
        runs.join(", ")
    } else {
        String::new()
    };
    format!("| {name} | {median} {unit} | {runs} | {aim}{reached} |\n")
}

/// File, title and content of each picture.
fn drawn(outcome: &Outcome) -> Vec<(String, String, String)> {
    let scenario = &outcome.scenario;
    let curves = outcome.curves.iter().map(|curve: &Curve| {
        let title = format!("{scenario}: {}, latency over rate", curve.name);
        let file = format!("{scenario}-latency-over-rate.svg");
        (file, title.clone(), pictures::curve(&title, curve))
    });
    let distributions = outcome.distributions.iter().enumerate();
    let distributions = distributions.map(|(number, distribution)| {
        let title = &distribution.name;
        let file = format!("{scenario}-latency-{}.svg", number + 1);
        (file, title.clone(), pictures::histogram(distribution))
    });
    let sizes = (!outcome.sizes.is_empty()).then(|| {
        let title = "CPU seconds per 1,000 conversions, and the pipeline's memory, over size";
        let file = format!("{scenario}-cost-over-size.svg");
        (
            file,
            title.to_owned(),
            pictures::sizes(title, &outcome.sizes),
        )
    });
    curves.chain(distributions).chain(sizes).collect()
}
