//! `hissaback what-if`: the same history under other rules or terms.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, ensure};
use clap::Args;
use operations::{
    reference::{ReferenceFile, suppose},
    replay::WhatIfReport,
};

use super::replay::{HistoryArguments, clean_room, replay_over, show};
use crate::platform::Platform;

/// Arguments of `hissaback what-if`.
#[derive(Debug, Args)]
#[group(id = "supposed", required = true, multiple = true, args = ["rules", "terms"])]
pub struct WhatIfArguments {
    /// Fraud rules, commission rules and locks, as `hissaback reference import` takes them
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    /// Terms of tenants, offers and campaigns, and tenants' own rates, likewise
    #[arg(long, value_name = "FILE")]
    terms: Option<PathBuf>,
    /// Write the groups to this file too, as CSV
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    #[command(flatten)]
    history: HistoryArguments,
}

impl WhatIfArguments {
    /// What is to be supposed, of both files.
    fn file(&self) -> anyhow::Result<ReferenceFile> {
        let rules = self.rules.as_deref().map(read).transpose()?;
        let terms = self.terms.as_deref().map(read).transpose()?;
        let (rules, terms) = (rules.unwrap_or_default(), terms.unwrap_or_default());
        let rules_only = ReferenceFile {
            fraud_rules: rules.fraud_rules.clone(),
            commission_rules: rules.commission_rules.clone(),
            locks: rules.locks.clone(),
            ..ReferenceFile::default()
        };
        ensure!(
            rules == rules_only,
            "--rules takes fraud_rules, commission_rules and locks only"
        );
        let terms_only = ReferenceFile {
            tenants: terms.tenants.clone(),
            offers: terms.offers.clone(),
            campaigns: terms.campaigns.clone(),
            overrides: terms.overrides.clone(),
            ..ReferenceFile::default()
        };
        ensure!(
            terms == terms_only,
            "--terms takes tenants, offers, campaigns and overrides only"
        );
        Ok(ReferenceFile {
            fraud_rules: rules.fraud_rules,
            commission_rules: rules.commission_rules,
            locks: rules.locks,
            ..terms
        })
    }
}

fn read(path: &Path) -> anyhow::Result<ReferenceFile> {
    let text =
        fs::read_to_string(path).with_context(|| format!("{} can't be read", path.display()))?;
    ReferenceFile::parse(&text)
        .map_err(|problems| anyhow::anyhow!("{} is refused:\n{problems}", path.display()))
}

/// Folds history twice, and tells what would have been. Nothing is changed.
///
/// # Errors
/// When a file can't be used, or the log can't be folded.
pub async fn run(arguments: WhatIfArguments) -> anyhow::Result<()> {
    let file = arguments.file()?;
    let platform = clean_room(&arguments.history.installation).await?;
    let outcome = suppose_over(&arguments, &file, &platform).await;
    platform.stop().await?;
    let report = outcome?;
    if let Some(path) = &arguments.csv {
        let output =
            File::create(path).with_context(|| format!("{} can't be written", path.display()))?;
        report.write_csv(output)?;
    }
    if arguments.history.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{report}");
    }
    Ok(())
}

async fn suppose_over(
    arguments: &WhatIfArguments,
    file: &ReferenceFile,
    platform: &Platform,
) -> anyhow::Result<WhatIfReport> {
    let replay = replay_over(platform).await?;
    let supposed = suppose(file, &replay.reference)
        .map_err(|problems| anyhow::anyhow!("this can't be supposed:\n{problems}"))?;
    let bar = arguments.history.progress();
    let settings = arguments.history.settings();
    let report = replay
        .what_if(Arc::new(supposed), &settings, &|progress| {
            show(&bar, progress);
        })
        .await;
    bar.finish_and_clear();
    Ok(report?)
}
