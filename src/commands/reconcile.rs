//! `hissaback reconcile`: what a network lists, in a file or by its API, against the ledger.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, ensure};
use clap::Args;
use indicatif::ProgressBar;
use operations::reconcile::{
    Break, BreakFile, BreakSink, ReconcileSettings, ReconcileSummary, Reconciler,
};
use operations::trackier::{
    Client,
    pull::{self, PullSummary},
    spool::{PullHeader, Spool},
};
use schemas::{Amount, NetworkId, TenantId, Timestamp, events::ReportSource};

use super::{InstallationArguments, pipeline, timestamp};
use crate::{configuration::Trackier, platform::Platform, roles::Roles};

/// Breaks that are printed; a file of them has all.
const PRINTED_MAX: usize = 100;

/// Arguments of `hissaback reconcile`.
#[derive(Debug, Args)]
pub struct ReconcileArguments {
    #[command(flatten)]
    list: ListArguments,
    /// The tenant whose claims are compared
    #[arg(long)]
    tenant: TenantId,
    /// The network instance that the list comes from [default: 1; with --api trackier.network]
    #[arg(long)]
    network: Option<NetworkId>,
    /// The time that the export is a snapshot of, RFC 3339 [default: the file's modification time]
    #[arg(long, value_parser = timestamp, conflicts_with = "api")]
    as_of: Option<Timestamp>,
    /// How far the network's clock is ahead of UTC, such as +05:30 [default: as configured for the
    /// network]
    #[arg(long, value_name = "OFFSET", value_parser = offset, allow_hyphen_values = true)]
    timezone: Option<i32>,
    /// Amounts that differ by no more than this agree
    #[arg(long, default_value = "0")]
    tolerance: Amount,
    /// Conversions at or after this [default: the earliest row's; with --api trackier.window_days]
    #[arg(long, value_parser = timestamp)]
    from: Option<Timestamp>,
    /// Conversions before this [default: up to the latest row's; with --api now]
    #[arg(long, value_parser = timestamp)]
    to: Option<Timestamp>,
    /// Write every break to this CSV file
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Keep what is pulled in this file, and go on with it after an interruption
    #[arg(long, value_name = "FILE", requires = "api")]
    keep_pull: Option<PathBuf>,
    /// Append what is proposed to the log, where it goes through the same pipeline as postbacks
    #[arg(long)]
    apply: bool,
    /// Print one JSON object instead of the summary
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    installation: InstallationArguments,
}

/// What the network lists: in a file, or by its API.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct ListArguments {
    /// A conversions export with Trackier's columns; schemas/examples/ has one
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Ask the account in `trackier`
    #[arg(long)]
    api: bool,
}

/// A list that was read, or is to be.
enum List {
    File(PathBuf),
    Api(Box<Network>),
}

/// Whom to ask for it.
struct Network {
    trackier: Trackier,
    client: Client,
}

/// `Z`, or hours and minutes with a sign.
fn offset(text: &str) -> Result<i32, String> {
    if matches!(text, "Z" | "UTC") {
        return Ok(0);
    }
    let parsed = || {
        let (sign, digits) = match text.split_at_checked(1)? {
            ("+", digits) => (1, digits),
            ("-", digits) => (-1, digits),
            _ => return None,
        };
        let (hours, minutes) = digits.split_once(':')?;
        let number = |digits: &str, below: i32| -> Option<i32> {
            let two = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
            digits.parse().ok().filter(|number| two && *number < below)
        };
        Some(sign * (60 * number(hours, 15)? + number(minutes, 60)?))
    };
    parsed().ok_or_else(|| format!("{text:?} is not an offset such as +05:30"))
}

/// What is printed, and what is written.
struct Told {
    printed: Vec<Break>,
    file: Option<BreakFile<File>>,
}

impl BreakSink for Told {
    fn take(&mut self, found: &Break) -> io::Result<()> {
        if self.printed.len() < PRINTED_MAX {
            self.printed.push(found.clone());
        }
        self.file.as_mut().map_or(Ok(()), |file| file.take(found))
    }
}

/// Reconciles; waits until the ledger has folded what was appended.
///
/// # Errors
/// When file, header, tenant or network can't be used; rows that can't are named and counted.
pub async fn run(arguments: ReconcileArguments) -> anyhow::Result<()> {
    let list = if let Some(path) = &arguments.list.csv {
        List::File(path.clone())
    } else {
        let trackier = arguments.installation.configuration()?.trackier;
        let account = trackier
            .account_of(arguments.tenant)?
            .context("there is no account with the network for the tenant: set trackier.api_key")?;
        let client = Client::new(account)?;
        List::Api(Box::new(Network { trackier, client }))
    };
    let work = async |platform: &Platform, roles: &Roles| {
        let run = Run {
            platform,
            roles,
            arguments: &arguments,
            progress: if arguments.json {
                ProgressBar::hidden()
            } else {
                ProgressBar::new_spinner()
            },
        };
        match &list {
            List::File(path) => run.file(path).await,
            List::Api(network) => run.api(network).await,
        }
    };
    pipeline::run(&arguments.installation, work).await
}

/// A run of the command.
struct Run<'a> {
    platform: &'a Platform,
    roles: &'a Roles,
    arguments: &'a ReconcileArguments,
    progress: ProgressBar,
}

impl Run<'_> {
    async fn file(&self, path: &Path) -> anyhow::Result<()> {
        let unreadable = || format!("{} can't be read", path.display());
        let file = File::open(path).with_context(unreadable)?;
        let arguments = self.arguments;
        let network_id = arguments.network.unwrap_or(NetworkId::new(1));
        let reference = self.roles.reference.load();
        let network = reference.networks.get(&network_id);
        let configured = network.map_or(0, |network| network.utc_offset_minutes);
        let as_of = match arguments.as_of {
            Some(as_of) => as_of,
            None => modified(&file).with_context(unreadable)?,
        };
        let settings = ReconcileSettings {
            utc_offset_minutes: arguments.timezone.unwrap_or(configured),
            ..self.settings(network_id, ReportSource::Csv, as_of)
        };
        let rows = self.reconcile(file, settings, None).await?;
        ensure!(rows > 0, "{} holds no rows", path.display());
        Ok(())
    }

    async fn api(&self, network: &Network) -> anyhow::Result<()> {
        let Network { trackier, client } = network;
        let arguments = self.arguments;
        let now = self.platform.clock.now();
        let kept = match &arguments.keep_pull {
            Some(path) => Spool::kept(path).with_context(|| unusable(path))?,
            None => None,
        };
        // A pull that is gone on with is of the span that it began with.
        let to = arguments.to.or(kept.map(|kept| kept.to)).unwrap_or(now);
        let from = arguments.from.or(kept.map(|kept| kept.from));
        let window_ms = trackier.window_days()? * 24 * 60 * 60 * 1_000;
        let header = PullHeader {
            network_id: arguments.network.unwrap_or(trackier.network),
            from: from.unwrap_or_else(|| to.plus_millis(-window_ms)),
            to,
            as_of: now,
        };
        ensure!(header.from < header.to, "--from is not before --to");
        let mut spool = match &arguments.keep_pull {
            Some(path) => Spool::open(path, header).with_context(|| unusable(path))?,
            None => Spool::temporary(header)?,
        };
        let shown = |pulled: &PullSummary| {
            let PullSummary { days, rows, .. } = pulled;
            self.progress
                .set_message(format!("{rows} rows of {days} days pulled"));
            self.progress.tick();
        };
        let pulled = pull::pull(client, &mut spool, shown).await?;
        let settings = ReconcileSettings {
            // The API's times are UTC, and say so.
            utc_offset_minutes: arguments.timezone.unwrap_or(0),
            from: Some(header.from),
            to: Some(header.to),
            ..self.settings(header.network_id, ReportSource::Api, spool.header().as_of)
        };
        self.reconcile(spool.rows()?, settings, Some(&pulled))
            .await?;
        Ok(())
    }

    fn settings(
        &self,
        network_id: NetworkId,
        source: ReportSource,
        as_of: Timestamp,
    ) -> ReconcileSettings {
        let arguments = self.arguments;
        ReconcileSettings {
            tenant_id: arguments.tenant,
            network_id,
            source,
            as_of,
            utc_offset_minutes: 0,
            tolerance: arguments.tolerance,
            from: arguments.from,
            to: arguments.to,
            apply: arguments.apply,
        }
    }

    /// Compares, waits until what was appended is folded, and prints. Gives the number of rows.
    async fn reconcile(
        &self,
        input: impl Read,
        settings: ReconcileSettings,
        pulled: Option<&PullSummary>,
    ) -> anyhow::Result<u64> {
        let Self {
            platform,
            roles,
            arguments,
            progress,
        } = self;
        let reconciler = Reconciler {
            pool: platform.operator()?.clone(),
            log: Arc::clone(&platform.log),
            clock: Arc::clone(&platform.clock),
            event_ids: roles.event_ids.clone().context("no event ids are drawn")?,
            token_keys: platform.secrets()?.token_keys()?,
            redaction: ingest::Settings::default().redaction,
            reference: roles.reference.load_full(),
        };
        let shown = |summary: &ReconcileSummary| {
            progress.set_message(format!(
                "{} rows read, {} compared",
                summary.rows, summary.compared
            ));
            progress.tick();
        };
        let mut told = Told {
            printed: Vec::new(),
            file: arguments.out.as_deref().map(create).transpose()?,
        };
        pipeline::folded(platform).await?;
        let summary = reconciler
            .reconcile(input, settings, &mut told, shown)
            .await?;
        if let Some(file) = told.file {
            file.finish()?;
        }
        if summary.appended > 0 {
            progress.set_message("the ledger is folding what was appended");
            pipeline::folded(platform).await?;
        }
        progress.finish_and_clear();
        if arguments.json {
            let found = serde_json::json!({
                "pull": pulled, "summary": summary, "breaks": told.printed
            });
            println!("{}", serde_json::to_string_pretty(&found)?);
        } else {
            print_pull(pulled);
            print(&summary, &told.printed, arguments.apply);
        }
        Ok(summary.rows)
    }
}

fn print_pull(pulled: Option<&PullSummary>) {
    let Some(pulled) = pulled else { return };
    println!(
        "{} days pulled, {} of them before: {} pages, {} rows, {} seen twice",
        pulled.days, pulled.resumed, pulled.pages, pulled.rows, pulled.repeated
    );
    for day in &pulled.unsettled {
        println!("{day} changed while it was read: what it lacks, the next pull brings");
    }
}

fn unusable(path: &Path) -> String {
    format!("{} can't be used", path.display())
}

fn modified(file: &File) -> io::Result<Timestamp> {
    let modified = file.metadata()?.modified()?;
    Ok(chrono::DateTime::<chrono::Utc>::from(modified).into())
}

fn create(path: &Path) -> anyhow::Result<BreakFile<File>> {
    BreakFile::create(path).with_context(|| format!("{} can't be written", path.display()))
}

fn print(summary: &ReconcileSummary, breaks: &[Break], applied: bool) {
    for found in breaks {
        let line = found.line.map(|line| format!("line {line}"));
        let claim = found.claim.map(|claim| format!("claim {claim}"));
        let named: Vec<String> = line.into_iter().chain(claim).collect();
        println!(
            "{}: {} ({}): here {}, there {}; {}",
            found.kind.name(),
            named.join(", "),
            found.order.as_deref().unwrap_or("no order").escape_debug(),
            found.here.escape_debug(),
            found.there.escape_debug(),
            found.action.name(),
        );
    }
    let total: u64 = summary.breaks.values().sum();
    if total > breaks.len() as u64 {
        println!("… and more: --out writes all {total}");
    }
    for row in &summary.refused_rows {
        println!(
            "line {} can't be used: {}",
            row.line,
            row.reason.escape_debug()
        );
    }
    println!(
        "{} rows: {} refused, {} repeated, {} superseded by a later row, {} outside the span, {} of \
         other tenants, {} compared",
        summary.rows,
        summary.refused,
        summary.duplicates,
        summary.superseded,
        summary.outside,
        summary.elsewhere,
        summary.compared,
    );
    let counts = |counts: &std::collections::BTreeMap<&str, u64>| {
        let counts: Vec<String> = counts
            .iter()
            .map(|(name, count)| format!("{name} {count}"))
            .collect();
        if counts.is_empty() {
            "none".to_owned()
        } else {
            counts.join(", ")
        }
    };
    println!(
        "{} agree; matched by: {}; breaks: {}",
        summary.agreed,
        counts(&summary.matched),
        counts(&summary.breaks)
    );
    if applied {
        println!("{} rows were appended as evidence", summary.appended);
    } else {
        println!("{} rows would be appended: --apply does", summary.proposed);
    }
}

#[cfg(test)]
mod tests {
    use super::offset;

    #[test]
    fn offsets_are_read() {
        assert_eq!(offset("+05:30"), Ok(330));
        assert_eq!(offset("-03:00"), Ok(-180));
        assert_eq!(offset("UTC"), Ok(0));
        for text in [
            "",
            "5:30",
            "+5:30",
            "+15:00",
            "+05:60",
            "Asia/Kolkata",
            "+05-30",
        ] {
            assert!(offset(text).is_err(), "{text}");
        }
    }
}
