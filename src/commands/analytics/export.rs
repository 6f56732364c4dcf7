//! `hissaback analytics export`: a span of a table or view as a Parquet file.

mod file;
mod relation;

use std::{
    convert::Infallible,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use clap::Args;
use clickhouse::Client;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use schemas::{TenantId, Timestamp};
use secrecy::ExposeSecret;
use serde_json::json;
use sinks::analytics::completeness;

use self::{file::PartialFile, relation::Relation};
use crate::{
    commands::{InstallationArguments, serving},
    configuration::Configuration,
    embedded::{
        ClickHouseOptions, DataDirectory, DataDirectoryError, EmbeddedClickHouse,
        clickhouse::{DIRECTORY, server_client},
    },
};

/// How often the progress is asked for.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(500);

/// Arguments of `hissaback analytics export`.
#[derive(Debug, Args)]
pub(super) struct ExportArguments {
    /// Table or view of the database hissaback; docs/analytics.md lists them
    #[arg(long, value_name = "NAME")]
    table: String,
    /// Beginning of the span: a day (2026-11-01) or an instant (2026-11-01T06:30:00Z)
    #[arg(long, value_parser = instant)]
    from: Timestamp,
    /// End of the span, itself not in it
    #[arg(long, value_parser = instant)]
    to: Timestamp,
    /// The file to write, which must not be there yet
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Rows of this tenant only
    #[arg(long)]
    tenant: Option<TenantId>,
    /// The column of time that the span is of [default: the first one]
    #[arg(long, value_name = "COLUMN")]
    by: Option<String>,
    /// Print one JSON object instead of progress and summary
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    installation: InstallationArguments,
}

fn instant(text: &str) -> Result<Timestamp, String> {
    let midnight = format!("{text}T00:00:00Z");
    // A bare number would be taken for seconds.
    let found = text
        .contains('-')
        .then_some(text)
        .and_then(Timestamp::parse);
    found
        .or_else(|| Timestamp::parse(&midnight))
        .ok_or_else(|| {
            format!("{text:?} is neither a day (2026-11-01) nor an instant (2026-11-01T06:30:00Z)")
        })
}

/// Who writes the file.
enum Source {
    /// A server sends it.
    Server(Client),
    /// The engine on this machine writes it itself: it would hold a document that it sends whole in
    /// its memory.
    Engine(Client, Option<Box<Held>>),
}

/// An engine of this command's own, and the data directory that it holds meanwhile.
struct Held {
    engine: EmbeddedClickHouse,
    _data: DataDirectory,
}

impl Source {
    async fn find(configuration: &Configuration, data_dir: PathBuf) -> anyhow::Result<Self> {
        if let Some(url) = &configuration.clickhouse.url {
            let client = server_client(url.expose_secret())?;
            return Ok(Self::Server(client));
        }
        ensure!(
            data_dir.join(DIRECTORY).is_dir(),
            "there are no analytics in {}: name the directory of `hissaback up` with --data-dir, \
             or a server in clickhouse.url (CLICKHOUSE_URL)",
            data_dir.display()
        );
        match DataDirectory::open(&data_dir) {
            Ok(data) => {
                let options = ClickHouseOptions::default();
                let engine = EmbeddedClickHouse::start(&data, options).await?;
                let client = engine.client();
                let held = Box::new(Held {
                    engine,
                    _data: data,
                });
                Ok(Self::Engine(client, Some(held)))
            }
            Err(in_use @ DataDirectoryError::InUse { .. }) => {
                let client = EmbeddedClickHouse::client_of_running(&data_dir)?;
                let answer = client.query("SELECT 1").fetch_one::<u8>().await;
                answer.with_context(|| format!("{in_use}, and its engine doesn't answer"))?;
                Ok(Self::Engine(client, None))
            }
            Err(failure) => Err(failure.into()),
        }
    }

    const fn client(&self) -> &Client {
        match self {
            Self::Server(client) | Self::Engine(client, _) => client,
        }
    }

    /// Writes the result of `select` into the file.
    async fn write(
        &self,
        select: &str,
        query_name: &str,
        file: &mut PartialFile,
    ) -> anyhow::Result<()> {
        match self {
            Self::Server(client) => {
                let mut bytes = client
                    .query(select)
                    .with_setting("log_comment", query_name)
                    .fetch_bytes("Parquet")?;
                while let Some(chunk) = bytes.next().await? {
                    file.append(&chunk)?;
                }
            }
            Self::Engine(client, _) => {
                let statement = format!(
                    "INSERT INTO FUNCTION file({}, 'Parquet') {select}",
                    relation::literal(file.path()?)
                );
                client
                    .query(&statement)
                    .with_setting("log_comment", query_name)
                    .with_setting("engine_file_truncate_on_insert", "1")
                    .execute()
                    .await?;
            }
        }
        Ok(())
    }

    async fn stop(self) -> anyhow::Result<()> {
        match self {
            Self::Server(_) | Self::Engine(_, None) => Ok(()),
            Self::Engine(_, Some(held)) => Ok(held.engine.stop().await?),
        }
    }
}

/// What was written.
struct Export {
    rows: u64,
    bytes: u64,
    complete_up_to: Option<Timestamp>,
}

/// Exports, and says what.
///
/// # Errors
/// One sentence: no such table, nothing in the span, a file that is there already, no room, an
/// interruption. Then there is no file.
pub(super) async fn run(arguments: ExportArguments) -> anyhow::Result<()> {
    ensure!(
        arguments.from < arguments.to,
        "the span from {} to {} is empty",
        arguments.from,
        arguments.to
    );
    let configuration = arguments.installation.configuration()?;
    let source = Source::find(&configuration, arguments.installation.data_dir()).await?;
    let started = Instant::now();
    let query_name = format!("hissaback-export-{}", uuid::Uuid::new_v4());
    let writing = async {
        let mut file = PartialFile::create(&arguments.out)?;
        let export = export(&arguments, &source, &query_name, &mut file).await?;
        anyhow::Ok((file, export))
    };
    let written = tokio::select! {
        // Signals are listened to before there is a file.
        biased;
        signalled = serving::signalled() => {
            signalled?;
            end_query(source.client(), &query_name).await;
            Err(anyhow::anyhow!("interrupted: nothing was written"))
        }
        written = writing => written,
    };
    let stopped = source.stop().await;
    let (file, export) = written?;
    file.give_name()?;
    print(&arguments, &export, started.elapsed());
    stopped
}

async fn export(
    arguments: &ExportArguments,
    source: &Source,
    query_name: &str,
    file: &mut PartialFile,
) -> anyhow::Result<Export> {
    let client = source.client();
    let relation = Relation::find(client, &arguments.table).await?;
    let span = relation.span(arguments)?;
    // Before the rows are counted: what comes in later can only add to it.
    let complete = completeness::complete_up_to(client).await?;
    let rows: u64 = client
        .query(&format!("SELECT count() {span}"))
        .fetch_one()
        .await?;
    if rows == 0 {
        bail!(
            "{} holds nothing from {} to {}: nothing was written",
            relation.name,
            arguments.from,
            arguments.to
        );
    }
    let progress = progress_bar(rows, arguments.json);
    let select = format!("SELECT * {span}");
    let written = tokio::select! {
        written = source.write(&select, query_name, file) => written,
        never = show_progress(client, query_name, &progress) => match never {},
    };
    progress.finish_and_clear();
    written.with_context(|| format!("{} was not written", arguments.out.display()))?;
    let bytes = file.finish()?;
    Ok(Export {
        rows,
        bytes,
        complete_up_to: complete
            .iter()
            .map(|partition| partition.complete_up_to)
            .min(),
    })
}

fn progress_bar(rows: u64, json: bool) -> ProgressBar {
    let target = if json {
        ProgressDrawTarget::hidden()
    } else {
        ProgressDrawTarget::stderr_with_hz(5)
    };
    let bar = ProgressBar::with_draw_target(Some(100), target);
    if let Ok(style) = ProgressStyle::with_template("{elapsed:>4} {bar:32} {percent}% {msg}") {
        bar.set_style(style);
    }
    bar.set_message(format!("of {rows} rows"));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// Shows how much of what it has to read ClickHouse has read.
async fn show_progress(client: &Client, query_name: &str, progress: &ProgressBar) -> Infallible {
    loop {
        tokio::time::sleep(PROGRESS_INTERVAL).await;
        let found = client
            .query(
                "SELECT toUInt64(100 * read_rows / greatest(total_rows_approx, read_rows, 1))
                 FROM system.processes WHERE Settings['log_comment'] = ?",
            )
            .bind(query_name)
            .fetch_optional::<u64>()
            .await;
        match found {
            Ok(Some(percent)) => progress.set_position(percent),
            // It hasn't begun, or is over; the query itself tells of failures.
            Ok(None) => {}
            Err(error) => tracing::debug!(%error, "the progress of an export can't be told"),
        }
    }
}

/// Ends the query of an export that was interrupted, as far as possible: a server notices by itself
/// that nobody reads the answer, the engine doesn't.
async fn end_query(client: &Client, query_name: &str) {
    let ended = client
        .query("KILL QUERY WHERE Settings['log_comment'] = ? SYNC")
        .bind(query_name)
        .execute()
        .await;
    if let Err(error) = ended {
        tracing::debug!(%error, "the query of an interrupted export couldn't be ended");
    }
}

fn print(arguments: &ExportArguments, export: &Export, elapsed: Duration) {
    let Export {
        rows,
        bytes,
        complete_up_to,
    } = export;
    let complete_up_to = complete_up_to.map(|instant| instant.to_string());
    if arguments.json {
        let report = json!({
            "table": arguments.table,
            "from": arguments.from.to_string(),
            "to": arguments.to.to_string(),
            "tenant": arguments.tenant,
            "file": arguments.out,
            "rows": rows,
            "bytes": bytes,
            "complete_up_to": complete_up_to,
            "elapsed_s": elapsed.as_secs_f64(),
        });
        println!("{report:#}");
        return;
    }
    println!(
        "{rows} rows of {} in {} ({bytes} bytes, {:.1} s)",
        arguments.table,
        arguments.out.display(),
        elapsed.as_secs_f64()
    );
    match complete_up_to {
        Some(instant) => println!("analytics are complete up to {instant}"),
        None => println!("analytics don't say how complete they are"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_its_midnight_and_a_number_is_no_time() {
        let midnight = Timestamp::parse("2026-11-01T00:00:00Z");
        assert_eq!(instant("2026-11-01").ok(), midnight);
        assert_eq!(instant("2026-11-01T05:30:00+05:30").ok(), midnight);
        for text in ["", "1790000000", "yesterday", "2026-13-01"] {
            assert!(instant(text).is_err(), "{text}");
        }
    }
}
