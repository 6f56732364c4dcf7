//! `hissaback log copy`: the history of an embedded log, taken along onto brokers (or any log into
//! any other).

use std::{
    fmt,
    path::PathBuf,
    str::FromStr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use operations::log_copy::{CopySummary, Plan, Step, copy};
use schemas::Topic;
use serde_json::json;
use stream::{
    Log, SystemClock,
    kafka::{
        KafkaSettings,
        topics::{TopicTimes, set_times},
    },
};

use super::ConfigurationArgument;
use crate::{
    configuration::Configuration,
    embedded::DataDirectory,
    platform::{self, OpenLog, Starting},
};

/// Arguments of `hissaback log`.
#[derive(Debug, Args)]
pub struct LogArguments {
    #[command(subcommand)]
    command: LogCommand,
}

#[derive(Debug, Subcommand)]
enum LogCommand {
    /// Copy a log into an empty one, with the same partitions and offsets, and compare the two
    ///
    /// Nothing may use either log meanwhile. `hissaback migrate` makes topics and schemas first.
    /// Append times and headers are kept, committed positions are taken along, and what was trimmed
    /// stays trimmed. The ledger's positions in PostgreSQL stay valid.
    Copy(CopyArguments),
}

#[derive(Debug, Args)]
struct CopyArguments {
    /// The log to copy: embedded:DIR (a data directory) or kafka:BROKERS[?topic_prefix=PREFIX]
    #[arg(long, value_name = "LOG")]
    from: LogAddress,
    /// The log to copy it to, of the same form; how brokers are spoken to, say the configuration's
    /// sections [kafka] and [schema_registry]
    #[arg(long, value_name = "LOG")]
    to: LogAddress,
    /// Go on with a copy that was interrupted, once what is there has been compared
    #[arg(long)]
    resume: bool,
    /// Change nothing: tell what there is to be copied, and whether it can be
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON object instead of the table
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    configuration: ConfigurationArgument,
}

/// Where a log is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum LogAddress {
    /// In a data directory.
    Embedded(PathBuf),
    /// On brokers; the configuration says the rest.
    Kafka {
        brokers: String,
        topic_prefix: Option<String>,
    },
}

impl FromStr for LogAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("embedded", directory)) if !directory.is_empty() => {
                Ok(Self::Embedded(directory.into()))
            }
            Some(("kafka", address)) if !address.is_empty() => {
                let (brokers, options) = address.split_once('?').unwrap_or((address, ""));
                let mut topic_prefix = None;
                for (key, value) in url::form_urlencoded::parse(options.as_bytes()) {
                    if key != "topic_prefix" {
                        return Err(format!(
                            "{key} can't be set there: sections [kafka] and [schema_registry] of \
                             the configuration say how brokers are spoken to"
                        ));
                    }
                    topic_prefix = Some(value.into_owned());
                }
                Ok(Self::Kafka {
                    brokers: brokers.to_owned(),
                    topic_prefix,
                })
            }
            _ => Err("a log is embedded:DIR or kafka:BROKERS".to_owned()),
        }
    }
}

impl fmt::Display for LogAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded(directory) => write!(f, "embedded:{}", directory.display()),
            Self::Kafka {
                brokers,
                topic_prefix: None,
            } => write!(f, "kafka:{brokers}"),
            Self::Kafka {
                brokers,
                topic_prefix: Some(prefix),
            } => write!(f, "kafka:{brokers}?topic_prefix={prefix}"),
        }
    }
}

/// One end of the copy.
struct End {
    opened: OpenLog,
    /// Where it is, if it is on brokers.
    brokers: Option<KafkaSettings>,
    /// Its lock is held until this is dropped.
    _data: Option<DataDirectory>,
}

impl End {
    fn embedded(directory: &PathBuf) -> anyhow::Result<Self> {
        let data = DataDirectory::open(directory)?;
        Ok(Self {
            opened: platform::open_embedded(&data, Arc::new(SystemClock))?,
            brokers: None,
            _data: Some(data),
        })
    }

    async fn open(address: &LogAddress, configuration: &Configuration) -> anyhow::Result<Self> {
        let (brokers, topic_prefix) = match address {
            LogAddress::Embedded(directory) => return Self::embedded(directory),
            LogAddress::Kafka {
                brokers,
                topic_prefix,
            } => (brokers, topic_prefix),
        };
        let mut configuration = configuration.clone();
        configuration.kafka.brokers = Some(brokers.clone());
        // It is in groups for a moment only, and must not be remembered there.
        configuration.kafka.group_instance_id = None;
        if let Some(prefix) = topic_prefix {
            configuration.kafka.topic_prefix.clone_from(prefix);
        }
        let place = platform::kafka_place(&configuration)?.context("brokers are named")?;
        let clock = Arc::new(SystemClock);
        let opened = platform::open_on_brokers(&place, clock, &Starting::at_once()).await?;
        Ok(Self {
            opened,
            brokers: Some(place.brokers),
            _data: None,
        })
    }

    /// The source, which is never made.
    async fn source(address: &LogAddress, configuration: &Configuration) -> anyhow::Result<Self> {
        if let LogAddress::Embedded(directory) = address {
            ensure!(
                directory.join(platform::LOG_DIRECTORY).is_dir(),
                "{} holds no embedded log: name a data directory, as `hissaback up` has it",
                directory.display()
            );
        }
        Self::open(address, configuration).await
    }

    /// The target; one that isn't there yet is made, unless nothing is to be changed.
    async fn target(
        address: &LogAddress,
        configuration: &Configuration,
        dry_run: bool,
    ) -> anyhow::Result<Option<Self>> {
        match address {
            LogAddress::Embedded(directory)
                if dry_run && !directory.join(platform::LOG_DIRECTORY).is_dir() =>
            {
                Ok(None)
            }
            LogAddress::Embedded(_) | LogAddress::Kafka { .. } => {
                Self::open(address, configuration).await.map(Some)
            }
        }
    }

    fn log(&self) -> &dyn Log {
        self.opened.log.as_ref()
    }

    /// Records that are copied keep the times that they have.
    async fn set_times(&self, times: TopicTimes) -> anyhow::Result<()> {
        match &self.brokers {
            Some(brokers) => Ok(set_times(brokers, times).await?),
            None => Ok(()),
        }
    }

    async fn close(self) {
        self.opened.log.close().await;
        if let Some(registry) = self.opened.registry {
            registry.stop().await;
        }
    }
}

/// Copies, compares, and says what was copied.
///
/// # Errors
/// When a log can't be used, the target isn't empty, or the two differ in the end.
pub async fn run(arguments: LogArguments) -> anyhow::Result<()> {
    let LogCommand::Copy(arguments) = arguments.command;
    let configuration = arguments.configuration.read()?;
    let from = End::source(&arguments.from, &configuration).await?;
    let to = End::target(&arguments.to, &configuration, arguments.dry_run).await?;
    let outcome = plan_and_copy(&arguments, &from, to.as_ref()).await;
    from.close().await;
    if let Some(to) = to {
        to.close().await;
    }
    outcome
}

async fn plan_and_copy(
    arguments: &CopyArguments,
    from: &End,
    to: Option<&End>,
) -> anyhow::Result<()> {
    let plan = Plan::make(from.log(), to.map(End::log)).await?;
    plan.check(arguments.resume)?;
    let Some(to) = to.filter(|_| !arguments.dry_run) else {
        print_plan(arguments, &plan);
        return Ok(());
    };
    let started = Instant::now();
    to.set_times(TopicTimes::Producer).await?;
    let progress = progress_bar(&plan, arguments.json);
    let step = |step: Step| match step {
        Step::Found(records)
        | Step::Filled(records)
        | Step::Copied(records)
        | Step::ReadBack(records) => progress.inc(records),
    };
    let copied = copy(from.log(), to.log(), &plan, &step).await;
    progress.finish_and_clear();
    let summary = copied?;
    to.set_times(TopicTimes::Broker).await?;
    print_summary(arguments, &summary, started.elapsed());
    Ok(())
}

fn progress_bar(plan: &Plan, json: bool) -> ProgressBar {
    let target = if json {
        ProgressDrawTarget::hidden()
    } else {
        ProgressDrawTarget::stderr_with_hz(5)
    };
    // Written once, and read back.
    let steps = plan.found() + plan.to_write() + plan.records();
    let bar = ProgressBar::with_draw_target(Some(steps), target);
    let template = "{elapsed:>4} {bar:32} {percent}%, {per_sec}, {eta} left";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

fn print_plan(arguments: &CopyArguments, plan: &Plan) {
    let (records, trimmed) = (plan.records(), plan.trimmed());
    let (found, to_write) = (plan.found(), plan.to_write());
    if arguments.json {
        let report = json!({
            "dry_run": true,
            "from": arguments.from.to_string(),
            "to": arguments.to.to_string(),
            "records": records,
            "trimmed": trimmed,
            "found": found,
            "to_write": to_write,
            "partitions": plan.partitions,
        });
        println!("{report:#}");
        return;
    }
    println!("{} to {}: nothing is changed", arguments.from, arguments.to);
    println!("{:<16} {:>12} {:>12}", "topic", "records", "trimmed");
    for topic in Topic::ALL {
        let of_topic = plan
            .partitions
            .iter()
            .filter(|plan| plan.partition.0 == topic);
        let (records, trimmed) = of_topic.fold((0, 0), |(records, trimmed), plan| {
            let low = plan.source.low;
            (records + plan.source.high - low, trimmed + low)
        });
        println!("{:<16} {records:>12} {trimmed:>12}", topic.name());
    }
    println!(
        "{records} records and the offsets of {trimmed} trimmed ones; {found} are there, \
         {to_write} are to be written"
    );
}

fn print_summary(arguments: &CopyArguments, summary: &CopySummary, elapsed: Duration) {
    let CopySummary {
        records,
        trimmed,
        partitions,
        positions,
    } = summary;
    if arguments.json {
        let report = json!({
            "dry_run": false,
            "from": arguments.from.to_string(),
            "to": arguments.to.to_string(),
            "records": records,
            "trimmed": trimmed,
            "partitions": partitions,
            "positions": positions,
            "elapsed_s": elapsed.as_secs_f64(),
        });
        println!("{report:#}");
        return;
    }
    println!("{:<16} {:>12} {:>12}", "topic", "records", "trimmed");
    for topic in Topic::ALL {
        let of_topic = partitions.iter().filter(|copied| copied.topic == topic);
        let (records, trimmed) = of_topic.fold((0, 0), |(records, trimmed), copied| {
            (records + copied.digest.records, trimmed + copied.low)
        });
        println!("{:<16} {records:>12} {trimmed:>12}", topic.name());
    }
    for group in positions.iter().filter(|group| group.partitions > 0) {
        let partitions = group.partitions;
        println!("positions of {} on {partitions} partitions", group.group);
    }
    println!(
        "{records} records in {} partitions, {trimmed} trimmed offsets: read back, and equal in \
         count and checksum; {:.1} s",
        partitions.len(),
        elapsed.as_secs_f64()
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_back() {
        for text in [
            "embedded:/var/lib/hissaback",
            "kafka:one:9092,two:9092",
            "kafka:one:9092?topic_prefix=old.",
        ] {
            let address: LogAddress = text.parse().expect("an address");
            assert_eq!(address.to_string(), text);
        }
    }

    #[test]
    fn other_addresses_are_refused() {
        for text in ["", "/data", "embedded:", "kafka:", "redis:one"] {
            assert!(text.parse::<LogAddress>().is_err(), "{text}");
        }
        let refused = "kafka:one:9092?sasl_password=secret".parse::<LogAddress>();
        let sentence = refused.expect_err("refused");
        assert!(sentence.contains("sasl_password") && !sentence.contains("=secret"));
    }
}
