//! What the demo serves: the README's curl lines, and a widget in a browser.

#[path = "../../api/tests/api/browser.rs"]
#[expect(dead_code, reason = "the tests of the API use the rest")]
mod browser;
mod readme;
mod widget;

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, ChildStdout, Command, Stdio},
};

/// The demo, served until it is dropped.
struct Demo {
    process: Child,
    /// `http://` and its address.
    server: String,
    /// The path of the example page with a campaign's widget.
    page: String,
    directory: tempfile::TempDir,
    // What it says further: it ends where nobody reads.
    _output: BufReader<ChildStdout>,
}

impl Demo {
    fn serve() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let mut process = Command::new(env!("CARGO_BIN_EXE_hissaback"))
            .args(["demo", "--conversions", "40", "--serve"])
            .args(["--listen", "127.0.0.1:0", "--data-dir"])
            .arg(directory.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program runs");
        let mut output = BufReader::new(process.stdout.take().expect("piped"));
        let (server, page) = output
            .by_ref()
            .lines()
            .map(|line| line.expect("text"))
            .find_map(|line| {
                let url = line
                    .split_whitespace()
                    .find(|word| word.contains("/widget/"))?;
                let (server, page) = url.split_at(url.find("/widget/")?);
                Some((server.to_owned(), page.to_owned()))
            })
            .expect("the demo says where the widget is");
        Self {
            process,
            server,
            page,
            directory,
            _output: output,
        }
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let ended = self.process.kill().and_then(|()| self.process.wait());
        ended.expect("the demo can be ended");
    }
}
