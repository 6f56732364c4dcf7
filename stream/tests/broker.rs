//! The real broker and registry that tests start: they are what they should be, the broker keeps
//! its data, and neither outlives a test.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stream::broker::{
    BrokerError, BrokerOptions, KafkaBroker, ListenerSecurity, RegistryServer, User,
};

/// How long we wait for what must happen. Nothing depends on it in a run that passes.
const PATIENCE: Duration = Duration::from_mins(1);

fn accepts_connections(bootstrap: &str) -> bool {
    let address: SocketAddr = bootstrap.parse().unwrap();
    TcpStream::connect(address).is_ok()
}

fn process_lives(id: u32) -> bool {
    // A zombie has no command line any more.
    std::fs::read(format!("/proc/{id}/cmdline")).is_ok_and(|line| !line.is_empty())
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "{what} didn't happen");
        thread::sleep(Duration::from_millis(20));
    }
}

fn identity(broker: &KafkaBroker) -> String {
    std::fs::read_to_string(broker.directory().join("data/meta.properties")).unwrap()
}

#[test]
fn a_broker_starts_stops_and_restarts_on_its_data_and_address() {
    let broker = KafkaBroker::start(BrokerOptions::default()).unwrap();
    let (bootstrap, formatted) = (broker.bootstrap(), identity(&broker));
    assert!(accepts_connections(&bootstrap));

    broker.stop().unwrap();
    assert!(!accepts_connections(&bootstrap));
    assert_eq!(broker.process_id(), None);
    let again = broker.stop().unwrap_err();
    assert!(matches!(again, BrokerError::WrongState { .. }), "{again}");

    broker.restart().unwrap();
    assert!(accepts_connections(&bootstrap));

    broker.kill().unwrap();
    assert!(!accepts_connections(&bootstrap));

    broker.restart().unwrap();
    assert_eq!(broker.bootstrap(), bootstrap);
    assert!(accepts_connections(&bootstrap));
    assert_eq!(identity(&broker), formatted);

    let (process, directory) = (broker.process_id().unwrap(), broker.directory().to_owned());
    drop(broker);
    assert!(!process_lives(process));
    assert!(!directory.exists());
}

#[test]
fn two_brokers_at_once_do_not_clash() {
    let [first, second] =
        [(); 2].map(|()| thread::spawn(|| KafkaBroker::start(BrokerOptions::default())));
    let first = first.join().unwrap().unwrap();
    // The thread that started it has ended, and it must not have gone with that.
    let second = second.join().unwrap().unwrap();
    assert_ne!(first.bootstrap(), second.bootstrap());
    assert_ne!(first.directory(), second.directory());
    drop(first);
    assert!(accepts_connections(&second.bootstrap()));
}

#[test]
fn a_given_directory_is_kept_and_used_again() {
    let parent = tempfile::tempdir().unwrap();
    let options = BrokerOptions {
        directory: Some(parent.path().join("broker")),
        ..BrokerOptions::default()
    };
    let broker = KafkaBroker::start(options.clone()).unwrap();
    let formatted = identity(&broker);
    let taken = KafkaBroker::start(options.clone()).unwrap_err();
    assert!(matches!(taken, BrokerError::WrongState { .. }), "{taken}");
    drop(broker);

    let broker = KafkaBroker::start(options).unwrap();
    assert_eq!(identity(&broker), formatted);
}

#[test]
fn a_broker_with_security_is_ready_and_has_its_files() {
    let broker = KafkaBroker::start(BrokerOptions {
        security: ListenerSecurity::SaslSsl,
        users: vec![User {
            name: "ingest".to_owned(),
            password: "correct-horse".to_owned(),
        }],
        ..BrokerOptions::default()
    })
    .unwrap();
    assert_ne!(broker.bootstrap(), broker.bootstrap_without_security());
    assert!(accepts_connections(&broker.bootstrap()));
    assert!(broker.authority().unwrap().certificate_path().is_file());
}

#[test]
fn a_frozen_broker_is_stopped_all_the_same() {
    let broker = KafkaBroker::start(BrokerOptions::default()).unwrap();
    broker.freeze().unwrap();
    let frozen = broker.process_id().unwrap();
    broker.stop().unwrap();
    assert!(!process_lives(frozen));
    let absent = broker.thaw().unwrap_err();
    assert!(matches!(absent, BrokerError::WrongState { .. }), "{absent}");
}

#[test]
fn a_wrong_setting_is_an_error_that_shows_the_log() {
    let options = BrokerOptions::default().with("num.io.threads", "many");
    let error = KafkaBroker::start(options).unwrap_err();
    assert!(matches!(error, BrokerError::Ended { .. }), "{error}");
    assert!(error.to_string().contains("num.io.threads"), "{error}");
}

#[test]
fn a_killed_test_leaves_no_broker_behind() {
    let mut test = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "--ignored",
            "--nocapture",
            "starts_a_broker_and_waits",
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let printed = BufReader::new(test.stdout.take().unwrap());
    let broker: u32 = printed
        .lines()
        .map_while(Result::ok)
        .find_map(|line| line.split_once("broker ")?.1.parse().ok())
        .expect("the other process prints its broker's process id");
    assert!(process_lives(broker));

    test.kill().unwrap();
    test.wait().unwrap();
    wait_until("the broker's end", || !process_lives(broker));
}

/// The other process of the test above.
#[test]
#[ignore = "run by a_killed_test_leaves_no_broker_behind"]
fn starts_a_broker_and_waits() {
    let broker = KafkaBroker::shared().unwrap();
    println!("broker {}", broker.process_id().unwrap());
    thread::sleep(PATIENCE);
}

#[test]
fn a_missing_broker_is_named_with_its_remedy() {
    let error = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "--ignored",
            "--nocapture",
            "starts_a_broker_and_waits",
        ])
        .env("HISSABACK_CACHE_DIR", Path::new("/nonexistent"))
        .output()
        .unwrap();
    assert!(
        !error.status.success(),
        "a missing component passes no test"
    );
    let stderr = String::from_utf8_lossy(&error.stderr);
    assert!(stderr.contains("Missing"), "{stderr}");
}

/// Status and body of the answer to a request with a body of JSON.
fn ask(method: &str, url: &str, body: &Value) -> (u16, Value) {
    let (host, path) = url
        .strip_prefix("http://")
        .unwrap()
        .split_once('/')
        .unwrap();
    let body = body.to_string();
    let mut stream = TcpStream::connect(host).unwrap();
    write!(
        stream,
        "{method} /{path} HTTP/1.0\r\nHost: {host}\r\n\
         Content-Type: application/vnd.schemaregistry.v1+json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap())
}

fn record_with(fields: &Value) -> Value {
    json!({"schema": json!({"type": "record", "name": "Sale", "fields": fields}).to_string()})
}

/// What we rely on in the registry: ids of 32 bits, one for equal schemas of all subjects, and the
/// refusal of what readers of the newest version couldn't read.
#[test]
fn the_registry_speaks_confluents_api() {
    let registry = RegistryServer::start().unwrap();
    let at = |path: &str| format!("{}{path}", registry.url());
    let first = record_with(&json!([{"name": "amount", "type": "long"}]));
    let incompatible = record_with(&json!([
        {"name": "amount", "type": "long"},
        {"name": "currency", "type": "string"},
    ]));
    let compatible = record_with(&json!([
        {"name": "amount", "type": "long"},
        {"name": "currency", "type": "string", "default": "INR"},
    ]));
    let nothing = Value::Null;

    let (status, answer) = ask("POST", &at("/subjects/sales-value/versions"), &first);
    assert_eq!(status, 200, "{answer}");
    let id = answer["id"].as_i64().unwrap();
    assert!(i32::try_from(id).is_ok());
    let (_, elsewhere) = ask("POST", &at("/subjects/other-value/versions"), &first);
    assert_eq!(elsewhere["id"], id);

    let backward = json!({"compatibility": "BACKWARD"});
    assert_eq!(ask("PUT", &at("/config/sales-value"), &backward).0, 200);
    let (_, config) = ask("GET", &at("/config/sales-value"), &nothing);
    assert_eq!(config["compatibilityLevel"], "BACKWARD");

    let check = at("/compatibility/subjects/sales-value/versions/latest");
    assert_eq!(ask("POST", &check, &incompatible).1["is_compatible"], false);
    assert_eq!(ask("POST", &check, &compatible).1["is_compatible"], true);
    let refused = ask("POST", &at("/subjects/sales-value/versions"), &incompatible);
    assert_eq!((refused.0, &refused.1["error_code"]), (409, &json!(409)));
    let (status, second) = ask("POST", &at("/subjects/sales-value/versions"), &compatible);
    assert_eq!(status, 200, "{second}");
    assert_ne!(second["id"], id);

    let (_, versions) = ask("GET", &at("/subjects/sales-value/versions"), &nothing);
    assert_eq!(versions, json!([1, 2]));
    let (_, by_id) = ask("GET", &at(&format!("/schemas/ids/{id}")), &nothing);
    assert_eq!(by_id["schema"], first["schema"]);
    let (status, unknown) = ask("GET", &at("/schemas/ids/999999"), &nothing);
    assert_eq!((status, &unknown["error_code"]), (404, &json!(40403)));

    let process = registry.process_id().unwrap();
    registry.kill().unwrap();
    assert!(!process_lives(process));
}
