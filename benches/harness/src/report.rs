//! The document: tables and pictures, between its markers.

use std::{
    collections::BTreeMap,
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
const HEADING: &str = "\n### ";
const END: &str = "<!-- end of figures -->";

/// Writes the document's figures of all results that are kept anew, and their pictures into the
/// folder of its name. Those of other scenarios stay: results aren't committed, the document is.
pub fn write_into(document: &Path, results: &Path) -> anyhow::Result<()> {
    let outcomes = kept(results)?;
    let pictures = document.with_extension("");
    let text = fs::read_to_string(document)
        .with_context(|| format!("{} can't be read", document.display()))?;
    let (before, rest) = text
        .split_once(BEGIN)
        .context("the document lacks the place of its figures")?;
    let (figures, after) = rest
        .split_once(END)
        .context("the document lacks the end of its figures")?;
    let mut sections = sections(figures);
    for outcome in &outcomes {
        let mut section = table(outcome);
        for (file, title, svg) in drawn(outcome) {
            results::write(&pictures.join(&file), &svg)?;
            let folder = pictures.file_name().context("a name")?.to_string_lossy();
            let _ = writeln!(section, "\n![{title}]({folder}/{file})");
        }
        sections.insert(outcome.scenario.clone(), section);
    }
    let figures: String = sections.into_values().collect();
    let whole = format!("{before}{BEGIN}\n{figures}\n{END}{after}");
    results::write(document, &whole)
}

/// Each scenario's section of the figures, by its heading.
fn sections(figures: &str) -> BTreeMap<String, String> {
    let sections = figures.split(HEADING).skip(1);
    sections
        .filter_map(|section| {
            let (scenario, _) = section.split_once('\n')?;
            let text = format!("{HEADING}{}\n", section.trim_end());
            Some((scenario.to_owned(), text))
        })
        .collect()
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
        "{HEADING}{}\n\n{} form, seed {}. {}.\n\n| what | median | runs | aim |\n|---|---:|---|---|\n",
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::Form;

    fn outcome(scenario: &str, decisions: f64) -> Outcome {
        Outcome {
            scenario: scenario.to_owned(),
            form: Form::Short,
            seed: 7,
            settings: Vec::new(),
            figures: vec![Figure {
                name: "decisions".to_owned(),
                unit: "/s".to_owned(),
                values: vec![decisions],
                aim: None,
            }],
            curves: Vec::new(),
            distributions: Vec::new(),
            sizes: Vec::new(),
        }
    }

    fn keep(results: &Path, outcome: &Outcome) {
        let text = serde_json::to_string(outcome).expect("JSON");
        let path = results.join(format!("{}.json", outcome.scenario));
        results::write(&path, &text).expect("a folder to write to");
    }

    #[test]
    fn figures_of_scenarios_without_a_kept_result_stay() {
        let folder = tempfile::tempdir().expect("a folder");
        let document = folder.path().join("figures.md");
        fs::write(&document, format!("Before.\n{BEGIN}\n{END}\nAfter.\n")).expect("written");
        let (first, second) = (folder.path().join("first"), folder.path().join("second"));
        keep(&first, &outcome("day", 1.0));
        keep(&first, &outcome("decide", 2.0));
        keep(&second, &outcome("day", 3.0));
        keep(&second, &outcome("crowd", 4.0));

        write_into(&document, &first).expect("written");
        write_into(&document, &second).expect("written");
        write_into(&document, &second).expect("written again");

        let sections = [
            table(&outcome("crowd", 4.0)),
            table(&outcome("day", 3.0)),
            table(&outcome("decide", 2.0)),
        ];
        let text = fs::read_to_string(&document).expect("written");
        let expected = format!("Before.\n{BEGIN}\n{}\n{END}\nAfter.\n", sections.concat());
        assert_eq!(text, expected);
    }
}
