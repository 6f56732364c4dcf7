//! What can go wrong with a registry.

use std::{error::Error, io, net::SocketAddr};

use schema_registry_converter::{error::SRCError, schema_registry_common::RawError};

use serde::Deserialize;

use super::{client::SubjectVersion, ids::Ambiguous};

/// Why the registry could not be asked, or what is wrong with its answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RegistryError {
    /// A setting can't be.
    #[error("the schema registry's {setting}: {reason}")]
    Setting {
        /// Which.
        setting: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// It doesn't answer.
    #[error("the schema registry at {url} can't be reached: {reason}")]
    Unreachable {
        /// Where.
        url: String,
        /// What the network says.
        reason: String,
    },
    /// Whoever answers there isn't who it should be.
    #[error("the schema registry at {url} is not to be trusted: {reason}")]
    NotTrusted {
        /// Where.
        url: String,
        /// What is wrong with its certificate.
        reason: String,
    },
    /// It answers that it won't, or can't.
    #[error("the schema registry at {url} refuses: {reason}")]
    Refused {
        /// Where.
        url: String,
        /// Its code: an HTTP status, or that with two digits more; 0 where it gives none.
        code: u32,
        /// Its words.
        reason: String,
        /// Whether it may do so later.
        temporary: bool,
    },
    /// It answers something that can't be understood.
    #[error("the schema registry at {url} gives an answer that can't be understood: {reason}")]
    NotUnderstood {
        /// Where.
        url: String,
        /// What is wrong with the answer.
        reason: String,
    },
    /// It doesn't have a schema of ours.
    #[error("the schema registry doesn't have {missing}: run `hissaback migrate`")]
    NotRegistered {
        /// The schema.
        missing: SubjectVersion,
    },
    /// Its ids are of no use.
    #[error(transparent)]
    Ambiguous(#[from] Ambiguous),
    /// The embedded registry can't be had at this address.
    #[error("the embedded schema registry can't listen on {address}: {reason}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        reason: String,
    },
}

impl RegistryError {
    /// Whether the same may succeed later without anybody's doing.
    pub fn temporary(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Refused { temporary, .. } => *temporary,
            Self::Setting { .. }
            | Self::NotTrusted { .. }
            | Self::NotUnderstood { .. }
            | Self::NotRegistered { .. }
            | Self::Ambiguous(_)
            | Self::Listen { .. } => false,
        }
    }

    /// What the network says of a call to `url`.
    pub(super) fn of_network(url: String, error: &(dyn Error + 'static)) -> Self {
        let reason = chain(error);
        if blames_certificate(error) {
            Self::NotTrusted { url, reason }
        } else {
            Self::Unreachable { url, reason }
        }
    }

    /// Whether it says that it doesn't have what was asked for. A bare 404 says less: that may be
    /// a wrong path.
    pub(super) fn missing(&self) -> bool {
        self.refusal()
            .is_some_and(|(code, _)| (40_400..40_500).contains(&code))
    }

    /// Its words where it says that a schema can't follow the one before.
    pub(super) fn conflict(&self) -> Option<String> {
        let (code, reason) = self.refusal()?;
        (code == 409 || (40_900..41_000).contains(&code)).then(|| reason.to_owned())
    }

    /// Its code and its words, if it answers and refuses.
    pub(super) fn refusal(&self) -> Option<(u32, &str)> {
        match self {
            Self::Refused { code, reason, .. } => Some((*code, reason)),
            Self::Setting { .. }
            | Self::Unreachable { .. }
            | Self::NotTrusted { .. }
            | Self::NotUnderstood { .. }
            | Self::NotRegistered { .. }
            | Self::Ambiguous(_)
            | Self::Listen { .. } => None,
        }
    }

    /// What an answer says that isn't what was asked for.
    pub(super) fn of_refusal(url: &str, status: u16, answer: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct Refusal {
            error_code: u32,
            message: String,
        }
        let refusal = serde_json::from_slice(answer).unwrap_or_else(|_| Refusal {
            error_code: 0,
            message: format!("HTTP status {status}"),
        });
        Self::Refused {
            url: url.to_owned(),
            code: refusal.error_code,
            reason: refusal.message,
            temporary: later(status.into()),
        }
    }

    /// What the client library says of a call to `url`.
    pub(super) fn of_call(url: &str, error: &SRCError) -> Self {
        let url = url.to_owned();
        match error.source() {
            Some(source) => {
                if let Some(refusal) = source.downcast_ref::<RawError>() {
                    // The library keeps the status of an answer without a body in its text only.
                    let reason = match refusal.error_code {
                        0 => error.error.clone(),
                        _ => refusal.message.clone(),
                    };
                    let code = refusal.error_code;
                    Self::Refused {
                        url,
                        code,
                        reason,
                        temporary: error.retriable || later(code),
                    }
                } else if error.retriable {
                    Self::of_network(url, source)
                } else {
                    let reason = chain(source);
                    Self::NotUnderstood { url, reason }
                }
            }
            None => Self::NotUnderstood {
                url,
                reason: error.error.clone(),
            },
        }
    }
}

/// Whether a code, which is an HTTP status or that with two digits more, says "later".
fn later(code: u32) -> bool {
    let status = if code < 1_000 { code } else { code / 100 };
    matches!(status, 429 | 500..)
}

fn blames_certificate(error: &(dyn Error + 'static)) -> bool {
    if let Some(tls) = error.downcast_ref::<rustls::Error>() {
        return matches!(tls, rustls::Error::InvalidCertificate(_));
    }
    // What an I/O error carries is not its source.
    let carried = error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref);
    carried.is_some_and(|carried| blames_certificate(carried))
        || error.source().is_some_and(blames_certificate)
}

/// An error with its causes, in one sentence.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !told.contains(&said) {
            told = format!("{told}: {said}");
        }
        cause = error.source();
    }
    told
}
