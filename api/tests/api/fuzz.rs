//! Requests made up from the description, against a server: none of them may find a defect, an
//! answer that isn't described, or a way past what is checked.
//!
//! `make test` tries a few; `make fuzz-api CASES=10000` as many as are asked for.

use std::{net::SocketAddr, path::PathBuf};

use http::StatusCode;
use tokio::{net::TcpListener, process::Command};

use crate::world::{OPERATOR, World, phone};

/// How many requests, unless `HISSABACK_FUZZ_CASES` says otherwise.
const CASES: usize = 400;
/// The same each time: what fails can be looked at again.
const SEED: &str = "1";
/// What the description can't say is refused all the same, such as a share of 101 percent.
const UNDESCRIBED: &str = "positive_data_acceptance";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_made_up_from_the_description_find_no_defect() {
    let cases = std::env::var("HISSABACK_FUZZ_CASES");
    let cases = cases.map_or(CASES, |cases| cases.parse().expect("a number"));
    let world = World::new().await;
    let creator = world.sign_in(&phone(1)).await.jwt();
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)));
    let listener = listener.await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let server = tokio::spawn(axum::serve(listener, world.router()).into_future());
    let described = world.get("/v1/openapi.json").await;
    assert_eq!(described.status, StatusCode::OK);
    // Ingest's own endpoints are served by its own router.
    let elsewhere = ingest::description().paths.paths;
    let paths = described.body["paths"].as_object().expect("paths");
    let here = paths.keys().filter(|path| !elsewhere.contains_key(*path));
    let each = cases.div_ceil(2 * here.count());
    for token in [OPERATOR, &creator] {
        let mut command = Command::new(schemathesis());
        command
            .current_dir(env!("CARGO_TARGET_TMPDIR"))
            .args(["run", &format!("http://{address}/v1/openapi.json")])
            .args(["--header", &format!("Authorization: Bearer {token}")])
            .args(["--max-examples", &each.to_string(), "--seed", SEED])
            .args(["--checks", "all", "--exclude-checks", UNDESCRIBED])
            .args(["--phases", "examples,coverage,fuzzing", "--no-color"])
            .args(["--request-timeout", "30", "--continue-on-failure"])
            .args(["--suppress-health-check", "all"]);
        for path in elsewhere.keys() {
            command.args(["--exclude-path", path]);
        }
        let output = command.output().await.expect("schemathesis runs");
        let told = String::from_utf8_lossy(&output.stdout);
        println!("{told}");
        let complained = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{told}\n{complained}");
    }
    server.abort();
}

fn schemathesis() -> PathBuf {
    let cache = std::env::var_os("HISSABACK_CACHE_DIR").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../.cache"),
        PathBuf::from,
    );
    let program = cache.join("python-api/bin/schemathesis");
    assert!(
        program.exists(),
        "{} is missing: scripts/setup.sh api fetches it",
        program.display()
    );
    program
}
