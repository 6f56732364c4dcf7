//! The HTTP client that carries secrets: HTTPS with the ring provider and Mozilla's roots, given
//! explicitly, so that neither a process-wide default nor the machine's own store decides.

use std::{sync::Arc, time::Duration};

use rustls::{ClientConfig, RootCertStore, crypto::ring};

/// The HTTP client can't be built.
#[derive(Debug, thiserror::Error)]
pub enum HttpsError {
    /// The TLS library refuses its own defaults.
    #[error("no usable TLS configuration")]
    Tls(#[from] rustls::Error),
    /// The HTTP library refuses the configuration.
    #[error("the HTTP client can't be built")]
    Client(#[from] reqwest::Error),
}

/// A client that gives up after `timeout`, over connecting, sending and reading together.
///
/// # Errors
/// When TLS or HTTP can't be set up.
pub fn client(timeout: Duration) -> Result<reqwest::Client, HttpsError> {
    let roots: RootCertStore = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
    let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        // A signature covers the host: with HTTP/1 it is a header, as it is signed.
        .http1_only()
        // A redirect would send a signed request, or a phone number, somewhere else.
        .redirect(reqwest::redirect::Policy::none())
        .timeout(timeout)
        .build()?)
}
