//! A child process that doesn't outlive us.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::BrokerError;

/// How long a server may take to stop when it is asked to, before it is killed.
const STOP_PATIENCE: Duration = Duration::from_secs(30);
/// How often we look whether a server has become ready or has ended.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How much of a log an error shows.
const LOG_LINES_SHOWN: usize = 30;

/// Run with our process id and the command as arguments. We may have died before the death signal
/// was asked for: then no signal will ever come.
const UNLESS_ORPHANED: &str = r#"[ "$PPID" = "$0" ] && exec "$@""#;

/// A running child.
#[derive(Debug)]
pub(super) struct ServerProcess {
    what: &'static str,
    child: Child,
    log: PathBuf,
}

impl ServerProcess {
    /// Starts `program` in `directory`; what it prints is appended to the file `log`.
    ///
    /// The kernel kills it when we end, even if we are killed: `setpriv` asks for that (which the
    /// standard library can do by an unsafe hook only). It has a process group of its own, so that
    /// a terminal's Ctrl-C doesn't reach it before us.
    pub(super) fn spawn(
        what: &'static str,
        program: &Path,
        arguments: Vec<OsString>,
        directory: &Path,
        log: &Path,
    ) -> Result<Self, BrokerError> {
        let output = File::options()
            .create(true)
            .append(true)
            .open(log)
            .map_err(BrokerError::io(format!("open {}", log.display())))?;
        let errors = output
            .try_clone()
            .map_err(BrokerError::io(format!("open {}", log.display())))?;
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "sh", "-c", UNLESS_ORPHANED])
            .arg(std::process::id().to_string())
            .arg(program)
            .args(arguments)
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .process_group(0);
        let child = spawn_from_a_lasting_thread(command).map_err(|error| {
            if error.kind() == io::ErrorKind::NotFound {
                BrokerError::NoSetpriv
            } else {
                BrokerError::io(format!("start {what}"))(error)
            }
        })?;
        Ok(Self {
            what,
            child,
            log: log.to_owned(),
        })
    }

    /// Waits until `ready` says so.
    pub(super) fn wait_until(
        &mut self,
        patience: Duration,
        mut ready: impl FnMut() -> bool,
    ) -> Result<(), BrokerError> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self.ended()? {
                return Err(BrokerError::Ended {
                    what: self.what,
                    status,
                    log: last_lines(&self.log),
                });
            }
            if ready() {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(BrokerError::Silent {
                    what: self.what,
                    seconds: patience.as_secs(),
                    log: last_lines(&self.log),
                });
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    /// Waits until it has ended by itself.
    pub(super) fn wait_for_success(&mut self, patience: Duration) -> Result<(), BrokerError> {
        match self.wait_until(patience, || false) {
            Err(BrokerError::Ended { status, .. }) if status.success() => Ok(()),
            outcome => outcome,
        }
    }

    pub(super) fn ended(&mut self) -> Result<Option<ExitStatus>, BrokerError> {
        self.child
            .try_wait()
            .map_err(BrokerError::io(format!("look after {}", self.what)))
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn signal(&self, signal: Signal) -> Result<(), BrokerError> {
        kill_process(Pid::from_child(&self.child), signal)
            .map_err(|error| BrokerError::io(format!("signal {}", self.what))(error.into()))
    }

    /// Ends it at once, as a power failure of its machine would.
    pub(super) fn kill(mut self) -> Result<(), BrokerError> {
        self.end()
    }

    /// Asks it to end, and waits; it is killed if it takes too long.
    pub(super) fn stop(mut self) -> Result<(), BrokerError> {
        if self.ended()?.is_none() {
            self.signal(Signal::TERM)?;
            // A frozen one acts on it only when it goes on.
            self.signal(Signal::CONT)?;
        }
        let deadline = Instant::now() + STOP_PATIENCE;
        while self.ended()?.is_none() && Instant::now() < deadline {
            thread::sleep(LOOK_EVERY);
        }
        self.end()
    }

    fn end(&mut self) -> Result<(), BrokerError> {
        self.child
            .kill()
            .and_then(|()| self.child.wait().map(drop))
            .map_err(BrokerError::io(format!("kill {}", self.what)))
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            tracing::warn!(%error, "a server may still run");
        }
    }
}

/// The end of a log, for an error's message.
pub(super) fn last_lines(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n")
}

/// Spawns `command` from a thread that ends only with the process. The kernel sends the death
/// signal when the *thread* that spawned a child ends, and each test has a thread of its own, which
/// a server that several tests share must outlive.
fn spawn_from_a_lasting_thread(command: Command) -> io::Result<Child> {
    type Order = (Command, Sender<io::Result<Child>>);
    static SPAWNER: LazyLock<Mutex<Sender<Order>>> = LazyLock::new(|| {
        let (orders, incoming) = channel::<Order>();
        thread::spawn(move || {
            for (mut command, reply) in incoming {
                // Whoever ordered it waits for it below.
                let _ = reply.send(command.spawn());
            }
        });
        Mutex::new(orders)
    });
    let (reply, child) = channel();
    SPAWNER
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .send((command, reply))
        .expect("the spawning thread ends only with the process");
    child
        .recv()
        .expect("the spawning thread ends only with the process")
}
