//! A registry for where there is none: it has our schemas, under our ids, and takes no others.

mod answer;
mod catalogue;

use std::{io, net::SocketAddr, sync::Arc};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{Method, Uri},
};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

use answer::Answer;
pub use catalogue::Catalogue;

use super::error::RegistryError;

/// A registry within this process, for clients on this machine: the Confluent API over HTTP.
///
/// Dropping it stops it.
#[derive(Debug)]
pub struct EmbeddedRegistry {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    server: JoinHandle<io::Result<()>>,
}

impl EmbeddedRegistry {
    /// Starts one of our schemas on a loopback address; port 0 takes a free one.
    pub async fn start(address: SocketAddr, topic_prefix: &str) -> Result<Self, RegistryError> {
        Self::serve(address, Catalogue::built_in(topic_prefix)).await
    }

    /// Starts one of these schemas.
    pub async fn serve(address: SocketAddr, catalogue: Catalogue) -> Result<Self, RegistryError> {
        let refused = |reason: String| RegistryError::Listen { address, reason };
        // Nobody has to prove who they are.
        if !address.ip().is_loopback() {
            return Err(refused("it is for this machine only".to_owned()));
        }
        let listener = TcpListener::bind(address).await;
        let listener = listener.map_err(|error| refused(error.to_string()))?;
        let address = listener
            .local_addr()
            .map_err(|error| refused(error.to_string()))?;
        let router = Router::new()
            .fallback(respond)
            .with_state(Arc::new(catalogue));
        let (stop, stopped) = oneshot::channel::<()>();
        let server = axum::serve(listener, router).with_graceful_shutdown(async {
            // Told, or dropped.
            let _told = stopped.await;
        });
        Ok(Self {
            address,
            stop,
            server: tokio::spawn(server.into_future()),
        })
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Answers what was asked, and takes no more.
    pub async fn stop(self) {
        drop(self.stop);
        match self.server.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the embedded schema registry failed"),
            Err(error) => tracing::warn!(%error, "the embedded schema registry ended early"),
        }
    }
}

async fn respond(
    State(catalogue): State<Arc<Catalogue>>,
    method: Method,
    uri: Uri,
    body: Bytes,
) -> Answer {
    catalogue.answer(&method, uri.path(), &body)
}
