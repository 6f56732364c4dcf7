//! An Amazon for the demo and for tests: `CreateGiftCard` over real HTTP, with faults on request,
//! and the oracle of what was really issued.
//!
//! It checks signatures by an implementation of its own ([`signature`]), remembers request ids as
//! Amazon does (the same id gives the same card; another amount under it is refused), answers the
//! sandbox's ids, and does wrong by a deterministic [`Script`]. One funded card per request id,
//! whatever the network did: that is what the dispatcher is measured against.

mod answers;
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
use schemas::{Amount, Currency};
use secrecy::SecretString;
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;

pub use script::{Fault, Script};

use self::answers::CreateRequest;

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

/// What really happened.
#[derive(Debug, Default)]
struct Books {
    script: Script,
    cards: BTreeMap<String, IssuedCard>,
    calls: BTreeMap<String, u32>,
    refused_signatures: u32,
    /// What is left; `None` is a bottomless account.
    funds: Option<Amount>,
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

    /// From now on does wrong by `script`.
    pub fn follow(&self, script: Script) {
        self.books().script = script;
    }

    /// From now on has this much to give.
    pub fn fund(&self, funds: Amount) {
        self.books().funds = Some(funds);
    }

    /// Every card that was issued, by request id.
    pub fn cards(&self) -> BTreeMap<String, IssuedCard> {
        self.books().cards.clone()
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
    fn take(&self, request: &CreateRequest) -> (Fault, Judgement) {
        let mut books = self.books();
        let calls = books
            .calls
            .entry(request.creation_request_id.clone())
            .or_default();
        *calls += 1;
        let number = *calls;
        let fault = books.script.fault(&request.creation_request_id, number);
        if !fault.issues() {
            return (fault, Judgement::NotAsked);
        }
        let judgement = books.issue(request, &self.account);
        if let (Fault::Refunded, Judgement::Card(card)) = (fault, &judgement)
            && let Some(kept) = books.cards.get_mut(&request.creation_request_id)
        {
            kept.refunded = true;
            let refunded = IssuedCard {
                refunded: true,
                ..card.clone()
            };
            return (fault, Judgement::Card(refunded));
        }
        (fault, judgement)
    }
}

/// What an honest Amazon makes of a request.
#[derive(Debug)]
enum Judgement {
    /// The fault struck before anything was decided.
    NotAsked,
    Card(IssuedCard),
    Refused(&'static str, &'static str),
}

impl Books {
    fn issue(&mut self, request: &CreateRequest, account: &FakeAccount) -> Judgement {
        let id = &request.creation_request_id;
        let well_formed = id.starts_with(&account.partner_id)
            && id.len() <= 40
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !well_formed {
            return Judgement::Refused("F200", "InvalidCreationRequestIdInput");
        }
        if request.partner_id != account.partner_id {
            return Judgement::Refused("F200", "InvalidPartnerIdInput");
        }
        let Ok(amount) = request.value.amount.to_string().parse::<Amount>() else {
            return Judgement::Refused("F200", "InvalidAmountInput");
        };
        if amount <= Amount::ZERO {
            return Judgement::Refused("F200", "InvalidAmountValue");
        }
        if amount.micros() % 1_000_000 != 0 {
            return Judgement::Refused("F200", "FractionalAmountNotAllowed");
        }
        if request.value.currency_code != account.currency.to_string() {
            return Judgement::Refused("F200", "CurrencyCodeMismatch");
        }
        if let Some(card) = self.cards.get(id) {
            return if card.amount == amount {
                Judgement::Card(card.clone())
            } else {
                Judgement::Refused("F200", "CreationRequestIdUsedWithAnotherAmount")
            };
        }
        match self.funds {
            Some(funds) if funds < amount => {
                return Judgement::Refused("F300", "InsufficientFunds");
            }
            Some(funds) => {
                self.funds = Some(Amount::from_micros(funds.micros() - amount.micros()));
            }
            None => {}
        }
        let card = new_card(id, amount, account.currency);
        self.cards.insert(id.clone(), card.clone());
        Judgement::Card(card)
    }
}

/// Card id and claim code follow from the request id, so that a run can be repeated.
fn new_card(creation_request_id: &str, amount: Amount, currency: Currency) -> IssuedCard {
    let digest = hex::encode_upper(Sha256::digest(creation_request_id));
    IssuedCard {
        card_id: format!("G{}", &digest[..15]),
        claim_code: format!(
            "{}-{}-{}",
            &digest[16..20],
            &digest[20..26],
            &digest[26..30]
        ),
        amount,
        currency,
        refunded: false,
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
    if let Err(reason) = signature::verify(&request, &fake.account) {
        tracing::warn!(reason, "the fake gift-card service refuses a signature");
        fake.books().refused_signatures += 1;
        return json(StatusCode::FORBIDDEN, answers::signature_refused());
    }
    let Ok(request) = serde_json::from_slice::<CreateRequest>(&body) else {
        return json(
            StatusCode::BAD_REQUEST,
            answers::error("F200", "InvalidRequestInput"),
        );
    };
    if let Some(answer) = answers::sandbox(&request) {
        return json(StatusCode::OK, answer);
    }
    let (fault, judgement) = fake.take(&request);
    let honest = match judgement {
        Judgement::NotAsked => answers::error("F500", "UnknownError"),
        Judgement::Card(card) => answers::success(&request.creation_request_id, &card),
        Judgement::Refused(code, kind) => answers::error(code, kind),
    };
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
    }
}

fn json(status: StatusCode, body: serde_json::Value) -> Response {
    (status, axum::Json(body)).into_response()
}

/// Promises a body and hangs up in the middle of it.
fn broken_off() -> Response {
    let hung_up = io::Error::other("the connection is cut on purpose");
    let pieces = [Ok(Bytes::from_static(b"{\"card")), Err(hung_up)];
    Response::new(Body::from_stream(futures::stream::iter(pieces)))
}
