//! `[kafka]`: the log on Apache Kafka.

use std::path::PathBuf;

use secrecy::SecretString;
use serde::Deserialize;
use stream::kafka::{
    InstanceName, KafkaSettings, Sasl, SaslMechanism, Security, Tls,
    topics::{TopicSettings, TopicTimes},
};

use super::{ConfigurationError, refused};

/// Apache Kafka. Without brokers the log is embedded.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Kafka {
    /// Bootstrap brokers, `host:port` with commas between them.
    pub brokers: Option<String>,
    /// How the brokers are spoken to.
    pub security_protocol: SecurityProtocol,
    /// How the process says who it is; for the protocols with SASL.
    pub sasl_mechanism: Option<String>,
    /// User of SASL.
    pub sasl_username: Option<String>,
    /// Password of SASL.
    pub sasl_password: Option<SecretString>,
    /// PEM file of the authorities that broker certificates are checked against; the system's
    /// where there is none.
    pub ssl_ca_file: Option<PathBuf>,
    /// PEM file of the certificate that the process shows, where brokers ask for one.
    pub ssl_certificate_file: Option<PathBuf>,
    /// PEM file of that certificate's key.
    pub ssl_key_file: Option<PathBuf>,
    /// Stands before every topic's and every consumer group's name.
    pub topic_prefix: String,
    /// What the brokers' logs and quotas know the process by.
    pub client_id: String,
    /// What the process is called in its consumer groups, which makes its membership static: the
    /// same after a restart, and no other process's of the same role.
    pub group_instance_id: Option<String>,
    /// Copies of each partition, for topics that `hissaback migrate` makes.
    pub replication_factor: i32,
    /// Copies that have to hold a record before it is acknowledged, for topics that `hissaback
    /// migrate` makes.
    pub min_insync_replicas: i32,
}

impl Default for Kafka {
    fn default() -> Self {
        Self {
            brokers: None,
            security_protocol: SecurityProtocol::Plaintext,
            sasl_mechanism: None,
            sasl_username: None,
            sasl_password: None,
            ssl_ca_file: None,
            ssl_certificate_file: None,
            ssl_key_file: None,
            topic_prefix: String::new(),
            client_id: "hissaback".to_owned(),
            group_instance_id: None,
            replication_factor: 3,
            min_insync_replicas: 2,
        }
    }
}

/// How brokers are spoken to, by the names that Kafka gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecurityProtocol {
    /// In the clear, to whoever asks.
    Plaintext,
    /// TLS; who calls is told by a certificate, or isn't asked.
    Ssl,
    /// In the clear, with a name and a password.
    SaslPlaintext,
    /// TLS, with a name and a password.
    SaslSsl,
}

impl SecurityProtocol {
    const fn encrypts(self) -> bool {
        match self {
            Self::Plaintext | Self::SaslPlaintext => false,
            Self::Ssl | Self::SaslSsl => true,
        }
    }

    const fn authenticates(self) -> bool {
        match self {
            Self::Plaintext | Self::Ssl => false,
            Self::SaslPlaintext | Self::SaslSsl => true,
        }
    }
}

impl Kafka {
    /// How the cluster is reached and used; nothing where the log is embedded.
    ///
    /// # Errors
    /// When a key can't be used, or keys don't go together; the error names the one at fault.
    pub fn settings(&self) -> Result<Option<KafkaSettings>, ConfigurationError> {
        let refuse = |key, reason: &str| Err(refused(key)(reason));
        let Some(brokers) = &self.brokers else {
            return Ok(None);
        };
        if brokers.trim().is_empty() {
            return refuse("kafka.brokers", "it names no broker");
        }
        if !(1..=self.replication_factor).contains(&self.min_insync_replicas) {
            return refuse(
                "kafka.min_insync_replicas",
                "it has to be from 1 to kafka.replication_factor",
            );
        }
        let legal = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
        if self.topic_prefix.len() > 100 || !self.topic_prefix.chars().all(legal) {
            return refuse(
                "kafka.topic_prefix",
                "up to 100 letters, digits, dots, hyphens and underscores may stand there",
            );
        }
        let instance = self.group_instance_id.as_deref().map(str::parse);
        let instance: Option<InstanceName> = instance
            .transpose()
            .map_err(refused("kafka.group_instance_id"))?;
        Ok(Some(KafkaSettings {
            group_instance_id: instance,
            security: Security {
                tls: self.tls()?,
                sasl: self.sasl()?,
            },
            client_id: self.client_id.clone(),
            topic_prefix: self.topic_prefix.clone(),
            ..KafkaSettings::new(brokers)
        }))
    }

    /// How `hissaback migrate` makes topics; `times` says who sets append times.
    pub fn topics(&self, times: TopicTimes) -> TopicSettings {
        TopicSettings {
            replication_factor: self.replication_factor,
            min_insync_replicas: self.min_insync_replicas,
            times,
            ..TopicSettings::default()
        }
    }

    fn tls(&self) -> Result<Option<Tls>, ConfigurationError> {
        if self.ssl_certificate_file.is_some() != self.ssl_key_file.is_some() {
            return Err(refused("kafka.ssl_key_file")(
                "certificate and key go together",
            ));
        }
        let tls = Tls {
            ca_file: self.ssl_ca_file.clone(),
            certificate_file: self.ssl_certificate_file.clone(),
            key_file: self.ssl_key_file.clone(),
        };
        Ok(self.security_protocol.encrypts().then_some(tls))
    }

    fn sasl(&self) -> Result<Option<Sasl>, ConfigurationError> {
        if !self.security_protocol.authenticates() {
            return Ok(None);
        }
        let missing = |key| refused(key)("kafka.security_protocol asks for it");
        let mechanism = self.sasl_mechanism.as_ref();
        let mechanism = mechanism.ok_or_else(|| missing("kafka.sasl_mechanism"))?;
        let mechanism: SaslMechanism =
            mechanism.parse().map_err(refused("kafka.sasl_mechanism"))?;
        if mechanism == SaslMechanism::Plain && !self.security_protocol.encrypts() {
            return Err(refused("kafka.sasl_mechanism")(
                "plain shows the password to whoever listens: use sasl_ssl, or scram-sha-512",
            ));
        }
        let username = self.sasl_username.clone();
        let password = self.sasl_password.clone();
        Ok(Some(Sasl {
            mechanism,
            username: username.ok_or_else(|| missing("kafka.sasl_username"))?,
            password: password.ok_or_else(|| missing("kafka.sasl_password"))?,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint<T>(result: Result<T, ConfigurationError>) -> String {
        match result {
            Ok(_) => panic!("it should have been refused"),
            Err(error) => error.to_string(),
        }
    }

    fn kafka() -> Kafka {
        Kafka {
            brokers: Some("kafka:9092".to_owned()),
            ..Kafka::default()
        }
    }

    #[test]
    fn a_login_wants_all_its_parts() {
        let mut kafka = Kafka {
            security_protocol: SecurityProtocol::SaslSsl,
            ..kafka()
        };
        for key in ["sasl_mechanism", "sasl_username", "sasl_password"] {
            assert!(complaint(kafka.settings()).contains(key), "{key}");
            match key {
                "sasl_mechanism" => kafka.sasl_mechanism = Some("plain".to_owned()),
                "sasl_username" => kafka.sasl_username = Some("hissaback".to_owned()),
                _ => kafka.sasl_password = Some("sesame".to_owned().into()),
            }
        }
        let settings = kafka.settings().expect("complete").expect("brokers");
        assert!(settings.security.sasl.is_some() && settings.security.tls.is_some());
        assert!(!format!("{settings:?}{kafka:?}").contains("sesame"));
        // In the clear, the password isn't shown.
        kafka.security_protocol = SecurityProtocol::SaslPlaintext;
        assert!(complaint(kafka.settings()).contains("kafka.sasl_mechanism"));
        kafka.security_protocol = SecurityProtocol::Ssl;
        let settings = kafka.settings().expect("complete").expect("brokers");
        assert!(settings.security.sasl.is_none() && settings.security.tls.is_some());
    }

    #[test]
    fn membership_is_dynamic_unless_the_process_has_a_name() {
        let settings = |kafka: &Kafka| kafka.settings().expect("usable").expect("brokers");
        assert_eq!(settings(&kafka()).group_instance_id, None);
        let named = Kafka {
            group_instance_id: Some("ledger-1".to_owned()),
            ..kafka()
        };
        let name = settings(&named).group_instance_id;
        assert_eq!(name, Some("ledger-1".parse().expect("legal")));
    }

    #[test]
    fn keys_that_do_not_go_together_are_refused_by_name() {
        let key_alone = Kafka {
            ssl_key_file: Some("key.pem".into()),
            ..kafka()
        };
        assert!(complaint(key_alone.settings()).contains("kafka.ssl_key_file"));
        let more_than_there_are = Kafka {
            replication_factor: 1,
            ..kafka()
        };
        assert!(complaint(more_than_there_are.settings()).contains("kafka.min_insync_replicas"));
        let prefix = Kafka {
            topic_prefix: "a/".to_owned(),
            ..kafka()
        };
        assert!(complaint(prefix.settings()).contains("kafka.topic_prefix"));
        let instance = Kafka {
            group_instance_id: Some("ledger 1".to_owned()),
            ..kafka()
        };
        assert!(complaint(instance.settings()).contains("kafka.group_instance_id"));
        let nowhere = Kafka {
            brokers: Some(" ".to_owned()),
            ..kafka()
        };
        assert!(complaint(nowhere.settings()).contains("kafka.brokers"));
        assert!(Kafka::default().settings().expect("usable").is_none());
    }
}
