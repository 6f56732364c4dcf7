//! Keeps a child process running: starts it, waits until it answers, starts it again when it dies,
//! and stops it in an orderly way.
//!
//! Each child has a thread of its own, which spawns it and lives until it is stopped: the kernel
//! ties a child's death signal to the thread that spawned it, not to the process.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::sync::{oneshot, watch};

/// Delay before the first restart of a child that died; it doubles with each failure in a row.
const FIRST_BACK_OFF: Duration = Duration::from_millis(100);
/// Longest delay between two restarts.
const LONGEST_BACK_OFF: Duration = Duration::from_secs(10);
/// A child that served this long before it died starts with the first delay again.
const STEADY_AFTER: Duration = Duration::from_mins(1);
/// Pause between two looks whether a starting child answers.
const READINESS_PAUSE: Duration = Duration::from_millis(20);
/// A log file larger than this is set aside at the next start of the supervisor.
const LOG_BYTES_MAX: u64 = 4 << 20;
/// How much of the log's end is read for an error message.
const LOG_TAIL_BYTES: u64 = 2_048;

/// How an embedded service is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// The first start is under way.
    Starting,
    /// It answers.
    Ready {
        /// Pid of the child process.
        process_id: u32,
    },
    /// It died or doesn't answer yet, and is being started again.
    Restarting {
        /// What happened to it.
        reason: String,
    },
    /// It was stopped, by us.
    Stopped,
}

/// What the supervisor needs to know of one kind of child.
pub(super) trait Supervised: Send + 'static {
    /// Name for messages and for the log file.
    const NAME: &'static str;
    /// What ends the child, from the gentlest on, each with the time it gets to take effect.
    /// SIGKILL follows by itself.
    const STOP_SIGNALS: &'static [(Signal, Duration)];
    /// How long the child may take until it answers, recovery after a crash included.
    const START_TIMEOUT: Duration;

    /// Runs before each start: clears what an earlier child left behind.
    async fn prepare(&self) -> io::Result<()>;
    /// The child's command line, without its standard streams.
    fn command(&self) -> Command;
    /// Whether the child answers. Called again and again until it does.
    async fn answers(&self) -> bool;
}

/// Why a child isn't running, or didn't stop as it should.
#[derive(Debug, thiserror::Error)]
pub(super) enum SupervisionError {
    #[error("preparing to start {service} failed ({source})")]
    Prepare {
        service: &'static str,
        source: io::Error,
    },
    #[error("{program} could not be run ({source})")]
    Spawn { program: String, source: io::Error },
    #[error("{service} ended while it was starting ({status}): {log_tail} (log: {})", log.display())]
    EndedEarly {
        service: &'static str,
        status: ExitStatus,
        log_tail: String,
        log: PathBuf,
    },
    #[error("{service} did not answer within {seconds} s: {log_tail} (log: {})", log.display())]
    NoAnswer {
        service: &'static str,
        seconds: u64,
        log_tail: String,
        log: PathBuf,
    },
    #[error("watching {service} failed ({source})")]
    Wait {
        service: &'static str,
        source: io::Error,
    },
    #[error("{service} ignored its stop signals and had to be killed")]
    Killed { service: &'static str },
    #[error("{service} was told to stop while it was starting")]
    StoppedEarly { service: &'static str },
    #[error("the supervisor of {service} is gone")]
    Gone { service: &'static str },
}

/// A running child and the thread that keeps it running.
#[derive(Debug)]
pub(super) struct Supervisor {
    service: &'static str,
    health: watch::Receiver<Health>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<(), SupervisionError>>>,
}

impl Supervisor {
    /// Starts the child and returns once it answers. A failure of this first start is returned;
    /// later ones are repaired, with back-off.
    pub(super) async fn start<S: Supervised>(
        service: S,
        log_directory: &Path,
    ) -> Result<Self, SupervisionError> {
        let (stop, stop_requested) = oneshot::channel();
        let (started, first_start) = oneshot::channel();
        let (health_sender, health) = watch::channel(Health::Starting);
        let log = log_directory.join(format!("{}.log", S::NAME));
        let thread = thread::Builder::new()
            .name(format!("{}-supervisor", S::NAME))
            .spawn(move || {
                set_large_log_aside(&log);
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .map_err(|source| SupervisionError::Prepare {
                        service: S::NAME,
                        source,
                    })?;
                let watchman = Watchman {
                    service,
                    log,
                    health: health_sender,
                };
                runtime.block_on(watchman.run(stop_requested, started))
            })
            .map_err(|source| SupervisionError::Prepare {
                service: S::NAME,
                source,
            })?;
        let mut supervisor = Self {
            service: S::NAME,
            health,
            stop: Some(stop),
            thread: Some(thread),
        };
        if first_start.await.is_ok() {
            Ok(supervisor)
        } else {
            Err(match supervisor.stop().await {
                Err(failure) => failure,
                Ok(()) => SupervisionError::Gone { service: S::NAME },
            })
        }
    }

    /// The service's health now, and every change of it.
    pub(super) fn health(&self) -> watch::Receiver<Health> {
        self.health.clone()
    }

    /// Stops the child and waits until it is gone.
    pub(super) async fn stop(&mut self) -> Result<(), SupervisionError> {
        drop(self.stop.take());
        let Some(thread) = self.thread.take() else {
            return Ok(());
        };
        let service = self.service;
        tokio::task::spawn_blocking(move || thread.join())
            .await
            .ok()
            .and_then(Result::ok)
            .unwrap_or(Err(SupervisionError::Gone { service }))
    }
}

impl Drop for Supervisor {
    /// The child must be gone when its data directory is let go, so this waits for it.
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && !matches!(thread.join(), Ok(Ok(())))
        {
            tracing::warn!(
                service = self.service,
                "the child did not stop in good order"
            );
        }
    }
}

/// The supervisor's side that runs in the thread.
struct Watchman<S> {
    service: S,
    log: PathBuf,
    health: watch::Sender<Health>,
}

/// How a child's life ended.
enum Ending {
    Stopped(Result<(), SupervisionError>),
    Died {
        reason: String,
        served_since: Instant,
    },
}

impl<S: Supervised> Watchman<S> {
    async fn run(
        self,
        mut stop: oneshot::Receiver<()>,
        started: oneshot::Sender<()>,
    ) -> Result<(), SupervisionError> {
        let mut child = self.start_child(&mut stop).await?;
        // The receiver is gone only if the caller lost interest: then a stop follows.
        let _ = started.send(());
        let mut back_off = FIRST_BACK_OFF;
        loop {
            let (reason, served_since) = match self.serve(&mut child, &mut stop).await {
                Ending::Stopped(outcome) => {
                    self.health.send_replace(Health::Stopped);
                    return outcome;
                }
                Ending::Died {
                    reason,
                    served_since,
                } => (reason, served_since),
            };
            if served_since.elapsed() >= STEADY_AFTER {
                back_off = FIRST_BACK_OFF;
            }
            tracing::error!(
                service = S::NAME,
                reason,
                "the child died and is started again"
            );
            self.health.send_replace(Health::Restarting { reason });
            let Some(successor) = self.start_again(&mut back_off, &mut stop).await else {
                self.health.send_replace(Health::Stopped);
                return Ok(());
            };
            child = successor;
        }
    }

    /// Tries until the child runs; `None` when told to stop.
    async fn start_again(
        &self,
        back_off: &mut Duration,
        stop: &mut oneshot::Receiver<()>,
    ) -> Option<Child> {
        loop {
            tokio::select! {
                _ = &mut *stop => return None,
                () = tokio::time::sleep(*back_off) => {}
            }
            *back_off = (*back_off * 2).min(LONGEST_BACK_OFF);
            match self.start_child(stop).await {
                Ok(child) => return Some(child),
                Err(SupervisionError::StoppedEarly { .. }) => return None,
                Err(failure) => {
                    let reason = failure.to_string();
                    tracing::error!(service = S::NAME, reason, "the child did not start");
                    self.health.send_replace(Health::Restarting { reason });
                }
            }
        }
    }

    /// Starts the child and waits until it answers.
    async fn start_child(
        &self,
        stop: &mut oneshot::Receiver<()>,
    ) -> Result<Child, SupervisionError> {
        let prepare = |source| SupervisionError::Prepare {
            service: S::NAME,
            source,
        };
        tokio::select! {
            biased;
            _ = &mut *stop => return Err(SupervisionError::StoppedEarly { service: S::NAME }),
            prepared = self.service.prepare() => prepared.map_err(prepare)?,
        }
        let log = OpenOptions::new()
            .append(true)
            .create(true)
            .open(&self.log)
            .map_err(prepare)?;
        let mut command = self.service.command();
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(prepare)?)
            .stderr(log);
        let mut child = command.spawn().map_err(|source| SupervisionError::Spawn {
            program: command
                .as_std()
                .get_program()
                .to_string_lossy()
                .into_owned(),
            source,
        })?;
        match self.wait_until_it_answers(&mut child, stop).await {
            Ok(()) => {
                let process_id = child.id().unwrap_or_default();
                self.health.send_replace(Health::Ready { process_id });
                tracing::info!(service = S::NAME, process_id, "ready");
                Ok(child)
            }
            Err(failure) => {
                // Whatever became of it, it must not run on beside its successor.
                self.stop_child(&mut child).await?;
                Err(failure)
            }
        }
    }

    async fn wait_until_it_answers(
        &self,
        child: &mut Child,
        stop: &mut oneshot::Receiver<()>,
    ) -> Result<(), SupervisionError> {
        let answering = async {
            while !self.service.answers().await {
                tokio::time::sleep(READINESS_PAUSE).await;
            }
        };
        tokio::select! {
            biased;
            _ = stop => Err(SupervisionError::StoppedEarly { service: S::NAME }),
            ended = child.wait() => {
                let status = ended.map_err(|source| SupervisionError::Wait {
                    service: S::NAME,
                    source,
                })?;
                Err(SupervisionError::EndedEarly {
                    service: S::NAME,
                    status,
                    log_tail: log_tail(&self.log),
                    log: self.log.clone(),
                })
            }
            answered = tokio::time::timeout(S::START_TIMEOUT, answering) => {
                answered.map_err(|_elapsed| SupervisionError::NoAnswer {
                    service: S::NAME,
                    seconds: S::START_TIMEOUT.as_secs(),
                    log_tail: log_tail(&self.log),
                    log: self.log.clone(),
                })
            }
        }
    }

    /// Watches a child that answers until it ends or is to be stopped.
    async fn serve(&self, child: &mut Child, stop: &mut oneshot::Receiver<()>) -> Ending {
        let served_since = Instant::now();
        tokio::select! {
            _ = stop => Ending::Stopped(self.stop_child(child).await),
            ended = child.wait() => Ending::Died {
                reason: match ended {
                    Ok(status) => status.to_string(),
                    Err(failure) => format!("it can't be watched ({failure})"),
                },
                served_since,
            },
        }
    }

    async fn stop_child(&self, child: &mut Child) -> Result<(), SupervisionError> {
        for (signal, patience) in S::STOP_SIGNALS {
            // No pid means that the child was waited for: it is gone. Until then the pid is its
            // own, because only waiting frees it.
            let Some(pid) = child.id().and_then(|id| Pid::from_raw(id.cast_signed())) else {
                return Ok(());
            };
            if let Err(failure) = kill_process(pid, *signal) {
                tracing::warn!(service = S::NAME, %failure, "the child can't be signalled");
            }
            if let Ok(ended) = tokio::time::timeout(*patience, child.wait()).await {
                match ended {
                    Ok(status) if status.success() => {}
                    Ok(status) => tracing::warn!(service = S::NAME, %status, "it ended badly"),
                    Err(failure) => {
                        tracing::warn!(service = S::NAME, %failure, "its end was missed");
                    }
                }
                return Ok(());
            }
        }
        child
            .kill()
            .await
            .map_err(|source| SupervisionError::Wait {
                service: S::NAME,
                source,
            })?;
        Err(SupervisionError::Killed { service: S::NAME })
    }
}

fn set_large_log_aside(log: &Path) {
    if fs::metadata(log).is_ok_and(|found| found.len() > LOG_BYTES_MAX)
        && let Err(failure) = fs::rename(log, log.with_extension("log.old"))
    {
        tracing::warn!(log = %log.display(), %failure, "the log can't be set aside");
    }
}

/// The last lines of the log, on one line.
fn log_tail(log: &Path) -> String {
    let read = || -> io::Result<String> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = read().unwrap_or_default();
    let mut lines: Vec<&str> = text
        .lines()
        .rev()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .take(3)
        .collect();
    lines.reverse();
    if lines.is_empty() {
        "it said nothing".to_owned()
    } else {
        lines.join(" | ")
    }
}
