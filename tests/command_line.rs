//! What a person sees who mistypes, or whose machine isn't ready: one clear sentence with the
//! remedy, and a non-zero exit.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

fn hissaback(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hissaback"))
        .args(arguments)
        .output()
        .expect("the program runs")
}

/// The sentence of a command that must fail.
fn refusal(output: &Output) -> String {
    assert!(
        !output.status.success(),
        "it should have failed: {output:?}"
    );
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("hissaback: "), "no sentence in {text:?}");
    assert!(!text.contains("panicked"), "{text}");
    text
}

fn path(directory: &Path) -> &str {
    directory.to_str().expect("an ASCII path")
}

#[test]
fn help_teaches_every_command() {
    let output = hissaback(&["--help"]);
    assert!(output.status.success());
    let help = String::from_utf8_lossy(&output.stdout).into_owned();
    for command in [
        "up",
        "demo",
        "backfill",
        "reference",
        "retention",
        "erase",
        "replay",
        "what-if",
        "verify",
        "audit",
        "payout",
        "contacts",
        "migrate",
        "secrets",
        "healthcheck",
        "ingest",
        "process",
        "ledger",
        "relay",
        "analytics",
        "dispatch",
        "schedule",
        "api",
    ] {
        assert!(
            help.contains(&format!("  {command} ")),
            "{command} is missing in {help}"
        );
        assert!(
            hissaback(&[command, "--help"]).status.success(),
            "{command} --help"
        );
    }
    assert!(
        !help.contains("clickhouse-engine"),
        "the engine is not for people"
    );
}

#[test]
fn a_busy_port_is_named_with_the_remedy() {
    let directory = tempfile::tempdir().expect("a directory");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let output = hissaback(&[
        "up",
        "--listen",
        &address,
        "--data-dir",
        path(directory.path()),
    ]);
    let sentence = refusal(&output);
    assert!(
        sentence.contains(&address) && sentence.contains("--listen"),
        "{sentence}"
    );
}

#[test]
fn a_data_directory_of_another_version_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("VERSION"), "99\n").expect("written");
    let output = hissaback(&[
        "up",
        "--listen",
        "127.0.0.1:0",
        "--data-dir",
        path(directory.path()),
    ]);
    let sentence = refusal(&output);
    assert!(sentence.contains("version"), "{sentence}");
}

#[test]
fn a_data_directory_that_cannot_be_written_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    // Not even root can make a directory below a file.
    let file = directory.path().join("file");
    fs::write(&file, "").expect("written");
    let below = file.join("data");
    let output = hissaback(&["up", "--listen", "127.0.0.1:0", "--data-dir", path(&below)]);
    let sentence = refusal(&output);
    assert!(sentence.contains(path(&below)), "{sentence}");
}

#[test]
fn missing_postgresql_binaries_are_named_with_the_remedy() {
    let directory = tempfile::tempdir().expect("a directory");
    let empty = tempfile::tempdir().expect("a directory");
    fs::set_permissions(empty.path(), fs::Permissions::from_mode(0o755)).expect("readable");
    let output = Command::new(env!("CARGO_BIN_EXE_hissaback"))
        .args([
            "up",
            "--listen",
            "127.0.0.1:0",
            "--data-dir",
            path(directory.path()),
        ])
        .env("HISSABACK_POSTGRES_BIN", empty.path())
        .output()
        .expect("the program runs");
    let sentence = refusal(&output);
    assert!(sentence.contains("PostgreSQL"), "{sentence}");
}

#[test]
fn a_configuration_key_that_is_not_known_is_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("hissaback.toml");
    fs::write(&file, "[http]\nlisten_on = \"127.0.0.1:1\"\n").expect("written");
    let sentence = refusal(&hissaback(&["up", "--config", path(&file)]));
    assert!(sentence.contains("listen_on"), "{sentence}");
}

#[test]
fn a_demo_wants_a_fresh_directory_and_a_sensible_number() {
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("something"), "").expect("written");
    let sentence = refusal(&hissaback(&["demo", "--data-dir", path(directory.path())]));
    assert!(sentence.contains("fresh"), "{sentence}");
    refusal(&hissaback(&["demo", "--conversions", "0"]));
}

#[test]
fn a_role_of_its_own_over_an_embedded_service_is_refused_with_the_key() {
    for role in ["ingest", "ledger", "api"] {
        let sentence = refusal(&hissaback(&[role]));
        assert!(
            sentence.contains("kafka.brokers") && sentence.contains("hissaback up"),
            "{role}: {sentence}"
        );
    }
    let output = Command::new(env!("CARGO_BIN_EXE_hissaback"))
        .arg("process")
        .env("KAFKA_BROKERS", "127.0.0.1:1")
        .env(
            "DATABASE_URL",
            "postgres://hissaback_writer@127.0.0.1:1/hissaback",
        )
        .output()
        .expect("the program runs");
    let sentence = refusal(&output);
    assert!(sentence.contains("hissaback secrets"), "{sentence}");
}

#[test]
fn secrets_are_made_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("secrets.json");
    assert!(hissaback(&["secrets", path(&file)]).status.success());
    let first = fs::read(&file).expect("readable");
    let sentence = refusal(&hissaback(&["secrets", path(&file)]));
    assert!(sentence.contains(path(&file)), "{sentence}");
    let again = hissaback(&["secrets", path(&file), "--if-missing"]);
    assert!(again.status.success());
    assert_eq!(fs::read(&file).expect("readable"), first);
}

#[test]
fn without_services_elsewhere_there_is_nothing_to_migrate() {
    let output = hissaback(&["migrate", "--check", "--json"]);
    assert!(output.status.success(), "{output:?}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let services = report["services"].as_array().expect("a list");
    assert_eq!(services.len(), 4);
    assert!(
        services
            .iter()
            .all(|service| service["state"] == "embedded")
    );
}

#[test]
fn a_service_that_cannot_be_migrated_fails_the_command_and_is_named() {
    let output = Command::new(env!("CARGO_BIN_EXE_hissaback"))
        .args(["migrate", "--json"])
        .env(
            "DATABASE_OWNER_URL",
            "postgres://owner:sesame@127.0.0.1:1/hissaback",
        )
        .output()
        .expect("the program runs");
    let sentence = refusal(&output);
    assert!(sentence.contains("postgresql"), "{sentence}");
    assert!(!sentence.contains("sesame"), "{sentence}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["services"][0]["state"], "failed");
}

/// Answers one request with this status.
fn answering(status: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut request = [0; 1_024];
        let read = stream.read(&mut request).expect("a request");
        assert!(request[..read].starts_with(b"GET /health "));
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\n{{}}");
        stream.write_all(head.as_bytes()).expect("answered");
    });
    address
}

#[test]
fn a_healthcheck_is_an_exit_code() {
    for (status, healthy) in [("200 OK", true), ("503 Service Unavailable", false)] {
        let url = format!("http://{}/health", answering(status));
        let output = hissaback(&["healthcheck", "--url", &url]);
        assert_eq!(output.status.success(), healthy, "{status}: {output:?}");
    }
    let sentence = refusal(&hissaback(&[
        "healthcheck",
        "--url",
        "http://127.0.0.1:1/health",
    ]));
    assert!(sentence.contains("127.0.0.1:1"), "{sentence}");
}

/// Whatever `/health` says, once something answers.
fn health(address: SocketAddr) -> String {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        if let Ok(mut stream) = TcpStream::connect(address) {
            write!(
                stream,
                "GET /health HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
            )
            .expect("asked");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).expect("an answer");
            if answer.contains("postgres") {
                return answer;
            }
        }
        assert!(Instant::now() < deadline, "it never told what it waits for");
        thread::sleep(Duration::from_millis(50));
    }
}

/// Ends with the test, however that ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_role_whose_services_are_away_says_so_and_ends_when_it_is_told_to() {
    let free = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = free.local_addr().expect("bound");
    drop(free);
    let child = Command::new(env!("CARGO_BIN_EXE_hissaback"))
        .args(["ledger", "--listen", &address.to_string()])
        .env("KAFKA_BROKERS", "127.0.0.1:1")
        .env(
            "DATABASE_URL",
            "postgres://hissaback_writer:sesame@127.0.0.1:1/hissaback",
        )
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let mut child = Running(child);
    let answer = health(address);
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(!answer.contains("sesame"), "{answer}");
    let terminated = Command::new("kill").arg(child.0.id().to_string()).status();
    assert!(terminated.expect("kill runs").success());
    assert!(
        child.0.wait().expect("it ended").success(),
        "a clean exit on SIGTERM"
    );
}

#[test]
fn a_person_of_the_example_is_erased_once_and_nothing_is_past_its_period() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    let run = |arguments: &[&str]| {
        let output = hissaback(&[arguments, &["--data-dir", path(&data)]].concat());
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        text
    };
    let example = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/schemas/examples/reference.json"
    );
    let text = fs::read_to_string(example).expect("the example");
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let user = json["users"][0]["user_id"].as_str().expect("a user");
    run(&["reference", "import", example]);
    // Nobody finds the number in the clear.
    let phone = json["users"][0]["phone"].as_str().expect("a phone");
    assert!(!found_below(&data.join("postgres"), phone.as_bytes()));

    let erase = ["erase", "user", user, "--reason", "asked for it", "--json"];
    for expected in [1, 0] {
        let erased: serde_json::Value = serde_json::from_str(&run(&erase)).expect("JSON");
        assert_eq!(erased["users"], expected);
    }
    let retired = run(&["retention", "run", "--json"]);
    let retired: serde_json::Value = serde_json::from_str(&retired).expect("JSON");
    assert_eq!(retired["detached"], serde_json::json!([]));
    refusal(&hissaback(&["retention", "run", "--clicks-months", "1"]));
}

#[test]
fn operators_dump_the_ledger_look_at_the_hold_and_reseal_contacts() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    let try_to =
        |arguments: &[&str]| hissaback(&[arguments, &["--data-dir", path(&data)]].concat());
    let run = |arguments: &[&str]| {
        let output = try_to(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).expect("text")
    };
    let example = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/schemas/examples/reference.json"
    );
    run(&["reference", "import", example]);

    let dumped = try_to(&["ledger", "dump", "--canonical"]);
    let lines = String::from_utf8(dumped.stdout).expect("text");
    assert_eq!(
        lines,
        "{\"kind\":\"ledger\",\"format\":1,\"tenant_id\":null}\n"
    );
    let hash = run(&["ledger", "dump", "--canonical", "--hash"]);
    assert_eq!(hash.trim().len(), 64, "{hash}");
    let told = String::from_utf8(dumped.stderr).expect("text");
    assert!(told.ends_with(&format!("sha256 {hash}")), "{told}");
    let other_form = hissaback(&["ledger", "dump"]);
    assert!(!other_form.status.success(), "there is one form");

    let shown: serde_json::Value =
        serde_json::from_str(&run(&["payout", "hold", "show", "--json"])).expect("JSON");
    assert_eq!(shown, serde_json::json!({ "open": null, "past": [] }));
    let lift = [
        "payout",
        "hold",
        "lift",
        "--operator",
        "me",
        "--reason",
        "because",
    ];
    assert!(refusal(&try_to(&lift)).contains("payouts are not held"));

    // A second key, as an operator adds it.
    let file = data.join("secrets.json");
    let secrets = fs::read_to_string(&file).expect("secrets");
    let mut secrets: serde_json::Value = serde_json::from_str(&secrets).expect("JSON");
    let keys = secrets["contact_keys"].as_str().expect("keys").to_owned();
    secrets["contact_keys"] = format!("{keys},2:{}", "5a".repeat(32)).into();
    fs::write(&file, secrets.to_string()).expect("written");
    for resealed in [true, false] {
        let run = run(&["contacts", "reseal", "--json"]);
        let run: serde_json::Value = serde_json::from_str(&run).expect("JSON");
        assert_eq!(
            (&run["key_id"], &run["unreadable"]),
            (&2.into(), &serde_json::json!([]))
        );
        assert_eq!(run["resealed"], run["found"]);
        assert_eq!(run["resealed"] != 0, resealed, "{run}");
    }
}

/// Whether some file below a directory holds the bytes.
fn found_below(directory: &Path, bytes: &[u8]) -> bool {
    let entries = fs::read_dir(directory).expect("a directory");
    entries.map(|entry| entry.expect("an entry")).any(|entry| {
        let kind = entry.file_type().expect("a kind");
        if kind.is_dir() {
            return found_below(&entry.path(), bytes);
        }
        let holds = |content: Vec<u8>| content.windows(bytes.len()).any(|window| window == bytes);
        kind.is_file() && fs::read(entry.path()).is_ok_and(holds)
    })
}
