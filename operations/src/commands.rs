//! Operators' decisions, on their way into the log.

use std::sync::Arc;

use schemas::{
    codec::{self, CodecError},
    events::{Command, CommandBody},
};
use stream::{AppendError, Clock, Log, NewRecord};

use crate::event_ids::{EventIdSource, IdsExhausted};

/// Longest author or reason, in bytes.
pub const TEXT_BYTES_MAX: usize = 1_000;

/// Appends commands. What an operator decides is in the log or did not happen.
#[derive(Clone)]
pub struct Commands {
    log: Arc<dyn Log>,
    clock: Arc<dyn Clock>,
    event_ids: EventIdSource,
}

/// A command was not given, or it isn't known whether it was.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The author or the reason is empty, too long, or holds a NUL.
    #[error("`{0}` must be a text of 1 to {TEXT_BYTES_MAX} bytes without NULs")]
    Text(&'static str),
    /// No event id could be drawn.
    #[error(transparent)]
    Ids(#[from] IdsExhausted),
    /// The command doesn't fit its schema.
    #[error("the command can't be encoded: {0}")]
    Encode(#[from] CodecError),
    /// The log did not take it, or it isn't known whether it did. Giving the same command again is
    /// harmless.
    #[error(transparent)]
    Append(#[from] AppendError),
}

impl Commands {
    /// Into this log.
    pub fn new(log: Arc<dyn Log>, clock: Arc<dyn Clock>, event_ids: EventIdSource) -> Self {
        Self {
            log,
            clock,
            event_ids,
        }
    }

    /// Gives a command; it is durable when this returns.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub async fn give(
        &self,
        author: &str,
        reason: &str,
        body: CommandBody,
    ) -> Result<Command, CommandError> {
        let command = Command {
            command_id: self.event_ids.draw().await?,
            issued_at: self.clock.now(),
            author: checked(author)
                .ok_or(CommandError::Text("author"))?
                .to_owned(),
            reason: checked(reason)
                .ok_or(CommandError::Text("reason"))?
                .to_owned(),
            body,
        };
        let record =
            NewRecord::new(command.body.key(), codec::encode(&command)?).of_current_request();
        self.log
            .append(schemas::Topic::Commands, vec![record])
            .await?;
        tracing::info!(command_id = %command.command_id, author, "command given");
        Ok(command)
    }
}

/// An author or a reason without the space around it; `None` where it is empty, too long, or holds
/// a NUL.
pub(crate) fn checked(text: &str) -> Option<&str> {
    let text = text.trim();
    let usable = !text.is_empty() && text.len() <= TEXT_BYTES_MAX && !text.contains('\0');
    usable.then_some(text)
}
