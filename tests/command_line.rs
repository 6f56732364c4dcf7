//! What a person sees who mistypes, or whose machine isn't ready: one clear sentence with the
//! remedy, and a non-zero exit.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output},
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
        "audit",
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
