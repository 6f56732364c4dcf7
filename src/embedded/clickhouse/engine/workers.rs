//! The threads that talk to the engine. Each owns one session and runs one statement at a time, so
//! that no two requests share a connection, and the library's blocking calls block nobody else.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle};

use super::EngineError;
use super::ffi::Engine;
use super::session::Session;

/// Connections to the engine, and so statements at a time; further ones wait.
const SESSIONS: usize = 4;

/// Something to be done with a session.
pub(super) type Job = Box<dyn FnOnce(&mut Session) + Send>;

/// The way to hand jobs to the threads. They end when every clone is gone and the jobs are done.
#[derive(Clone)]
pub(super) struct Workers {
    jobs: mpsc::Sender<Job>,
}

/// The threads, to be waited for.
pub(super) struct WorkerThreads(Vec<JoinHandle<()>>);

impl Workers {
    /// Opens the sessions and starts a thread for each.
    pub(super) fn start(
        engine: &'static Engine,
        data: &Path,
    ) -> Result<(Self, WorkerThreads), EngineError> {
        let (jobs, queue) = mpsc::channel();
        let queue = Arc::new(Mutex::new(queue));
        let mut threads = Vec::with_capacity(SESSIONS);
        for number in 1..=SESSIONS {
            let session = Session::open(engine, data.to_path_buf())?;
            let queue = Arc::clone(&queue);
            let thread = thread::Builder::new()
                .name(format!("session-{number}"))
                .spawn(move || work(session, &queue))
                .map_err(EngineError::Thread)?;
            threads.push(thread);
        }
        Ok((Self { jobs }, WorkerThreads(threads)))
    }

    /// Queues a job. If no thread is left to run it, it is dropped, and with it whatever it would
    /// have answered through.
    pub(super) fn submit(&self, job: Job) {
        if self.jobs.send(job).is_err() {
            tracing::error!("no session is left to run a statement");
        }
    }
}

impl WorkerThreads {
    /// Waits until every job is done and every session closed.
    pub(super) fn join(self) {
        for thread in self.0 {
            if thread.join().is_err() {
                tracing::error!("a session ended with a panic");
            }
        }
    }
}

fn work(mut session: Session, queue: &Mutex<mpsc::Receiver<Job>>) {
    loop {
        // Held while waiting: one idle thread waits for the job, the others for the lock.
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match next {
            Ok(job) => job(&mut session),
            Err(mpsc::RecvError) => return,
        }
    }
}
