//! Between clients and a broker: passes everything on, and holds appends back when told to. To the
//! log that is a broker that answers questions and takes its time to store.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};

/// Kafka's number of the request that appends.
const PRODUCE: [u8; 2] = [0, 0];

/// A way to a broker.
pub struct Proxy {
    held: watch::Sender<bool>,
}

impl Proxy {
    /// Passes what comes in on to `broker`, until the runtime ends.
    pub fn start(listener: TcpListener, broker: SocketAddr) -> Self {
        let held = watch::Sender::new(false);
        let gate = held.subscribe();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if let Ok(broker) = TcpStream::connect(broker).await {
                    pass(client, broker, gate.clone());
                }
            }
        });
        Self { held }
    }

    /// Holds appends back, or lets them through.
    pub fn hold(&self, held: bool) {
        self.held.send_replace(held);
    }
}

fn pass(client: TcpStream, broker: TcpStream, gate: watch::Receiver<bool>) {
    let (from_client, mut to_client) = client.into_split();
    let (mut from_broker, to_broker) = broker.into_split();
    tokio::spawn(async move { copy(&mut from_broker, &mut to_client).await });
    tokio::spawn(requests(from_client, to_broker, gate));
}

async fn requests(
    mut from_client: OwnedReadHalf,
    mut to_broker: OwnedWriteHalf,
    mut gate: watch::Receiver<bool>,
) -> std::io::Result<()> {
    loop {
        let size = from_client.read_u32().await?;
        let mut request = vec![0; size as usize];
        from_client.read_exact(&mut request).await?;
        if request.starts_with(&PRODUCE) && gate.wait_for(|held| !held).await.is_err() {
            return Ok(());
        }
        to_broker.write_u32(size).await?;
        to_broker.write_all(&request).await?;
    }
}
