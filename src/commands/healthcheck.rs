//! `hissaback healthcheck`: `/health` as an exit code, for whatever starts and stops processes.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use anyhow::{Context, ensure};
use bytes::Bytes;
use clap::Args;
use http::{StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tokio::time::timeout;

use super::ConfigurationArgument;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// The largest answer that is read.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Arguments of `hissaback healthcheck`.
#[derive(Debug, Args)]
pub struct HealthcheckArguments {
    /// What to ask [default: /health where the configuration's http.listen is served]
    #[arg(long)]
    url: Option<Uri>,
    #[command(flatten)]
    configuration: ConfigurationArgument,
}

/// Asks once.
///
/// # Errors
/// When there is no answer, or one that says that something fails.
pub async fn run(arguments: HealthcheckArguments) -> anyhow::Result<()> {
    let url = if let Some(url) = arguments.url {
        url
    } else {
        let configuration = arguments.configuration.read()?;
        format!("http://{}/health", reachable(configuration.http.listen)).parse()?
    };
    let (status, report) = timeout(PATIENCE, ask(url.clone()))
        .await
        .with_context(|| format!("{url} didn't answer within {} s", PATIENCE.as_secs()))?
        .with_context(|| format!("{url} can't be asked"))?;
    ensure!(status == StatusCode::OK, "{url} says {status}: {report}");
    println!("{report}");
    Ok(())
}

async fn ask(url: Uri) -> anyhow::Result<(StatusCode, String)> {
    let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let response = client.get(url).await?;
    let status = response.status();
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX)
        .collect()
        .await;
    let body = body.map_err(anyhow::Error::from_boxed)?.to_bytes();
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

/// Where this machine reaches what listens there: everywhere includes the loopback.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let address = match listen.ip() {
        IpAddr::V4(address) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(address) if address.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        address => address,
    };
    SocketAddr::new(address, listen.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_listens_everywhere_is_asked_on_the_loopback() {
        for (listen, expected) in [
            ("0.0.0.0:8080", "127.0.0.1:8080"),
            ("[::]:8080", "[::1]:8080"),
            ("10.0.0.7:81", "10.0.0.7:81"),
        ] {
            let listen = listen.parse().expect("an address");
            assert_eq!(reachable(listen).to_string(), expected);
        }
    }
}
