//! What a broker is started with.

use std::path::PathBuf;

/// How clients reach the broker.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ListenerSecurity {
    /// Without TLS, without a password.
    #[default]
    Plaintext,
    /// TLS with the certificate of an authority of the broker's own.
    Ssl,
    /// A password, without TLS.
    SaslPlaintext,
    /// A password over TLS.
    SaslSsl,
}

impl ListenerSecurity {
    /// Kafka's name of it.
    pub fn protocol(self) -> &'static str {
        match self {
            Self::Plaintext => "PLAINTEXT",
            Self::Ssl => "SSL",
            Self::SaslPlaintext => "SASL_PLAINTEXT",
            Self::SaslSsl => "SASL_SSL",
        }
    }

    pub(super) fn has_tls(self) -> bool {
        match self {
            Self::Ssl | Self::SaslSsl => true,
            Self::Plaintext | Self::SaslPlaintext => false,
        }
    }

    pub(super) fn has_password(self) -> bool {
        match self {
            Self::SaslPlaintext | Self::SaslSsl => true,
            Self::Plaintext | Self::Ssl => false,
        }
    }
}

/// Who may log in, by PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512 alike.
#[derive(Debug, Clone)]
pub struct User {
    /// Letters, digits and dashes.
    pub name: String,
    /// Letters, digits and dashes. A password of a test only: it is on a command line.
    pub password: String,
}

/// What a broker is started with; by default one without security, in a temporary directory.
#[derive(Debug, Clone, Default)]
pub struct BrokerOptions {
    /// Where the data lies, to be kept. By default in a temporary directory, deleted with the
    /// broker.
    pub directory: Option<PathBuf>,
    /// The port of the listener [`bootstrap`](super::KafkaBroker::bootstrap) names; by default a
    /// free one, the same over restarts.
    pub port: Option<u16>,
    /// What [`bootstrap`](super::KafkaBroker::bootstrap) asks of clients.
    pub security: ListenerSecurity,
    /// Who may log in, where [`security`](Self::security) asks for a password.
    pub users: Vec<User>,
    /// Further settings of the broker (`message.max.bytes`, …), which win over ours.
    pub settings: Vec<(String, String)>,
}

impl BrokerOptions {
    /// With a further setting of the broker, such as `message.max.bytes`.
    #[must_use]
    #[expect(
        clippy::needless_pass_by_value,
        reason = "numbers and strings as they are at the call"
    )]
    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.settings.push((name.to_owned(), value.to_string()));
        self
    }
}
