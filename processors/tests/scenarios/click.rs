//! Clicks of a scenario.

use std::fmt::Write;

use schemas::{
    ClickId, Country, OfferId, Timestamp,
    events::{ClickFacts, ClickSignals},
    token::{ClickToken, NONCE_BYTES, TokenKeys},
};

use crate::{
    moment::Moment,
    world::{self, campaign, link, shopper, tenant},
};

/// A click on a smart link, called by a letter.
#[derive(Debug, Clone)]
pub struct Click {
    pub name: char,
    at: Moment,
    tenant: u128,
    offer: i32,
    user: Option<u128>,
    country: Option<&'static str>,
    signals: ClickSignals,
}

/// A click at the beginning, on the creator's link to the offer, by a shopper of its own: 1 for
/// A, 2 for B.
pub fn click(name: char) -> Click {
    Click {
        name,
        at: Moment::new("0"),
        tenant: world::CREATOR,
        offer: world::OFFER,
        user: Some(u128::from(number_of(name))),
        country: None,
        signals: ClickSignals::default(),
    }
}

/// 1 for A.
fn number_of(name: char) -> u8 {
    u8::try_from(name).expect("clicks are called A to Z") - b'A' + 1
}

impl Click {
    pub fn at(mut self, at: &'static str) -> Self {
        self.at = Moment::new(at);
        self
    }

    pub fn by(mut self, user: u128) -> Self {
        self.user = Some(user);
        self
    }

    pub fn by_nobody(mut self) -> Self {
        self.user = None;
        self
    }

    pub fn of_creator(mut self, tenant: u128) -> Self {
        self.tenant = tenant;
        self
    }

    pub fn on_offer(mut self, offer: i32) -> Self {
        self.offer = offer;
        self
    }

    pub fn in_country(mut self, country: &'static str) -> Self {
        self.country = Some(country);
        self
    }

    pub fn signal(mut self, signal: ClickSignals) -> Self {
        self.signals = self.signals.with(signal);
        self
    }

    /// When it was made.
    pub fn clicked_at(&self) -> Timestamp {
        self.at.at()
    }

    /// The offer that it is on.
    pub const fn offer(&self) -> i32 {
        self.offer
    }

    /// The number that a bare reference names.
    pub fn id(&self) -> ClickId {
        ClickId::new(i64::from(number_of(self.name)))
    }

    /// As the `clicks` table has it.
    pub fn facts(&self) -> ClickFacts {
        ClickFacts {
            click_id: self.id(),
            clicked_at: self.at.at(),
            tenant_id: tenant(self.tenant),
            campaign_id: campaign(self.tenant),
            link_id: link(self.tenant, self.offer),
            offer_id: OfferId::new(self.offer),
            user_id: self.user.map(shopper),
            country: self.country.map(country),
            signals: self.signals,
        }
    }

    /// A token of it.
    pub fn token(&self, keys: &TokenKeys) -> String {
        let ClickFacts {
            click_id,
            clicked_at,
            link_id,
            offer_id,
            user_id,
            country,
            signals,
            ..
        } = self.facts();
        let token = ClickToken {
            click_id,
            clicked_at,
            link_id,
            offer_id,
            user_id,
            country,
            signals,
        };
        keys.seal(&token, [7; NONCE_BYTES])
    }

    /// Whether it is the click that its name stands for unless a scenario says otherwise.
    pub fn plain(&self) -> bool {
        self.line() == click(self.name).line()
    }

    /// For the document.
    pub fn line(&self) -> String {
        let by = match self.user {
            Some(user) => format!("shopper {user}"),
            None => "nobody known".to_owned(),
        };
        let mut line = format!("{}: click {} by {by}", self.at, self.name);
        if self.tenant != world::CREATOR {
            write!(line, ", creator {}'s link", self.tenant).expect("a string takes everything");
        }
        if self.offer != world::OFFER {
            write!(line, ", offer {}", self.offer).expect("a string takes everything");
        }
        if let Some(country) = self.country {
            write!(line, ", from {country}").expect("a string takes everything");
        }
        for (signal, words) in [
            (ClickSignals::BOT, ", a bot's user agent"),
            (ClickSignals::DATA_CENTRE, ", from a data centre"),
            (ClickSignals::PROXY, ", through a proxy"),
        ] {
            if self.signals.contains(signal) {
                line.push_str(words);
            }
        }
        line
    }
}

pub fn country(code: &str) -> Country {
    code.parse().expect("a country")
}
