//! The traffic: sales, each with its click and the postbacks that report it. A function of the
//! sale's number, so that every run, and every peer, gets the same.

use std::{fs, net::Ipv4Addr, path::Path};

use schemas::{LinkId, UserId};
use serde_json::{Value, json};

use crate::fixture;

/// Tenants, each with a campaign and a link of its own.
const TENANTS: u64 = 20;
pub const OFFER: u32 = 5509;
/// Paise of commission for each rupee of sale: 8%.
const COMMISSION_PAISE: i64 = 8;
const SALE_RUPEES_MIN: u64 = 100;
const SALE_RUPEES_RANGE: u64 = 4_900;

/// What the network reports of a sale, one postback after the other.
const APPROVED: &[&str] = &["approved"];
const APPROVED_LATER: &[&str] = &["pending", "approved"];
/// Networks send a postback again whose answer they missed.
const REPEATED: &[&str] = &["approved", "approved"];

/// One sale.
#[derive(Debug, Clone, Copy)]
pub struct Sale {
    pub number: u64,
    /// Statuses of its postbacks, in order.
    pub statuses: &'static [&'static str],
}

impl Sale {
    /// The sale of this number: one in twenty is reported twice, one in ten first as pending.
    pub const fn new(number: u64) -> Self {
        let statuses = match number % 20 {
            0 => REPEATED,
            7 | 14 => APPROVED_LATER,
            _ => APPROVED,
        };
        Self { number, statuses }
    }

    /// The sale of this number, reported by one postback.
    pub const fn plain(number: u64) -> Self {
        Self {
            number,
            statuses: APPROVED,
        }
    }

    pub const fn rupees(self) -> u64 {
        SALE_RUPEES_MIN + self.number * 7_919 % SALE_RUPEES_RANGE
    }

    /// What must be booked in the end, in paise.
    pub fn commission_paise(self) -> i64 {
        i64::try_from(self.rupees()).unwrap_or_default() * COMMISSION_PAISE
    }

    pub fn order(self) -> String {
        format!("ORDER-{}", self.number)
    }

    /// The number of its shopper.
    pub const fn shopper(self) -> u64 {
        fixture::shopper(self.number)
    }

    /// Where its shopper is: clicks of one address are limited.
    fn address(self) -> Ipv4Addr {
        let [.., high, middle, low] = self.shopper().to_be_bytes();
        Ipv4Addr::new(11, high, middle, low)
    }

    /// The link that its click followed.
    pub fn link(self) -> LinkId {
        LinkId::new(link(self.number % TENANTS).parse().expect("a UUID"))
    }

    /// The click, as a page reports it.
    pub fn click(self) -> Vec<u8> {
        let link = link(self.number % TENANTS);
        let user = user_name(self.shopper());
        let body = format!(r#"{{"link_id":"{link}","user_id":"{user}"}}"#);
        format!(
            "POST /v1/events/click HTTP/1.1\r\nHost: bench\r\nUser-Agent: Mozilla/5.0 (Linux; \
             Android 15; Pixel 9)\r\nX-Forwarded-For: {}\r\nCF-IPCountry: IN\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.address(),
            body.len()
        )
        .into_bytes()
    }

    /// A postback, as the network sends it; `request` is the number that it is recognised by.
    pub fn postback(self, token: &str, status: &str, request: u64) -> Vec<u8> {
        format!(
            "GET /v1/events/conversion?p1={token}&offer_id={OFFER}&txn_id={}&sale_amount={}.00\
             &status={status}&currency=INR&request={request}. HTTP/1.1\r\nHost: bench\r\n\
             User-Agent: Trackier-Postback/2.0\r\nX-Forwarded-For: 192.0.2.17\r\n\r\n",
            self.order(),
            self.rupees()
        )
        .into_bytes()
    }
}

/// The links that shoppers follow.
pub fn links() -> impl Iterator<Item = LinkId> {
    let links = (0..TENANTS).map(|tenant| link(tenant).parse().expect("a UUID"));
    links.map(LinkId::new)
}

/// The shopper of this number.
pub fn user(shopper: u64) -> UserId {
    UserId::new(user_name(shopper).parse().expect("a UUID"))
}

fn user_name(shopper: u64) -> String {
    format!("7a1f3c52-0c1e-4a53-9a52-{shopper:012x}")
}

fn link(tenant: u64) -> String {
    format!("7a1f3c52-0c1e-4a53-9a51-3f6b2f03{tenant:04x}")
}

/// Id and token of a click, from the answer to it.
pub fn clicked(body: &[u8]) -> Option<(i64, String)> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let id = body["click_id"].as_str()?.parse().ok()?;
    Some((id, body["click_token"].as_str()?.to_owned()))
}

/// Writes the reference data that `hissaback reference import` reads: the documented example, for
/// more tenants.
pub fn write_reference(path: &Path) -> anyhow::Result<()> {
    let example = include_str!("../../../schemas/examples/reference.json");
    let mut file: Value = serde_json::from_str(example)?;
    for kind in ["tenants", "campaigns", "links"] {
        let template = file[kind][0].clone();
        let more = (0..TENANTS).map(|tenant| {
            let mut one = template.clone();
            let tenant_id = format!("7a1f3c52-0c1e-4a53-9a51-3f6b2f01{tenant:04x}");
            let campaign_id = format!("7a1f3c52-0c1e-4a53-9a51-3f6b2f02{tenant:04x}");
            match kind {
                "tenants" => one["tenant_id"] = json!(tenant_id),
                "campaigns" => {
                    one["tenant_id"] = json!(tenant_id);
                    one["campaign_id"] = json!(campaign_id);
                }
                _ => {
                    one["link_id"] = json!(link(tenant));
                    one["campaign_id"] = json!(campaign_id);
                    one["slug"] = json!(format!("bench-{tenant}"));
                }
            }
            one
        });
        let more: Vec<Value> = more.collect();
        if let Some(list) = file[kind].as_array_mut() {
            list.extend(more);
        }
    }
    Ok(fs::write(path, file.to_string())?)
}
