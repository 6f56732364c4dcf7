//! The README's curl examples, as they stand there, against the demo's server.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

/// The heading of the section that is tried.
const HEADING: &str = "## The API by curl";

struct Demo(Child);

impl Drop for Demo {
    fn drop(&mut self) {
        let ended = self.0.kill().and_then(|()| self.0.wait());
        ended.expect("the demo can be ended");
    }
}

#[test]
fn the_readmes_curl_examples_work_against_the_demos_server() {
    let directory = tempfile::tempdir().expect("a directory");
    let process = Command::new(env!("CARGO_BIN_EXE_hissaback"))
        .args(["demo", "--conversions", "40", "--serve"])
        .args(["--listen", "127.0.0.1:0", "--data-dir"])
        .arg(directory.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut demo = Demo(process.expect("the program runs"));
    let lines = BufReader::new(demo.0.stdout.take().expect("piped")).lines();
    let server = lines
        .map(|line| line.expect("text"))
        .find_map(|line| {
            let page = line
                .split_whitespace()
                .find(|word| word.contains("/widget/"))?;
            Some(page.split_once("/widget/")?.0.to_owned())
        })
        .expect("the demo says where it is");

    let readme = include_str!("../README.md");
    let (_, section) = readme.split_once(HEADING).expect("the section is there");
    let (_, examples) = section.split_once("```sh\n").expect("examples");
    let (examples, _) = examples.split_once("```").expect("their end");
    let path = directory.path().to_str().expect("text");
    let script = examples
        .replace("http://127.0.0.1:8080", &server)
        .replace("/tmp/hissaback-demo", path);
    assert!(script.contains(&server) && script.contains(path));
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
