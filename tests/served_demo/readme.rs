//! The README's curl examples, as they stand there, against the demo's server.

use std::process::Command;

use crate::Demo;

/// The heading of the section that is tried.
const HEADING: &str = "## The API by curl";

#[test]
fn the_readmes_curl_examples_work_against_the_demos_server() {
    let demo = Demo::serve();
    let readme = include_str!("../../README.md");
    let (_, section) = readme.split_once(HEADING).expect("the section is there");
    let (_, examples) = section.split_once("```sh\n").expect("examples");
    let (examples, _) = examples.split_once("```").expect("their end");
    let path = demo.directory.path().to_str().expect("text");
    let script = examples
        .replace("http://127.0.0.1:8080", &demo.server)
        .replace("/tmp/hissaback-demo", path);
    assert!(script.contains(&demo.server) && script.contains(path));
    let ran = Command::new("bash").args(["-euc", &script]).output();
    let ran = ran.expect("bash runs");
    let told = String::from_utf8_lossy(&ran.stdout);
    let complained = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{told}\n{complained}");
    for shown in [
        "\"postings\":[{",
        "\"claims\":[{",
        "\"payout_id\":",
        "\"campaign_id\":",
    ] {
        assert!(told.contains(shown), "{shown} isn't in {told}");
    }
}
