//! TLS and credentials.

use std::{path::PathBuf, sync::LazyLock};

use schemas::Topic;
use secrecy::SecretString;
use stream::{
    GroupEvent, GroupSettings, Health, Log,
    broker::{BrokerOptions, KafkaBroker, ListenerSecurity, User},
    kafka::{
        AppendTimes, Fault, KafkaLog, KafkaSettings, Sasl, SaslMechanism, Security, Tls,
        topics::{self, TopicTimes},
    },
};
use tokio::time::Duration;

use crate::cluster::{self, append, record};

const PASSWORD: &str = "correct-horse";

/// One that wants TLS and a password.
fn broker() -> &'static KafkaBroker {
    static BROKER: LazyLock<KafkaBroker> = LazyLock::new(|| {
        cluster::own(BrokerOptions {
            security: ListenerSecurity::SaslSsl,
            users: vec![User {
                name: "hissaback".to_owned(),
                password: PASSWORD.to_owned(),
            }],
            ..BrokerOptions::default()
        })
    });
    &BROKER
}

fn authority() -> PathBuf {
    let authority = broker().authority().expect("it was started with TLS");
    authority.certificate_path().to_owned()
}

fn settings(mechanism: SaslMechanism, password: &str, ca_file: Option<PathBuf>) -> KafkaSettings {
    let mut settings = cluster::settings(broker().bootstrap());
    // Administration asks for so long before it says what is wrong.
    settings.request_timeout = Duration::from_secs(5);
    settings.security = Security {
        tls: Some(Tls {
            ca_file,
            ..Tls::default()
        }),
        sasl: Some(Sasl {
            mechanism,
            username: "hissaback".to_owned(),
            password: SecretString::from(password),
        }),
    };
    settings
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mechanism_works_over_tls_for_everything() {
    for mechanism in [
        SaslMechanism::Plain,
        SaslMechanism::ScramSha256,
        SaslMechanism::ScramSha512,
    ] {
        let settings = settings(mechanism, PASSWORD, Some(authority()));
        let log = cluster::fresh(&settings).await;
        append(&*log, Topic::Clicks, vec![record(mechanism.name())]).await;
        let mut consumer = log
            .join("group", &[Topic::Clicks], GroupSettings::default())
            .await
            .unwrap();
        cluster::until("the record is read", async || {
            let event = consumer.next(10, Duration::from_millis(100)).await.unwrap();
            matches!(event, GroupEvent::Records(records) if records[0].value == mechanism.name())
        })
        .await;
    }
}

async fn trouble_with(settings: &KafkaSettings) -> Fault {
    let log = KafkaLog::connect(settings.clone(), AppendTimes::Broker).unwrap();
    let error = log.ready(cluster::READY_WITHIN).await.unwrap_err();
    assert!(!error.temporary(), "{error}");
    match log.health() {
        Health::Unavailable { reason } => assert!(!reason.contains("horse"), "{reason}"),
        other => panic!("{other:?}"),
    }
    let refused = log
        .append(Topic::Clicks, vec![record(0)])
        .await
        .unwrap_err();
    assert!(refused.refusal().is_some(), "{refused:?}");
    let fault = error.kafka_fault().expect("it comes from Kafka").clone();
    let administration = topics::inspect(settings, &cluster::single(TopicTimes::Broker)).await;
    let error = administration.unwrap_err();
    assert_eq!(
        std::mem::discriminant(error.kafka_fault().unwrap()),
        std::mem::discriminant(&fault),
        "{error}"
    );
    fault
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_refused_and_said() {
    for mechanism in [SaslMechanism::Plain, SaslMechanism::ScramSha512] {
        let fault = trouble_with(&settings(mechanism, "battery-horse", Some(authority()))).await;
        assert!(matches!(fault, Fault::CredentialsRefused { .. }), "{fault}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_an_unknown_authority_is_refused() {
    // The system's authorities have never heard of the broker's.
    let fault = trouble_with(&settings(SaslMechanism::Plain, PASSWORD, None)).await;
    assert!(matches!(fault, Fault::TlsFailed { .. }), "{fault}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_for_another_host_is_refused() {
    let mut settings = settings(SaslMechanism::Plain, PASSWORD, Some(authority()));
    // Another way to write the address, which the certificate doesn't bear.
    settings.brokers = settings.brokers.replace("127.0.0.1", "127.1");
    let fault = trouble_with(&settings).await;
    assert!(matches!(fault, Fault::TlsFailed { .. }), "{fault}");
}

#[test]
fn a_missing_file_is_said_at_once_and_the_password_never() {
    let mut settings = KafkaSettings::new("127.0.0.1:1");
    settings.security = Security {
        tls: Some(Tls {
            ca_file: Some("/nowhere/ca.pem".into()),
            ..Tls::default()
        }),
        sasl: Some(Sasl {
            mechanism: SaslMechanism::ScramSha256,
            username: "hissaback".to_owned(),
            password: SecretString::from(PASSWORD),
        }),
    };
    assert!(!format!("{settings:?}").contains(PASSWORD));
    let Err(error) = KafkaLog::connect(settings, AppendTimes::Broker) else {
        panic!("it has no authority to verify brokers by");
    };
    assert!(
        matches!(error.kafka_fault(), Some(Fault::Settings { .. })),
        "{error}"
    );
    assert!(!error.temporary());
    assert!(error.to_string().contains("/nowhere/ca.pem"), "{error}");
    assert!(!error.to_string().contains(PASSWORD), "{error}");
}
