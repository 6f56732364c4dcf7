//! The server: connections in, under limits, until told to stop.
//!
//! axum's own `serve` installs no timer, without which hyper's limit on how long a request's head
//! may take does nothing; so the loop is ours.

use std::{convert::Infallible, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::{Router, extract::ConnectInfo, response::Response};
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::{JoinError, JoinSet},
    time::{sleep, timeout},
};
use tower::Service;

/// The smallest buffer that hyper reads into.
const BUFFER_BYTES_MIN: usize = 8 * 1024;
/// How long to wait when no connection can be accepted, since the process is out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Bounds on connections and on the heads of requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerLimits {
    /// Connections served at a time; further ones wait in the operating system's queue.
    pub connections_max: usize,
    /// How long the head of a request may take to arrive, and a connection may stay idle.
    pub header_timeout: Duration,
    /// Bytes of a request's head: its line and headers. A longer one is answered 431.
    pub header_bytes_max: usize,
    /// Headers of a request. More are answered 431.
    pub header_count_max: usize,
    /// How long requests that are under way may take when the server stops.
    pub drain_timeout: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            connections_max: 4_096,
            header_timeout: Duration::from_secs(15),
            header_bytes_max: 32 * 1024,
            header_count_max: 100,
            drain_timeout: Duration::from_secs(20),
        }
    }
}

/// Serves `router` to the connections of `listener` until `shutdown` is ready. Then it takes no
/// more, lets the requests under way finish for up to `drain_timeout`, and returns.
///
/// Handlers find the peer's address as `ConnectInfo<SocketAddr>`. HTTP/1.1 only: TLS and HTTP/2
/// end at the proxy in front.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: ServerLimits,
    shutdown: impl Future<Output = ()>,
) {
    let protocol = protocol(&limits);
    let room = Arc::new(Semaphore::new(limits.connections_max));
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let (stream, peer, permit) = tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(ended) = connections.join_next() => {
                report(ended);
                continue;
            }
            accepted = accept(&listener, &room) => accepted,
        };
        let router = router.clone();
        let service = service_fn(move |request| answer(router.clone(), peer, request));
        let connection = protocol.serve_connection(TokioIo::new(stream), service);
        let connection = graceful.watch(connection);
        connections.spawn(async move {
            // A connection that breaks, or a request that isn't HTTP, is its sender's affair.
            if let Err(error) = connection.await {
                tracing::debug!(%peer, %error, "connection ended");
            }
            drop(permit);
        });
    }
    drop(listener);
    if timeout(limits.drain_timeout, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!(
            connections = connections.len(),
            "requests were still under way; cut off"
        );
    }
    connections.shutdown().await;
}

fn protocol(limits: &ServerLimits) -> http1::Builder {
    let mut protocol = http1::Builder::new();
    protocol
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_header_size(limits.header_bytes_max)
        .max_buf_size(limits.header_bytes_max.max(BUFFER_BYTES_MIN))
        .max_headers(limits.header_count_max);
    protocol
}

/// The next connection, once there is room for it.
async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
    let permit = Arc::clone(room).acquire_owned().await;
    let permit = permit.expect("nobody closes the semaphore");
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Answers are small; they shouldn't wait for more to send.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%peer, %error, "TCP_NODELAY was refused");
                }
                return (stream, peer, permit);
            }
            Err(error) if gone_before_accept(&error) => {}
            Err(error) => {
                tracing::error!(%error, "no connection could be accepted; trying again");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Whether the error is about one connection that is gone, rather than about the listener.
fn gone_before_accept(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    )
}

async fn answer(
    mut router: Router,
    peer: SocketAddr,
    mut request: Request<Incoming>,
) -> Result<Response, Infallible> {
    request.extensions_mut().insert(ConnectInfo(peer));
    router.call(request).await
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection's task failed");
    }
}
