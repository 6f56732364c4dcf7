//! Our signatures, verified by somebody else's implementation.

use std::{
    io::Write,
    path::PathBuf,
    process::{Command, Stdio},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Uri},
};
use schemas::{Currency, Timestamp};
use serde_json::{Value, json};
use sinks::payouts::{
    agcod::{AgcodClient, Expected},
    frozen_request,
};
use tokio::sync::mpsc;

use crate::world::{account_config, rupees};

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

/// Every operation's request, as it comes over the wire.
async fn sent() -> Vec<Value> {
    let (sender, mut received) = mpsc::unbounded_channel();
    let keep = async |State(sender): State<mpsc::UnboundedSender<Value>>,
                      uri: Uri,
                      headers: HeaderMap,
                      body: Bytes| {
        let headers: serde_json::Map<String, Value> = headers
            .iter()
            .map(|(name, value)| (name.to_string(), json!(value.to_str().expect("text"))))
            .collect();
        let body = String::from_utf8(body.to_vec()).expect("text");
        let kept = json!({"path": uri.path(), "headers": headers, "body": body});
        sender.send(kept).expect("received");
    };
    let router = Router::new().fallback(keep).with_state(sender);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, router).await });

    let config = account_config(&address);
    let client = AgcodClient::new(&config).expect("a client");
    let expected = Expected {
        creation_request_id: "Awssb0001".into(),
        amount: rupees(500),
        currency: Currency::INR,
    };
    let body = frozen_request(&config, "Awssb0001", rupees(500), Currency::INR);
    let body = body.expect("a request");
    drop(client.create_gift_card(&body, &expected, NOW).await);
    drop(client.cancel_gift_card("Awssb0001", "G1", NOW).await);
    drop(client.available_funds(NOW).await);
    let span = (NOW.plus_days(-1), NOW);
    drop(client.activity_page("AwssbR1", span, 0, NOW).await);
    let mut all = Vec::new();
    while let Ok(mut one) = received.try_recv() {
        let path = one["path"].as_str().expect("a path").to_owned();
        one["url"] = json!(format!("{address}{path}"));
        one["access_key_id"] = json!(config.key_pair.access_key_id);
        one["secret_access_key"] = json!("test-secret");
        one["region"] = json!(config.region);
        all.push(one);
    }
    all
}

fn python() -> PathBuf {
    let cache = std::env::var_os("HISSABACK_CACHE_DIR").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.cache")),
        PathBuf::from,
    );
    let python = cache.join("python/bin/python");
    assert!(
        python.exists(),
        "botocore isn't there: `make setup` fetches it"
    );
    python
}

#[tokio::test]
async fn botocore_comes_to_the_same_signatures() {
    let sent = sent().await;
    let paths: Vec<_> = sent.iter().map(|one| one["path"].as_str()).collect();
    assert_eq!(
        paths,
        [
            Some("/CreateGiftCard"),
            Some("/CancelGiftCard"),
            Some("/GetAvailableFunds"),
            Some("/GetGiftCardActivityPage")
        ]
    );
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/payouts/verify_signature.py"
    );
    let mut process = Command::new(python())
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python runs");
    let mut input = process.stdin.take().expect("a pipe");
    for one in &sent {
        writeln!(input, "{one}").expect("written");
    }
    drop(input);
    let output = process.wait_with_output().expect("it ends");
    assert!(output.status.success());
    let theirs = String::from_utf8(output.stdout).expect("text");
    let ours: Vec<_> = sent
        .iter()
        .map(|one| {
            let authorization = one["headers"]["authorization"].as_str().expect("signed");
            let (_, signature) = authorization.split_once("Signature=").expect("signed");
            signature
        })
        .collect();
    assert_eq!(theirs.lines().collect::<Vec<_>>(), ours);
}
