use serde::{Deserialize, Serialize};

use crate::{CampaignId, ClickId, Country, LinkId, OfferId, TenantId, Timestamp, UserId};

/// One click on a smart link (topic `clicks`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClickRecorded {
    /// The click; drawn from the event ids.
    pub click_id: ClickId,
    /// The click's time: set by a trusted edge, else when ingest received it. Windows, terms and
    /// velocity mean this one.
    pub clicked_at: Timestamp,
    /// When ingest received it.
    pub received_at: Timestamp,
    /// Owner of the link.
    pub tenant_id: TenantId,
    /// The link's campaign.
    pub campaign_id: CampaignId,
    /// The link.
    pub link_id: LinkId,
    /// The link's offer.
    pub offer_id: OfferId,
    /// The shopper, where known.
    pub user_id: Option<UserId>,
    /// Where the shopper is, as the edge or proxy reports it.
    pub country: Option<Country>,
    /// Kind of device, from the user agent.
    pub device: Device,
    /// What looked odd about the click: the bits of [`ClickSignals`].
    pub signals: ClickSignals,
    /// Keyed hash of the shopper's address, hex.
    pub address_hash: Option<String>,
    /// The address's network: /24 for IPv4, /48 for IPv6.
    pub address_prefix: Option<String>,
    /// The page that the shopper came from, without its query.
    pub referrer: Option<String>,
    /// How the click reached us.
    pub origin: ClickOrigin,
}

/// Kind of device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Device {
    Desktop,
    Mobile,
    Tablet,
    Bot,
    Unknown,
}

/// How a click reached ingest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClickOrigin {
    /// `GET /r/{slug}`.
    Redirect,
    /// `POST /v1/events/click`.
    Api,
}

/// What looked odd about a click, one bit each: the "byte of signals" of the click token (design
/// section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClickSignals(i32);

impl ClickSignals {
    /// The user agent names a bot.
    pub const BOT: Self = Self(1);
    /// The address belongs to a data centre.
    pub const DATA_CENTRE: Self = Self(2);
    /// The address belongs to an anonymising proxy.
    pub const PROXY: Self = Self(4);

    /// From the token's byte.
    pub const fn from_byte(byte: u8) -> Self {
        Self(byte as i32)
    }

    /// The token's byte: the low eight bits.
    pub const fn byte(self) -> u8 {
        self.0.to_le_bytes()[0]
    }

    /// All bits.
    pub const fn bits(self) -> i32 {
        self.0
    }

    /// Whether all bits of `other` are set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// With the bits of `other` set as well.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}
