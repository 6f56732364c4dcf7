//! The load: shoppers who click and buy, and a network that reports it, repeats itself, corrects
//! itself and takes sales back. Every request is repeated until it is answered, as networks do.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use schemas::Timestamp;
use serde_json::{Value, json};

use crate::{http::request, record::Record, reference};

/// A postback that isn't answered for this long fails the run: no kill takes so long to mend.
const PATIENCE: Duration = Duration::from_mins(3);
const RETRY_WAIT: Duration = Duration::from_millis(50);
/// Between two stories of a sender, so that the machine isn't busy with the load alone.
const PACE: std::ops::Range<u64> = 30..130;

/// A sale of 1,999.00 at 8%.
const COMMISSION: i64 = 15_992;
/// A sale of 999.00 at 8%.
const COMMISSION_AMENDED: i64 = 7_992;
/// Shoppers' sales lie this far back, so that they have matured: 30 days of cool-off, and a margin.
const MATURED_DAYS_MIN: i32 = 36;

/// What the senders share.
pub struct Load {
    address: SocketAddr,
    record: Record,
    stop: AtomicBool,
    stories: AtomicU64,
    matured: AtomicI32,
    /// The present, as the matured sales see it.
    today: Timestamp,
}

/// A click, as its answer names it.
struct Click {
    id: i64,
    token: String,
}

impl Load {
    pub fn new(address: SocketAddr, today: Timestamp) -> Arc<Self> {
        Arc::new(Self {
            address,
            record: Record::default(),
            stop: AtomicBool::new(false),
            stories: AtomicU64::new(0),
            matured: AtomicI32::new(0),
            today,
        })
    }

    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Every sender ends the story that it is telling, and no other begins.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    /// Tells stories on a thread of its own until it is stopped.
    pub fn send(self: &Arc<Self>, seed: u64) -> thread::JoinHandle<()> {
        let load = Arc::clone(self);
        thread::spawn(move || {
            let mut rng = StdRng::seed_from_u64(seed);
            while !load.stop.load(Ordering::SeqCst) {
                load.tell(&mut rng);
                thread::sleep(Duration::from_millis(rng.random_range(PACE)));
            }
        })
    }

    fn tell(&self, rng: &mut StdRng) {
        let order = format!("ORDER-{}", self.stories.fetch_add(1, Ordering::SeqCst));
        match rng.random_range(0..12) {
            0 | 1 => self.plain(order),
            2 => self.approved_later(order),
            3 => self.repeated(order),
            4 => self.amended(order),
            5 => self.taken_back(order),
            6 => self.competing(order),
            7 => self.by_bare_click_id(order),
            8 => self.unusable(),
            9 => drop(self.click(None)),
            _ => self.matured(order, rng),
        }
    }

    fn plain(&self, order: String) {
        let click = self.click(None).token;
        self.report(&click, &order, "1999.00", "approved", "");
        self.record.expect(order, COMMISSION);
    }

    fn approved_later(&self, order: String) {
        let click = self.click(None).token;
        self.report(&click, &order, "1999.00", "pending", "");
        self.report(&click, &order, "1999.00", "approved", "");
        self.record.expect(order, COMMISSION);
    }

    fn repeated(&self, order: String) {
        let click = self.click(None).token;
        for _ in 0..3 {
            self.report(&click, &order, "1999.00", "approved", "");
        }
        self.record.expect(order, COMMISSION);
    }

    fn amended(&self, order: String) {
        let click = self.click(None).token;
        self.report(&click, &order, "1999.00", "approved", "");
        self.report(&click, &order, "999.00", "approved", "");
        self.record.expect(order, COMMISSION_AMENDED);
    }

    fn taken_back(&self, order: String) {
        let click = self.click(None).token;
        self.report(&click, &order, "1999.00", "approved", "");
        self.report(&click, &order, "1999.00", "cancelled", "");
        self.record.expect(order, 0);
    }

    /// Two clicks claim one order at the same moment; one of them owns it.
    fn competing(&self, order: String) {
        let clicks = [self.click(None).token, self.click(None).token];
        thread::scope(|scope| {
            for click in &clicks {
                scope.spawn(|| self.report(click, &order, "1999.00", "approved", ""));
            }
        });
        self.record.expect(order, COMMISSION);
    }

    /// Reported at once by the bare id of the click, which the ledger may not have read yet: then
    /// the report is parked and healed.
    fn by_bare_click_id(&self, order: String) {
        let click = self.click(None).id.to_string();
        self.report(&click, &order, "1999.00", "approved", "");
        self.record.expect(order, COMMISSION);
    }

    /// Names no click: kept, and ignored.
    fn unusable(&self) {
        self.insist_on_postback("offer_id=5509&status=approved");
    }

    /// A known shopper's sale whose cool-off is over: the next payout run pays it. One in six is
    /// taken back, before or after that.
    fn matured(&self, order: String, rng: &mut StdRng) {
        let sale = self.matured.fetch_add(1, Ordering::SeqCst);
        // A day apart, so that no shopper has five in 24 hours.
        let days = MATURED_DAYS_MIN + sale / reference::SHOPPERS;
        let clicked_at = self.today.plus_days(-days);
        let shopper = reference::shopper(sale % reference::SHOPPERS);
        let click = self.click(Some((shopper, clicked_at))).token;
        let converted_at = format!("&converted_at={}", clicked_at.plus_millis(3_600_000));
        self.report(&click, &order, "1999.00", "approved", &converted_at);
        if rng.random_range(0..6) == 0 {
            thread::sleep(Duration::from_millis(rng.random_range(0..1_500)));
            self.report(&click, &order, "1999.00", "cancelled", &converted_at);
            self.record.expect(order, 0);
        } else {
            self.record.expect(order, COMMISSION);
        }
    }

    fn click(&self, shopper: Option<(String, Timestamp)>) -> Click {
        let mut body = json!({ "link_id": reference::LINK });
        if let Some((user_id, clicked_at)) = shopper {
            body["user_id"] = user_id.into();
            body["clicked_at"] = clicked_at.to_string().into();
        }
        let answer: Value = serde_json::from_str(&self.insist_on_click(&body)).expect("JSON");
        let id = answer["click_id"].as_str().and_then(|id| id.parse().ok());
        let id = id.expect("a click id");
        self.record.click_answered(id);
        Click {
            id,
            token: answer["click_token"].as_str().expect("a token").to_owned(),
        }
    }

    fn insist_on_click(&self, body: &Value) -> String {
        let (target, body) = ("POST /v1/events/click", body.to_string());
        let deadline = Instant::now() + PATIENCE;
        loop {
            match request(self.address, target, &body) {
                Some((200, answer)) => return answer,
                Some((503, _)) | None => self.record.click_unanswered(),
                Some((status, answer)) => panic!("{target} was answered {status}: {answer}"),
            }
            assert!(Instant::now() < deadline, "{target} was never answered");
            thread::sleep(RETRY_WAIT);
        }
    }

    fn report(&self, click: &str, order: &str, amount: &str, status: &str, more: &str) {
        self.insist_on_postback(&format!(
            "p1={click}&offer_id=5509&txn_id={order}&sale_amount={amount}&status={status}{more}"
        ));
    }

    /// Every try is a request of its own, with a number of its own.
    fn insist_on_postback(&self, parameters: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let number = self.record.postback();
            let target = format!("GET /v1/events/conversion?{parameters}&request={number}.");
            match request(self.address, &target, "") {
                Some((200, _)) => return self.record.postback_answered(number),
                Some((503, _)) | None => {}
                Some((status, answer)) => panic!("{target} was answered {status}: {answer}"),
            }
            assert!(Instant::now() < deadline, "{target} was never answered");
            thread::sleep(RETRY_WAIT);
        }
    }
}
