//! The product under test: `hissaback up` as a child process on one data directory, from a copy
//! of the program, so that a build going on beside doesn't change it.

use std::{
    env,
    fs::{self, OpenOptions},
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::{http::request, plan::Victim};

/// Only against hanging: far longer than any start or recovery takes.
const PATIENCE: Duration = Duration::from_mins(2);
const POLL: Duration = Duration::from_millis(20);

/// What the process says that matters here.
enum Said {
    Up,
    /// A commit point struck.
    Struck(Instant),
}

/// How a start ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Started {
    Up,
    /// It was killed before it was up.
    Died,
}

pub struct Product {
    program: PathBuf,
    home: PathBuf,
    address: SocketAddr,
    child: Option<Child>,
    said: Option<mpsc::Receiver<Said>>,
}

impl Product {
    /// In `home`, which holds the program's copy, its configuration and its data.
    pub fn new(home: &Path, address: SocketAddr) -> Self {
        let program = home.join("hissaback");
        fs::copy(env!("CARGO_BIN_EXE_hissaback"), &program).expect("the program");
        Self {
            program,
            home: home.to_path_buf(),
            address,
            child: None,
            said: None,
        }
    }

    pub fn data(&self) -> PathBuf {
        self.home.join("data")
    }

    /// One of the program's other commands, on the same data. A copy of the program doesn't know
    /// the checkout, in whose cache the ClickHouse engine lies.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let cache = env::var_os("HISSABACK_CACHE_DIR").map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache"),
            PathBuf::from,
        );
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .arg("--data-dir")
            .arg(self.data())
            .env("HISSABACK_CACHE_DIR", cache);
        command
    }

    pub fn running(&self) -> bool {
        self.child.is_some()
    }

    /// Starts it; `kill_at` names the commit point at which it is to die.
    pub fn start(&mut self, kill_at: Option<&str>) -> Started {
        assert!(self.child.is_none(), "one at a time");
        let mut command = self.command(&["up", "--listen", &self.address.to_string()]);
        command
            .arg("--config")
            .arg(self.home.join("hissaback.toml"))
            .stderr(Stdio::piped());
        if let Some(plan) = kill_at {
            command
                .env("HISSABACK_KILL_AT", plan)
                .env("HISSABACK_POSTMASTER_PID_FILE", self.postmaster_file());
        }
        let mut child = command.spawn().expect("the program starts");
        let lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let (tell, told) = mpsc::channel();
        let mut log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.home.join("log"))
            .expect("a log");
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let _ = writeln!(log, "{line}");
                // Whoever listened may have gone.
                if line.starts_with("killing at ") {
                    let _ = tell.send(Said::Struck(Instant::now()));
                } else if line.contains("hissaback is up") {
                    let _ = tell.send(Said::Up);
                }
            }
        });
        self.child = Some(child);
        self.said = Some(told);
        self.wait_until_up()
    }

    fn wait_until_up(&mut self) -> Started {
        let told = self.said.as_ref().expect("it was started");
        let mut struck = false;
        loop {
            // The sender is gone once the process is.
            match told.recv_timeout(PATIENCE) {
                Ok(Said::Up) => return Started::Up,
                Ok(Said::Struck(_)) => struck = true,
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    self.ended();
                    assert!(struck, "it doesn't come up: {}", self.said());
                    return Started::Died;
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    panic!("it doesn't come up: {}", self.said())
                }
            }
        }
    }

    /// Waits until a commit point strikes; when it did.
    pub fn struck_within(&mut self, patience: Duration) -> Option<Instant> {
        match self.said.as_ref()?.recv_timeout(patience) {
            Ok(Said::Struck(at)) => Some(at),
            Ok(Said::Up) | Err(_) => None,
        }
    }

    /// The end of what it said, for a failure.
    pub fn said(&self) -> String {
        let said = fs::read(self.home.join("log")).unwrap_or_default();
        let end = said.len().saturating_sub(4_000);
        String::from_utf8_lossy(&said[end..]).into_owned()
    }

    /// Kills from outside.
    pub fn kill(&mut self, victim: Victim) {
        let signal = match victim {
            Victim::Process => None,
            Victim::Postgres | Victim::Both => Some(Signal::KILL),
            Victim::PostgresImmediate => Some(Signal::QUIT),
        };
        if let Some((signal, postmaster)) = signal.zip(self.postmaster()) {
            // One that is gone is as dead as it was to be.
            let _ = kill_process(postmaster, signal);
        }
        if victim.ends_process() {
            self.child
                .as_mut()
                .expect("it runs")
                .kill()
                .expect("killed");
            self.ended();
        }
    }

    /// Waits for the end of a process that is killing itself.
    pub fn ended(&mut self) {
        let mut child = self.child.take().expect("it ran");
        child.wait().expect("it ended");
    }

    fn postmaster_file(&self) -> PathBuf {
        self.data().join("postgres/data/postmaster.pid")
    }

    /// PostgreSQL's first process.
    pub fn postmaster(&self) -> Option<Pid> {
        let text = fs::read_to_string(self.postmaster_file()).ok()?;
        Pid::from_raw(text.lines().next()?.parse().ok()?)
    }

    /// How many batches the ledger has committed since this process started; `None` when it
    /// doesn't answer.
    pub fn batches(&self) -> Option<u64> {
        let (status, text) = request(self.address, "GET /metrics", "")?;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("hissaback_ledger_batches_total "))?;
        (status == 200).then(|| line.parse().ok())?
    }

    /// What `/health` says.
    pub fn health(&self) -> Option<String> {
        Some(request(self.address, "GET /health", "")?.1)
    }

    /// Waits until the ledger has committed more batches than `before`; says whether it did, or
    /// the process died first.
    pub fn commits_beyond(&mut self, before: u64) -> bool {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if self.batches().is_some_and(|batches| batches > before) {
                return true;
            }
            let child = self.child.as_mut().expect("it runs");
            if child.try_wait().expect("waited").is_some() {
                self.ended();
                return false;
            }
            assert!(
                Instant::now() < deadline,
                "the ledger stands still: {}",
                self.said()
            );
            thread::sleep(POLL);
        }
    }

    /// How the scheduler asks for a payout run.
    pub fn payout_request(&self) -> PayoutRequest {
        let secrets = fs::read(self.data().join("secrets.json")).expect("secrets");
        let secrets: Value = serde_json::from_slice(&secrets).expect("JSON");
        PayoutRequest {
            address: self.address,
            token: secrets["cron_token"].as_str().expect("a token").to_owned(),
        }
    }

    /// Ends it as an operator does.
    pub fn stop(&mut self) {
        let mut child = self.child.take().expect("it runs");
        let pid = Pid::from_child(&child);
        kill_process(pid, Signal::TERM).expect("signalled");
        let status = child.wait().expect("it ended");
        assert!(status.success(), "{status} on SIGTERM: {}", self.said());
    }
}

/// A payout run's address, and what opens it.
pub struct PayoutRequest {
    address: SocketAddr,
    token: String,
}

impl PayoutRequest {
    /// The answer's status, if there was one.
    pub fn send(&self, body: &Value) -> Option<u16> {
        let token = &self.token;
        let head = format!("POST /v1/rewards/payout/run\nAuthorization: Bearer {token}");
        Some(request(self.address, &head, &body.to_string())?.0)
    }
}

impl Drop for Product {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Waits for something; says whether it came in time.
pub fn until(patience: Duration, mut happened: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + patience;
    while !happened() {
        if Instant::now() >= deadline {
            return false;
        }
        thread::sleep(POLL);
    }
    true
}
