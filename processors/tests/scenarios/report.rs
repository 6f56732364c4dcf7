//! Reports of a scenario.

use schemas::{
    EventId, NetworkId, OfferId, Timestamp,
    events::{ConversionReported, Malformed, NetworkStatus, RawReport, ReportSource, Reported},
    token::TokenKeys,
};

use crate::{
    click::{Click, country},
    moment::Moment,
    world::{self, amount, keys, tenant},
};

/// How a report refers to its click.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reference {
    /// A token of the current key.
    Token,
    /// A token of the key before it, which the ring still holds.
    OldToken,
    /// A token of a key that the ring doesn't hold.
    StrangeToken,
    /// A token with a broken seal.
    ForgedToken,
    /// The click's number, which the `clicks` table holds.
    Number,
    /// The click's number, before the `clicks` table holds it.
    EarlyNumber,
    /// Neither.
    Text,
}

/// The network's own time of a sale.
#[derive(Debug, Clone, Copy)]
enum Sold {
    AnHourAfterTheClick,
    At(Moment),
    Untold,
}

/// A report of a sale.
#[derive(Debug, Clone)]
pub struct Report {
    click: char,
    reference: Reference,
    source: ReportSource,
    at: Moment,
    appended: Option<Moment>,
    as_of: Option<Moment>,
    sold: Sold,
    tenant: Option<u128>,
    network: Option<i32>,
    malformed: Option<(&'static str, Malformed)>,
    fields: Reported,
}

fn report(click: char, source: ReportSource) -> Report {
    Report {
        click,
        reference: Reference::Token,
        source,
        at: Moment::new("1h"),
        appended: None,
        as_of: None,
        sold: Sold::AnHourAfterTheClick,
        tenant: None,
        network: None,
        malformed: None,
        fields: Reported::default(),
    }
}

/// A postback about a click, an hour after the beginning; the sale was then too, or an hour after
/// its click.
pub fn postback(click: char) -> Report {
    report(click, ReportSource::Postback)
}

/// A row of the network's CSV export, of the time at which it comes.
pub fn csv(click: char) -> Report {
    report(click, ReportSource::Csv)
}

impl Report {
    fn with(mut self, change: impl FnOnce(&mut Reported)) -> Self {
        change(&mut self.fields);
        self
    }

    pub fn at(mut self, at: &'static str) -> Self {
        self.at = Moment::new(at);
        self
    }

    /// Appended to the log later than it was received.
    pub fn appended(mut self, at: &'static str) -> Self {
        self.appended = Some(Moment::new(at));
        self
    }

    /// The as-of time of its export, where that isn't the time at which the row comes.
    pub fn dated(mut self, at: &'static str) -> Self {
        self.as_of = Some(Moment::new(at));
        self
    }

    pub fn refers_by(mut self, reference: Reference) -> Self {
        self.reference = reference;
        self
    }

    pub fn for_tenant(mut self, tenant: u128) -> Self {
        self.tenant = Some(tenant);
        self
    }

    pub fn by_network(mut self, network: i32) -> Self {
        self.network = Some(network);
        self
    }

    /// The network's own time of the sale.
    pub fn sold(mut self, at: &'static str) -> Self {
        self.sold = Sold::At(Moment::new(at));
        self
    }

    /// The network gives no time of the sale.
    pub fn timeless(mut self) -> Self {
        self.sold = Sold::Untold;
        self
    }

    /// A query that the parser of postbacks and rows refuses, and why. That it does is checked
    /// where the parser can be named: by the root crate's `tests/refused_input.rs`.
    pub fn refused(mut self, query: &'static str, reason: Malformed) -> Self {
        self.malformed = Some((query, reason));
        self
    }

    pub fn status(self, status: NetworkStatus) -> Self {
        self.with(|fields| fields.status = Some(status))
    }

    pub fn approved(self, sale: &str) -> Self {
        self.status(NetworkStatus::Approved).sale(sale)
    }

    pub fn pending(self, sale: &str) -> Self {
        self.status(NetworkStatus::Pending).sale(sale)
    }

    pub fn cancelled(self) -> Self {
        self.status(NetworkStatus::Cancelled)
    }

    pub fn rejected(self) -> Self {
        self.status(NetworkStatus::Rejected)
    }

    pub fn sale(self, sale: &str) -> Self {
        self.with(|fields| fields.sale_amount = Some(amount(sale)))
    }

    pub fn payout(self, payout: &str) -> Self {
        self.with(|fields| fields.payout = Some(amount(payout)))
    }

    pub fn currency(self, code: &str) -> Self {
        self.with(|fields| fields.currency = Some(world::currency(code)))
    }

    pub fn order(self, order: &str) -> Self {
        self.with(|fields| fields.txn_id = Some(order.to_owned()))
    }

    pub fn goal(self, goal: &str) -> Self {
        self.with(|fields| fields.goal_id = Some(goal.to_owned()))
    }

    pub fn conversion(self, id: &str) -> Self {
        self.with(|fields| fields.network_conversion_id = Some(id.to_owned()))
    }

    pub fn offer(self, offer: i32) -> Self {
        self.with(|fields| fields.offer_id = Some(OfferId::new(offer)))
    }

    pub fn country(self, code: &str) -> Self {
        self.with(|fields| fields.country = Some(country(code)))
    }

    /// The click that it refers to.
    pub const fn click(&self) -> char {
        self.click
    }

    /// Whether its bare reference is found in the `clicks` table.
    pub fn found(&self) -> bool {
        self.reference == Reference::Number
    }

    fn sold_at(&self, click: &Click) -> Option<Timestamp> {
        match self.sold {
            Sold::AnHourAfterTheClick => Some(click.clicked_at().plus_millis(3_600_000)),
            Sold::At(moment) => Some(moment.at()),
            Sold::Untold => None,
        }
    }

    /// As ingest or an import writes it to `conversions`.
    pub fn event(&self, event_id: EventId, click: &Click) -> ConversionReported {
        let click_ref = match self.reference {
            Reference::Token => click.token(&keys()),
            Reference::OldToken => click.token(&ring(1)),
            Reference::StrangeToken => click.token(&ring(9)),
            Reference::ForgedToken => forged(&click.token(&keys())),
            Reference::Number | Reference::EarlyNumber => click.id().to_string(),
            Reference::Text => "spring-sale".to_owned(),
        };
        // Unless a scenario says otherwise, by the network of the click's offer.
        let network = self
            .network
            .unwrap_or(if click.offer() == world::OFFER_AT_SALE {
                2
            } else {
                1
            });
        let reported = Reported {
            click_ref,
            converted_at: self.sold_at(click),
            ..self.fields.clone()
        };
        ConversionReported {
            event_id,
            received_at: self.at.at(),
            source: self.source,
            as_of: self
                .source
                .authoritative()
                .then(|| self.as_of.unwrap_or(self.at).at()),
            network_id: NetworkId::new(network),
            tenant_id: self.tenant.map(tenant),
            click_id: None,
            raw: RawReport {
                bytes: Vec::new(),
                content_type: "query".to_owned(),
                sha256: "00".repeat(32),
                truncated: false,
            },
            reported: self.malformed.is_none().then_some(reported),
            malformed: self.malformed.map(|(_, reason)| reason),
            heal: None,
        }
    }

    /// When it is appended.
    pub fn appended_at(&self) -> Timestamp {
        self.appended.unwrap_or(self.at).at()
    }

    /// For the document.
    pub fn line(&self) -> String {
        let mut said: Vec<String> = Vec::new();
        let fields = &self.fields;
        said.extend(fields.status.map(|status| status_word(status).to_owned()));
        said.extend(fields.sale_amount.map(|sale| format!("sale {sale}")));
        said.extend(fields.payout.map(|payout| format!("payout {payout}")));
        said.extend(fields.currency.map(|currency| currency.to_string()));
        let order = fields.txn_id.as_ref();
        said.extend(order.map(|order| format!("order {}", shortened(order))));
        said.extend(fields.goal_id.as_ref().map(|goal| format!("goal {goal}")));
        let conversion = fields.network_conversion_id.as_ref();
        said.extend(conversion.map(|id| format!("conversion {id}")));
        said.extend(fields.offer_id.map(|offer| format!("offer {offer}")));
        said.extend(fields.country.map(|country| format!("in {country}")));
        said.extend(self.malformed.map(|(text, _)| format!("`{text}`")));
        said.extend(match self.sold {
            Sold::AnHourAfterTheClick => None,
            Sold::At(at) => Some(format!("sold at {at}")),
            Sold::Untold => Some("no time of the sale".to_owned()),
        });
        let tenant = self.tenant;
        said.extend(tenant.map(|tenant| format!("for creator {tenant}")));
        let network = self.network;
        said.extend(network.map(|network| format!("by network {network}")));
        said.extend(self.as_of.map(|at| format!("as of {at}")));
        said.extend(
            self.appended
                .map(|at| format!("in the log from {at} on only")),
        );
        let kind = match self.source {
            ReportSource::Postback => "postback",
            ReportSource::Csv => "CSV row",
            ReportSource::Api => "API row",
        };
        let of = match self.reference {
            Reference::Token => format!("of {}", self.click),
            Reference::OldToken => format!("of {}, its token under the key before", self.click),
            Reference::StrangeToken => format!("of {}, its token under no key of ours", self.click),
            Reference::ForgedToken => format!("of {}, its token's seal broken", self.click),
            Reference::Number => format!("of {} by its number", self.click),
            Reference::EarlyNumber => {
                format!(
                    "of {} by its number, before the click is stored",
                    self.click
                )
            }
            Reference::Text => "of `spring-sale`".to_owned(),
        };
        [format!("{}: {kind} {of}", self.at)]
            .into_iter()
            .chain(said)
            .collect::<Vec<_>>()
            .join(", ")
    }
}

/// Long names say how long they are.
fn shortened(name: &str) -> String {
    match name.get(..32) {
        Some(head) => format!("{head}… ({} characters)", name.chars().count()),
        None => name.to_owned(),
    }
}

fn ring(key: u8) -> TokenKeys {
    TokenKeys::new(&[(key, [key; 32])]).expect("a ring")
}

/// The token with one letter in its middle changed.
fn forged(token: &str) -> String {
    let (head, tail) = token.split_at(60);
    let changed = if tail.starts_with('A') { 'B' } else { 'A' };
    format!("{head}{changed}{}", &tail[1..])
}

fn status_word(status: NetworkStatus) -> &'static str {
    match status {
        NetworkStatus::Pending => "pending",
        NetworkStatus::Approved => "approved",
        NetworkStatus::Cancelled => "cancelled",
        NetworkStatus::Rejected => "rejected",
        NetworkStatus::Extended => "extended",
        NetworkStatus::Unknown => "a status we don't know",
    }
}
