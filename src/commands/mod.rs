//! The commands, one module each. Each gives the process's exit as a `Result`: an error is one
//! sentence for the person who typed the command.

pub mod up;

/// Runs a command on a multi-threaded runtime of its own.
///
/// # Errors
/// When the runtime can't be made; else the command's.
pub fn block_on(command: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(command)
}
