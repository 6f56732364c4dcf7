//! Reads `conversions` records back by the position that names them.

use processors::stage::Origin;
use schemas::{
    Position,
    codec::{self, CodecError},
    events::ConversionReported,
};
use stream::{Log, LogError, Record};

/// A record that isn't where its position says.
#[derive(Debug, thiserror::Error)]
pub enum OriginalMissing {
    /// Trimmed, beyond the log's end, or the log is a copy that holds it elsewhere.
    #[error("the log holds no record {0} in its place")]
    Absent(Position),
    /// The record is there and can't be read.
    #[error("{position} can't be read: {source}")]
    Unreadable {
        /// Its position.
        position: Position,
        /// What the decoder says.
        source: CodecError,
    },
}

/// The record that stands at a position of this log.
pub(crate) async fn at(log: &dyn Log, position: Position) -> Result<Option<Record>, LogError> {
    let Position {
        topic,
        partition,
        offset,
    } = position;
    match log.read(topic, partition, offset, 1).await {
        Ok(records) => Ok(records
            .into_iter()
            .next()
            .filter(|record| record.position == position)),
        Err(
            LogError::PositionBeyondEnd { .. }
            | LogError::PositionBeforeStart { .. }
            | LogError::NoSuchPartition { .. },
        ) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The record at a position, if the log holds it there under that name.
pub(crate) async fn record(log: &dyn Log, position: Position) -> Result<Option<Record>, LogError> {
    // In a copy of the log another record may stand in this place.
    let found = at(log, position).await?;
    Ok(found.filter(|record| Origin::of(record).is_ok_and(|origin| origin.position == position)))
}

/// The report at a position.
pub(crate) async fn report(
    log: &dyn Log,
    position: Position,
) -> Result<Result<ConversionReported, OriginalMissing>, LogError> {
    let Some(record) = record(log, position).await? else {
        return Ok(Err(OriginalMissing::Absent(position)));
    };
    let report = codec::decode(&record.value);
    Ok(report.map_err(|source| OriginalMissing::Unreadable { position, source }))
}
