//! `hissaback migrate` on a PostgreSQL server, and commands over it.

use std::{
    path::Path,
    process::{Command, Output},
};

use hissaback::embedded::{
    DataDirectory, EmbeddedPostgres, PostgresOptions,
    postgres::{DATABASE, OWNER},
};
use serde_json::Value;
use sinks::ledger::database::{OPERATOR, WRITER};
use url::Url;

/// The address of a role on the server whose socket is in this directory.
fn address(socket_directory: &Path, role: &str) -> String {
    let socket_directory = socket_directory.to_str().expect("UTF-8");
    let url = format!("postgres://{role}@localhost/{DATABASE}");
    Url::parse_with_params(&url, [("host", socket_directory)])
        .expect("an address")
        .into()
}

fn migrate(owner: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hissaback"));
    command
        .args(["migrate", "--json"])
        .args(arguments)
        .env("DATABASE_OWNER_URL", owner);
    command
}

/// Whether it succeeded, and what it says about PostgreSQL.
fn findings(command: &mut Command) -> (bool, Value) {
    let output = command.output().expect("the program runs");
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    (output.status.success(), report["services"][0].clone())
}

fn import(socket_directory: &Path, roles: [&str; 2], scratch: &Path) -> Output {
    let example = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/schemas/examples/reference.json"
    );
    Command::new(env!("CARGO_BIN_EXE_hissaback"))
        .args(["reference", "import", example, "--data-dir"])
        .arg(scratch.join("data"))
        .env("DATABASE_URL", address(socket_directory, roles[0]))
        .env("DATABASE_OPERATOR_URL", address(socket_directory, roles[1]))
        .output()
        .expect("the program runs")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_migrated_once_however_often_it_is_asked_for() {
    let directory = tempfile::tempdir().expect("a directory");
    let scratch = tempfile::tempdir().expect("a directory");
    let data = DataDirectory::open(directory.path()).expect("a data directory");
    let postgres = EmbeddedPostgres::start(&data, PostgresOptions::default())
        .await
        .expect("PostgreSQL");
    let options = postgres.connect_options(OWNER, DATABASE);
    let socket_directory = options.get_socket().expect("it has a socket").clone();
    let owner = address(&socket_directory, OWNER);

    let (succeeded, before) = findings(&mut migrate(&owner, &["--check"]));
    assert!(!succeeded && before["state"] == "behind", "{before}");
    let outstanding = before["outstanding"].as_array().expect("a list").clone();
    assert!(outstanding.len() >= 5, "{before}");
    // Whoever comes before its tables is told; only the owner is there yet.
    let early = import(&socket_directory, [OWNER; 2], scratch.path());
    let sentence = String::from_utf8_lossy(&early.stderr).into_owned();
    assert!(
        !early.status.success() && sentence.contains("hissaback migrate"),
        "{sentence}"
    );

    // Two at once: each migration is made by one of them.
    let both = [(); 2].map(|()| {
        let mut command = migrate(&owner, &[]);
        std::thread::spawn(move || findings(&mut command))
    });
    let mut made = Vec::new();
    for one in both {
        let (succeeded, found) = one.join().expect("it ran");
        assert!(succeeded && found["state"] == "up_to_date", "{found}");
        made.extend(found["made"].as_array().expect("a list").clone());
    }
    assert_eq!(made, outstanding);

    let (succeeded, after) = findings(&mut migrate(&owner, &["--check"]));
    assert!(
        succeeded && after["outstanding"] == Value::Array(Vec::new()),
        "{after}"
    );
    let imported = import(&socket_directory, [WRITER, OPERATOR], scratch.path());
    assert!(
        imported.status.success(),
        "{}",
        String::from_utf8_lossy(&imported.stderr)
    );
    postgres.stop().await.expect("stopped");
}
