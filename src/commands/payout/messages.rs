//! `hissaback payout messages`.

use clap::Args;
use operations::payouts::messages::{self, ListedMessage, MessageState};

use crate::commands::InstallationArguments;

#[derive(Debug, Args)]
pub(super) struct MessagesArguments {
    /// In this state only: due, `no_phone`, sent, delivered, failed, `card_gone`, dropped
    /// [default: those that aren't out]
    #[arg(long, value_parser = state)]
    state: Option<MessageState>,
    /// At most so many, the oldest first
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(i64).range(1..))]
    limit: i64,
    /// Print one JSON array instead of lines
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    installation: InstallationArguments,
}

fn state(text: &str) -> Result<MessageState, String> {
    let names = MessageState::ALL.map(MessageState::name).join(", ");
    MessageState::ALL
        .into_iter()
        .find(|state| state.name() == text)
        .ok_or_else(|| format!("{text:?} is none of {names}"))
}

/// Lists messages, each with what it waits for.
pub(super) async fn run(arguments: MessagesArguments) -> anyhow::Result<()> {
    let platform = super::platform(&arguments.installation).await?;
    let listed = match platform.operator() {
        Ok(operator) => messages::list(operator, arguments.state, arguments.limit)
            .await
            .map_err(Into::into),
        Err(error) => Err(error),
    };
    platform.stop().await?;
    let listed = listed?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&listed)?);
    } else {
        listed.iter().for_each(print);
        println!("{} messages", listed.len());
    }
    Ok(())
}

fn print(message: &ListedMessage) {
    let why = message.error.as_deref().unwrap_or("-");
    println!(
        "{} {} {} since {}: {why}; {}",
        message.message_id, message.kind, message.state, message.created_at, message.way_on
    );
}
