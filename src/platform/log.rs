//! The log: embedded, or on Apache Kafka, with the schema registry's ids where there is one.

use std::sync::Arc;

use anyhow::Context;
use stream::{Clock, EmbeddedLog, EmbeddedOptions, Log};

use super::{LogPlace, Placement, Starting};
use crate::{configuration::Kafka, embedded::DataDirectory};

/// Opens the log.
///
/// # Errors
/// One sentence with the remedy.
pub(super) async fn open(
    placement: &Placement,
    data: Option<&DataDirectory>,
    clock: Arc<dyn Clock>,
    starting: &Starting,
) -> anyhow::Result<Arc<dyn Log>> {
    match &placement.log {
        LogPlace::Embedded => {
            let data = data.context("an embedded log needs a data directory")?;
            let directory = data.subdirectory("log")?;
            Ok(EmbeddedLog::open(
                directory,
                clock,
                EmbeddedOptions::default(),
            )?)
        }
        LogPlace::Kafka(kafka) => connect(kafka, clock, starting).await,
    }
}

async fn connect(
    kafka: &Kafka,
    clock: Arc<dyn Clock>,
    starting: &Starting,
) -> anyhow::Result<Arc<dyn Log>> {
    let _ = (kafka, clock, starting);
    anyhow::bail!("not wired yet")
}
