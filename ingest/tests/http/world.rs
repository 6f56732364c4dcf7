//! A server on an ephemeral port, its log, and a client that speaks bytes.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt::Write,
    net::SocketAddr,
    num::NonZeroU32,
    sync::{Arc, Mutex},
};

use arc_swap::ArcSwap;
use hmac::{Hmac, KeyInit, Mac};
use ingest::{Dependencies, Ingest, Settings, router};
use prometheus::{Registry, proto::MetricFamily};
use schemas::{
    Amount, CampaignId, Currency, LinkId, NetworkId, OfferId, TenantId, Timestamp, Topic, codec,
    contact::ContactKey,
    event_id::EventIds,
    events::{
        ClickRecorded, CommissionSource, ConversionReported, DuplicatePolicy, PayoutMeans, Rate,
    },
    reference::{
        Campaign, CampaignTerms, Link, Network, Offer, OfferTerms, ReferenceData, Version, Versions,
    },
    token::TokenKeys,
};
use sha2::{Digest, Sha256};
use stream::{Faults, FaultyLog, InMemoryLog, Limits, Log, ManualClock, Record};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
};
use uuid::Uuid;
use web::{ServerLimits, rate_limit::AddressLimits, serve};

pub const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);
pub const LINK: LinkId = LinkId::new(Uuid::from_u128(0x11));
pub const BROKEN_LINK: LinkId = LinkId::new(Uuid::from_u128(0x12));
pub const TENANT: TenantId = TenantId::new(Uuid::from_u128(0x21));
/// A tenant with a domain of its own.
pub const OTHER_TENANT: TenantId = TenantId::new(Uuid::from_u128(0x22));
pub const OTHER_CAMPAIGN: CampaignId = CampaignId::new(Uuid::from_u128(0x33));
pub const CAMPAIGN: CampaignId = CampaignId::new(Uuid::from_u128(0x31));
pub const OFFER: OfferId = OfferId::new(41);
/// A campaign that is archived, of the tenant with a domain of its own; its link; and a link of
/// another campaign of that tenant.
pub const ARCHIVED_CAMPAIGN: CampaignId = CampaignId::new(Uuid::from_u128(0x32));
pub const ENDED_LINK: LinkId = LinkId::new(Uuid::from_u128(0x13));
pub const OWN_LINK: LinkId = LinkId::new(Uuid::from_u128(0x14));
/// Clicks that an address may make.
pub const CLICKS_PER_MINUTE: u32 = 100;
/// A network instance that asks for `SECURITY_TOKEN`, and whose clocks are 330 minutes ahead.
pub const GUARDED_NETWORK: NetworkId = NetworkId::new(2);
pub const SECURITY_TOKEN: &str = "open sesame";

/// How a world differs from the default one.
#[derive(Default)]
pub struct Config {
    pub settings: Settings,
    pub server: ServerLimits,
    pub log: Limits,
}

pub struct World {
    pub address: SocketAddr,
    pub log: Arc<InMemoryLog>,
    pub faults: Arc<Faults>,
    pub clock: Arc<ManualClock>,
    pub registry: Registry,
    pub event_ids: Arc<Mutex<EventIds>>,
    stop: oneshot::Sender<()>,
    server: JoinHandle<()>,
}

/// An HTTP answer, as far as the tests look at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case.
    pub headers: HashMap<String, String>,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).expect("a JSON body")
    }

    /// The code of a problem.
    pub fn code(&self) -> String {
        assert_eq!(self.headers["content-type"], "application/problem+json");
        let json = self.json();
        assert_eq!(json["status"], self.status);
        assert!(
            json["user_message"].is_string() && json["detail"].is_string(),
            "{json}"
        );
        json["code"].as_str().expect("a code").to_owned()
    }

    /// The reason of an ignored postback; `None` when it was plainly accepted.
    pub fn ignored(&self) -> Option<String> {
        assert_eq!(self.status, 200, "{self:?}");
        let json = self.json();
        assert_eq!(json["status"], "ok");
        assert_eq!(json.get("ignored").is_some(), json.get("reason").is_some());
        json["reason"].as_str().map(str::to_owned)
    }

    fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1));
        let status = status.and_then(|status| status.parse().ok()).unwrap_or(0);
        let headers = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        Self {
            status,
            headers,
            body: body.to_owned(),
        }
    }
}

impl World {
    pub async fn start() -> Self {
        Self::with(Config::default()).await
    }

    pub async fn with(config: Config) -> Self {
        let clock = Arc::new(ManualClock::new(NOW));
        let log = InMemoryLog::new(clock.clone(), config.log);
        let faulty = FaultyLog::new(log.clone());
        let faults = faulty.faults();
        let registry = Registry::new();
        let event_ids = Arc::new(Mutex::new(EventIds::new(1).expect("an instance")));
        let per_minute = NonZeroU32::new(CLICKS_PER_MINUTE).expect("not zero");
        let limits = AddressLimits::new(per_minute, &registry).expect("registered");
        let dependencies = Dependencies {
            log: Arc::new(faulty),
            clock: clock.clone(),
            reference: Arc::new(ArcSwap::from_pointee(reference())),
            token_keys: token_keys(),
            contact_key: ContactKey::new([7; 32]),
            event_ids: event_ids.clone(),
            limits: Arc::new(limits),
        };
        let ingest = Ingest::new(dependencies, config.settings, &registry).expect("valid settings");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (stop, stopped) = oneshot::channel();
        let shutdown = async {
            // A dropped world stops its server as well.
            let _ = stopped.await;
        };
        let server = tokio::spawn(serve(listener, router(ingest), config.server, shutdown));
        Self {
            address,
            log,
            faults,
            clock,
            registry,
            event_ids,
            stop,
            server,
        }
    }

    /// Tells the server to stop; the handle ends when it has.
    pub fn stop(self) -> (Arc<InMemoryLog>, JoinHandle<()>) {
        self.stop.send(()).expect("the server runs");
        (self.log, self.server)
    }

    pub async fn get(&self, target: &str) -> Answer {
        self.get_with(target, "").await
    }

    /// `headers`: whole lines, each with its line end.
    pub async fn get_with(&self, target: &str, headers: &str) -> Answer {
        self.request("GET", target, headers, None).await
    }

    pub async fn post(&self, target: &str, content_type: &str, body: &[u8]) -> Answer {
        let headers = format!("Content-Type: {content_type}\r\n");
        self.request("POST", target, &headers, Some(body)).await
    }

    pub async fn request(
        &self,
        method: &str,
        target: &str,
        headers: &str,
        body: Option<&[u8]>,
    ) -> Answer {
        let mut request =
            format!("{method} {target} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n{headers}");
        if let Some(body) = body {
            let _ = write!(request, "Content-Length: {}\r\n", body.len());
        }
        request.push_str("\r\n");
        let mut bytes = request.into_bytes();
        bytes.extend_from_slice(body.unwrap_or_default());
        self.exchange(&bytes).await
    }

    /// Sends bytes and reads until the server closes.
    pub async fn exchange(&self, bytes: &[u8]) -> Answer {
        exchange(self.address, bytes).await
    }

    pub async fn conversions(&self) -> Vec<(Record, ConversionReported)> {
        conversions(&self.log).await
    }

    pub async fn clicks(&self) -> Vec<(Record, ClickRecorded)> {
        let records = read_all(&self.log, Topic::Clicks).await;
        let decode = |record: Record| {
            let event = codec::decode(&record.value).expect("a click");
            (record, event)
        };
        records.into_iter().map(decode).collect()
    }

    /// The only conversion there is.
    pub async fn conversion(&self) -> (Record, ConversionReported) {
        let mut conversions = self.conversions().await;
        assert_eq!(conversions.len(), 1);
        conversions.remove(0)
    }

    /// The value of a counter with this label value.
    pub fn counted(&self, name: &str, label: &str) -> u64 {
        let families = self.registry.gather();
        let metrics = families.iter().filter(|family| family.name() == name);
        let labelled = metrics
            .flat_map(MetricFamily::get_metric)
            .find(|metric| metric.get_label().iter().any(|pair| pair.value() == label));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "counts of a test are small"
        )]
        labelled.map_or(0, |metric| metric.get_counter().get_value() as u64)
    }
}

/// The header of a signed request, as `docs/api.md` describes it.
pub fn signature(secret: &str, at: Timestamp, query: &str, body: &str) -> String {
    let at = at.millis() / 1_000;
    let mut signed = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any length");
    signed.update(format!("{at}\n{query}\n{body}").as_bytes());
    let signed = hex::encode(signed.finalize().into_bytes());
    format!("X-Hissaback-Signature: t={at},v1={signed}\r\n")
}

pub async fn exchange(address: SocketAddr, bytes: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address)
        .await
        .expect("the server listens");
    // The server may close before it has read everything.
    let _ = stream.write_all(bytes).await;
    Answer::parse(&read_to_end(&mut stream).await)
}

pub async fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut answer = Vec::new();
    // So does a reset after an answer.
    let _ = stream.read_to_end(&mut answer).await;
    answer
}

pub async fn conversions(log: &InMemoryLog) -> Vec<(Record, ConversionReported)> {
    let records = read_all(log, Topic::Conversions).await;
    let decode = |record: Record| {
        let event = codec::decode(&record.value).expect("a conversion");
        (record, event)
    };
    records.into_iter().map(decode).collect()
}

async fn read_all(log: &InMemoryLog, topic: Topic) -> Vec<Record> {
    let mut records = Vec::new();
    for partition in 0..topic.partitions() {
        records.extend(
            log.read(topic, partition, 0, 10_000)
                .await
                .expect("readable"),
        );
    }
    records
}

pub fn token_keys() -> TokenKeys {
    TokenKeys::new(&[(1, [1; 32])]).expect("a key ring")
}

pub fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn only<T>(value: T) -> Versions<T> {
    let version = Version {
        version: 1,
        effective_at: Timestamp::from_millis(0),
        value,
    };
    Versions::new(vec![version]).expect("one version")
}

fn offer(tracking_url: &str) -> Offer {
    Offer {
        network_id: NetworkId::new(1),
        category: None,
        terms: only(OfferTerms {
            tracking_url: tracking_url.to_owned(),
            currency: Currency::INR,
            commission_source: CommissionSource::Percentage,
            commission: Rate::Percentage("8".parse().expect("a percentage")),
            goal_rates: BTreeMap::new(),
            commission_max: None,
            usual_sale_max: None::<Amount>,
            cool_off_days: 30,
            txn_id_names_order: true,
            duplicate_orders: DuplicatePolicy::Reject,
        }),
    }
}

fn reference() -> ReferenceData {
    let campaign = |tenant_id| Campaign {
        tenant_id,
        terms: only(CampaignTerms {
            share: None,
            attribution_window_days: 30,
        }),
    };
    let link = |slug: &str, campaign_id, offer_id| Link {
        slug: slug.to_owned(),
        campaign_id,
        offer_id,
    };
    let open = Network {
        default_currency: Currency::INR,
        payout_means: PayoutMeans::Amount,
        fires_at_sale: true,
        security_token_sha256: None,
        utc_offset_minutes: 0,
    };
    let guarded = Network {
        security_token_sha256: Some(sha256(SECURITY_TOKEN.as_bytes())),
        utc_offset_minutes: 330,
        ..open.clone()
    };
    ReferenceData {
        campaigns: HashMap::from([
            (CAMPAIGN, campaign(TENANT)),
            (ARCHIVED_CAMPAIGN, campaign(OTHER_TENANT)),
            (OTHER_CAMPAIGN, campaign(OTHER_TENANT)),
        ]),
        closed_campaigns: HashSet::from([ARCHIVED_CAMPAIGN]),
        domains: HashMap::from([("shop.creator.example".to_owned(), OTHER_TENANT)]),
        offers: HashMap::from([
            (
                OFFER,
                offer("https://t.example/click?campaign_id=41&pub_id=2"),
            ),
            (OfferId::new(42), offer("javascript:alert(1)")),
        ]),
        links: HashMap::from([
            (LINK, link("diwali", CAMPAIGN, OFFER)),
            (BROKEN_LINK, link("broken", CAMPAIGN, OfferId::new(42))),
            (ENDED_LINK, link("ended", ARCHIVED_CAMPAIGN, OFFER)),
            (OWN_LINK, link("own", OTHER_CAMPAIGN, OFFER)),
        ]),
        slugs: HashMap::from([
            ("diwali".to_owned(), LINK),
            ("broken".to_owned(), BROKEN_LINK),
            ("ended".to_owned(), ENDED_LINK),
            ("own".to_owned(), OWN_LINK),
        ]),
        networks: HashMap::from([(NetworkId::new(1), open), (GUARDED_NETWORK, guarded)]),
        ..ReferenceData::default()
    }
}
