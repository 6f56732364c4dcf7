//! A registry that is down, refuses, or talks nonsense.

use axum::{
    Router,
    http::{HeaderMap, StatusCode, header::AUTHORIZATION},
};
use secrecy::SecretString;
use stream::{
    broker::{BrokerOptions, KafkaBroker, ListenerSecurity},
    registry::{RegistryError, RegistrySettings, SchemaRegistry},
};
use tokio::net::TcpListener;

use super::client;

/// A server that answers everything alike.
async fn answering(status: StatusCode, body: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("listens");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let router = Router::new().fallback(move || async move { (status, body) });
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

async fn asked(status: StatusCode, body: &'static str) -> RegistryError {
    let url = answering(status, body).await;
    let error = client(&url).ids().await.expect_err("no ids");
    let inspected = client(&url).inspect().await.expect_err("no report");
    assert_eq!(
        error.temporary(),
        inspected.temporary(),
        "{error} / {inspected}"
    );
    error
}

#[tokio::test]
async fn refused_credentials_are_no_reason_to_wait() {
    let body = r#"{"error_code": 401, "message": "Unauthorized"}"#;
    let error = asked(StatusCode::UNAUTHORIZED, body).await;
    assert!(
        error.to_string().ends_with("refuses: Unauthorized"),
        "{error}"
    );
    assert!(!error.temporary());
    let error = asked(StatusCode::FORBIDDEN, "<html>").await;
    assert!(error.to_string().contains("403"), "{error}");
    assert!(!error.temporary());
}

#[tokio::test]
async fn its_own_trouble_is_a_reason_to_wait() {
    let body = r#"{"error_code": 50001, "message": "Error in the backend data store"}"#;
    let error = asked(StatusCode::INTERNAL_SERVER_ERROR, body).await;
    assert!(error.to_string().contains("backend data store"), "{error}");
    assert!(error.temporary());
    let error = asked(StatusCode::SERVICE_UNAVAILABLE, "<html>").await;
    assert!(error.to_string().contains("503"), "{error}");
    assert!(error.temporary());
}

#[tokio::test]
async fn a_wrong_path_is_not_a_missing_schema() {
    let error = asked(StatusCode::NOT_FOUND, "<html>").await;
    assert!(matches!(error, RegistryError::Refused { .. }), "{error}");
    let body = r#"{"error_code": 404, "message": "HTTP 404 Not Found"}"#;
    let error = asked(StatusCode::NOT_FOUND, body).await;
    assert!(matches!(error, RegistryError::Refused { .. }), "{error}");
}

#[tokio::test]
async fn nonsense_is_told_as_such() {
    let error = asked(StatusCode::OK, "hello").await;
    assert!(
        matches!(error, RegistryError::NotUnderstood { .. }),
        "{error}"
    );
    assert!(!error.temporary());
}

#[tokio::test]
async fn nobody_there_is_a_reason_to_wait_and_the_password_is_not_told() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("listens");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let settings = RegistrySettings::at(format!("http://name:hunter2@{address}/api"));
    let registry = SchemaRegistry::connect(settings).expect("settings that can be");
    let error = registry.register_all().await.expect_err("nobody there");
    assert!(error.temporary());
    let told = format!("{error} {error:?} {registry:?}");
    assert!(told.contains(&address.to_string()), "{told}");
    assert!(!told.contains("hunter2"), "{told}");
}

/// A registry without schemas, for whoever has this header.
async fn guarded(authorization: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("listens");
    let url = listener.local_addr().expect("an address").to_string();
    let router = Router::new().fallback(move |headers: HeaderMap| async move {
        if headers
            .get(AUTHORIZATION)
            .is_some_and(|sent| sent == authorization)
        {
            let missing = r#"{"error_code": 40401, "message": "Subject not found."}"#;
            (StatusCode::NOT_FOUND, missing)
        } else {
            let refused = r#"{"error_code": 40101, "message": "Unauthorized"}"#;
            (StatusCode::UNAUTHORIZED, refused)
        }
    });
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

#[tokio::test]
async fn credentials_go_along_with_every_call() {
    // name:pass word, in base 64.
    let basic = guarded("Basic bmFtZTpwYXNzIHdvcmQ=").await;
    let bearer = guarded("Bearer abc.def").await;
    let secret = |text: &str| Some(SecretString::from(text.to_owned()));
    for settings in [
        RegistrySettings::at(format!("http://name:pass%20word@{basic}")),
        RegistrySettings {
            username: Some("name".to_owned()),
            password: secret("pass word"),
            ..RegistrySettings::at(format!("http://{basic}/"))
        },
        RegistrySettings {
            token: secret("abc.def"),
            ..RegistrySettings::at(format!("http://{bearer}"))
        },
    ] {
        let registry = SchemaRegistry::connect(settings).expect("settings that can be");
        let report = registry.inspect().await.expect("let in");
        assert!(report.unchanged.is_empty() && !report.missing.is_empty());
    }
    let nobody = client(&format!("http://{basic}"));
    let error = nobody.inspect().await.expect_err("kept out");
    assert!(!error.temporary(), "{error}");
}

/// The broker's listener stands for a registry's: what counts is who signed its certificate.
#[tokio::test]
async fn a_certificate_has_to_be_signed_by_who_is_trusted() {
    let options = BrokerOptions {
        security: ListenerSecurity::Ssl,
        ..BrokerOptions::default()
    };
    let broker = KafkaBroker::start(options).unwrap_or_else(|error| panic!("{error}"));
    let url = format!("https://{}", broker.bootstrap());
    let error = client(&url)
        .inspect()
        .await
        .expect_err("not signed by Mozilla's");
    assert!(matches!(error, RegistryError::NotTrusted { .. }), "{error}");
    assert!(!error.temporary());

    let authority = broker.authority().expect("an authority");
    let settings = RegistrySettings {
        ca_file: Some(authority.certificate_path().to_owned()),
        ..RegistrySettings::at(&url)
    };
    let registry = SchemaRegistry::connect(settings).expect("settings that can be");
    let error = registry.inspect().await.expect_err("no registry");
    assert!(
        !matches!(error, RegistryError::NotTrusted { .. }),
        "{error}"
    );
}
