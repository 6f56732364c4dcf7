//! The real broker that tests start: it is one, it keeps its data, and it never outlives them.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use stream::broker::{BrokerError, BrokerOptions, KafkaBroker, ListenerSecurity, User};

/// How long we wait for what must happen. Nothing depends on it in a run that passes.
const PATIENCE: Duration = Duration::from_secs(60);

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
