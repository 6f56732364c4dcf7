//! A registry that is down, refuses, or talks nonsense.

use axum::{Router, http::StatusCode};
use stream::registry::{RegistryError, RegistrySettings, SchemaRegistry};
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
