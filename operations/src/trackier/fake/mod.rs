//! A Trackier for tests: its two lists over real HTTP, with faults on request, rows that move while
//! one reads, and a record of what it was asked, by which a client is judged.

mod books;

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Json, Router,
    body::Body,
    extract::{Query, State},
    http::{HeaderMap, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, time::sleep};

use books::Books;

/// One way of going wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// None.
    None,
    /// Too many requests; asks to wait for so many seconds.
    Throttled(u64),
    /// A front end's error page.
    ServerError,
    /// The answer comes late.
    Slow(Duration),
    /// The answer is cut short.
    Malformed,
    /// A front end's page that says 200.
    SomebodyElses,
    /// The connection breaks within the answer.
    Lost,
    /// More than anybody wants to read.
    Oversized,
    /// A refusal that repeats the key.
    TellTale,
}

/// What happens to the list of conversions while somebody reads it.
#[derive(Debug, Clone)]
pub enum Change {
    /// A conversion comes in: the first of the list from now on.
    Insert(Value),
    /// The conversion with this `_id` is taken out.
    Remove(String),
    /// The conversion with this `_id` gets another status.
    Status(String, &'static str),
}

/// A request that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Its path.
    pub path: String,
    /// What it asks for.
    pub query: BTreeMap<String, String>,
    /// What it was answered.
    pub status: u16,
}

/// The fake: shared by its server and whoever asks for its record.
#[derive(Debug, Clone)]
pub struct FakeTrackier(Arc<Mutex<Books>>);

impl FakeTrackier {
    /// A fake that knows this key, lists nothing and does nothing wrong.
    pub fn new(api_key: &str) -> Self {
        Self(Arc::new(Mutex::new(Books::new(api_key))))
    }

    /// Serves until the future is dropped.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn serve(self, listener: TcpListener) -> io::Result<()> {
        let router = Router::new().fallback(answer).with_state(self);
        axum::serve(listener, router).await
    }

    /// Adds a conversion, after those that are there: an object with `_id` and `created`, whose
    /// first ten letters are its day.
    pub fn add_conversion(&self, conversion: Value) {
        self.books().conversions.push(conversion);
    }

    /// Takes every conversion out.
    pub fn clear_conversions(&self) {
        self.books().conversions.clear();
    }

    /// Adds a campaign.
    pub fn add_campaign(&self, campaign: Value) {
        self.books().campaigns.push(campaign);
    }

    /// Changes a field of a campaign, if it is there.
    pub fn change_campaign(&self, id: i64, field: &str, value: Value) {
        let mut books = self.books();
        let found = books.campaigns.iter_mut().find(|one| one["id"] == id);
        if let Some(campaign) = found {
            campaign[field] = value;
        }
    }

    /// Takes a campaign out.
    pub fn remove_campaign(&self, id: i64) {
        self.books().campaigns.retain(|one| one["id"] != id);
    }

    /// Rows of a page from now on, whatever is asked for; so the server cuts its pages.
    pub fn cut_pages(&self, rows: usize) {
        self.books().page_rows = rows;
    }

    /// Each page begins with so many rows of the one before.
    pub fn overlap_pages(&self, rows: usize) {
        self.books().overlap_rows = rows;
    }

    /// Tells nobody any more how many rows there are.
    pub fn hide_totals(&self) {
        self.books().totals_hidden = true;
    }

    /// What goes wrong with the next requests, one after the other.
    pub fn go_wrong(&self, faults: impl IntoIterator<Item = Fault>) {
        self.books().faults.extend(faults);
    }

    /// Changes the list once so many further requests were answered.
    pub fn change_after(&self, requests: usize, change: Change) {
        let mut books = self.books();
        let at = books.asked.len() + requests;
        books.changes.push((at, change));
    }

    /// At most so many requests within a second from now on.
    pub fn limit(&self, requests_per_second: usize) {
        self.books().requests_per_second = Some(requests_per_second);
    }

    /// The conversions as they stand now.
    pub fn conversions(&self) -> Vec<Value> {
        self.books().conversions.clone()
    }

    /// Every request that came, in its order.
    pub fn asked(&self) -> Vec<Asked> {
        self.books().asked.clone()
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn answer(
    State(fake): State<FakeTrackier>,
    Query(query): Query<BTreeMap<String, String>>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let key = headers.get("X-Api-Key").and_then(|key| key.to_str().ok());
    let (fault, response, api_key) = {
        let mut books = fake.books();
        let honest = books.answer(uri.path(), &query, key);
        let fault = if honest.status() == StatusCode::OK {
            books.faults.pop_front().unwrap_or(Fault::None)
        } else {
            Fault::None
        };
        (fault, honest, books.api_key.clone())
    };
    let response = go_wrong(fault, response, &api_key).await;
    let mut books = fake.books();
    books.asked.push(Asked {
        path: uri.path().to_owned(),
        query,
        status: response.status().as_u16(),
    });
    books.change();
    response
}

async fn go_wrong(fault: Fault, honest: Response, api_key: &str) -> Response {
    match fault {
        Fault::None => honest,
        Fault::Throttled(seconds) => {
            let wait = [(header::RETRY_AFTER, seconds.to_string())];
            (StatusCode::TOO_MANY_REQUESTS, wait).into_response()
        }
        Fault::ServerError => (StatusCode::BAD_GATEWAY, "<html>502</html>").into_response(),
        Fault::Slow(delay) => {
            sleep(delay).await;
            honest
        }
        Fault::Malformed => "{\"conversions\":[{\"_id\":\"66ec".into_response(),
        Fault::SomebodyElses => "<html>We'll be back soon</html>".into_response(),
        Fault::Lost => {
            let broken = futures::stream::iter([
                Ok("{\"conversions\":["),
                Err(io::Error::from(io::ErrorKind::ConnectionReset)),
            ]);
            Body::from_stream(broken).into_response()
        }
        Fault::Oversized => {
            let piece = || Ok::<_, io::Error>(vec![b' '; 1024 * 1024]);
            let pieces = futures::stream::iter((0..64).map(move |_| piece()));
            Body::from_stream(pieces).into_response()
        }
        Fault::TellTale => {
            let message = format!("API key {api_key} is over its quota");
            refused(StatusCode::FORBIDDEN, 103, &message)
        }
    }
}

/// A refusal as Trackier writes it.
fn refused(status: StatusCode, code: i64, message: &str) -> Response {
    let error = json!({"code": code, "codeMsg": message, "message": message});
    (status, Json(json!({"success": false, "error": error}))).into_response()
}
