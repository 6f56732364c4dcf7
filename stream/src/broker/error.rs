//! Why a broker or registry doesn't run.

use std::io;
use std::path::PathBuf;

/// Why a broker or registry doesn't run.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// What `make setup` fetches isn't there.
    #[error("{what} is missing (looked in {searched}): run `make setup`")]
    Missing {
        /// What we wanted to start.
        what: &'static str,
        /// Where we looked.
        searched: String,
    },
    /// What is there was fetched for another version of this code.
    #[error("{what} in {} is not the version that is wanted: run `make setup`", directory.display())]
    Outdated {
        /// What we wanted to start.
        what: &'static str,
        /// Where it lies.
        directory: PathBuf,
    },
    /// No Java, or only older ones.
    #[error("no Java {minimum} or later was found (looked in {searched}): run `make setup`")]
    NoJava {
        /// The lowest major version that will do.
        minimum: u32,
        /// Where we looked.
        searched: String,
    },
    /// The program that ties a child's life to ours isn't there.
    #[error("`setpriv` is missing: install util-linux")]
    NoSetpriv,
    /// It ended before it was ready.
    #[error("{what} ended with {status} before it was ready; the end of its log:\n{log}")]
    Ended {
        /// What ended.
        what: &'static str,
        /// Its exit status.
        status: std::process::ExitStatus,
        /// The last lines of its log.
        log: String,
    },
    /// It runs, but didn't answer in time.
    #[error("{what} gave no answer within {seconds} s; the end of its log:\n{log}")]
    Silent {
        /// What doesn't answer.
        what: &'static str,
        /// How long we waited, in seconds.
        seconds: u64,
        /// The last lines of its log.
        log: String,
    },
    /// It isn't running, or already is.
    #[error("{what} {state}")]
    WrongState {
        /// What was to be changed.
        what: &'static str,
        /// How it stands with it.
        state: &'static str,
    },
    /// A certificate couldn't be made.
    #[error("can't make a certificate")]
    Certificate(#[from] rcgen::Error),
    /// The operating system refused.
    #[error("can't {doing}")]
    Io {
        /// What was tried.
        doing: String,
        /// What it said.
        source: io::Error,
    },
}

impl BrokerError {
    /// For `map_err`: an error of the operating system while `doing` something.
    pub(super) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }
}
