//! `hissaback secrets`: the keys and tokens that processes share.

use std::path::PathBuf;

use clap::Args;

use crate::secrets::{Secrets, SecretsError};

/// Arguments of `hissaback secrets`.
#[derive(Debug, Args)]
pub struct SecretsArguments {
    /// The file to make, readable by its owner only
    file: PathBuf,
    /// Leave a file that is there as it is, and succeed
    #[arg(long)]
    if_missing: bool,
    /// Add a key to a file that is there: it signs access tokens from each process's next start on,
    /// and what the key before it signed counts until it expires
    #[arg(long, conflicts_with = "if_missing")]
    rotate: bool,
}

/// Makes the file. One that is there is never replaced: without it, old click tokens are lost.
///
/// # Errors
/// When it is there already, or can't be written.
pub fn run(arguments: &SecretsArguments) -> anyhow::Result<()> {
    let file = arguments.file.display();
    if arguments.rotate {
        let id = Secrets::rotate(&arguments.file)?;
        println!("{file} has key {id} for access tokens: restart every process that reads it");
        return Ok(());
    }
    match Secrets::create(&arguments.file) {
        Ok(()) => println!("{file} was made: give it to every process, and keep a copy"),
        Err(SecretsError::Exists { .. }) if arguments.if_missing => {
            println!("{file} is there already");
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}
