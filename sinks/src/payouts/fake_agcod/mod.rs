//! An Amazon for the demo and for tests: its operations over real HTTP, with faults on request, and
//! the oracle of what was really issued.
//!
//! It checks signatures by an implementation of its own ([`signature`]), remembers request ids as
//! Amazon does (the same id gives the same card; another amount under it is refused), answers the
//! sandbox's ids, and does wrong by a deterministic [`Script`]. One funded card per request id,
//! whatever the network did: that is what the dispatcher is measured against.

mod answers;
mod books;
mod script;
pub mod signature;

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use schemas::{Amount, Currency, Timestamp};
use secrecy::SecretString;
use serde_json::Value;
use tokio::net::TcpListener;

pub use script::{Fault, Script};

use self::{
    books::{Asked, Books},
    signature::Verified,
};
use super::agcod::Operation;

/// The account that the fake serves.
#[derive(Debug, Clone)]
pub struct FakeAccount {
    /// Which key signs.
    pub access_key_id: String,
    /// What it signs with.
    pub secret_access_key: SecretString,
    /// The signing region.
    pub region: String,
    /// Every request id has to begin with it.
    pub partner_id: String,
    /// The one currency that it pays.
    pub currency: Currency,
}

/// The fake: shared by its server and whoever asks the oracle.
#[derive(Debug, Clone)]
pub struct FakeAgcod {
    account: Arc<FakeAccount>,
    books: Arc<Mutex<Books>>,
}

/// A card that was issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuedCard {
    /// Its id.
    pub card_id: String,
    /// What spends it.
    pub claim_code: String,
    /// Its value.
    pub amount: Amount,
    /// Its currency.
    pub currency: Currency,
    /// Whether it was cancelled, so that nobody can spend it.
    pub refunded: bool,
    /// Whether it is spent, so that nobody can cancel it.
    pub claimed: bool,
    /// When it was issued, by the clock of who asked for it.
    pub issued_at: Timestamp,
    /// When it was cancelled.
    pub refunded_at: Option<Timestamp>,
}

impl FakeAgcod {
    /// A fake that has issued nothing and does nothing wrong.
    pub fn new(account: FakeAccount) -> Self {
        Self {
            account: Arc::new(account),
            books: Arc::default(),
        }
    }

    /// Serves until the future is dropped.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn serve(self, listener: TcpListener) -> io::Result<()> {
        let router = Router::new().fallback(answer).with_state(self);
        axum::serve(listener, router).await
    }

    /// From now on does wrong by `script` where cards are created.
    pub fn follow(&self, script: Script) {
        self.follow_for(Operation::CreateGiftCard, script);
    }

    /// From now on does wrong by `script` at an operation.
    pub fn follow_for(&self, operation: Operation, script: Script) {
        self.books().scripts.insert(operation.name(), script);
    }

    /// Spends a card, as its shopper would; `false` where there is none to spend.
    pub fn claim(&self, creation_request_id: &str) -> bool {
        let mut books = self.books();
        let card = books.cards.get_mut(creation_request_id);
        card.filter(|card| !card.refunded)
            .map(|card| card.claimed = true)
            .is_some()
    }

    /// Makes a card behind everybody's back: as another system with the account's key would.
    pub fn issue_unasked(&self, creation_request_id: &str, amount: Amount, at: Timestamp) {
        let card = books::new_card(creation_request_id, amount, self.account.currency, at);
        self.books()
            .cards
            .insert(creation_request_id.to_owned(), card);
    }

    /// Forgets a card, as if it had never been made.
    pub fn forget(&self, creation_request_id: &str) {
        self.books().cards.remove(creation_request_id);
    }

    /// Takes a card back, as Amazon's own staff would.
    pub fn refund(&self, creation_request_id: &str, at: Timestamp) {
        if let Some(card) = self.books().cards.get_mut(creation_request_id) {
            card.refunded = true;
            card.refunded_at = Some(at);
        }
    }

    /// What is left of the funds; `None` is a bottomless account.
    pub fn funds(&self) -> Option<Amount> {
        self.books().funds
    }

    /// From now on has this much to give.
    pub fn fund(&self, funds: Amount) {
        self.books().funds = Some(funds);
    }

    /// Every card that was issued, by request id.
    pub fn cards(&self) -> BTreeMap<String, IssuedCard> {
        self.books().cards.clone()
    }

    /// How many cards were issued.
    pub fn cards_count(&self) -> usize {
        self.books().cards.len()
    }

    /// How many spendable cards there are, and their sum.
    pub fn funded(&self) -> (usize, Amount) {
        let books = self.books();
        let funded = books.cards.values().filter(|card| !card.refunded);
        let (count, micros) = funded.fold((0, 0), |(count, micros), card| {
            (count + 1, micros + card.amount.micros())
        });
        (count, Amount::from_micros(micros))
    }

    /// How many calls came for a request id, well signed.
    pub fn calls(&self, creation_request_id: &str) -> u32 {
        self.books()
            .calls
            .get(creation_request_id)
            .copied()
            .unwrap_or(0)
    }

    /// How many requests were refused for their signature.
    pub fn refused_signatures(&self) -> u32 {
        self.books().refused_signatures
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one call: what to do wrong, and the answer to an honest call.
    fn take(&self, verified: &Verified<'_>, body: &[u8]) -> (Fault, Value) {
        let asked = match Asked::read(verified.operation, body) {
            Ok(asked) => asked,
            Err(refusal) => return (Fault::None, refusal),
        };
        if let Asked::Create(request) = &asked
            && let Some(answer) = answers::sandbox(request)
        {
            return (Fault::None, answer);
        }
        let mut books = self.books();
        let fault = books.fault(verified.operation, asked.subject());
        if !fault.issues() {
            return (fault, answers::error("F500", "UnknownError"));
        }
        let answer = books.perform(&asked, &self.account, verified.signed_at);
        if let (Fault::Refunded, Asked::Create(request)) = (fault, &asked) {
            let id = &request.creation_request_id;
            if let Some(card) = books.cards.get_mut(id) {
                card.refunded = true;
                card.refunded_at = Some(verified.signed_at);
                return (fault, answers::success(id, card));
            }
        }
        (fault, answer)
    }
}

async fn answer(
    State(fake): State<FakeAgcod>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let request = signature::SignedRequest {
        method: &method,
        uri: &uri,
        headers: &headers,
        body: &body,
    };
    let verified = match signature::verify(&request, &fake.account) {
        Ok(verified) => verified,
        Err(reason) => {
            tracing::warn!(reason, "the fake gift-card service refuses a signature");
            fake.books().refused_signatures += 1;
            return json(StatusCode::FORBIDDEN, answers::signature_refused());
        }
    };
    let (fault, honest) = fake.take(&verified, &body);
    match fault {
        Fault::None | Fault::Refunded => json(StatusCode::OK, honest),
        Fault::Slow(delay) => {
            tokio::time::sleep(delay).await;
            json(StatusCode::OK, honest)
        }
        Fault::LostAfterIssuing | Fault::LostBeforeIssuing => broken_off(),
        Fault::Throttled => json(StatusCode::BAD_REQUEST, answers::throttled()),
        Fault::Malformed => {
            (StatusCode::OK, "{\"cardInfo\":{\"cardStatus\":\"Fulf").into_response()
        }
        Fault::ServerError => {
            (StatusCode::BAD_GATEWAY, "<html>502 Bad Gateway</html>").into_response()
        }
        Fault::Internal => json(StatusCode::OK, answers::error("F100", "SystemError")),
        Fault::Resend => json(StatusCode::OK, answers::resend()),
        Fault::InsufficientFunds => {
            json(StatusCode::OK, answers::error("F300", "InsufficientFunds"))
        }
        Fault::AccountClosed => json(StatusCode::OK, answers::error("F300", "AccountHasProblems")),
        Fault::SignatureExpired => json(StatusCode::FORBIDDEN, answers::signature_expired()),
        Fault::KeyUnknown => json(StatusCode::FORBIDDEN, answers::key_unknown()),
    }
}

fn json(status: StatusCode, body: Value) -> Response {
    (status, axum::Json(body)).into_response()
}

/// Promises a body and hangs up in the middle of it.
fn broken_off() -> Response {
    let hung_up = io::Error::other("the connection is cut on purpose");
    let pieces = [Ok(Bytes::from_static(b"{\"card")), Err(hung_up)];
    Response::new(Body::from_stream(futures::stream::iter(pieces)))
}
