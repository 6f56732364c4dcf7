//! A way to the engine that can be bad: refused, slow, cut off, or answered by a full disk.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use clickhouse::Client;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixStream},
    task::JoinHandle,
};

/// How the way is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weather {
    Fair,
    /// Connections end at once.
    Refused,
    /// Each piece of a request waits so long.
    Slow(Duration),
    /// A request's connection ends after so many of its bytes.
    RequestCut(usize),
    /// A request arrives, and its answer doesn't.
    AnswerLost,
    /// The engine's disk is full: whatever is inserted is refused.
    DiskFull,
}

/// What a server says whose disk is full.
const NOT_ENOUGH_SPACE: &str = "Code: 243. DB::Exception: Cannot reserve 1.00 MiB, not enough space. \
    (NOT_ENOUGH_SPACE)";

#[derive(Clone)]
struct Shared {
    weather: Arc<Mutex<Weather>>,
    spoilt: Arc<AtomicU64>,
    socket: PathBuf,
}

/// A port of the loopback that leads to the engine's socket.
pub struct Proxy {
    shared: Shared,
    address: String,
    accepting: JoinHandle<()>,
}

impl Proxy {
    pub async fn start(socket: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let shared = Shared {
            weather: Arc::new(Mutex::new(Weather::Fair)),
            spoilt: Arc::default(),
            socket,
        };
        let of_each = shared.clone();
        let accepting = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.expect("a connection");
                tokio::spawn(of_each.clone().carry(client));
            }
        });
        Self {
            shared,
            address,
            accepting,
        }
    }

    pub fn set(&self, weather: Weather) {
        *self.shared.weather.lock().expect("no panic") = weather;
    }

    /// Connections that came to a bad end so far.
    pub fn spoilt(&self) -> u64 {
        self.shared.spoilt.load(Ordering::Relaxed)
    }

    /// Waits until more connections have come to a bad end.
    pub async fn wait_for_spoilt(&self, more: u64) {
        let goal = self.spoilt() + more;
        while self.spoilt() < goal {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A client that goes this way.
    pub fn client(&self) -> Client {
        hissaback::embedded::clickhouse::server_client(&self.url()).expect("an address")
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Shared {
    fn weather(&self) -> Weather {
        *self.weather.lock().expect("no panic")
    }

    fn spoil(&self) {
        self.spoilt.fetch_add(1, Ordering::Relaxed);
    }

    /// Carries one connection; a client that keeps it alive finds the weather of each piece.
    async fn carry(self, client: TcpStream) {
        let Ok(engine) = UnixStream::connect(&self.socket).await else {
            return self.spoil();
        };
        let (from_client, mut to_client) = client.into_split();
        let (from_engine, to_engine) = engine.into_split();
        let refusal = tokio::select! {
            refusal = self.pass_requests(from_client, to_engine) => refusal,
            () = self.pass_answers(from_engine, &mut to_client) => None,
        };
        if let Some(answer) = refusal {
            // The client may have left.
            let _ = to_client.write_all(answer.as_bytes()).await;
            let _ = to_client.shutdown().await;
        }
    }

    /// Ends with the connection; with what is to be answered in the engine's place, if anything.
    async fn pass_requests(
        &self,
        mut client: impl AsyncRead + Unpin,
        mut engine: impl AsyncWrite + Unpin,
    ) -> Option<String> {
        let mut piece = vec![0; 16 * 1024];
        let mut passed = 0;
        loop {
            let length = client.read(&mut piece).await.unwrap_or(0);
            if length == 0 {
                return None;
            }
            let mut bytes = &piece[..length];
            match self.weather() {
                Weather::Refused => {
                    self.spoil();
                    return None;
                }
                Weather::Slow(wait) => tokio::time::sleep(wait).await,
                Weather::RequestCut(limit) if passed + length > limit => {
                    bytes = &bytes[..limit.saturating_sub(passed).min(length)];
                    // The engine may have left.
                    let _ = engine.write_all(bytes).await;
                    self.spoil();
                    return None;
                }
                Weather::Fair | Weather::AnswerLost | Weather::RequestCut(_) => {}
                Weather::DiskFull => {
                    let head = String::from_utf8_lossy(bytes);
                    if head
                        .lines()
                        .next()
                        .is_some_and(|line| line.contains("INSERT"))
                    {
                        self.spoil();
                        return Some(format!(
                            "HTTP/1.1 500 Internal Server Error\r\n\
                             X-ClickHouse-Exception-Code: 243\r\nConnection: close\r\n\
                             Content-Length: {}\r\n\r\n{NOT_ENOUGH_SPACE}",
                            NOT_ENOUGH_SPACE.len()
                        ));
                    }
                }
            }
            if engine.write_all(bytes).await.is_err() {
                return None;
            }
            passed += length;
        }
    }

    async fn pass_answers(
        &self,
        mut engine: impl AsyncRead + Unpin,
        client: &mut (impl AsyncWrite + Unpin),
    ) {
        let mut piece = vec![0; 16 * 1024];
        loop {
            let length = engine.read(&mut piece).await.unwrap_or(0);
            if length == 0 {
                return;
            }
            if self.weather() == Weather::AnswerLost {
                return self.spoil();
            }
            if client.write_all(&piece[..length]).await.is_err() {
                return;
            }
        }
    }
}
