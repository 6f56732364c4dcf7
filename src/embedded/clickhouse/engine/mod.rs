//! The child's side: the hidden subcommand `clickhouse-engine`, which loads chDB and serves
//! ClickHouse's HTTP interface on a Unix socket.
//!
//! What that interface needs beyond passing statements on: data of an INSERT is streamed into the
//! engine and never put into a statement (a blank line in it would end it there); the engine's
//! chunks of a result are joined into one document; settings of a request are set for it alone.

mod compressed_body;
mod execution;
mod failure;
mod ffi;
mod http_interface;
mod request;
mod session;
mod statement;
mod workers;

use std::convert::Infallible;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::GracefulShutdown;
use rustix::process::{Signal, getpid, kill_process};
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};

use self::failure::EngineFailure;
use self::ffi::{Engine, LoadError};
use self::workers::Workers;
use super::library::{self, LibraryMissing};

/// How long an engine that an earlier, killed process left behind may take to finish.
const LOCK_PATIENCE: Duration = Duration::from_mins(1);
const LOCK_PAUSE: Duration = Duration::from_millis(20);
/// How long requests under way may take after we were told to stop.
const DRAIN_PATIENCE: Duration = Duration::from_secs(20);
/// Analysts can wait: postbacks and the ledger share the cores with the engine, and go first.
const NICENESS: i32 = 10;

/// Arguments of the hidden subcommand `clickhouse-engine`.
#[derive(Debug, Clone, clap::Args)]
pub struct EngineArguments {
    /// Directory of the engine's tables
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Unix socket to serve ClickHouse's HTTP interface on
    #[arg(long, value_name = "PATH")]
    pub socket: PathBuf,
}

/// Why the engine can't be run.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct EngineRunError(#[from] EngineError);

#[derive(Debug, thiserror::Error)]
enum EngineError {
    #[error(transparent)]
    Library(#[from] LibraryMissing),
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error("{} can't be used ({source})", path.display())]
    Path { path: PathBuf, source: io::Error },
    #[error("another engine still works in {}", path.display())]
    InUse { path: PathBuf },
    #[error("the engine did not open a session: {0}")]
    Session(#[from] EngineFailure),
    #[error("a thread can't be started ({0})")]
    Thread(#[source] io::Error),
    #[error("the socket can't be served ({0})")]
    Serve(#[source] io::Error),
}

/// Runs the engine until SIGTERM, then lets the requests under way finish.
///
/// It must be called from the main thread, outside any asynchronous runtime.
pub fn run(arguments: &EngineArguments) -> Result<(), EngineRunError> {
    Ok(run_engine(arguments)?)
}

fn run_engine(arguments: &EngineArguments) -> Result<(), EngineError> {
    let library = library::find(None)?;
    let _lock = lock(&arguments.data)?;
    if let Err(error) = rustix::process::nice(NICENESS) {
        tracing::debug!(%error, "the engine runs with the pipeline's priority");
    }
    let engine = Engine::load(&library)?;
    let (workers, threads) = Workers::start(engine, &arguments.data)?;
    tracing::info!(version = engine.version(), "the engine is loaded");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(EngineError::Serve)?;
    runtime.block_on(serve(&arguments.socket, workers))?;
    // Only with every session closed and the engine's threads ended may the process exit.
    drop(runtime);
    threads.join();
    if !engine.shut_down() {
        tracing::debug!("the engine did not end all its threads");
    }
    Ok(())
}

/// Waits until no other engine works in `data`: two would ruin its tables.
fn lock(data: &Path) -> Result<File, EngineError> {
    let path = data.join("engine.lock");
    let failed = |source| EngineError::Path {
        path: path.clone(),
        source,
    };
    let file = File::create(&path).map_err(failed)?;
    let began = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if began.elapsed() < LOCK_PATIENCE => {
                std::thread::sleep(LOCK_PAUSE);
            }
            Err(TryLockError::WouldBlock) => {
                return Err(EngineError::InUse {
                    path: data.to_path_buf(),
                });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
    }
}

async fn serve(socket: &Path, workers: Workers) -> Result<(), EngineError> {
    let mut stop = signal(SignalKind::terminate()).map_err(EngineError::Serve)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(EngineError::Serve)?;
    let listener = listen(socket)?;
    let connections = GracefulShutdown::new();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => accepted.map_err(EngineError::Serve)?.0,
            _ = stop.recv() => break,
            _ = interrupt.recv() => break,
        };
        let workers = workers.clone();
        let service = service_fn(move |request| {
            let workers = workers.clone();
            async move { Ok::<_, Infallible>(http_interface::answer(request, workers).await) }
        });
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            if let Err(failure) = connection.await {
                tracing::debug!(%failure, "a connection broke off");
            }
        });
    }
    drop(listener);
    drop(workers);
    if tokio::time::timeout(DRAIN_PATIENCE, connections.shutdown())
        .await
        .is_err()
    {
        // Leaving in good order while a statement runs crashes in the engine's destructors. What
        // is under way was acknowledged to nobody, and what was acknowledged is on disk.
        tracing::warn!("requests under way did not finish in time");
        let _ = kill_process(getpid(), Signal::KILL);
    }
    Ok(())
}

fn listen(socket: &Path) -> Result<UnixListener, EngineError> {
    let failed = |source| EngineError::Path {
        path: socket.to_path_buf(),
        source,
    };
    // We hold the lock, so a socket that is there is a dead one.
    match fs::remove_file(socket) {
        Err(failure) if failure.kind() != io::ErrorKind::NotFound => return Err(failed(failure)),
        Ok(()) | Err(_) => {}
    }
    UnixListener::bind(socket).map_err(failed)
}
