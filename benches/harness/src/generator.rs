//! The generator: callers that send the traffic, at a pace or as fast as they are answered, and the
//! record of each request and answer.
//!
//! At a pace the loop is open: a request is due at its time whatever became of the others, and its
//! latency counts from when it was due, so that waiting for a slow product isn't left out.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, bail};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

use crate::{
    http::{Answer, Caller},
    oracle::record::Kept,
    traffic::{self, Sale},
};

/// Before a request is sent again that was put off, or broke.
const RETRY_WAIT: Duration = Duration::from_millis(20);
/// Only against hanging.
const PATIENCE: Duration = Duration::from_mins(2);
/// Callers of an open loop: more than can be under way before the product has failed.
const CALLERS_MAX: u64 = 512;

/// What was sent and answered.
#[derive(Default)]
pub struct Record {
    pub kept: Kept,
    /// When each postback was due, by its number, in microseconds since 1970.
    pub due_micros: Vec<(u64, u64)>,
    pub click_micros: Vec<u64>,
    pub postback_micros: Vec<u64>,
    /// Answers that asked to come back, and connections that broke.
    pub put_off: u64,
}

impl Record {
    /// Takes over what another run recorded.
    pub fn merge(&mut self, other: Self) {
        self.kept.postbacks.extend(other.kept.postbacks);
        self.kept.clicks.extend(other.kept.clicks);
        self.kept.clicks_unanswered += other.kept.clicks_unanswered;
        self.kept.commission.extend(other.kept.commission);
        self.due_micros.extend(other.due_micros);
        self.click_micros.extend(other.click_micros);
        self.postback_micros.extend(other.postback_micros);
        self.put_off += other.put_off;
    }
}

/// When requests are sent.
#[derive(Debug, Clone, Copy)]
pub enum Pace {
    /// As fast as so many callers are answered.
    Saturating { callers: u64 },
    /// So many sales a second, whatever the answers.
    PerSecond(f64),
}

/// What is sent for a sale.
#[derive(Clone)]
pub enum Sending {
    /// Its click, and its postbacks once that is answered.
    Whole,
    /// So many clicks by which nothing is bought, and then the same.
    Browsing { clicks: u64 },
    /// Its click alone.
    Clicks,
    /// One postback, for the click of this token.
    Postbacks(Arc<Vec<String>>),
}

/// One run of the generator.
pub struct Generator {
    pub address: SocketAddr,
    /// Shared by the runs of one product: every request has a number of its own.
    pub requests: Arc<AtomicU64>,
    pub stop: Arc<AtomicBool>,
}

/// Shared by the callers of a run.
struct Run {
    address: SocketAddr,
    requests: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    next: AtomicU64,
    until: u64,
    began: Instant,
    pace: Pace,
    sending: Sending,
    record: Mutex<Record>,
    tokens: Mutex<Vec<String>>,
}

/// What a run came to.
pub struct Sent {
    pub record: Record,
    pub seconds: f64,
    /// Tokens of the clicks, where only clicks were sent.
    pub tokens: Vec<String>,
}

impl Generator {
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            requests: Arc::default(),
            stop: Arc::default(),
        }
    }

    /// Sends the sales of these numbers, unless it is stopped before.
    ///
    /// # Errors
    /// When an answer is another than the contract promises, or none comes for two minutes.
    pub async fn send(
        &self,
        sales: std::ops::Range<u64>,
        pace: Pace,
        sending: Sending,
    ) -> anyhow::Result<Sent> {
        let callers = match pace {
            Pace::Saturating { callers } => callers,
            Pace::PerSecond(_) => CALLERS_MAX.min(sales.end - sales.start),
        };
        let run = Arc::new(Run {
            address: self.address,
            requests: Arc::clone(&self.requests),
            stop: Arc::clone(&self.stop),
            next: AtomicU64::new(sales.start),
            until: sales.end,
            began: Instant::now(),
            pace,
            sending,
            record: Mutex::default(),
            tokens: Mutex::default(),
        });
        let first = sales.start;
        let mut tasks = JoinSet::new();
        for _ in 0..callers {
            tasks.spawn(Arc::clone(&run).work(first));
        }
        while let Some(ended) = tasks.join_next().await {
            ended.context("a caller panicked")??;
        }
        let run = Arc::into_inner(run).expect("every caller has ended");
        Ok(Sent {
            seconds: run.began.elapsed().as_secs_f64(),
            record: run
                .record
                .into_inner()
                .unwrap_or_else(PoisonError::into_inner),
            tokens: run
                .tokens
                .into_inner()
                .unwrap_or_else(PoisonError::into_inner),
        })
    }
}

impl Run {
    async fn work(self: Arc<Self>, first: u64) -> anyhow::Result<()> {
        let mut caller = Caller::new(self.address);
        let mut record = Record::default();
        let mut tokens = Vec::new();
        while !self.stop.load(Ordering::Relaxed) {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if number >= self.until {
                break;
            }
            let due = match self.pace {
                Pace::Saturating { .. } => Instant::now(),
                Pace::PerSecond(rate) => {
                    let place = u32::try_from(number - first).unwrap_or(u32::MAX);
                    let due = self.began + Duration::from_secs_f64(f64::from(place) / rate);
                    sleep_until(due).await;
                    due
                }
            };
            match &self.sending {
                Sending::Whole => self.whole(number, due, &mut caller, &mut record).await?,
                Sending::Browsing { clicks } => {
                    for _ in 0..*clicks {
                        let (sale, now) = (Sale::plain(number), Instant::now());
                        self.click(sale, now, &mut caller, &mut record).await?;
                    }
                    let now = Instant::now();
                    self.whole(number, now, &mut caller, &mut record).await?;
                }
                Sending::Clicks => {
                    let sale = Sale::plain(number);
                    tokens.push(self.click(sale, due, &mut caller, &mut record).await?);
                }
                Sending::Postbacks(tokens) => {
                    let sale = Sale::plain(number);
                    let place = usize::try_from(number)? % tokens.len();
                    let (paise, order) = (sale.commission_paise(), sale.order());
                    record.kept.commission.insert(order, paise);
                    let token = &tokens[place];
                    self.postback(sale, token, "approved", due, &mut caller, &mut record)
                        .await?;
                }
            }
        }
        locked(&self.record).merge(record);
        locked(&self.tokens).extend(tokens);
        Ok(())
    }

    /// A sale's click, and its postbacks.
    async fn whole(
        &self,
        number: u64,
        due: Instant,
        caller: &mut Caller,
        record: &mut Record,
    ) -> anyhow::Result<()> {
        let sale = Sale::new(number);
        let token = self.click(sale, due, caller, record).await?;
        let (paise, order) = (sale.commission_paise(), sale.order());
        record.kept.commission.insert(order, paise);
        for status in sale.statuses {
            let now = Instant::now();
            self.postback(sale, &token, status, now, caller, record)
                .await?;
        }
        Ok(())
    }

    async fn click(
        &self,
        sale: Sale,
        due: Instant,
        caller: &mut Caller,
        record: &mut Record,
    ) -> anyhow::Result<String> {
        let request = sale.click();
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(answer) = accepted(caller.call(&request).await.ok())? {
                let clicked = traffic::clicked(&answer.body);
                let (id, token) = clicked.context("the answer to a click names no click")?;
                record.kept.clicks.insert(id);
                record.click_micros.push(micros(due.elapsed()));
                return Ok(token);
            }
            record.kept.clicks_unanswered += 1;
            self.wait(record, deadline).await?;
        }
    }

    async fn postback(
        &self,
        sale: Sale,
        token: &str,
        status: &str,
        due: Instant,
        caller: &mut Caller,
        record: &mut Record,
    ) -> anyhow::Result<()> {
        let due_micros = wall_micros().saturating_sub(micros(due.elapsed()));
        let deadline = Instant::now() + PATIENCE;
        loop {
            // Every try is a request of its own, with a number of its own.
            let number = self.requests.fetch_add(1, Ordering::Relaxed);
            let request = sale.postback(token, status, number);
            let answered = accepted(caller.call(&request).await.ok())?.is_some();
            record.kept.postbacks.insert(number, answered);
            if answered {
                record.postback_micros.push(micros(due.elapsed()));
                record.due_micros.push((number, due_micros));
                return Ok(());
            }
            self.wait(record, deadline).await?;
        }
    }

    async fn wait(&self, record: &mut Record, deadline: Instant) -> anyhow::Result<()> {
        record.put_off += 1;
        if Instant::now() > deadline {
            bail!("a request wasn't answered for {} s", PATIENCE.as_secs());
        }
        sleep(RETRY_WAIT).await;
        Ok(())
    }
}

/// The answer, if it is a 200; `None` if the request is to be sent again.
fn accepted(answer: Option<Answer>) -> anyhow::Result<Option<Answer>> {
    match answer {
        Some(answer) if answer.status == 200 => Ok(Some(answer)),
        Some(Answer { status: 503, .. }) | None => Ok(None),
        Some(Answer { status, body }) => {
            bail!("answered {status}: {}", String::from_utf8_lossy(&body))
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Microseconds since 1970.
pub fn wall_micros() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    micros(now.unwrap_or_default())
}

fn locked<T>(value: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}
